//! Character classes and small readers that several parsers share.

use alloc::string::String;

/// A `tchar` of RFC 9110 §5.6.2.
pub(super) fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A number of decimal digits only, without sign; `None` if there is none or it does not fit.
pub(super) fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// One line for people out of text that somebody else wrote: control characters, line breaks and what turns the
/// direction of writing become single spaces, the ends are trimmed, and what is over `limit` characters is cut with `…`.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || is_unshowable(c)).filter(|word| !word.is_empty()) {
        let gap = usize::from(!line.is_empty());
        if gap == 1 {
            line.push(' ');
        }
        for c in word.chars() {
            if length + gap >= limit {
                while line.ends_with(' ') {
                    line.pop();
                }
                line.push('…');
                return line;
            }
            line.push(c);
            length += 1;
        }
        length += gap;
    }
    line
}

/// Control characters, and those that would let text pose as something else on a terminal: bidirectional controls,
/// line and paragraph separators, zero-width characters, the byte order mark and the replacement character.
fn is_unshowable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_line_is_clean_and_capped() {
        assert_eq!(one_line("  a\r\n\tb\u{1b}[31mc \u{202e}d ", 100), "a b [31mc d");
        assert_eq!(one_line("abcdef", 6), "abcdef");
        assert_eq!(one_line("abcdefg", 6), "abcdef…");
        assert_eq!(one_line("abc def", 4), "abc…");
        assert_eq!(one_line("ééé", 2), "éé…");
        assert_eq!(one_line("\0\0", 2), "");
    }
}
