//! Names of files as people and programs are shown them. They are bytes (L1), and may be anything but NUL.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A name for a line of text: what is printable is as it is, anything else is escaped as `ls -b` does it, but for spaces.
///
/// `\a`, `\b`, `\t`, `\n`, `\v`, `\f`, `\r`, a backslash as `\\`, and the bytes of all that is not UTF-8, or steers a
/// terminal or the direction of text, in octal: `\033`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'n>(pub &'n [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                let short = match c {
                    '\u{7}' => 'a',
                    '\u{8}' => 'b',
                    '\t' => 't',
                    '\n' => 'n',
                    '\u{b}' => 'v',
                    '\u{c}' => 'f',
                    '\r' => 'r',
                    '\\' => '\\',
                    c if steers(c) => {
                        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                            write!(f, "\\{byte:03o}")?;
                        }
                        continue;
                    }
                    c => {
                        f.write_char(c)?;
                        continue;
                    }
                };
                write!(f, "\\{short}")?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\{byte:03o}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character would do something else than be seen in its place.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A name as the text of a JSON string (L1): UTF-8 as it is, each byte that is none as `\xNN`, and a backslash as `\\`.
/// (JSON escapes the backslashes once more.) [`from_json`] gives the bytes back.
pub fn to_json(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                text.push('\\');
            }
            text.push(c);
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = fmt::Write::write_fmt(&mut text, format_args!("\\x{byte:02x}"));
        }
    }
    text
}

/// The bytes that [`to_json`] made this text of; `None` for what it never makes.
pub fn from_json(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte != b'\\' {
            name.push(*byte);
        } else if let Some(more) = rest.strip_prefix(b"\\") {
            name.push(b'\\');
            rest = more;
        } else {
            let (hex, more) = rest.strip_prefix(b"x")?.split_at_checked(2)?;
            name.push(u8::from_str_radix(core::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = more;
        }
    }
    (to_json(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn names_are_shown_as_ls_b_does_it() {
        let cases: [(&[u8], &str); 8] = [
            (b"usr/bin", "usr/bin"),
            ("gr\u{fc}n \u{1f40b}".as_bytes(), "gr\u{fc}n \u{1f40b}"),
            (b"two words", "two words"),
            (b"a\nb\tc\\d", "a\\nb\\tc\\\\d"),
            (b"\x1b[2J\x7f", "\\033[2J\\177"),
            (b"latin-\xfc.txt", "latin-\\374.txt"),
            ("\u{202e}x\u{9b}".as_bytes(), "\\342\\200\\256x\\302\\233"),
            (b"", ""),
        ];
        for (name, shown) in cases {
            assert_eq!(Name(name).to_string(), shown);
        }
    }

    #[test]
    fn json_gives_every_name_back() {
        let cases: [(&[u8], &str); 5] = [
            (b"usr/bin", "usr/bin"),
            ("gr\u{fc}n\n".as_bytes(), "gr\u{fc}n\n"),
            (b"a\\x2db", "a\\\\x2db"),
            (b"\xff\x00\xfe", "\\xff\0\\xfe"),
            (b"\xc3", "\\xc3"),
        ];
        for (name, text) in cases {
            assert_eq!(to_json(name), text);
            assert_eq!(from_json(text).as_deref(), Some(name));
        }
        for never in ["\\", "\\x", "\\xf", "\\xg0", "\\n", "\\x41", "\\xc3\\xa9", "\\xFF"] {
            assert_eq!(from_json(never), None, "{never}");
        }
        for pair in 0..=u16::MAX {
            let name = pair.to_be_bytes();
            assert_eq!(from_json(&to_json(&name)).as_deref(), Some(&name[..]));
        }
    }
}
