//! A release that judges itself, live: a canary of v2, which may have a bug, until it is through or turned back.
//!
//! It is started and watched by the admin API, as anybody would; the verdict is the proxy's own.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::bug::Bug;
use super::stage::DemoStage;
use super::{Ending, Event, chain};
use crate::cli::layout::{self, Fold};
use crate::cli::rollout::show;
use crate::cli::text::{list, member, thousands};

/// Time between two lines.
const LINE: Duration = Duration::from_secs(1);

/// How long v1 is watched before the release: there has to be something to compare with.
const BEFORE: Duration = Duration::from_secs(3);

/// It is over by then, one way or the other.
const PATIENCE: Duration = Duration::from_secs(180);

/// Releases v2 and tells what happens.
///
/// # Errors
/// When the terminal or the pipe is gone.
pub(crate) fn release(
    stage: &DemoStage,
    bug: Bug,
    incoming: &Receiver<Event>,
    out: &mut impl Write,
) -> io::Result<Ending> {
    if ended(incoming, BEFORE) {
        return Ok(Ending::Good);
    }
    let started = stage.operator.start_rollout(&plan());
    let id = match started {
        Ok(id) => id,
        Err(error) => {
            writeln!(out, "the canary does not start: {}", chain(&error))?;
            return Ok(Ending::Failed);
        }
    };
    let (begun, mut told) = (Instant::now(), 0);
    loop {
        let rollout = match stage.operator.rollout(&id) {
            Ok(rollout) => rollout,
            Err(error) => {
                writeln!(out, "the canary cannot be looked at: {}", chain(&error))?;
                return Ok(Ending::Failed);
            }
        };
        for event in list(&rollout, "events").skip(told) {
            tell(out, begun, &member(event, "text"))?;
            told += 1;
        }
        if rollout["phase"] == "finished" || begun.elapsed() > PATIENCE {
            return sum_up(stage, bug, &rollout, out);
        }
        tell(out, begun, &line(&rollout))?;
        if ended(incoming, LINE) {
            return Ok(Ending::Good);
        }
    }
}

/// A line with its time, on as many rows as it takes.
fn tell(out: &mut impl Write, begun: Instant, text: &str) -> io::Result<()> {
    let time = format!("{:>5.1} s  ", begun.elapsed().as_secs_f64());
    writeln!(out, "{}", on_rows(&time, text, layout::width()))
}

/// Broken at its parts where they are too wide together, and at words where one is.
fn on_rows(time: &str, text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return format!("{time}{text}") };
    let folding = Fold { between: "; ", hang: time.len(), width };
    layout::fit(&layout::fold(time, text.split("; "), &folding), Some(width))
}

/// Short bakes: in earnest they take minutes. A burst of a second, which is tolerated otherwise, is long here: all
/// users come within it, and each of them is heard once on how long an answer takes.
fn plan() -> Value {
    json!({
        "strategy": "canary",
        "steps": [10, 50, 100],
        "bake": "8s",
        "hold_max": "60s",
        "judge": { "warm_up": "1s", "tolerate_burst": "0s" }
    })
}

/// Waits, and tells whether the end is asked for meanwhile.
fn ended(incoming: &Receiver<Event>, wait: Duration) -> bool {
    matches!(incoming.recv_timeout(wait), Ok(Event::End) | Err(RecvTimeoutError::Disconnected))
}

/// Where it is, in a line.
fn line(rollout: &Value) -> String {
    let found = &rollout["evidence"][0];
    let counts = |side: &str| {
        let counts = &found[side];
        format!("{} of {} failed", member(counts, "failures"), thousands(counts["requests"].as_u64().unwrap_or(0)))
    };
    let weight = rollout["weight"].as_f64().unwrap_or(0.0);
    if let Some(left) = found["warm_up_left_seconds"].as_f64() {
        return format!("v2 at {weight:>3} %: warming up, {:.0} s left", left.ceil());
    }
    let scale = show::scale(found);
    format!("v2 at {weight:>3} %: {}; v1: {}; E {scale}", counts("candidate"), counts("baseline"))
}

fn sum_up(stage: &DemoStage, bug: Bug, rollout: &Value, out: &mut impl Write) -> io::Result<Ending> {
    writeln!(out, "\n{}", layout::fit(&show::one(rollout), layout::width()))?;
    let (requests, failed) = {
        let tally = stage.tally();
        (tally.requests(), tally.failed())
    };
    writeln!(out, "users saw {} of {} requests fail", thousands(failed), thousands(requests))?;
    let wanted = if bug == Bug::None { "completed" } else { "rolled_back" };
    let good = rollout["ending"] == wanted;
    writeln!(out, "{}: {}", if good { "as it should be" } else { "not as it should be" }, member(rollout, "ending"))?;
    Ok(if good { Ending::Good } else { Ending::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_is_broken_between_its_parts() {
        let bar = "E [###########.............] 10^-0.3, turned back at 10^3.0";
        let text = format!("v2 at  10 %: 0 of 5,454 failed; v1: 0 of 22,345 failed; {bar}");
        let expected = format!(" 12.0 s  v2 at  10 %: 0 of 5,454 failed; v1: 0 of 22,345 failed;\n         {bar}");
        assert_eq!(on_rows(" 12.0 s  ", &text, Some(80)), expected);
        assert_eq!(on_rows(" 12.0 s  ", &text, None), format!(" 12.0 s  {text}"));
        for width in 40..140 {
            let rows = on_rows(" 12.0 s  ", &text, Some(width));
            assert!(rows.lines().all(|row| layout::visible_width(row) <= width), "{width}:\n{rows}");
            assert!(rows.contains(" [###########.............]") || rows.contains("\n"), "{width}:\n{rows}");
        }
    }
}
