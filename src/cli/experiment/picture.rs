//! An interval as a line of characters, with a mark at no effect.

/// How many characters an interval has.
const WIDTH: usize = 41;

/// `low` to `high` on a line that reaches as far to both sides of zero: `───[──•──]──`, with `|` at zero.
#[must_use]
pub(super) fn interval(low: f64, value: f64, high: f64, reach: f64) -> String {
    let place = |number: f64| {
        let part = ((number / reach).clamp(-1.0, 1.0) + 1.0) / 2.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to WIDTH - 1")]
        let place = (part * (WIDTH - 1) as f64).round() as usize;
        place
    };
    let mut line = vec![' '; WIDTH];
    line[place(low)..=place(high)].fill('-');
    line[place(0.0)] = '|';
    line[place(low)] = '[';
    line[place(high)] = ']';
    line[place(value)] = 'o';
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_in_the_middle_and_ends_stay_on_the_line() {
        assert_eq!(interval(-0.5, 0.25, 1.0, 1.0), format!("{}[---------|----o--------------]", " ".repeat(10)));
        let far = interval(2.0, 3.0, 4.0, 1.0);
        assert_eq!(far.chars().count(), WIDTH);
        assert!(far.ends_with('o'), "{far:?}");
    }
}
