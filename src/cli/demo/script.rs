//! The scripted walk: 0 to 10 to 50 % on v2, a flip, a rollback; and at each step what the users saw, held against what
//! the proxy promised.
//!
//! Which users a weight reaches is computed here from their keys, as anybody could: the slot of `salt:key`, below the
//! weight or not. So most checks are exact. Only the number of users is held against the promised share with a
//! tolerance, because this number of keys is a sample of the slots.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::time::Instant;

use super::operator::{ChangeOutcome, DemoChange, OperatorError};
use super::shop_version::ShopVersion;
use super::slot::{SLOTS, slot};
use super::stage::{DemoStage, SALT};
use super::tally::StepCounts;
use super::view::whole;
use super::{Ending, Event, chain, users};
use crate::cli::text::thousands;

/// How long a step is watched at least: every user asks at least once at the usual rate, mostly twice.
const STEP_MIN: Duration = Duration::from_secs(3);

/// How long a step may take until every user was seen.
const STEP_MAX: Duration = Duration::from_secs(30);

/// How often it is looked whether every user was seen.
const LOOK: Duration = Duration::from_millis(50);

/// The tolerance of a share, in standard errors of the sample: one good run in 16,000 is outside.
const STANDARD_ERRORS: f64 = 4.0;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ScriptCheck {
    what: String,
    expected: String,
    found: String,
    good: bool,
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// It was asked to.
    #[error("stopped before the end")]
    Asked,
    /// A change was not made.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The terminal or the pipe is gone.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Walks, and prints a table of what was checked.
///
/// # Errors
/// When the terminal or the pipe is gone.
pub(crate) fn walk(stage: &DemoStage, incoming: &Receiver<Event>, out: &mut impl Write) -> io::Result<Ending> {
    let mut walk = Walk { stage, incoming, out, checks: 0, failed: 0, reported: (0, 0), v2_slots: 0 };
    row(walk.out, &ScriptRow { step: "step", what: "what", expected: "expected", found: "found", good: "" })?;
    let stopped = match walk.all() {
        Ok(()) => None,
        Err(Stop::Output(error)) => return Err(error),
        Err(stop) => Some(chain(&stop)),
    };
    let (checks, failed) = (walk.checks, walk.failed);
    writeln!(out)?;
    if let Some(why) = &stopped {
        writeln!(out, "{why}")?;
    }
    if let Some(why) = stage.tally().last_failure() {
        writeln!(out, "the last request that failed: {why}")?;
    }
    let seconds = stage.elapsed().as_secs_f64();
    if failed == 0 && stopped.is_none() {
        writeln!(out, "all {checks} checks are good ({seconds:.1} s)")?;
        return Ok(Ending::Good);
    }
    writeln!(out, "{failed} of {checks} checks failed ({seconds:.1} s)")?;
    Ok(Ending::Failed)
}

/// A line of the table, by its columns.
struct ScriptRow<'a> {
    step: &'a str,
    what: &'a str,
    expected: &'a str,
    found: &'a str,
    good: &'a str,
}

fn row(out: &mut impl Write, row: &ScriptRow<'_>) -> io::Result<()> {
    let ScriptRow { step, what, expected, found, good } = row;
    let line = format!("{step:<12} {what:<44} {expected:<18} {found:<18} {good}");
    writeln!(out, "{}", line.trim_end())?;
    out.flush()
}

struct Walk<'a, W> {
    stage: &'a DemoStage,
    incoming: &'a Receiver<Event>,
    out: &'a mut W,
    checks: usize,
    failed: usize,
    /// Requests, and those that failed, that earlier steps have reported.
    reported: (u64, u64),
    /// The slots that v2 has.
    v2_slots: u32,
}

impl<W: Write> Walk<'_, W> {
    fn all(&mut self) -> Result<(), Stop> {
        self.start()?;
        self.grow("to 10 %", DemoChange::Shift(10), 10)?;
        let at_50 = self.grow("to 50 %", DemoChange::Shift(50), 50)?;
        let assignment = self.stage.tally().assignment();
        self.grow("flip to v2", DemoChange::Flip(ShopVersion::V2), 100)?;
        self.roll_back(at_50, &assignment)
    }

    fn start(&mut self) -> Result<(), Stop> {
        let counts = self.watch()?;
        let checks = [self.seen(counts), self.placed(), self.failures()];
        self.report("start", checks)
    }

    /// A change that gives v2 more; answers its revision.
    fn grow(&mut self, step: &str, change: DemoChange, percent: u32) -> Result<u64, Stop> {
        let from = std::mem::replace(&mut self.v2_slots, SLOTS / 100 * percent);
        let share = f64::from(self.v2_slots - from) / f64::from(SLOTS);
        let (promised, outcome) = self.make(change)?;
        let counts = self.watch()?;
        let went_back = self.stage.tally().went_back();
        let mut checks = vec![promise(&promised, share), self.seen(counts), self.moved(share)];
        checks.extend([self.placed(), none("users that went from v2 back to v1", went_back)]);
        if self.v2_slots == SLOTS / 10 {
            checks.push(self.flagged());
        }
        if self.v2_slots == SLOTS {
            let [v1, v2] = counts.answers;
            checks.push(none_of("requests sent after the answer that v1 got", v1, v1 + v2));
        }
        checks.push(self.failures());
        self.report(step, checks)?;
        Ok(outcome.revision)
    }

    /// The way back, to the very assignment of `revision`.
    fn roll_back(&mut self, revision: u64, assignment: &[Option<ShopVersion>]) -> Result<(), Stop> {
        let share = f64::from(self.v2_slots - SLOTS / 2) / f64::from(SLOTS);
        self.v2_slots = SLOTS / 2;
        let (promised, outcome) = self.make(DemoChange::Rollback)?;
        let counts = self.watch()?;
        let elsewhere = self.stage.tally().not_on(|user| assignment[user]);
        let restored = outcome.restores.map_or_else(|| "none".to_owned(), |number| number.to_string());
        let restored = ScriptCheck {
            good: outcome.restores == Some(revision),
            what: "the revision that is restored".to_owned(),
            expected: revision.to_string(),
            found: restored,
        };
        let mut checks = vec![restored, promise(&promised, share), self.seen(counts), self.moved(share)];
        checks.push(none(&format!("users not on their version of revision {revision}"), elsewhere));
        checks.push(self.failures());
        self.report("rollback", checks)
    }

    /// Asks what a change would do, then makes it.
    fn make(&self, change: DemoChange) -> Result<(ChangeOutcome, ChangeOutcome), Stop> {
        let promised = self.stage.operator.try_out(change)?;
        self.stage.tally().begin_change();
        let outcome = self.stage.operator.change(change)?;
        self.stage.tally().settle();
        Ok((promised, outcome))
    }

    fn watch(&self) -> Result<StepCounts, Stop> {
        watch(self.stage, self.incoming)
    }

    fn seen(&self, counts: StepCounts) -> ScriptCheck {
        exactly("users that were answered since", self.stage.crowd.count(), counts.seen)
    }

    /// Users that changed their version, against the promised share.
    fn moved(&self, share: f64) -> ScriptCheck {
        share_of_users("users that moved", share, self.stage.crowd.users, self.stage.tally().moved())
    }

    /// The flag at 10 % against v2 at 10 %.
    fn flagged(&self) -> ScriptCheck {
        let [(on_v1, _), (on_v2, users_of_v2)] = self.stage.tally().with_flag();
        none("users on v2 without the flag, or others with it", on_v1 + users_of_v2 - on_v2)
    }

    /// Users against the versions of their slots.
    fn placed(&self) -> ScriptCheck {
        let version = |user| {
            let slot = slot(SALT, &users::key(user));
            Some(if slot < self.v2_slots { ShopVersion::V2 } else { ShopVersion::V1 })
        };
        none("users not on the version of their slot", self.stage.tally().not_on(version))
    }

    /// Requests that failed since the last report, also while the change was under way.
    fn failures(&mut self) -> ScriptCheck {
        let tally = self.stage.tally();
        let now = (tally.requests(), tally.failed());
        drop(tally);
        let (requests, failed) = std::mem::replace(&mut self.reported, now);
        none_of("requests that failed", now.1 - failed, now.0 - requests)
    }

    fn report(&mut self, step: &str, checks: impl IntoIterator<Item = ScriptCheck>) -> Result<(), Stop> {
        for (index, check) in checks.into_iter().enumerate() {
            let step = if index == 0 { step } else { "" };
            let good = if check.good { "ok" } else { "FAILED" };
            let ScriptCheck { what, expected, found, .. } = &check;
            row(self.out, &ScriptRow { step, what, expected, found, good })?;
            self.checks += 1;
            self.failed += usize::from(!check.good);
        }
        Ok(())
    }
}

/// Waits until every user was seen in this step, or the time is up.
///
/// # Errors
/// [`Stop`] when the demo is to end.
pub(crate) fn watch(stage: &DemoStage, incoming: &Receiver<Event>) -> Result<StepCounts, Stop> {
    let begun = Instant::now();
    loop {
        match incoming.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) | Ok(Event::Key(_)) => {}
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return Err(Stop::Asked),
        }
        let counts = stage.tally().step();
        let whole = counts.seen == stage.crowd.count() && begun.elapsed() >= STEP_MIN;
        if whole || begun.elapsed() >= STEP_MAX {
            return Ok(counts);
        }
    }
}

/// What the dry run promised must be the least that the weights allow, to the slot.
fn promise(promised: &ChangeOutcome, share: f64) -> ScriptCheck {
    let slot = 1.0 / f64::from(SLOTS);
    let near = |found: f64| (found - share).abs() < slot / 2.0;
    ScriptCheck {
        what: "dry run: share of users to move".to_owned(),
        expected: format!("{} (minimum)", percent(share)),
        found: percent(promised.moved()),
        good: near(promised.moved()) && near(promised.minimum()),
    }
}

fn share_of_users(what: &str, share: f64, users: u32, found: usize) -> ScriptCheck {
    let all = f64::from(users);
    let tolerance = (STANDARD_ERRORS * (share * (1.0 - share) / all).sqrt() * all).ceil();
    let wanted = share * all;
    #[expect(clippy::cast_precision_loss, reason = "users are at most 100,000")]
    let off = (found as f64 - wanted).abs();
    ScriptCheck {
        what: what.to_owned(),
        expected: format!("{} ± {tolerance:.0}", whole(wanted)),
        found: thousands(found as u64),
        good: off <= tolerance,
    }
}

fn exactly(what: &str, expected: usize, found: usize) -> ScriptCheck {
    let (good, expected, found) = (expected == found, thousands(expected as u64), thousands(found as u64));
    ScriptCheck { what: what.to_owned(), expected, found, good }
}

fn none(what: &str, found: usize) -> ScriptCheck {
    exactly(what, 0, found)
}

/// None of this many, of which there has to be at least one: nothing was proved by no request.
fn none_of(what: &str, found: u64, all: u64) -> ScriptCheck {
    let found_text = format!("{} of {}", thousands(found), thousands(all));
    ScriptCheck { what: what.to_owned(), expected: "0".to_owned(), found: found_text, good: found == 0 && all > 0 }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_promise_above_the_minimum_is_refused() {
        let outcome = |moved: f64, minimum: f64| {
            let moves = json!({ "moved_ratio": moved, "minimum_ratio": minimum });
            serde_json::from_value::<ChangeOutcome>(json!({ "revision": 2, "difference": [moves] })).unwrap()
        };
        assert!(promise(&outcome(0.1, 0.1), 0.1).good);
        assert!(!promise(&outcome(0.100_01, 0.1), 0.1).good, "one slot too many");
        assert!(!promise(&outcome(0.1, 0.0), 0.1).good);
        assert_eq!(promise(&outcome(0.2, 0.1), 0.1).found, "20.0 %");
    }

    #[test]
    fn a_share_has_the_tolerance_of_its_sample() {
        let check = |found| share_of_users("moved", 0.4, 2_000, found);
        assert_eq!(check(812).expected, "800 ± 88");
        assert!(check(812).good && check(712).good && check(888).good);
        assert!(!check(711).good && !check(889).good);
        assert!(!share_of_users("moved", 0.0, 2_000, 1).good, "nobody is nobody");
    }

    #[test]
    fn none_of_nothing_proves_nothing() {
        assert!(none_of("failed", 0, 10).good);
        assert!(!none_of("failed", 1, 10).good);
        assert!(!none_of("failed", 0, 0).good);
        assert_eq!(none_of("failed", 1, 3_012).found, "1 of 3,012");
    }
}
