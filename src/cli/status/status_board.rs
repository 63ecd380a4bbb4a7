//! The state as a board that fits a terminal: a bar and a row of numbers for each version, and under each service what
//! it waits for. Pure: a status goes in, lines come out.
//!
//! What needs a look stands first: services with a rollout, a chaos run or an endpoint that is out. The order does not
//! depend on rates, so that nothing jumps while it is read.

use serde_json::Value;

use super::version_table;
use crate::cli::layout;
use crate::cli::terminal::view_line::{ViewLine, ViewSize, ViewTone};
use crate::cli::text::{TextTone, list, member, number};

/// Cells of the bar of a service, at the most.
const BAR_MAX: usize = 24;

/// Cells of the name of a service beside its bar.
const NAME: usize = 17;

/// The line with the keys.
const KEYS: &str = " q or Ctrl-C quit";

/// The heading over the numbers of versions.
const HEADING: &str = "   version          share    req/s   5xx %  failed %   p50 ms   p99 ms in flight";

/// The whole board in at most `size`; the keys are the last line. `note` is what happened to the connection.
pub(crate) fn lines(status: &Value, note: Option<&str>, size: ViewSize) -> Vec<ViewLine> {
    let mut lines = vec![head(status, size.width)];
    lines.extend(note.map(|note| ViewLine::of(ViewTone::Bad, layout::cut(note, size.width))));
    lines.extend(folded(&super::notes(status), " ", ViewTone::Warn, size.width));
    lines.push(ViewLine::of(ViewTone::Dim, layout::cut(HEADING, size.width)));
    let mut sections: Vec<ServiceSection> =
        list(status, "services").map(|service| ServiceSection::of(service, size.width)).collect();
    sections.sort_by_key(|section| !section.needs_a_look);
    let (mut left, mut shown) = (size.height.saturating_sub(lines.len() + 1), 0);
    for section in &sections {
        // The line that says how many are not shown.
        let mark = usize::from(shown + 1 < sections.len());
        if section.lines.len() + mark > left {
            break;
        }
        left -= section.lines.len();
        shown += 1;
        lines.extend(section.lines.iter().cloned());
    }
    if shown < sections.len() {
        let more = sections.len() - shown;
        let text = format!(" ... {more} more services: a higher window, or pointsman status");
        lines.push(ViewLine::of(ViewTone::Dim, layout::cut(&text, size.width)));
    }
    lines.truncate(size.height.saturating_sub(1));
    lines.resize(size.height.saturating_sub(1), ViewLine::default());
    lines.push(ViewLine::of(ViewTone::Dim, layout::cut(KEYS, size.width)));
    lines
}

fn head(status: &Value, width: usize) -> ViewLine {
    let ready = if status["ready"] == true { (" ready", ViewTone::Good) } else { (" not ready", ViewTone::Bad) };
    let title = format!(" pointsman {}", member(status, "version"));
    let rest = format!(
        "  revision {}  {} workers  {} connections",
        member(status, "revision"),
        member(status, "workers"),
        member(status, "connections"),
    );
    let room = width.saturating_sub(layout::width_of(&title) + layout::width_of(ready.0));
    ViewLine::of(ViewTone::Title, title).with(ready.1, ready.0).with(ViewTone::Plain, layout::cut(&rest, room))
}

/// The lines of a service.
struct ServiceSection {
    needs_a_look: bool,
    lines: Vec<ViewLine>,
}

impl ServiceSection {
    fn of(service: &Value, width: usize) -> Self {
        let reasons = version_table::reasons(service);
        let under_way = service["rollout"].is_object() || service["chaos"].is_object();
        let mut lines = vec![title(service, width)];
        lines.extend(list(service, "versions").enumerate().map(|(place, version)| row(version, place, width)));
        let told = [super::chaos_line(&service["chaos"]), super::rollout_lines(&service["rollout"])].concat();
        lines.extend(folded(&told, "  ", ViewTone::Warn, width));
        lines.extend(reasons.iter().flat_map(|reason| folded(reason, "   ", ViewTone::Warn, width)));
        Self { needs_a_look: under_way || !reasons.is_empty(), lines }
    }
}

/// The name of a service, its split as a bar, and what is left of its budget.
fn title(service: &Value, width: usize) -> ViewLine {
    let name = format!(" {:<NAME$}", layout::cut(&member(service, "name"), NAME));
    let shares: Vec<f64> =
        list(service, "versions").map(|version| version["effective_weight"].as_f64().unwrap_or(0.0)).collect();
    let of = |version: &Value| format!("{} {}", member(version, "name"), number(&version["effective_weight"], 1));
    let said: Vec<String> = list(service, "versions").map(of).collect();
    let budget = service["budget"]["left_percent"].as_f64();
    let left =
        budget.map_or(String::new(), |_| format!("  budget {} %", number(&service["budget"]["left_percent"], 1)));
    let differs = if service["differs_from_file"] == true { "  not as the file" } else { "" };
    let said = format!("  {} %{left}{differs}", said.join("  "));
    let bar = width.saturating_sub(NAME + 1 + layout::width_of(&said)).min(BAR_MAX);
    let room = width.saturating_sub(NAME + 1 + bar);
    let tone = if budget.is_some_and(|left| left < 0.0) { ViewTone::Bad } else { ViewTone::Plain };
    ViewLine::of(ViewTone::Title, name).with_bar(&shares, bar).with(tone, layout::cut(&said, room))
}

/// The numbers of a version.
fn row(version: &Value, place: usize, width: usize) -> ViewLine {
    let [_, share, rate, errors, failed, p50, p99, _] = version_table::numbers(version);
    let tone = [ViewTone::V1, ViewTone::V2].get(place).copied().unwrap_or(ViewTone::Plain);
    let numbers = [
        (format!(" {:>7}", share.0), share.1),
        (format!(" {:>8}", rate.0), rate.1),
        (format!(" {:>7}", errors.0), errors.1),
        (format!(" {:>9}", failed.0), failed.1),
        (format!(" {:>8}", p50.0), p50.1),
        (format!(" {:>8}", p99.0), p99.1),
        (format!(" {:>9}", member(version, "in_flight")), TextTone::Plain),
    ];
    let mut line = ViewLine::of(tone, format!("   {:<14}", layout::cut(&member(version, "name"), 14)));
    let mut used = 17;
    for (text, tone) in numbers.into_iter().take_while(|(text, _)| {
        used += layout::width_of(text);
        used <= width
    }) {
        line = line.with(tone_of(tone), text);
    }
    line
}

/// What a tone of text is in a view.
fn tone_of(tone: TextTone) -> ViewTone {
    match tone {
        TextTone::Plain => ViewTone::Plain,
        TextTone::Strong => ViewTone::Title,
        TextTone::Faint => ViewTone::Dim,
        TextTone::Good => ViewTone::Good,
        TextTone::Warn => ViewTone::Warn,
        TextTone::Bad => ViewTone::Bad,
    }
}

/// Text as lines that fit, with this before each.
fn folded(text: &str, indent: &str, tone: ViewTone, width: usize) -> Vec<ViewLine> {
    let fitted = layout::fit(&layout::without_codes(text), Some(width.saturating_sub(indent.len())));
    let lines = fitted.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| ViewLine::of(tone, layout::cut(&format!("{indent}{line}"), width))).collect()
}
