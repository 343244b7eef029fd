//! Platforms: `os[(version[+feature]…)]/architecture[/variant]`, normalised and matched as containerd's `platforms` does
//! (image-spec `image-index.md`, `platform`).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::map::Set;

/// What an image runs on, or what is wanted of it.
///
/// Documents keep a platform as they spell it; [`Platform::from_str`] and [`Platform::normalized`] give the canonical
/// spelling, in which equal platforms are equal. Shown as `os[(version[+feature]…)]/architecture[/variant]`.
///
/// ```
/// use wharfie_core::Platform;
///
/// let wanted: Platform = "linux/aarch64/v8".parse()?;
/// assert_eq!(wanted.to_string(), "linux/arm64");
/// assert!(wanted.rank(&"linux/arm64".parse()?) < wanted.rank(&"linux/arm/v7".parse()?));
/// # Ok::<(), wharfie_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// `linux`, `windows`, … (Go's `GOOS`); may be empty in a document.
    pub os: String,
    /// `amd64`, `arm64`, … (Go's `GOARCH`); may be empty in a document.
    pub architecture: String,
    /// Of the CPU: `v7` of `arm`, `v3` of `amd64`, …
    pub variant: Option<String>,
    /// `os.version`: on Windows `major.minor.build.revision`.
    pub os_version: Option<String>,
    /// `os.features` that are needed: on Windows `win32k`.
    pub os_features: Vec<String>,
}

const OSES: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

const ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// Of an operating system and an architecture, in the canonical spelling.
    pub fn new(os: &str, architecture: &str) -> Platform {
        Platform { os: os.to_string(), architecture: architecture.to_string(), ..Platform::default() }
            .normalized()
    }

    /// Reads a platform of which parts may be missing, and takes those from `default`: `arm64` takes the operating
    /// system, `linux` takes architecture and variant.
    ///
    /// # Errors
    /// `invalid_platform`
    pub fn parse_with(input: &str, default: &Platform) -> Result<Platform, Error> {
        parse(input, Some(default))
    }

    /// The same platform in the canonical spelling: lower case, `aarch64` as `arm64`, the variant that everybody has
    /// (`amd64/v1`, `arm64/v8`) left out, `arm` with its variant, features sorted.
    #[must_use]
    pub fn normalized(&self) -> Platform {
        let os = self.os.to_ascii_lowercase();
        let (architecture, variant) =
            normalize_architecture(&self.architecture, self.variant.as_deref().unwrap_or_default());
        let os_features: Set<String> = self.os_features.iter().filter(|f| !f.is_empty()).cloned().collect();
        Platform {
            os: if os == "macos" { "darwin".to_string() } else { os },
            architecture,
            variant: Some(variant).filter(|v| !v.is_empty()),
            os_version: self.os_version.clone().filter(|v| !v.is_empty()),
            os_features: os_features.iter().cloned().collect(),
        }
    }

    /// Whether this is `unknown/unknown`: what BuildKit puts on attestations.
    pub fn is_unknown(&self) -> bool {
        self.os.eq_ignore_ascii_case("unknown") && self.architecture.eq_ignore_ascii_case("unknown")
    }

    /// How well `offered` serves who wants `self`: 0 is what was asked for, greater is worse, `None` does not run.
    ///
    /// As in containerd: `amd64/v3` takes v2, v1, then 386; `arm/v7` takes v6, v5; `arm64/v9` takes v8.5 down to v8, and
    /// every `arm64` takes 32-bit `arm` at last. Features that `offered` needs must be among those of `self`. On Windows a
    /// version matches by its build: the same one, or for hosts from Server 2022 on one between the last long-term release
    /// and the host's.
    pub fn rank(&self, offered: &Platform) -> Option<u32> {
        let wanted = self.normalized();
        let offered = offered.normalized();
        if wanted.os != offered.os
            || !offered.os_features.iter().all(|feature| wanted.os_features.contains(feature))
            || !version_matches(&wanted, &offered)
        {
            return None;
        }
        ladder(&wanted.architecture, wanted.variant.as_deref().unwrap_or_default())
            .iter()
            .position(|(architecture, variant)| {
                let (architecture, variant) = normalize_architecture(architecture, variant);
                architecture == offered.architecture
                    && variant == offered.variant.as_deref().unwrap_or_default()
            })
            .and_then(|rank| u32::try_from(rank).ok())
    }

    /// Whether `offered` serves who wants `self`.
    pub fn matches(&self, offered: &Platform) -> bool {
        self.rank(offered).is_some()
    }

    /// The parts of a Windows version, for the order between two that fit: greater is newer.
    pub(crate) fn version_key(&self) -> Vec<u64> {
        let version = self.os_version.as_deref().unwrap_or_default();
        version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    }
}

/// containerd's `normalizeArch`.
fn normalize_architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        ("riscv64", "rva20u64") => ("riscv64", ""),
        other => other,
    };
    (architecture.to_string(), variant.to_string())
}

/// containerd's `platformVector`: what runs on a CPU, best first.
fn ladder(architecture: &str, variant: &str) -> Vec<(String, String)> {
    let mut rungs = Vec::new();
    let mut rung = |architecture: &str, variant: String| rungs.push((architecture.to_string(), variant));
    let number = |text: &str| text.trim_start_matches('v').parse::<u8>().ok();
    rung(architecture, variant.to_string());
    match architecture {
        "amd64" => {
            for lower in (1..number(variant).unwrap_or(1)).rev() {
                rung("amd64", format!("v{lower}"));
            }
            rung("386", String::new());
        }
        "arm" => {
            for lower in (5..number(variant).unwrap_or(5)).rev() {
                rung("arm", format!("v{lower}"));
            }
        }
        "arm64" => {
            let variant = if variant.is_empty() { "v8" } else { variant };
            let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
            let (major, minor) = (number(major).unwrap_or(0), minor.parse::<u8>().unwrap_or(0).min(9));
            let lower = |rung: &mut dyn FnMut(&str, String), major: u8, below: u8| {
                for minor in (0..below).rev() {
                    rung("arm64", if minor == 0 { format!("v{major}") } else { format!("v{major}.{minor}") });
                }
            };
            match major {
                // v9.0 diverged from v8.5: v9.x runs what is made for v8.(x+5).
                9 => {
                    lower(&mut rung, 9, minor);
                    lower(&mut rung, 8, minor + 6);
                }
                8 => lower(&mut rung, 8, minor),
                _ => {}
            }
            let major = if variant.contains('.') || major == 0 { 8 } else { major };
            for lower in (5..=major).rev() {
                rung("arm", format!("v{lower}"));
            }
        }
        _ => {}
    }
    rungs
}

/// containerd's rule for Windows hosts and containers; other systems do not compare versions.
fn version_matches(wanted: &Platform, offered: &Platform) -> bool {
    /// Long-term releases whose containers later hosts run: Server 2022 and 2025.
    const LONG_TERM: &[u64] = &[26_100, 20_348];
    let (Some(_), Some(_), "windows") = (&wanted.os_version, &offered.os_version, wanted.os.as_str()) else {
        return true;
    };
    let (host, container) = (wanted.version_key(), offered.version_key());
    let part = |version: &[u64], at: usize| version.get(at).copied();
    if part(&host, 0) != part(&container, 0) {
        return false;
    }
    // A shorter version is a prefix: `10` or `10.0` asks for no build.
    let (Some(host_minor), Some(container_minor)) = (part(&host, 1), part(&container, 1)) else {
        return true;
    };
    if host_minor != container_minor {
        return false;
    }
    let (Some(host), Some(container)) = (part(&host, 2), part(&container, 2)) else { return true };
    match LONG_TERM.iter().find(|release| host >= **release) {
        Some(oldest) => (*oldest..=host).contains(&container),
        None => host == container,
    }
}

fn parse(input: &str, default: Option<&Platform>) -> Result<Platform, Error> {
    let invalid =
        |reason: String| Error::from(ErrorKind::InvalidPlatform { input: input.to_string(), reason });
    if input.contains('*') {
        return Err(invalid("wildcards are not supported".to_string()));
    }
    let parts: Vec<&str> = input.split('/').collect();
    let word = |text: &str, dot: bool| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || (dot && b == b'.'))
    };
    let (first, rest) = match parts.as_slice() {
        [first, rest @ ..] if rest.len() <= 2 => (*first, rest),
        _ => return Err(invalid("it has more than the three parts os/architecture/variant".to_string())),
    };
    let (os, options) = match first.split_once('(') {
        Some((os, options)) => {
            let options = options
                .strip_suffix(')')
                .ok_or_else(|| invalid("no `)` after the version of the operating system".to_string()))?;
            (os, options)
        }
        None => (first, ""),
    };
    // Alone it may be an architecture, which may have a dot.
    if !word(os, rest.is_empty()) {
        return Err(invalid(match os {
            "" => "the operating system is empty".to_string(),
            os => {
                format!("the operating system `{os}` has a character other than letters, digits, `_` and `-`")
            }
        }));
    }
    let mut options = options.split('+');
    let option = |text: &str| {
        decode(text).ok_or_else(|| {
            invalid(format!(
                "`{text}` in the parentheses has a character other than letters, digits, `.`, `_` and `-`"
            ))
        })
    };
    let os_version = Some(option(options.next().unwrap_or_default())?).filter(|v| !v.is_empty());
    let mut os_features = Vec::new();
    for feature in options {
        let feature = option(feature)?;
        if feature.is_empty() {
            return Err(invalid("a feature of the operating system is empty".to_string()));
        }
        os_features.push(feature);
    }
    for (part, name) in rest.iter().zip(["architecture", "variant"]) {
        if !word(part, true) {
            return Err(invalid(match *part {
                "" => format!("the {name} is empty"),
                part => format!(
                    "the {name} `{part}` has a character other than letters, digits, `.`, `_` and `-`"
                ),
            }));
        }
    }
    let with = |os: &str, architecture: &str, variant: Option<&str>| Platform {
        os: os.to_string(),
        architecture: architecture.to_string(),
        variant: variant.map(ToString::to_string),
        os_version: os_version.clone(),
        os_features: os_features.clone(),
    };
    let platform = match rest {
        [architecture, variant, ..] => with(os, architecture, Some(variant)),
        [architecture] => with(os, architecture, None),
        [] => {
            let alone = with(os, os, None).normalized();
            if OSES.contains(&alone.os.as_str()) {
                let default = default.ok_or_else(|| {
                    invalid(format!("the architecture is missing: say `{os}/ARCHITECTURE`"))
                })?;
                with(os, &default.architecture, default.variant.as_deref())
            } else if ARCHITECTURES.contains(&alone.architecture.as_str()) && first == os {
                with(default.map_or("linux", |default| &default.os), os, None)
            } else {
                return Err(invalid(format!("`{os}` is neither an operating system nor an architecture")));
            }
        }
    };
    Ok(platform.normalized())
}

/// Undoes the percent-encoding of a version or feature; `None` if it holds what must have been encoded.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut nibble = || char::from(rest.next()?).to_digit(16).and_then(|n| u8::try_from(n).ok());
                bytes.push(nibble()? << 4 | nibble()?);
            }
            b'.' | b'_' | b'-' => bytes.push(byte),
            byte if byte.is_ascii_alphanumeric() => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

/// Writes a version or feature so that [`decode`] reads it back.
fn encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'.' | b'_' | b'-' => write!(f, "{}", char::from(byte))?,
            byte if byte.is_ascii_alphanumeric() => write!(f, "{}", char::from(byte))?,
            byte => write!(f, "%{byte:02X}")?,
        }
    }
    Ok(())
}

impl FromStr for Platform {
    type Err = Error;

    /// Reads `os/architecture[/variant]`, or an architecture alone, which is taken as Linux's: containers elsewhere are
    /// named in full. An operating system alone needs [`Platform::parse_with`].
    ///
    /// # Errors
    /// `invalid_platform`
    fn from_str(input: &str) -> Result<Self, Error> {
        parse(input, None)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_unknown = |part| if str::is_empty(part) { "unknown" } else { part };
        f.write_str(or_unknown(&self.os))?;
        if self.os_version.is_some() || !self.os_features.is_empty() {
            f.write_str("(")?;
            encode(f, self.os_version.as_deref().unwrap_or_default())?;
            for feature in &self.os_features {
                f.write_str("+")?;
                encode(f, feature)?;
            }
            f.write_str(")")?;
        }
        write!(f, "/{}", or_unknown(&self.architecture))?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

impl serde::Serialize for Platform {
    /// As the `platform` object of a descriptor.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("architecture", &self.architecture)?;
        map.serialize_entry("os", &self.os)?;
        if let Some(version) = &self.os_version {
            map.serialize_entry("os.version", version)?;
        }
        if !self.os_features.is_empty() {
            map.serialize_entry("os.features", &self.os_features)?;
        }
        if let Some(variant) = &self.variant {
            map.serialize_entry("variant", variant)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
