//! What is known of the plan's own metrics, in words.

use super::own_metric::{MetricBound, MetricFinding, MetricLimit, MetricStanding};
use super::verdict::{JudgeFindings, Names};

/// What the metric says that speaks against the candidate, or that nothing is known of.
pub(crate) fn leading(findings: &JudgeFindings, names: &Names<'_>) -> String {
    findings.metric.as_ref().map_or_else(String::new, |metric| told(metric, names))
}

/// `metric queue is 120 against 40 on v1, want at most 48 (1.2 times v1), 2 of 3 answers in a row`, or why nothing is
/// known of it.
pub(crate) fn told(finding: &MetricFinding, names: &Names<'_>) -> String {
    let name = &finding.metric.name;
    match &finding.standing {
        MetricStanding::NoData(why) => format!("no data of metric {name}: {why}"),
        MetricStanding::Good => format!("metric {name} is {}", numbers(finding, names.baseline)),
        MetricStanding::Bad => {
            let (numbers, row, most) =
                (numbers(finding, names.baseline), finding.bad_in_a_row, finding.metric.failures);
            let row = if row < most { format!("{row} of {most}") } else { row.to_string() };
            let answers = if row == "1" { "answer" } else { "answers in a row" };
            format!("metric {name} is {numbers}, {row} {answers}")
        }
    }
}

/// `0.12, want at most 0.05`.
#[must_use]
pub(crate) fn numbers(finding: &MetricFinding, baseline: &str) -> String {
    let value = finding.value.map_or_else(|| "unknown".to_owned(), figure);
    let against =
        finding.baseline.map_or_else(String::new, |number| format!(" against {} on {baseline}", figure(number)));
    format!("{value}{against}, want {}", wanted(finding, baseline))
}

/// `at most 0.05`, `at most 48 (1.2 times v1)`.
#[must_use]
pub(crate) fn wanted(finding: &MetricFinding, baseline: &str) -> String {
    let rule = &finding.metric.rule;
    let bound = match rule.bound {
        MetricBound::AtMost => "at most",
        MetricBound::AtLeast => "at least",
    };
    match (rule.limit, finding.limit) {
        (MetricLimit::Number(number), _) => format!("{bound} {}", figure(number)),
        (MetricLimit::OfBaseline { times, slack }, limit) => {
            let sign = if rule.bound == MetricBound::AtMost { '+' } else { '-' };
            let slack = if slack > 0.0 { format!(" {sign} {}", figure(slack)) } else { String::new() };
            let how = format!("{} times {baseline}{slack}", figure(times));
            limit.map_or_else(|| format!("{bound} {how}"), |limit| format!("{bound} {} ({how})", figure(limit)))
        }
    }
}

/// A number with four significant digits at the least.
pub(crate) fn figure(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a float is below 400")]
    let decade = number.abs().log10().floor() as i32;
    let decimals = usize::try_from(3 - decade).unwrap_or(0).min(12);
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_never_wrong_by_much() {
        let said = [0.0, 0.05, 1.0 / 3.0, 120.0, 1234.56, 2e9, -0.5, 1.2e-5].map(figure);
        assert_eq!(said, ["0", "0.05", "0.3333", "120", "1235", "2000000000", "-0.5", "0.000012"]);
    }
}
