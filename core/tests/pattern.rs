//! Patterns against git, whose words they are.
#![cfg(unix)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use wharfie_core::merge::Pattern;

const NAMES: &[&str] = &["a", "b", "ab", "a-", ".h", "a*b", "\u{e9}", "b]"];
/// What patterns are put together from.
const WORDS: &[&str] = &[
    "a", "b", "-", ".h", "*", "**", "?", "/", "/", "/**/", "[ab]", "[!a]", "[^b]", "[a-c]", "[]a]", "\\*",
    "\\a", "\u{e9}",
];

fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("git");
    command
        .args(["-c", "core.excludesFile=", "-c", "core.quotePath=false"])
        .args(arguments)
        .current_dir(folder);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", folder).env("GIT_CEILING_DIRECTORIES", folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Three levels of directories and files, each path with whether it is a directory.
fn make(folder: &Path, at: &str, depth: usize, paths: &mut Vec<(String, bool)>) {
    for (number, name) in NAMES.iter().enumerate() {
        let path = format!("{at}{name}");
        let is_directory = depth < 3 && (number + depth).is_multiple_of(2);
        if is_directory {
            std::fs::create_dir(folder.join(&path)).unwrap();
            make(folder, &format!("{path}/"), depth + 1, paths);
        } else {
            std::fs::write(folder.join(&path), "").unwrap();
        }
        paths.push((path, is_directory));
    }
}

#[test]
fn git_leaves_out_the_same() {
    if !Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no git");
        return;
    }
    let folder = std::env::temp_dir().join(format!("wharfie-pattern-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    git(&folder, &["init", "-q"], b"");
    let mut paths = Vec::new();
    make(&folder, "", 1, &mut paths);
    let input: Vec<u8> = paths.iter().flat_map(|(path, _)| [path.as_bytes(), b"\0"].concat()).collect();
    let (mut state, mut tried, mut met) = (7_u32, 0, 0);
    let mut next = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % below
    };
    while tried < 400 {
        let text: String = (0..1 + next(5)).map(|_| WORDS[next(WORDS.len())]).collect();
        // Empty components are nothing to us and never met by git; to it, two stars that end in a slash at the front are
        // any depth, more of them something else.
        if text.contains("//") || text.contains("***") || text == "/" {
            continue;
        }
        tried += 1;
        let pattern = Pattern::new(&text).unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(folder.join(".git/info/exclude"), format!("{text}\n")).unwrap();
        let theirs = git(&folder, &["check-ignore", "--no-index", "-z", "--stdin"], &input);
        let theirs: Vec<&[u8]> = theirs.split(|byte| *byte == 0).filter(|path| !path.is_empty()).collect();
        let ours: Vec<&[u8]> = paths
            .iter()
            .filter(|(path, is_directory)| {
                // What lies below a match is left out with it.
                let above = path.match_indices('/').map(|(end, _)| (&path[..end], true));
                above
                    .chain([(&path[..], *is_directory)])
                    .any(|(path, is)| pattern.matches(path.as_bytes(), is))
            })
            .map(|(path, _)| path.as_bytes())
            .collect();
        met += usize::from(!ours.is_empty());
        let shown = |paths: &[&[u8]]| String::from_utf8_lossy(&paths.join(&b' ')).into_owned();
        assert_eq!(shown(&ours), shown(&theirs), "{text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(met > 100, "only {met} of {tried} patterns met anything");
}
