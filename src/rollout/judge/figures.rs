//! Numbers in words of a verdict.

/// One decimal, or two significant digits where that would be 0.
pub(crate) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let decimals = if percent == 0.0 || percent >= 0.1 { 1 } else { 1 - decade(percent) };
    let text = format!("{percent:.0$}", usize::try_from(decimals).unwrap_or(1));
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// The exponent of the first significant digit.
fn decade(value: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a float is below 400")]
    let decade = value.log10().floor() as i32;
    decade
}

/// A whole number with commas.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
