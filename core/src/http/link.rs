//! Links to the next page (RFC 8288; distribution specification, "Listing tags").

use alloc::string::String;

use super::text::is_token_char;
use super::{Headers, Url};
use crate::error::Result;

/// Where the next page is, seen from `base`, the URL of this one; `None` if this is the last.
///
/// Beside RFC 8288 it takes what registries send: a target without `<>`, and `v2/…` without its leading slash. The
/// target is not judged: it may be on another origin, and whoever follows it decides.
///
/// # Errors
/// `invalid_url` if there is a next page and its target cannot be read.
pub fn next(headers: &Headers<'_>, base: &Url) -> Result<Option<Url>> {
    for value in headers.all("link") {
        let Ok(text) = core::str::from_utf8(value) else { continue };
        if let Some(target) = next_target(text) {
            // Resolved to the letter, this would be below the list that it is the next page of.
            return match target.strip_prefix("v2/") {
                Some(rest) => base.join(&alloc::format!("/v2/{rest}")).map(Some),
                None => base.join(target).map(Some),
            };
        }
    }
    Ok(None)
}

/// The target of the first link of relation `next` in one field.
fn next_target(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return None;
        }
        let (target, rest) = match text.strip_prefix('<') {
            Some(bracketed) => bracketed.split_once('>')?,
            // Without brackets the target ends where its parameters begin.
            None => text.split_at_checked(text.find(';')?)?,
        };
        let (is_next, rest) = relation(rest);
        // An empty target would be this page again.
        if is_next && !target.trim_ascii().is_empty() {
            return Some(target.trim_ascii());
        }
        text = rest;
    }
}

/// Whether the parameters that follow a target name the relation `next`, and what follows them. Only the first `rel`
/// counts (RFC 8288 §3.3).
fn relation(mut text: &str) -> (bool, &str) {
    let mut found = None;
    while let Some(rest) = text.trim_ascii_start().strip_prefix(';') {
        let rest = rest.trim_ascii_start();
        let name = rest.split(|c| !is_token_char(c)).next().unwrap_or_default();
        text = rest.get(name.len()..).unwrap_or_default().trim_ascii_start();
        let mut value = String::new();
        if let Some(rest) = text.strip_prefix('=') {
            text = read_value(rest.trim_ascii_start(), &mut value);
        }
        if name.eq_ignore_ascii_case("rel") && found.is_none() {
            // Relations are a list separated by spaces, and compare without case.
            found = Some(value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next")));
        }
    }
    // Whatever else stands before the next comma is not understood.
    let rest = text.find(',').and_then(|at| text.get(at..)).unwrap_or_default();
    (found.unwrap_or(false), rest)
}

fn read_value<'a>(text: &'a str, value: &mut String) -> &'a str {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (plain, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        value.push_str(plain);
        return rest;
    };
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            _ => value.push(c),
        }
    }
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::corpus;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::string::ToString;
    use std::vec::Vec;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        base: String,
        fields: Vec<String>,
        next: Option<String>,
        error: Option<String>,
    }

    fn next_of(fields: &[impl AsRef<[u8]>], base: &str) -> Result<Option<Url>> {
        let fields: Vec<(&str, &[u8])> = fields.iter().map(|value| ("Link", value.as_ref())).collect();
        next(&Headers::new(&fields), &Url::parse(base).unwrap())
    }

    #[test]
    fn corpus_cases() {
        for case in corpus::cases::<Case>(include_str!("../../../testdata/links.toml")) {
            let found = next_of(&case.fields, &case.base);
            match case.error {
                Some(code) => assert_eq!(found.unwrap_err().code(), code, "{}", case.name),
                None => assert_eq!(found.unwrap().map(|url| url.to_string()), case.next, "{}", case.name),
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(fields in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..3)) {
            let _ = next_of(&fields, "https://h/v2/a/tags/list");
        }

        #[test]
        fn near_misses_do_not_panic(text in r#"(</v2/a>|<|>|;|,|"|\\| |=|rel|next|rel="next"|\PC){0,16}"#) {
            let _ = next_of(&[text], "https://h/v2/a/tags/list");
        }
    }
}
