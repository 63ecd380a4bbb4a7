//! The versions of a service as a table, or in other shapes where a terminal is too narrow for it.
//!
//! The whole table is wider than 80 cells as soon as there are two endpoints, and a terminal breaks its rows in words.
//! So there are three shapes, and the first one that fits is taken: the whole table; one with shorter headings, without
//! columns that say the same as the one before and with the endpoints under it; and a paragraph for each version. Why
//! an endpoint gets nothing is a sentence and stands under the versions in each of them.

use serde_json::Value;

use crate::cli::layout::{Fold, fold};
use crate::cli::text::{Columns, TextTone, list, member, number, toned};

/// The columns of numbers: the long heading and the short one, and how the number is said in a sentence (`{}`).
const NUMBERS: [NumberColumn; 8] = [
    NumberColumn { long: "weight %", short: "weight %", said: ["weight ", " %"] },
    NumberColumn { long: "effective %", short: "eff. %", said: ["effective ", " %"] },
    NumberColumn { long: "req/s", short: "req/s", said: ["", " requests/s"] },
    NumberColumn { long: "errors %", short: "errors %", said: ["errors ", " %"] },
    NumberColumn { long: "attempts failed %", short: "att. %", said: ["attempts failed ", " %"] },
    NumberColumn { long: "p50 ms", short: "p50 ms", said: ["p50 ", " ms"] },
    NumberColumn { long: "p99 ms", short: "p99 ms", said: ["p99 ", " ms"] },
    NumberColumn { long: "in flight", short: "in flight", said: ["", " in flight"] },
];

/// The columns that are left out where there is little room and each of their numbers is that of the column before,
/// or of the one named.
const REPEATS: [(usize, usize); 2] = [(1, 0), (4, 3)];

struct NumberColumn {
    long: &'static str,
    short: &'static str,
    said: [&'static str; 2],
}

/// What is told of a version.
struct VersionRow {
    name: String,
    numbers: [(String, TextTone); NUMBERS.len()],
    endpoints: Vec<String>,
    /// Sentences on it and its endpoints.
    reasons: Vec<String>,
}

/// The versions of a service, in at most this many cells if there is a width.
pub(crate) fn of(service: &Value, width: Option<usize>) -> String {
    let rows: Vec<VersionRow> = list(service, "versions").map(VersionRow::of).collect();
    let mut text = shaped(&rows, width);
    for row in &rows {
        row.reasons.iter().for_each(|reason| text.push_str(&format!("  {}: {reason}\n", row.name)));
    }
    let windows = list(service, "versions").filter_map(|version| version["recent"]["seconds"].as_f64());
    if let Some(seconds) = windows.reduce(f64::max) {
        text.push_str(&format!("  requests/s, errors and times are those of the last {seconds:.1} s\n"));
    }
    text
}

/// Why endpoints of a service get nothing, or a version another share than it should: a sentence each.
pub(crate) fn reasons(service: &Value) -> Vec<String> {
    let rows = list(service, "versions").map(VersionRow::of);
    rows.flat_map(|row| row.reasons.into_iter().map(move |reason| format!("{}: {reason}", row.name))).collect()
}

fn shaped(rows: &[VersionRow], width: Option<usize>) -> String {
    let whole = whole(rows);
    let Some(width) = width.filter(|width| whole.width() > *width) else { return whole.render() };
    let narrow = narrow(rows);
    if narrow.width() <= width {
        return narrow.render() + &rows.iter().map(VersionRow::endpoint_line).collect::<String>();
    }
    rows.iter().map(|row| row.paragraph(width)).collect()
}

/// Everything in one table.
fn whole(rows: &[VersionRow]) -> Columns {
    let heading: Vec<&str> =
        ["version"].into_iter().chain(NUMBERS.iter().map(|column| column.long)).chain(["endpoints"]).collect();
    let mut columns = Columns::with_heading(&heading);
    for row in rows {
        let name = (row.name.clone(), TextTone::Plain);
        let endpoints = (row.endpoints.join(" "), TextTone::Plain);
        columns.row([name].into_iter().chain(row.numbers.iter().cloned()).chain([endpoints]).collect());
    }
    columns
}

/// The numbers that differ from those beside them, under short headings.
fn narrow(rows: &[VersionRow]) -> Columns {
    let repeats = |column: usize| {
        let of = REPEATS.iter().find(|(repeat, _)| *repeat == column).map(|(_, of)| *of);
        of.is_some_and(|of| rows.iter().all(|row| row.numbers[column].0 == row.numbers[of].0))
    };
    let kept: Vec<usize> = (0..NUMBERS.len()).filter(|column| !repeats(*column)).collect();
    let heading: Vec<&str> = ["version"].into_iter().chain(kept.iter().map(|column| NUMBERS[*column].short)).collect();
    let mut columns = Columns::with_heading(&heading);
    for row in rows {
        let name = (row.name.clone(), TextTone::Plain);
        columns.row([name].into_iter().chain(kept.iter().map(|column| row.numbers[*column].clone())).collect());
    }
    columns
}

impl VersionRow {
    fn of(version: &Value) -> Self {
        let effective = version["effective_reason"].as_str().map(|_| member(version, "effective_reason"));
        let endpoints = list(version, "endpoints");
        let why = endpoints.filter(|endpoint| endpoint["reason"].is_string()).map(|endpoint| {
            let (address, state) = (member(endpoint, "address"), member(endpoint, "state"));
            format!("{address} is {state}: {}", member(endpoint, "reason"))
        });
        let address = |endpoint: &Value| {
            let address = member(endpoint, "address");
            let state = endpoint["state"].as_str().filter(|state| *state != "ready");
            let state = state.map(|_| member(endpoint, "state"));
            let zone = endpoint["zone"].as_str().map(|_| format!("zone {}", member(endpoint, "zone")));
            match [state, zone].into_iter().flatten().collect::<Vec<_>>().join(", ") {
                said if said.is_empty() => address,
                said => format!("{address} ({said})"),
            }
        };
        Self {
            name: member(version, "name"),
            numbers: numbers(version),
            endpoints: list(version, "endpoints").map(address).collect(),
            reasons: effective.into_iter().chain(why).collect(),
        }
    }

    /// Its endpoints on a line.
    fn endpoint_line(&self) -> String {
        format!(
            "  {}: {}\n",
            self.name,
            if self.endpoints.is_empty() { "-".to_owned() } else { self.endpoints.join(" ") }
        )
    }

    /// All of it in sentences.
    fn paragraph(&self, width: usize) -> String {
        let said = |(column, (number, tone)): (&NumberColumn, &(String, TextTone))| {
            let [before, after] = column.said;
            let said = if number == "-" { format!("{before}-") } else { format!("{before}{number}{after}") };
            toned(&said, *tone)
        };
        let numbers: Vec<String> = NUMBERS.iter().zip(&self.numbers).map(said).collect();
        let lines = fold(
            &format!("  {}  ", self.name),
            numbers.iter().map(String::as_str),
            &Fold { between: ", ", hang: 6, width },
        );
        let endpoints = self.endpoints.iter().map(String::as_str);
        lines + "\n" + &fold("      ", endpoints, &Fold { between: " ", hang: 6, width }) + "\n"
    }
}

/// The numbers of a version, in the order of the columns.
pub(crate) fn numbers(version: &Value) -> [(String, TextTone); NUMBERS.len()] {
    let recent = &version["recent"];
    let errors = recent["error_ratio"].as_f64().map(|ratio| ratio * 100.0);
    let effective = number(&version["effective_weight"], 3);
    let weight = number(&version["weight"], 3);
    let effective_tone = if effective == weight { TextTone::Plain } else { TextTone::Warn };
    // What users saw, and what became of the first attempts on this version: the shield and retries hide failures from
    // users, not from the reader of the status.
    let attempts = recent["first_attempt_error_ratio"].as_f64().map(|ratio| ratio * 100.0);
    let tone =
        |ratio: Option<f64>| if ratio.is_some_and(|ratio| ratio > 0.0) { TextTone::Bad } else { TextTone::Plain };
    [
        (weight, TextTone::Plain),
        (effective, effective_tone),
        (number(&recent["requests_per_second"], 1), TextTone::Plain),
        (number(&errors.into(), 2), tone(errors)),
        (number(&attempts.into(), 2), tone(attempts)),
        (number(&recent["p50_ms"], 1), TextTone::Plain),
        (number(&recent["p99_ms"], 1), TextTone::Plain),
        (in_flight(version), TextTone::Plain),
    ]
}

/// Requests in flight, with how many of the connections are long ones.
fn in_flight(version: &Value) -> String {
    match version["long_connections"].as_u64() {
        None | Some(0) => member(version, "in_flight"),
        Some(long) => format!("{} ({long} long)", member(version, "in_flight")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::layout::visible_width;

    fn version(name: &str, weight: f64, attempts: f64) -> Value {
        let recent = json!({
            "seconds": 5.25, "requests_per_second": 120.5, "error_ratio": 0.0, "first_attempt_error_ratio": attempts,
            "p50_ms": 5.8, "p99_ms": 14.6,
        });
        json!({
            "name": name, "weight": weight, "effective_weight": weight, "recent": recent, "in_flight": 3,
            "endpoints": [
                { "address": "127.0.0.1:3001", "state": "ready" },
                { "address": "127.0.0.1:3002", "state": "paused", "reason": "it refused a connection 2 s ago" },
            ],
        })
    }

    fn service(attempts: f64) -> Value {
        json!({ "versions": [version("v1", 90.0, 0.0), version("v2", 10.0, attempts)] })
    }

    const UNDER: &str = "  v1: 127.0.0.1:3002 is paused: it refused a connection 2 s ago
  v2: 127.0.0.1:3002 is paused: it refused a connection 2 s ago
  requests/s, errors and times are those of the last 5.2 s
";

    #[test]
    fn a_wide_table_has_everything_and_the_reasons_under_it() {
        let expected = "  version  weight %  effective %  req/s  errors %  attempts failed %  p50 ms  p99 ms  in flight  endpoints
  v1             90           90  120.5         0                  0     5.8    14.6          3  127.0.0.1:3001 127.0.0.1:3002 (paused)
  v2             10           10  120.5         0                 50     5.8    14.6          3  127.0.0.1:3001 127.0.0.1:3002 (paused)
";
        for width in [None, Some(140)] {
            assert_eq!(of(&service(0.5), width), expected.to_owned() + UNDER);
        }
    }

    #[test]
    fn a_narrow_table_leaves_out_what_says_the_same_and_has_the_endpoints_under_it() {
        let endpoints = "  v1: 127.0.0.1:3001 127.0.0.1:3002 (paused)\n  v2: 127.0.0.1:3001 127.0.0.1:3002 (paused)\n";
        let short = "  version  weight %  req/s  errors %  p50 ms  p99 ms  in flight
  v1             90  120.5         0     5.8    14.6          3
  v2             10  120.5         0     5.8    14.6          3
";
        assert_eq!(of(&service(0.0), Some(80)), format!("{short}{endpoints}{UNDER}"));
        let text = of(&service(0.5), Some(80));
        assert!(
            text.starts_with("  version  weight %  req/s  errors %  att. %  p50 ms  p99 ms  in flight\n"),
            "{text}"
        );
    }

    #[test]
    fn where_no_table_fits_each_version_is_a_paragraph() {
        let expected = "  v1  weight 90 %, effective 90 %,
      120.5 requests/s, errors 0 %,
      attempts failed 0 %, p50 5.8 ms,
      p99 14.6 ms, 3 in flight
      127.0.0.1:3001
      127.0.0.1:3002 (paused)
";
        let text = of(&service(0.5), Some(40));
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn no_width_makes_rows_wider_than_it() {
        for width in 30..160 {
            let text = of(&service(0.5), Some(width));
            let rows =
                text.lines().filter(|line| !line.contains(" is paused: ") && !line.contains("those of the last"));
            let widest = rows.map(visible_width).max().unwrap_or(0);
            assert!(widest <= width, "{widest} at {width}:\n{text}");
        }
    }
}
