//! The report of a simulation as text for people.

use std::time::Duration;

use crate::cli::text::{Columns, TextTone};
use crate::simulation::simulation_report::SimulationReport;

/// A report, which took so long.
pub(crate) fn of(report: &SimulationReport, passed: Duration) -> String {
    let SimulationReport { plan, world, runs, seed, endings, table, sentences, .. } = report;
    let seconds = passed.as_secs_f64();
    let mut text = format!("plan:  {plan}\nworld: {world}\n{runs} releases with seed {seed} in {seconds:.1} s\n\n");
    let mut endings: Vec<_> = endings.iter().collect();
    endings.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut columns = Columns::with_heading(&["ending", "releases %"]);
    for (word, part) in endings {
        columns.row(plain([(*word).to_owned(), format!("{:.2}", 100.0 * part)]));
    }
    text.push_str(&columns.render());
    text.push('\n');
    let mut columns = Columns::with_heading(&["", "mean", "median", "p90"]);
    for figure in table {
        let decimals = figure.decimals;
        let number = |number: f64| format!("{number:.decimals$}");
        let spread = figure.spread;
        columns.row(plain([figure.name.clone(), number(spread.mean), number(spread.median), number(spread.p90)]));
    }
    text.push_str(&columns.render());
    for sentence in sentences {
        text.push_str(&format!("\n{sentence}\n"));
    }
    text
}

fn plain<const N: usize>(cells: [String; N]) -> Vec<(String, TextTone)> {
    cells.map(|cell| (cell, TextTone::Plain)).into()
}
