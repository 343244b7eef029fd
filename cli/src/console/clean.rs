use std::borrow::Cow;

/// Text with nothing in it that steers a terminal or reorders what is read: what registries and images say may hold
/// anything. Such characters come out as `\u{1b}`; newlines and tabs stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            clean.extend(c.escape_unicode());
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(clean("plain – ä\n\tb"), "plain – ä\n\tb");
        assert_eq!(clean("a\u{1b}]52;c;eA==\u{7}b\r"), "a\\u{1b}]52;c;eA==\\u{7}b\\u{d}");
        assert_eq!(clean("\u{9b}2J\u{202e}"), "\\u{9b}2J\\u{202e}");
    }
}
