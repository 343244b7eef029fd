//! Patterns for paths of the merged tree.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::error::{Error, ErrorKind, Result};

/// A pattern for paths of the merged tree: bytes, as names are (L1), with the words that gitignore(5) and ripgrep's
/// `--glob` share.
///
/// | word | stands for |
/// |---|---|
/// | `*` | any bytes of one component, none included; a dot in front is nothing special |
/// | `?` | one byte of a component |
/// | `[a-z_]`, `[!a]`, `[^a]` | one ASCII byte of a set, one byte that is not in it; `]` may stand first |
/// | `**` as a whole component | any number of components, none included; at the end one at least: all that lies below |
/// | `{a,b}` | the pattern once with each; they nest |
/// | `\` | the byte behind it, to the letter |
///
/// A pattern without a slash, but for one at its end, matches a name at any depth. With a slash at the front or inside it
/// starts at the root: `etc/passwd` and `/etc/passwd` are one. A slash at the end lets it match directories only. `.` and
/// empty components are dropped as they are from names; `..` is an error. All this is as in gitignore(5), where ripgrep
/// has it too; unlike there, `!` and `#` at the front are nothing special, `{…}` is known (gitignore has none), and each
/// of its choices is a pattern of its own: `{a,b/c}` is `a` at any depth and `/b/c`. Symlinks are not followed, and case
/// counts. `core/tests/pattern.rs` holds all of it against git.
///
/// Matching costs at most the bytes of the name times those of the pattern, whatever either is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    choices: Vec<Choice>,
}

/// A pattern without braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    parts: Vec<Part>,
    /// Where `**` stands.
    any: u128,
    directory: bool,
}

/// How much of a [`Choice`] a path has matched so far: bit `n` says that the parts from `n` on are still to come, the bit
/// behind the last part that all of it is matched.
pub(super) type Progress = u128;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`
    Any,
    Literal(Vec<u8>),
    Glob(Vec<Word>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Star,
    Class(Set),
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set([u64; 4]);

impl Set {
    fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }
}

/// A word of a pattern, or what structures it.
#[derive(Clone, Copy, Debug)]
enum Sign {
    Word(Word),
    Slash,
    Open,
    Comma,
    Close,
}

/// A sign and where it stands.
type Signs = Vec<(Sign, usize)>;

impl Pattern {
    /// Bytes of the longest pattern.
    pub const BYTES: usize = 4_096;
    /// Components of the longest pattern.
    pub const COMPONENTS: usize = 100;
    /// What the braces of one pattern may choose from at most.
    pub const CHOICES: usize = 100;

    /// Reads a pattern.
    ///
    /// # Errors
    /// `invalid_pattern`, with the byte at which it goes wrong.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self> {
        let text = text.as_ref();
        let choices = Self::read(text).map_err(|(reason, at)| -> Error {
            let pattern = text.get(..text.len().min(200)).unwrap_or_default().escape_ascii().to_string();
            ErrorKind::InvalidPattern { pattern, reason, at: at as u64 }.into()
        })?;
        Ok(Pattern { text: text.to_vec(), choices })
    }

    fn read(text: &[u8]) -> Result<Vec<Choice>, (String, usize)> {
        if text.len() > Self::BYTES {
            return Err((alloc::format!("it is longer than {} bytes", Self::BYTES), Self::BYTES));
        }
        expand(signs(text)?)?.iter().map(|signs| Choice::new(signs)).collect()
    }

    /// What it was read from.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Whether it matches a path: components apart by slashes, from the root. What lies below a match is another
    /// question, see [`Selection`](super::Selection).
    pub fn matches(&self, path: &[u8], is_directory: bool) -> bool {
        self.choices.iter().any(|choice| {
            let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
            let end = parts.fold(choice.start(), |progress, name| choice.step(progress, name));
            choice.is_met(end, is_directory)
        })
    }

    pub(super) fn choices(&self) -> &[Choice] {
        &self.choices
    }
}

/// The pattern as text; bytes that are not printable ASCII are escaped.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(&self.text) {
            Ok(text) if !text.chars().any(char::is_control) => f.write_str(text),
            _ => write!(f, "{}", self.text.escape_ascii()),
        }
    }
}

impl core::str::FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Pattern::new(text)
    }
}

impl Choice {
    fn new(signs: &[(Sign, usize)]) -> Result<Self, (String, usize)> {
        let mut parts = Vec::new();
        let mut slashes = 0;
        let directory = matches!(signs.last(), Some((Sign::Slash, _)));
        for component in signs.split(|(sign, _)| matches!(sign, Sign::Slash)) {
            slashes += 1;
            let words: Vec<Word> = component
                .iter()
                .filter_map(|(sign, _)| match sign {
                    Sign::Word(word) => Some(*word),
                    _ => None,
                })
                .collect();
            let at = component.first().map_or(0, |(_, at)| *at);
            let part = match &words[..] {
                [] | [Word::Byte(b'.')] => continue,
                [Word::Byte(b'.'), Word::Byte(b'.')] => {
                    return Err(("`..` leads nowhere: patterns are of paths from the root".into(), at));
                }
                [Word::Star, Word::Star] => Part::Any,
                words => Part::new(words),
            };
            if part == Part::Any && parts.last() == Some(&Part::Any) {
                continue;
            }
            if parts.len() >= Pattern::COMPONENTS {
                return Err((alloc::format!("it has more than {} components", Pattern::COMPONENTS), at));
            }
            parts.push(part);
        }
        if parts.is_empty() {
            let reason = if signs.is_empty() { "it is empty" } else { "it names nothing but the root" };
            return Err((reason.into(), 0));
        }
        // A slash anywhere but at the end ties it to the root.
        if slashes - usize::from(directory) == 1 && parts.first() != Some(&Part::Any) {
            parts.insert(0, Part::Any);
        }
        let any =
            (0..).zip(&parts).filter(|(_, part)| **part == Part::Any).fold(0, |any, (at, _)| any | 1 << at);
        Ok(Choice { parts, any, directory })
    }

    /// Nothing of a path matched yet: the root.
    pub(super) fn start(&self) -> Progress {
        self.widened(1)
    }

    /// One component further down.
    pub(super) fn step(&self, progress: Progress, name: &[u8]) -> Progress {
        let mut next = progress & self.any;
        let last = self.parts.len().saturating_sub(1);
        if next & (1 << last) != 0 {
            next |= 2 << last;
        }
        let mut left = progress & !self.any;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            if self.parts.get(at as usize).is_some_and(|part| part.matches(name)) {
                next |= 2 << at;
            }
        }
        self.widened(next)
    }

    /// `**` may stand for nothing, but not at the end.
    fn widened(&self, progress: Progress) -> Progress {
        let last = 1 << self.parts.len().saturating_sub(1);
        progress | (progress & self.any & !last) << 1
    }

    pub(super) fn is_met(&self, progress: Progress, is_directory: bool) -> bool {
        progress & (1 << self.parts.len()) != 0 && (is_directory || !self.directory)
    }
}

impl Part {
    fn new(words: &[Word]) -> Part {
        let literal: Option<Vec<u8>> = words
            .iter()
            .map(|word| match word {
                Word::Byte(byte) => Some(*byte),
                _ => None,
            })
            .collect();
        match literal {
            Some(literal) => Part::Literal(literal),
            None => {
                let mut words = words.to_vec();
                words.dedup_by(|a, b| *a == Word::Star && *b == Word::Star);
                Part::Glob(words)
            }
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Part::Any => true,
            Part::Literal(literal) => literal == name,
            Part::Glob(words) => glob(words, name),
        }
    }
}

impl Word {
    fn matches(self, byte: u8) -> bool {
        match self {
            Word::Byte(own) => own == byte,
            Word::One | Word::Star => true,
            Word::Class(set) => set.contains(byte),
        }
    }
}

/// Where a star has taken too little it takes one byte more; only the last star need be tried again, as what stands before
/// it has found its place.
fn glob(words: &[Word], name: &[u8]) -> bool {
    // Most names fail at their end.
    if let Some(last @ (Word::Byte(_) | Word::Class(_))) = words.last()
        && !name.last().is_some_and(|byte| last.matches(*byte))
    {
        return false;
    }
    let (mut word, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (words.get(word), name.get(at)) {
            (None, None) => return true,
            (Some(Word::Star), _) => {
                star = Some((word + 1, at));
                word += 1;
            }
            (Some(own), Some(byte)) if own.matches(*byte) => {
                word += 1;
                at += 1;
            }
            _ => match &mut star {
                Some((behind, from)) if *from < name.len() => {
                    *from += 1;
                    (word, at) = (*behind, *from);
                }
                _ => return false,
            },
        }
    }
}

/// The text as words.
fn signs(text: &[u8]) -> Result<Signs, (String, usize)> {
    let mut signs = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at).copied() {
        let start = at;
        at += 1;
        let sign = match byte {
            0 => return Err(("no name holds a NUL".into(), start)),
            b'/' => Sign::Slash,
            b'*' => Sign::Word(Word::Star),
            b'?' => Sign::Word(Word::One),
            b'[' => Sign::Word(Word::Class(class(text, start, &mut at)?)),
            b'{' => {
                open.push(start);
                Sign::Open
            }
            b',' if !open.is_empty() => Sign::Comma,
            b'}' if open.pop().is_some() => Sign::Close,
            b'\\' => match text.get(at).copied() {
                None => return Err(("nothing follows the `\\`".into(), start)),
                Some(0) => return Err(("no name holds a NUL".into(), at)),
                Some(b'/') => {
                    at += 1;
                    Sign::Slash
                }
                Some(byte) => {
                    at += 1;
                    Sign::Word(Word::Byte(byte))
                }
            },
            byte => Sign::Word(Word::Byte(byte)),
        };
        signs.push((sign, start));
    }
    match open.last() {
        Some(open) => Err(("the `{` has no `}` (`\\{` stands for itself)".into(), *open)),
        None => Ok(signs),
    }
}

/// What stands between `[` and `]`; `at` is behind the `[` and comes to be behind the `]`.
fn class(text: &[u8], open: usize, at: &mut usize) -> Result<Set, (String, usize)> {
    let mut set = Set::default();
    let negated = matches!(text.get(*at), Some(b'!' | b'^'));
    *at += usize::from(negated);
    let first = *at;
    loop {
        let start = *at;
        match text.get(*at) {
            Some(b']') if *at > first => break,
            Some(b'[') if text.get(*at + 1) == Some(&b':') => {
                return Err(("named classes are not known here: write their letters".into(), start));
            }
            _ => {}
        }
        let low = member(text, open, at)?;
        let mut high = low;
        if text.get(*at) == Some(&b'-') && text.get(*at + 1).is_some_and(|next| *next != b']') {
            *at += 1;
            high = member(text, open, at)?;
            if high < low {
                return Err(("the range goes backwards".into(), start));
            }
        }
        (low..=high).for_each(|byte| set.insert(byte));
    }
    *at += 1;
    Ok(if negated { Set(set.0.map(|word| !word)) } else { set })
}

/// One byte of a class.
fn member(text: &[u8], open: usize, at: &mut usize) -> Result<u8, (String, usize)> {
    let start = *at;
    *at += 1;
    let mut byte = text.get(start).copied();
    if byte == Some(b'\\') {
        byte = text.get(*at).copied();
        *at += 1;
    }
    match byte {
        None => Err(("the `[` has no `]` (`\\[` stands for itself)".into(), open)),
        Some(b'/') => Err(("a `/` in a class: components have none".into(), start)),
        Some(0) => Err(("no name holds a NUL".into(), start)),
        Some(0x80..) => Err(("a class holds ASCII only: name other letters as `{ä,ö}`".into(), start)),
        Some(byte) => Ok(byte),
    }
}

/// The pattern once with each choice of its braces.
fn expand(signs: Signs) -> Result<Vec<Signs>, (String, usize)> {
    let mut done = Vec::new();
    let mut todo = alloc::vec![signs];
    // Braces within braces cost copies, however few they choose from.
    let mut budget = 1_usize << 20;
    while let Some(signs) = todo.pop() {
        let Some(open) = signs.iter().position(|(sign, _)| matches!(sign, Sign::Open)) else {
            done.push(signs);
            continue;
        };
        let (before, from_open) = signs.split_at_checked(open).unwrap_or_default();
        let place = from_open.first().map_or(0, |(_, at)| *at);
        let mut depth = 0_usize;
        let mut ends = alloc::vec![0];
        for (at, (sign, _)) in from_open.iter().enumerate() {
            match sign {
                Sign::Open => depth += 1,
                Sign::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 || (depth == 1 && matches!(sign, Sign::Comma)) {
                ends.push(at);
            }
            if depth == 0 {
                break;
            }
        }
        let after = ends.last().and_then(|close| from_open.get(close + 1..)).unwrap_or_default();
        for pair in ends.windows(2).rev() {
            let [from, to] = pair else { continue };
            let choice = [before, from_open.get(from + 1..*to).unwrap_or_default(), after].concat();
            let left = budget.checked_sub(choice.len().saturating_add(1));
            todo.push(choice);
            budget = left.filter(|_| done.len() + todo.len() <= Pattern::CHOICES).ok_or_else(|| {
                (alloc::format!("its braces choose from more than {} patterns", Pattern::CHOICES), place)
            })?;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
