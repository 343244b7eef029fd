//! What `ls -l` and `tar -tv` show of a file, as text.

use alloc::format;
use alloc::string::String;

use crate::http::date::format_rfc3339;
use crate::tar::{Kind, Mtime};

/// Kind and permissions in ten characters: `drwxr-xr-x`, with `s`, `S`, `t` and `T` for set-id and sticky bits (POSIX,
/// `ls`).
pub fn mode_text(kind: Kind, mode: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::HardLink => 'h',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
        Kind::Fifo => 'p',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

/// A time in UTC, with its fraction where it has one: `2026-11-21T12:00:00Z`, `1969-12-31T23:59:59.5Z`.
pub fn mtime_text(mtime: Mtime) -> String {
    let whole = format_rfc3339(mtime.seconds);
    if mtime.nanos == 0 {
        return whole;
    }
    let fraction = format!("{:09}", mtime.nanos);
    format!("{}.{}Z", whole.trim_end_matches('Z'), fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_does_it() {
        let device = Kind::CharDevice { major: 1, minor: 3 };
        let cases = [
            (Kind::File, 0o644, "-rw-r--r--"),
            (Kind::File, 0o4755, "-rwsr-xr-x"),
            (Kind::File, 0o6644, "-rwSr-Sr--"),
            (Kind::Directory, 0o1777, "drwxrwxrwt"),
            (Kind::Directory, 0o1776, "drwxrwxrwT"),
            (Kind::Directory, 0o2775, "drwxrwsr-x"),
            (Kind::Symlink, 0o777, "lrwxrwxrwx"),
            (device, 0o666, "crw-rw-rw-"),
            (Kind::BlockDevice { major: 8, minor: 0 }, 0, "b---------"),
            (Kind::Fifo, 0o7000, "p--S--S--T"),
        ];
        for (kind, mode, text) in cases {
            assert_eq!(mode_text(kind, mode), text);
        }
    }

    #[test]
    fn times_say_their_fraction_and_go_back_beyond_1970() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 500_000_000, "1969-12-31T23:59:59.5Z"),
            (1_700_000_000, 1, "2023-11-14T22:13:20.000000001Z"),
            (253_402_300_800, 0, "+10000-01-01T00:00:00Z"),
            (-62_167_219_201, 0, "-00001-12-31T23:59:59Z"),
        ];
        for (seconds, nanos, text) in cases {
            assert_eq!(mtime_text(Mtime { seconds, nanos }), text);
        }
    }
}
