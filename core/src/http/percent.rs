//! Percent-encoding, named for what is encoded (RFC 3986 §2.1).

use alloc::string::String;
use alloc::vec::Vec;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `unreserved` of RFC 3986 §2.3.
pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

pub(super) fn push_encoded(out: &mut String, byte: u8) {
    let digit = |nibble: u8| char::from(*HEX.get(usize::from(nibble & 15)).unwrap_or(&b'0'));
    out.push('%');
    out.push(digit(byte >> 4));
    out.push(digit(byte));
}

fn push_component(out: &mut String, text: &str, space_as_plus: bool) {
    for byte in text.bytes() {
        match byte {
            _ if is_unreserved(byte) => out.push(char::from(byte)),
            b' ' if space_as_plus => out.push('+'),
            _ => push_encoded(out, byte),
        }
    }
}

/// A name or value of a query: everything but `unreserved` is encoded, a space as `%20`, which every server reads.
pub fn encode_query_component(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_component(&mut out, text, false);
    out
}

/// One segment of a path: everything but `unreserved` and `:` `@` `+` `=` `,` `!` `$` `*` is encoded, a slash too.
pub fn encode_path_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unreserved(byte) || b":@+=,!$*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            push_encoded(&mut out, byte);
        }
    }
    out
}

/// Pairs as a query: `a=b&c=d`.
pub fn encode_query<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    encode_pairs(pairs, false)
}

/// Pairs as a body of `application/x-www-form-urlencoded`: `a=b&c=d`, a space as `+`.
pub fn encode_form<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    encode_pairs(pairs, true)
}

fn encode_pairs<K: AsRef<str>, V: AsRef<str>>(
    pairs: impl IntoIterator<Item = (K, V)>,
    space_as_plus: bool,
) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        push_component(&mut out, name.as_ref(), space_as_plus);
        out.push('=');
        push_component(&mut out, value.as_ref(), space_as_plus);
    }
    out
}

/// Decodes the `%XX` of a path segment. `None` for a `%` without two hexadecimal digits, or if what comes out is no UTF-8.
pub fn decode(text: &str) -> Option<String> {
    decode_bytes(text.as_bytes(), false)
}

/// The pairs of a query or form, decoded (`+` is a space); those that are malformed are left out, and a name without
/// `=` has an empty value.
pub fn decode_query(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decode_bytes(name.as_bytes(), true)?, decode_bytes(value.as_bytes(), true)?))
    };
    query.split('&').filter(|part| !part.is_empty()).filter_map(pair).collect()
}

fn decode_bytes(text: &[u8], plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high << 4 | low).ok()?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn components_are_encoded_for_their_place() {
        assert_eq!(encode_query_component("repository:a/b:pull,push"), "repository%3Aa%2Fb%3Apull%2Cpush");
        assert_eq!(encode_query_component("a b+c&d=e%f~é"), "a%20b%2Bc%26d%3De%25f~%C3%A9");
        assert_eq!(encode_path_segment("sha256:ab/c d"), "sha256:ab%2Fc%20d");
        assert_eq!(encode_query([("n", "100"), ("last", "v1 0")]), "n=100&last=v1%200");
        assert_eq!(encode_form([("password", "p w+&")]), "password=p+w%2B%26");
    }

    #[test]
    fn queries_are_decoded() {
        let pairs = decode_query("a=1&&b&c=%2F+x&=v&bad=%zz&cut=%4");
        let want = [("a", "1"), ("b", ""), ("c", "/ x"), ("", "v")];
        assert_eq!(pairs, want.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<_>>());
        assert_eq!(decode("a+%41%c3%a9"), Some("a+Aé".into()));
        assert_eq!(decode("%ff"), None);
    }

    proptest! {
        #[test]
        fn pairs_come_back(pairs in proptest::collection::vec((".*", ".*"), 0..5)) {
            // A pair of two empty texts is `=`, which comes back as well.
            prop_assert_eq!(&decode_query(&encode_query(pairs.iter().map(|(k, v)| (k, v)))), &pairs);
            prop_assert_eq!(&decode_query(&encode_form(pairs.iter().map(|(k, v)| (k, v)))), &pairs);
        }

        #[test]
        fn segments_come_back(text in ".*") {
            prop_assert_eq!(decode(&encode_path_segment(&text)), Some(text));
        }
    }
}
