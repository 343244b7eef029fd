use alloc::format;
use alloc::string::ToString;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The paths of `paths` that a pattern matches; one that ends in a slash is a directory.
fn matched<'p>(text: &str, paths: &[&'p str]) -> Vec<&'p str> {
    let pattern = pattern(text);
    paths
        .iter()
        .copied()
        .filter(|path| {
            let name = path.strip_suffix('/').unwrap_or(path);
            let met = pattern.matches(name.as_bytes(), path.ends_with('/'));
            assert_eq!(met, pattern.matches(format!("/./{name}//").as_bytes(), path.ends_with('/')));
            met
        })
        .collect()
}

#[test]
fn a_name_matches_at_any_depth_and_a_path_at_the_root() {
    let paths = ["a", "x/a", "x/y/a", "a/b", "x/a/b", "ab", "b/a/"];
    assert_eq!(matched("a", &paths), ["a", "x/a", "x/y/a", "b/a/"]);
    assert_eq!(matched("/a", &paths), ["a"]);
    assert_eq!(matched("./a", &paths), ["a"]);
    assert_eq!(matched("a/b", &paths), ["a/b"]);
    assert_eq!(matched("/a//./b", &paths), ["a/b"]);
    assert_eq!(matched("**/a/b", &paths), ["a/b", "x/a/b"]);
    assert_eq!(matched("a/", &paths), ["b/a/"]);
    assert_eq!(matched("/a/", &paths), Vec::<&str>::new());
    assert_eq!(matched("b/a/", &paths), ["b/a/"]);
}

#[test]
fn stars_stay_within_a_component_and_two_do_not() {
    let paths = ["a", "a/b/", "a/b/c", "a/c", "a/x/y/c", "c", ".h", "a/.h/"];
    assert_eq!(matched("*", &paths), paths);
    assert_eq!(matched("/*", &paths), ["a", "c", ".h"]);
    assert_eq!(matched("a/*", &paths), ["a/b/", "a/c", "a/.h/"]);
    assert_eq!(matched("a/**", &paths), ["a/b/", "a/b/c", "a/c", "a/x/y/c", "a/.h/"]);
    assert_eq!(matched("a/**/c", &paths), ["a/b/c", "a/c", "a/x/y/c"]);
    assert_eq!(matched("a/**/**/c", &paths), ["a/b/c", "a/c", "a/x/y/c"]);
    assert_eq!(matched("**/c", &paths), ["a/b/c", "a/c", "a/x/y/c", "c"]);
    assert_eq!(matched("a/*/**", &paths), ["a/b/c", "a/x/y/c"]);
    assert_eq!(matched("**", &paths), paths);
    assert_eq!(matched("**/", &paths), ["a/b/", "a/.h/"]);
    assert_eq!(matched("/**/**", &paths), paths);
    // With other bytes beside it, it is one star.
    assert_eq!(matched("/**c", &paths), ["c"]);
    assert_eq!(matched(".*", &paths), [".h", "a/.h/"]);
}

#[test]
fn within_a_component() {
    for (text, yes, no) in [
        ("a*", &["a", "ab", "a.b.c"][..], &["ba", "A"][..]),
        ("*.py[co]", &["x.pyc", ".pyo", "a.pyc.pyo"], &["x.py", "pyc", "x.pycc"]),
        ("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a"]),
        ("a?c", &["abc", "a*c"], &["ac", "abbc"]),
        ("[!a-c]x", &["dx", "-x"], &["ax", "x"]),
        ("[^a]", &["b", "^"], &["a"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[!]]", &["a"], &["]"]),
        ("[a-]", &["-", "a"], &["b"]),
        ("[-a]", &["-", "a"], &["b"]),
        ("[a\\-c]", &["-", "a", "c"], &["b"]),
        ("[\\]]", &["]"], &["\\"]),
        ("[[]", &["["], &["]"]),
        ("\\*\\?\\[\\{\\\\", &["*?[{\\"], &["x?[{\\"]),
        ("\\a", &["a"], &["\\a"]),
        ("!a", &["!a"], &["a", "b"]),
        ("#a", &["#a"], &[]),
        ("a,b}", &["a,b}"], &["a"]),
        ("{a,b}c", &["ac", "bc"], &["c", "{a,b}c"]),
        ("a{,b}", &["a", "ab"], &["b"]),
        ("{a,{b,c}d}e", &["ae", "bde", "cde"], &["be", "ade"]),
        ("{a}", &["a"], &["{a}"]),
        ("{a[,}]b,c}", &["a,b", "a}b", "c"], &["ab"]),
        ("\\{a,b}", &["{a,b}"], &["a"]),
        ("{a\\,b,c}", &["a,b", "c"], &["a"]),
        ("\u{e9}?", &["\u{e9}x"], &["\u{e9}"]),
    ] {
        assert_eq!(matched(text, yes), yes, "{text}");
        assert_eq!(matched(text, no), Vec::<&str>::new(), "{text}");
    }
    // `?` is a byte, of which some letters have two.
    assert_eq!(matched("??", &["\u{e9}", "ab"]), ["\u{e9}", "ab"]);
    let not_utf8 = Pattern::new(b"\xff*").unwrap();
    assert!(not_utf8.matches(b"d/\xff\xfe", false) && !not_utf8.matches("\u{ff}".as_bytes(), false));
    assert_eq!(not_utf8.to_string(), "\\xff*");
    assert_eq!(pattern("d\u{e9}/*").to_string(), "d\u{e9}/*");
}

#[test]
fn choices_are_patterns_of_their_own() {
    let paths = ["a", "x/a", "b/c", "x/b/c", "d/e/f", "d/e/", "b"];
    assert_eq!(matched("{a,b/c,d/**}", &paths), ["a", "x/a", "b/c", "d/e/f", "d/e/"]);
    assert_eq!(matched("/{a,b/c}", &paths), ["a", "b/c"]);
    assert_eq!(matched("{d,x}/{e/,a}", &paths), ["x/a", "d/e/"]);
}

#[test]
fn what_is_no_pattern_says_where() {
    let long = "a".repeat(Pattern::BYTES + 1);
    let deep = "a/".repeat(Pattern::COMPONENTS) + "a";
    let many = "{a,b}".repeat(7);
    let nested = "{".repeat(2000) + &"}".repeat(2000);
    for (text, at, reason) in [
        ("", 0, "empty"),
        ("/", 0, "root"),
        ("./", 0, "root"),
        ("{a,}", 0, "empty"),
        ("a/../b", 2, "`..`"),
        ("..", 0, "`..`"),
        ("ab\\", 2, "follows"),
        ("ab[cd", 2, "no `]`"),
        ("[]", 0, "no `]`"),
        ("[!", 0, "no `]`"),
        ("[a\\", 0, "no `]`"),
        ("x[a-", 1, "no `]`"),
        ("[b-a]", 1, "backwards"),
        ("[a/b]", 2, "`/`"),
        ("[[:alpha:]]", 1, "named"),
        ("[\u{e4}]", 1, "ASCII"),
        ("a{b,{c}", 1, "no `}`"),
        ("a\0", 1, "NUL"),
        (&long, Pattern::BYTES as u64, "longer"),
        (&deep, 2 * Pattern::COMPONENTS as u64, "components"),
        (&many, 30, "braces"),
        (&nested, 0, ""),
    ] {
        let error = Pattern::new(text).expect_err(text);
        match error.kind() {
            ErrorKind::InvalidPattern { reason: said, at: place, .. } => {
                assert!(said.contains(reason), "{text}: {error}");
                if !reason.is_empty() && reason != "braces" {
                    assert_eq!(*place, at, "{text}: {error}");
                }
            }
            _ => panic!("{error}"),
        }
    }
    assert_eq!(
        Pattern::new("etc/[").unwrap_err().to_string(),
        "invalid pattern `etc/[`: the `[` has no `]` (`\\[` stands for itself) (at byte 4)"
    );
}

#[test]
fn no_pattern_takes_forever() {
    // A matcher that tries every star again takes longer than the universe for these.
    let name = "a".repeat(255);
    assert!(!pattern(&("*a".repeat(100) + "b")).matches(name.as_bytes(), false));
    assert!(!pattern(&("**/a/".repeat(49) + "b")).matches("a/".repeat(2000).as_bytes(), false));
    assert!(pattern(&("**/a/".repeat(49) + "**")).matches("a/".repeat(2000).as_bytes(), false));
    assert!(!pattern(&("*?".repeat(1000) + "b*c")).matches("a".repeat(2000).as_bytes(), false));
}

/// As plainly as it can be said, for the words that stand for bytes.
fn plain(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|taken| plain(rest, &name[taken..])),
        ([b'?', rest @ ..], [_, name @ ..]) => plain(rest, name),
        ([byte, rest @ ..], [own, name @ ..]) => byte == own && plain(rest, name),
        _ => false,
    }
}

proptest::proptest! {
    #[test]
    fn stars_are_what_they_say(text in "[ab*?]{1,8}", name in "[ab]{1,8}") {
        // Two stars alone cross components; there is but one here.
        proptest::prop_assert_eq!(
            pattern(&text).matches(name.as_bytes(), false),
            plain(text.as_bytes(), name.as_bytes())
        );
    }

    #[test]
    fn nothing_panics(text: Vec<u8>, path: Vec<u8>) {
        if let Ok(pattern) = Pattern::new(&text) {
            pattern.matches(&path, true);
        }
    }

    #[test]
    fn words_in_any_order_do_not_panic(text in "[ab/*?\\[\\]!{},\\\\.-]{0,30}", path in "[ab/.]{0,12}") {
        if let Ok(pattern) = Pattern::new(&text) {
            pattern.matches(path.as_bytes(), false);
        }
    }
}
