//! A chaos experiment, told to its end: the payments of v1 are made slow for some users. Nothing helps them at first,
//! so they fail, and the hypothesis is broken within seconds; with a shield they are asked of v2 instead, and it holds.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::pay_service::{EXPERIMENT, PayShield};
use super::stage::DemoStage;
use super::{Event, chain};
use crate::cli::client::CallError;
use crate::cli::layout;
use crate::cli::text::{member, thousands};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// It is over by then: its baseline and its fault take half of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the experiment and prints its report. `None`: it was asked to end; otherwise whether it ended as it should.
///
/// # Errors
/// When the terminal or the pipe is gone.
pub(crate) fn act(
    stage: &DemoStage,
    shield: PayShield,
    incoming: &Receiver<Event>,
    out: &mut impl Write,
) -> io::Result<Option<bool>> {
    let story = match shield {
        PayShield::None => {
            "v1 asks a payment service, which a user waits 250 ms for. Does a user notice when it takes a second?\n\
             The hypothesis: they fail at most 1.5 times as often as users whose payments are quick."
        }
        PayShield::On => {
            "the same again with `shield = { stable = \"v2\" }` on the service: what v1 does not answer in time is \
             asked of v2."
        }
    };
    writeln!(out, "{}\n", layout::fit(story, layout::width()))?;
    match watch(stage, incoming, out)? {
        Watched::Asked => Ok(None),
        Watched::Failed(why) => {
            writeln!(out, "{why}")?;
            Ok(Some(false))
        }
        Watched::Ended(run) => sum_up(stage, shield, &run, out).map(Some),
    }
}

/// How watching a run ended.
#[derive(Debug)]
enum Watched {
    Ended(Value),
    Failed(String),
    Asked,
}

fn watch(stage: &DemoStage, incoming: &Receiver<Event>, out: &mut impl Write) -> io::Result<Watched> {
    let body = json!({ "experiment": EXPERIMENT, "reason": "demo" });
    let mut run = match stage.operator.send(Method::POST, "/v1/chaos", Some(body)) {
        Ok(run) => run,
        Err(error) => return Ok(Watched::Failed(format!("the experiment does not start: {}", chain(&error)))),
    };
    let path = format!("/v1/chaos/{}", run["id"]);
    let (begun, mut state, mut looks) = (Instant::now(), String::new(), 0_u32);
    while run["restored_at"].is_null() {
        // A line a second, and one for each new state.
        if member(&run, "state") != state || looks.is_multiple_of(4) {
            state = member(&run, "state");
            writeln!(out, "{:>5.1} s  {}", begun.elapsed().as_secs_f64(), line(&run))?;
        }
        if begun.elapsed() > PATIENCE {
            return Ok(Watched::Failed("the experiment does not end".to_owned()));
        }
        if matches!(incoming.recv_timeout(LOOK), Ok(Event::End) | Err(RecvTimeoutError::Disconnected)) {
            return Ok(Watched::Asked);
        }
        looks += 1;
        run = match stage.operator.send(Method::GET, &path, None) {
            Ok(run) => run,
            Err(error) => return Ok(Watched::Failed(format!("the run cannot be looked at: {}", chain(&error)))),
        };
    }
    writeln!(out, "{:>5.1} s  ended, and all is as before\n", begun.elapsed().as_secs_f64())?;
    Ok(Watched::Ended(run))
}

/// Where it is, in a line.
fn line(run: &Value) -> String {
    let mut text = format!("{:<9}", member(run, "state"));
    for (name, key) in [("with the fault", "fault_slice"), ("without it", "control_slice")] {
        let slice = &run[key];
        let (failed, requests) = (slice["failed"].as_u64().unwrap_or(0), slice["requests"].as_u64().unwrap_or(0));
        let _ = write!(text, "  {name}: {} of {} failed", thousands(failed), thousands(requests));
    }
    match run["evidence"]["e"].as_f64() {
        Some(e) => format!("{text}  E {e:.1}"),
        None => text,
    }
}

fn sum_up(stage: &DemoStage, shield: PayShield, run: &Value, out: &mut impl Write) -> io::Result<bool> {
    match report(stage, run) {
        Ok(text) => writeln!(out, "{text}")?,
        Err(error) => writeln!(out, "there is no report: {}", chain(&error))?,
    }
    let (requests, failed) = {
        let tally = stage.tally();
        (tally.requests(), tally.failed())
    };
    writeln!(out, "users saw {} of {} requests fail", thousands(failed), thousands(requests))?;
    let wanted = match shield {
        PayShield::None => "broken",
        PayShield::On => "held",
    };
    let good = run["ending"] == wanted;
    let word = if good { "as it should be" } else { "not as it should be" };
    writeln!(out, "{word}: {}\n", member(run, "ending").replace('_', " "))?;
    Ok(good)
}

fn report(stage: &DemoStage, run: &Value) -> Result<String, CallError> {
    stage.operator.text(&format!("/v1/chaos/{}/report?format=markdown", run["id"]))
}
