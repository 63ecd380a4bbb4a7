//! What users did, from a file with a JSON object a line, in the words of OpenTelemetry where it has some.
//!
//! A log is read whole before anything of it counts: exposures may stand behind the events that follow them, and a file
//! with a line that means nothing is refused with all of its problems.

use http::Method;
use serde_json::{Map, Value};

use crate::experiment::definition::ExperimentSpec;
use crate::experiment::experiment_state::{ActKind, ExperimentState, UserAct};
use crate::experiment::name_hash::NameHash;
use crate::problem::Mismatch;
use crate::table::spec::experiment::{ExperimentArm, Probability};

/// After this many problems nothing more is to be learned from a log.
const PROBLEMS_MAX: usize = 20;

/// The user of an exposure and of a request.
const USER: &str = "feature_flag.context.id";

/// Lines of a log.
#[derive(Debug, Default)]
pub(super) struct ExperimentLog {
    exposures: Vec<Exposure>,
    known: Vec<KnownBefore>,
    acts: Vec<Act>,
    /// Exposures of other flags and services, and to other versions than the two arms.
    pub(super) of_others: u64,
}

#[derive(Debug)]
struct Exposure {
    at_ms: u64,
    user: NameHash,
    arm: ExperimentArm,
    share: Probability,
}

#[derive(Debug)]
struct KnownBefore {
    user: NameHash,
    metric: String,
    value: f64,
}

#[derive(Debug)]
struct Act {
    at_ms: u64,
    user: NameHash,
    id: Option<NameHash>,
    what: WhatWasDone,
}

#[derive(Debug)]
enum WhatWasDone {
    Event { name: String, value: f64 },
    Request { method: Method, path: String, status: u16 },
}

/// A line that means nothing.
#[derive(Debug)]
pub(super) struct LineFault {
    line: usize,
    mismatch: Mismatch,
}

impl std::fmt::Display for LineFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mismatch { found, wanted, remedy } = &self.mismatch;
        write!(f, "line {}: found {found}, want {wanted} ({remedy})", self.line)
    }
}

impl ExperimentLog {
    /// Reads lines for an experiment; what is in the future at `now_ms` is refused.
    ///
    /// # Errors
    /// The lines that mean nothing.
    pub(super) fn read(&mut self, text: &str, spec: &ExperimentSpec, now_ms: u64) -> Result<(), Vec<LineFault>> {
        let mut faults = Vec::new();
        for (text, line) in text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty()) {
            if let Err(mismatch) = self.line(text, spec, now_ms) {
                faults.push(LineFault { line, mismatch });
                if faults.len() == PROBLEMS_MAX {
                    break;
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn line(&mut self, text: &str, spec: &ExperimentSpec, now_ms: u64) -> Result<(), Mismatch> {
        let line: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| Mismatch::new(format!("no object of JSON: {error}"), "one a line", "correct it"))?;
        let line = Line { line: &line, now_ms };
        if line.has("feature_flag.result.variant") {
            return self.exposure(line, spec);
        }
        if let Some(metric) = line.text("covariate")? {
            let (user, value) = (line.user("targetingKey")?, line.value()?);
            let value = value.ok_or_else(|| line.missing("value", "a number"))?;
            self.known.push(KnownBefore { user, metric: metric.to_owned(), value });
            return Ok(());
        }
        let what = match line.text("event")? {
            Some(name) => WhatWasDone::Event { name: name.to_owned(), value: line.value()?.unwrap_or(1.0) },
            None if line.has("http.response.status_code") => line.request()?,
            None => return Err(line.strange()),
        };
        let user = line.user(if line.has(USER) { USER } else { "targetingKey" })?;
        self.acts.push(Act { at_ms: line.at_ms()?, user, id: line.text("id")?.map(NameHash::of), what });
        Ok(())
    }

    fn exposure(&mut self, line: Line<'_>, spec: &ExperimentSpec) -> Result<(), Mismatch> {
        let (user, at_ms, share) = (line.user(USER)?, line.at_ms()?, line.share()?);
        let variant = line.text("feature_flag.result.variant")?.unwrap_or_default();
        let of_other = line.text("feature_flag.key")?.is_some_and(|key| key != spec.assignment.subject.name().as_str());
        let arm = if of_other { None } else { spec.assignment.arm_of(variant) };
        match arm {
            Some(arm) => self.exposures.push(Exposure { at_ms, user, arm, share }),
            None => self.of_others += 1,
        }
        Ok(())
    }

    /// Tells the experiment all of it, in the order of time.
    pub(super) fn tell(mut self, state: &mut ExperimentState) {
        self.exposures.sort_by_key(|exposure| exposure.at_ms);
        self.acts.sort_by_key(|act| act.at_ms);
        for Exposure { at_ms, user, arm, share } in &self.exposures {
            state.expose(*user, *arm, *share, *at_ms);
        }
        for KnownBefore { user, metric, value } in &self.known {
            state.known_before(*user, metric, *value);
        }
        for Act { at_ms, user, id, what } in &self.acts {
            let what = match what {
                WhatWasDone::Event { name, value } => ActKind::Event { name, value: *value },
                WhatWasDone::Request { method, path, status } => ActKind::Request { method, path, status: *status },
            };
            state.record(&UserAct { id: *id, user: *user, at_ms: *at_ms, what });
        }
    }
}

/// A line, and when it is read.
#[derive(Clone, Copy)]
struct Line<'a> {
    line: &'a Map<String, Value>,
    now_ms: u64,
}

impl<'a> Line<'a> {
    fn has(&self, key: &str) -> bool {
        self.line.contains_key(key)
    }

    fn missing(&self, key: &str, wanted: &str) -> Mismatch {
        let found = self.line.get(key).map_or("none".to_owned(), Value::to_string);
        Mismatch::new(format!("{key}: {found}"), wanted, "correct it")
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Mismatch> {
        match self.line.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.missing(key, "a text")),
        }
    }

    fn user(&self, key: &str) -> Result<NameHash, Mismatch> {
        let user = self.text(key)?.filter(|user| !user.is_empty());
        user.map(NameHash::of).ok_or_else(|| self.missing(key, "what identifies the user, a text"))
    }

    fn value(&self) -> Result<Option<f64>, Mismatch> {
        match self.line.get("value") {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .filter(|value| value.is_finite())
                .map(Some)
                .ok_or_else(|| self.missing("value", "a number")),
        }
    }

    /// The treatment's share in per cent; half if it is not said.
    fn share(&self) -> Result<Probability, Mismatch> {
        let Some(written) = self.line.get("share") else { return Ok(Probability::HALF) };
        let share = written.as_f64().and_then(|percent| Probability::new(percent / 100.0));
        share.ok_or_else(|| self.missing("share", "per cent of the users in treatment, above 0 and below 100"))
    }

    /// When it was: milliseconds since 1970, or a date of RFC 3339.
    fn at_ms(&self) -> Result<u64, Mismatch> {
        let key = if self.has("timestamp") { "timestamp" } else { "at" };
        let at = match self.line.get(key) {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => {
                text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
            }
            _ => None,
        };
        let wanted = "a time such as \"2026-11-29T12:00:00Z\", or milliseconds since 1970";
        let at = at.ok_or_else(|| self.missing(key, wanted))?;
        if at > self.now_ms {
            return Err(self.missing(key, "a time that is not in the future"));
        }
        Ok(at)
    }

    fn request(&self) -> Result<WhatWasDone, Mismatch> {
        let (method, path, status) = ("http.request.method", "url.path", "http.response.status_code");
        let found = self.text(method)?.and_then(|text| Method::from_bytes(text.as_bytes()).ok());
        let method = found.ok_or_else(|| self.missing(method, "a method such as \"POST\""))?;
        let text = self.text(path)?.ok_or_else(|| self.missing(path, "the path of a request"))?;
        let code = self.line.get(status).and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let status = code.ok_or_else(|| self.missing(status, "a status such as 200"))?;
        Ok(WhatWasDone::Request { method, path: text.to_owned(), status })
    }

    fn strange(&self) -> Mismatch {
        let keys: Vec<_> = self.line.keys().take(6).map(String::as_str).collect();
        let found = format!("an object with {}", keys.join(", "));
        let wanted = "feature_flag.result.variant of an exposure, event, covariate, or http.response.status_code";
        Mismatch::new(found, wanted, "see docs/experiments.md")
    }
}
