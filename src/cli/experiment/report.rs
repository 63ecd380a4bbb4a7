//! A result as text for people and as JSON for scripts.

use serde_json::{Value, json};

use super::picture;
use crate::cli::text::{Columns, TextTone, harmless, thousands, toned};
use crate::experiment::result_view::{
    BETTER, EffectView, IntervalView, MetricResultView, ResultView, SAMPLE_RATIO, WORSE,
};
use crate::experiment::sentence::{percent, significant};
use crate::experiment::tally_view::TallyView;

/// What became of the lines of a log.
pub(super) struct LogFacts {
    pub(super) tally: TallyView,
    /// Exposures of other flags, services and arms.
    pub(super) of_others: u64,
}

impl LogFacts {
    /// One line, with what there was.
    pub(super) fn to_text(&self) -> String {
        happened(self.tally.parts().into_iter().chain([("exposures of others", self.of_others)]))
    }

    fn to_json(&self) -> Value {
        let mut json = json!(self.tally);
        json["exposures_of_others"] = Value::from(self.of_others);
        json
    }
}

/// What became of what users did, in one line with what there was.
pub(super) fn happened(parts: impl IntoIterator<Item = (&'static str, u64)>) -> String {
    let there = parts.into_iter().filter(|(_, count)| *count > 0);
    let told: Vec<_> = there.map(|(what, count)| format!("{} {what}", thousands(count))).collect();
    if told.is_empty() { String::new() } else { format!("\nwhat users did: {}\n", told.join(", ")) }
}

/// All of it for people; the sentence comes first.
pub(super) fn to_text(result: &ResultView) -> String {
    let mut text = format!("{}\n", toned(&harmless(&result.sentence), tone(result)));
    for warning in result.warnings.iter().filter(|warning| warning.kind != SAMPLE_RATIO) {
        text += &format!("{}\n", toned(&harmless(&warning.sentence), TextTone::Warn));
    }
    text += &format!("\n{}", users(result));
    for metric in &result.metrics {
        text += &format!("\n{}\n{}", harmless(&metric.sentence), metric_text(result, metric));
    }
    text
}

fn tone(result: &ResultView) -> TextTone {
    let found = |finding: &str| result.metrics.iter().any(|metric| metric.finding == finding);
    if !result.comparable || found(WORSE) {
        TextTone::Bad
    } else if found(BETTER) {
        TextTone::Good
    } else {
        TextTone::Strong
    }
}

fn users(result: &ResultView) -> String {
    let mut columns = Columns::with_heading(&["arm", "users"]);
    for arm in [&result.control, &result.treatment] {
        columns.row(vec![(harmless(&arm.name), TextTone::Plain), (thousands(arm.users), TextTone::Plain)]);
    }
    let ratio = match (result.comparable, &result.sample_ratio.chi_square) {
        (false, _) => "not as planned".to_owned(),
        (true, None) => "nothing to compare yet".to_owned(),
        (true, Some(test)) => format!(
            "as planned (E {}, chi-square p {})",
            significant(result.sample_ratio.ln_evidence.exp()),
            significant(test.p)
        ),
    };
    let crossed = match result.in_both_arms {
        0 => String::new(),
        crossed => format!("; {} seen in both arms, left out", thousands(crossed)),
    };
    format!("{}  users by arm: {ratio}{crossed}\n", columns.render())
}

fn metric_text(result: &ResultView, metric: &MetricResultView) -> String {
    let mut columns = Columns::with_heading(&["", "estimate", "whenever you look", "looking once", "p once"]);
    let range = |interval: IntervalView, relative: bool| {
        let number = if relative { percent } else { significant };
        format!("{} to {}", number(interval.low), number(interval.high))
    };
    let effects = [("difference", &metric.absolute, false), ("in per cent", &metric.relative, true)];
    for (name, effect, relative) in effects {
        let Some(EffectView { estimate, whenever_you_look, looking_once }) = effect else { continue };
        let number = if relative { percent } else { significant };
        let always = whenever_you_look.map_or("held back".to_owned(), |interval| range(interval, relative));
        let once = range(*looking_once, relative);
        let cells = [name.to_owned(), number(*estimate), always, once, significant(looking_once.p)];
        columns.row(cells.map(|cell| (cell, TextTone::Plain)).to_vec());
    }
    let mut text = columns.render();
    if let Some(exact) = metric.exact_ratio {
        let (low, high) = (significant(exact.low), exact.high.map_or("any number".to_owned(), significant));
        let control = harmless(&result.control.name);
        text += &format!("  exact: {low} to {high} times as often as in {control}, whenever you look\n");
    }
    if let Some((effect, always)) =
        metric.relative.as_ref().and_then(|effect| Some((effect, effect.whenever_you_look?)))
    {
        let reach = always.low.abs().max(always.high.abs());
        text += &format!("  {}\n", picture::interval(always.low, effect.estimate, always.high, reach));
    }
    text
}

/// All of it for scripts.
pub(super) fn to_json(result: &ResultView, log: Option<&LogFacts>) -> Value {
    let mut json = json!(result);
    json["events"] = log.map_or(Value::Null, LogFacts::to_json);
    json
}
