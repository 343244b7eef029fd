//! Dates of headers and documents, as seconds since 1970-01-01T00:00:00Z. No clock is read.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::Headers;
use super::text::decimal;

/// The longest wait that [`retry_after`] gives: a day.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

const DAYS: [(&str, &str); 7] = [
    ("Mon", "Monday"),
    ("Tue", "Tuesday"),
    ("Wed", "Wednesday"),
    ("Thu", "Thursday"),
    ("Fri", "Friday"),
    ("Sat", "Saturday"),
    ("Sun", "Sunday"),
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads an HTTP date in any of its three formats (RFC 9110 §5.6.7). A year of two digits is 1970 to 2069, for there is no
/// clock to count fifty years from; the name of the day is not compared with the date. `None` if it is malformed or names no
/// day or time there is.
pub fn parse_http(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    if let Some((name, rest)) = text.split_once(", ") {
        let (date, time) = match rest.split_once('-') {
            // Sunday, 06-Nov-94 08:49:37 GMT
            Some((day, rest)) => {
                DAYS.iter().find(|(_, long)| *long == name)?;
                let (date, time) = rest.split_once(' ')?;
                let (month_name, year) = date.split_once('-')?;
                let year = digits(year, 2)?;
                let year = if year < 70 { 2000 + year } else { 1900 + year };
                ((year, month(month_name)?, digits(day, 2)?), time)
            }
            // Sun, 06 Nov 1994 08:49:37 GMT
            None => {
                DAYS.iter().find(|(short, _)| *short == name)?;
                let mut parts = rest.splitn(4, ' ');
                let (day, month_name) = (digits(parts.next()?, 2)?, parts.next()?);
                let year = digits(parts.next()?, 4)?;
                ((year, month(month_name)?, day), parts.next()?)
            }
        };
        return seconds(date, clock(time.strip_suffix(" GMT")?)?);
    }
    // Sun Nov  6 08:49:37 1994
    let (name, rest) = text.split_once(' ')?;
    DAYS.iter().find(|(short, _)| *short == name)?;
    let (month_name, rest) = rest.split_once(' ')?;
    let (day, rest) = rest.split_at_checked(2)?;
    let day = digits(day.strip_prefix(' ').unwrap_or(day), day.trim_ascii_start().len())?;
    let (time, year) = rest.strip_prefix(' ')?.split_once(' ')?;
    seconds((digits(year, 4)?, month(month_name)?, day), clock(time)?)
}

/// Writes an HTTP date in the format that RFC 9110 §5.6.7 prefers; `None` before year 0 and after year 9999.
pub fn format_http(seconds: i64) -> Option<String> {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    if !(-719_528..=2_932_896).contains(&days) {
        return None;
    }
    let (year, month, day) = civil_from_days(days);
    // 1970-01-01 was a Thursday.
    let (name, _) = DAYS.get(usize::try_from((days + 3).rem_euclid(7)).ok()?)?;
    let month = MONTHS.get(usize::try_from(month - 1).ok()?)?;
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    Some(format!("{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"))
}

/// Reads a date of RFC 3339 (§5.6), as token responses and image configs use them; fractions of a second are dropped.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let date = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => rest,
    };
    let offset = match zone.strip_prefix(['+', '-']) {
        Some(hours) => {
            let (hour, minute) = hours.split_once(':')?;
            let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
            if hour > 23 || minute > 59 {
                return None;
            }
            let offset = hour * 3_600 + minute * 60;
            if zone.starts_with('-') { -offset } else { offset }
        }
        None => matches!(zone, "Z" | "z").then_some(0)?,
    };
    Some(seconds(date, clock(time)?)? - offset)
}

/// Writes a date as RFC 3339 has it (§5.6), in UTC: `2026-11-21T12:00:00Z`. Years that it cannot say have a sign and as many
/// digits as they need (ISO 8601, expanded).
pub fn format_rfc3339(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+06}") };
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// How long to wait before the next try: `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), else the
/// `x-retry-after` and `x-ratelimit-reset` that some registries send (seconds, or seconds since 1970).
///
/// A date counts from the same response's `Date`, never from a clock; without one it says nothing. A date that has passed
/// is zero. Never more than [`MAX_RETRY_AFTER`].
pub fn retry_after(headers: &Headers<'_>) -> Option<Duration> {
    let date = headers.text("date").and_then(parse_http);
    let until =
        |moment: i64| Some(Duration::from_secs(u64::try_from(moment.saturating_sub(date?)).unwrap_or(0)));
    let wait = |name: &str| {
        let text = headers.text(name)?;
        match whole_seconds(text) {
            // Nobody asks to wait for thirty years: it is a moment.
            Some(seconds) if seconds >= 1_000_000_000 && name != "retry-after" => {
                until(i64::try_from(seconds).unwrap_or(i64::MAX))
            }
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => until(parse_http(text).or_else(|| parse_rfc3339(text))?),
        }
    };
    ["retry-after", "x-retry-after", "x-ratelimit-reset"]
        .into_iter()
        .find_map(wait)
        .map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// A number of seconds; a fraction, which some send against the grammar, is rounded up. More than fits is the most.
fn whole_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let more = u64::from(fraction.bytes().any(|b| b != b'0'));
    Some(decimal(whole).unwrap_or(u64::MAX).saturating_add(more))
}

/// Exactly `len` decimal digits.
fn digits(text: &str, len: usize) -> Option<i64> {
    (text.len() == len).then(|| decimal(text)).flatten().and_then(|number| i64::try_from(number).ok())
}

fn month(name: &str) -> Option<i64> {
    let index = MONTHS.iter().position(|month| *month == name)?;
    i64::try_from(index + 1).ok()
}

/// `HH:MM:SS` as seconds of the day; a leap second counts as the next second, which is all that POSIX time can say.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute, second) =
        (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let is_time = hour <= 23 && minute <= 59 && second <= 60 && parts.next().is_none();
    is_time.then_some(hour * 3_600 + minute * 60 + second)
}

fn seconds((year, month, day): (i64, i64, i64), clock: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_day = (1..=12).contains(&month) && (1..=days).contains(&day);
    is_day.then(|| days_from_civil(year, month, day) * 86_400 + clock)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms"): years begin in March, so that the leap day is their last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::corpus;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::vec::Vec;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
    enum Case {
        Http {
            input: String,
            seconds: Option<i64>,
            #[serde(default)]
            invalid: bool,
        },
        Rfc3339 {
            input: String,
            seconds: Option<i64>,
            #[serde(default)]
            invalid: bool,
        },
        RetryAfter {
            fields: Vec<(String, String)>,
            wait: Option<u64>,
            #[serde(default)]
            unknown: bool,
        },
    }

    #[test]
    fn corpus_cases() {
        for case in corpus::cases::<Case>(include_str!("../../../testdata/dates.toml")) {
            match case {
                Case::Http { input, seconds, invalid } => {
                    assert_eq!(invalid, seconds.is_none(), "{input}");
                    assert_eq!(parse_http(&input), seconds, "{input}");
                }
                Case::Rfc3339 { input, seconds, invalid } => {
                    assert_eq!(invalid, seconds.is_none(), "{input}");
                    assert_eq!(parse_rfc3339(&input), seconds, "{input}");
                }
                Case::RetryAfter { fields, wait, unknown } => {
                    assert_eq!(unknown, wait.is_none(), "{fields:?}");
                    let list: Vec<(&str, &[u8])> =
                        fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
                    assert_eq!(
                        retry_after(&Headers::new(&list)),
                        wait.map(Duration::from_secs),
                        "{fields:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_calendar() {
        assert_eq!(format_http(0).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_http(-62_167_219_200).unwrap(), "Sat, 01 Jan 0000 00:00:00 GMT");
        assert_eq!(format_http(253_402_300_799).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
        for outside in [i64::MIN, -62_167_219_201, 253_402_300_800, i64::MAX] {
            assert_eq!(format_http(outside), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in -62_167_219_200i64..253_402_300_800) {
            let text = format_http(seconds).unwrap();
            prop_assert_eq!(parse_http(&text), Some(seconds));
            let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
            let text = format!("{year:04}-{month:02}-{day:02}T{}Z", &text[17..25]);
            prop_assert_eq!(parse_rfc3339(&text), Some(seconds));
        }

        #[test]
        fn nothing_panics(text in r"((Sun|Sunday|Nov|GMT|T|Z|[,: +.-])|\d{1,20}|\PC){0,12}") {
            parse_http(&text);
            parse_rfc3339(&text);
            retry_after(&Headers::new(&[("date", b"Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", text.as_bytes())]));
        }
    }
}
