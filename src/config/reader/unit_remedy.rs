//! What to write instead of a duration or a size that is not one, such as `1.5s`, `1m30s`, `10MB` or `10 s`: what was
//! meant can mostly be read, and said in a unit that there is.

use super::units::{SIZE_UNITS, TIME_UNITS, written};

/// Units of time that others know, in milliseconds.
const OTHER_TIMES: [(&str, u64); 10] = [
    ("d", 86_400_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
    ("hour", 3_600_000),
    ("hours", 3_600_000),
    ("min", 60_000),
    ("minutes", 60_000),
    ("sec", 1_000),
    ("seconds", 1_000),
    ("msec", 1),
];

/// Units of size that others know. Most who write `MB` mean 1024 x 1024.
const OTHER_SIZES: [(&str, u64); 10] = [
    ("gb", 1 << 30),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("mb", 1 << 20),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("kb", 1 << 10),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("bytes", 1),
];

/// For a text that is no duration.
pub(super) fn of_time(text: &str) -> String {
    remedy(text, &TIME_UNITS, &OTHER_TIMES)
}

/// For a text that is no size.
pub(super) fn of_size(text: &str) -> String {
    remedy(text, &SIZE_UNITS, &OTHER_SIZES)
}

fn remedy(text: &str, units: &[(&str, u64)], others: &[(&str, u64)]) -> String {
    let names = units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some(parts) = parts(text) else { return format!("write a whole number and one of the units {names}") };
    let mut total = Some(0.0);
    for (number, unit) in &parts {
        let find =
            |units: &[(&str, u64)], unit: &str| units.iter().find(|(name, _)| *name == unit).map(|(_, one)| *one);
        let Some(factor) = find(units, unit).or_else(|| find(others, &unit.to_ascii_lowercase())) else {
            return format!("{unit:?} is no unit, write one of {names}");
        };
        #[expect(clippy::cast_precision_loss, reason = "a unit is far below 2^52")]
        let part = number * factor as f64;
        total = total.map(|total| total + part);
    }
    let unknown = parts.iter().find(|(_, unit)| units.iter().all(|(name, _)| name != unit));
    let why = unknown.map_or_else(String::new, |(_, unit)| format!("{unit:?} is no unit here: "));
    match total.and_then(whole) {
        Some(total) => format!("{why}write \"{}\"", written(total, units)),
        None => format!("{why}write a whole number and one of the units {names}"),
    }
}

/// Numbers and their units: `1.5h`, `1m 30s`. None of what is not such a row.
fn parts(text: &str) -> Option<Vec<(f64, &str)>> {
    let (mut parts, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return None;
        }
        parts.push((number.parse().ok()?, unit));
        rest = after.trim_start();
    }
    Some(parts).filter(|parts| !parts.is_empty())
}

/// As a whole number, if it is one and a setting could have it.
fn whole(total: f64) -> Option<u64> {
    /// Far above every limit of a setting.
    const MAX: f64 = 1e15;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and below 2^52")]
    let whole = total.round() as u64;
    #[expect(clippy::cast_precision_loss, reason = "it was rounded from such a number")]
    let same = (whole as f64 - total).abs() < 1e-6;
    (total < MAX && same).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reader::units::{duration, size};

    #[test]
    fn what_was_meant_is_written_in_a_unit_that_there_is() {
        for (text, wanted) in [
            ("1.5s", "write \"1500ms\""),
            ("1.5h", "write \"90m\""),
            ("1m30s", "write \"90s\""),
            ("10 s", "write \"10s\""),
            ("2d", "\"d\" is no unit here: write \"48h\""),
            ("10sec", "\"sec\" is no unit here: write \"10s\""),
            ("5S", "\"S\" is no unit, write one of h, m, s, ms"),
            ("3 fortnights", "\"fortnights\" is no unit, write one of h, m, s, ms"),
            ("0.1ms", "write a whole number and one of the units h, m, s, ms"),
            ("", "write a whole number and one of the units h, m, s, ms"),
            ("-1s", "write a whole number and one of the units h, m, s, ms"),
            ("99999999999999999999h", "write a whole number and one of the units h, m, s, ms"),
        ] {
            assert_eq!(of_time(text), wanted, "{text:?}");
        }
        for (text, wanted) in [
            ("10MB", "\"MB\" is no unit here: write \"10MiB\""),
            ("64k", "\"k\" is no unit here: write \"64KiB\""),
            ("64kib", "\"kib\" is no unit here: write \"64KiB\""),
            ("1.5MiB", "write \"1536KiB\""),
            ("1 GiB", "write \"1GiB\""),
            ("many", "write a whole number and one of the units GiB, MiB, KiB, B"),
        ] {
            assert_eq!(of_size(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn what_is_proposed_can_be_read() {
        let quoted = |text: String| text.split('"').rev().nth(1).map(str::to_owned).unwrap_or_default();
        for text in ["1.5s", "0.25h", "1h30m", "2d", "7 min"] {
            assert!(duration(&quoted(of_time(text))).is_some(), "{text}: {}", of_time(text));
        }
        for text in ["10MB", "0.5KiB", "3g", "12 bytes"] {
            assert!(size(&quoted(of_size(text))).is_some(), "{text}: {}", of_size(text));
        }
    }
}
