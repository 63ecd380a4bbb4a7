//! Many measurements as few figures.
//!
//! The median, as one round that a neighbour on the machine spoiled must not move it; and the spread, so that a reader
//! sees what a difference between two medians is worth.

#![allow(dead_code, reason = "each bench uses a part of it")]

/// The middle one; between the two middle ones of an even number. Not a number if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let values = sorted(values);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// How far apart the largest and the smallest are, as a part of the median. Not a number if there are not two.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let values = sorted(values);
    match (values.first(), values.last()) {
        (Some(first), Some(last)) if values.len() > 1 => (last - first) / median(&values),
        _ => f64::NAN,
    }
}

/// The smallest value that is not exceeded by `part` of the values (0 to 1).
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let values = sorted(values);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among some millions, at least 0"
    )]
    let rank = (values.len() as f64 * part).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Three significant digits, and no point behind the third one: `0.0123`, `4.56`, `78.9`, `1234`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if !value.is_finite() => return "-".to_owned(),
        _ if size >= 99.95 || size == 0.0 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if size >= 0.099_95 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// `7 %`.
pub(crate) fn percent(part: f64) -> String {
    if part.is_finite() { format!("{:.0} %", part * 100.0) } else { "-".to_owned() }
}

/// `12.3 (11.9 to 14.0)`: the median and the ends.
pub(crate) fn range(values: &[f64]) -> String {
    let ends = sorted(values);
    match ends.as_slice() {
        [first, .., last] => format!("{} ({} to {})", short(median(values)), short(*first), short(*last)),
        _ => short(median(values)),
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}
