//! `fault` of a chaos experiment: the one thing that is done.

use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::chaos::chaos_definition::{ChaosCommand, ChaosFault};
use crate::config::check::{self, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{ByteSize, Quantity, Setting, TimeSpan};
use crate::config::release::hook::placeholders;
use crate::problem::{Mismatch, listed, suggest};
use crate::table::spec::fault::{FaultAbort, FaultKind};

/// The faults.
const KINDS: [&str; 9] = ["latency", "abort", "reset", "hang", "bandwidth", "cut", "refuse", "exhaust", "command"];

/// A command of a fault does one thing on one host.
const COMMAND_TIMEOUT: TimeSpan = TimeSpan::secs(60);

/// No user waits longer, and no timeout does.
const LATENCY_MAX: TimeSpan = TimeSpan::secs(600);

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct RawFault {
    latency: Option<RawFaultLatency>,
    abort: Option<RawAbort>,
    reset: Option<bool>,
    hang: Option<bool>,
    bandwidth: Option<Setting<ByteSize>>,
    cut: Option<Setting<ByteSize>>,
    refuse: Option<bool>,
    exhaust: Option<Setting<Quantity>>,
    command: Option<RawChaosCommand>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawFaultLatency {
    fixed: Option<Setting<TimeSpan>>,
    jitter: Option<Setting<TimeSpan>>,
}

/// `503`, `{ http = 503 }` or `{ grpc = 14 }`.
#[derive(Debug)]
enum RawAbort {
    Status(i64),
    Table(RawAbortTable),
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawAbortTable {
    http: Option<i64>,
    grpc: Option<i64>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawChaosCommand {
    run: List<String>,
    undo: List<String>,
    host: Option<String>,
    endpoint: Option<String>,
    timeout: Option<Setting<TimeSpan>>,
}

impl<'de> Deserialize<'de> for RawAbort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AbortVisitor)
    }
}

struct AbortVisitor;

impl<'de> Visitor<'de> for AbortVisitor {
    type Value = RawAbort;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status such as 503, { http = 503 } or { grpc = 14 }")
    }

    fn visit_i64<E: Error>(self, status: i64) -> Result<RawAbort, E> {
        Ok(RawAbort::Status(status))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawAbort, A::Error> {
        RawAbortTable::deserialize(MapAccessDeserializer::new(table)).map(RawAbort::Table)
    }
}

impl RawFault {
    /// What is to be done, if that is one thing: known also where something is wrong with it.
    pub(super) fn word(&self) -> Option<&'static str> {
        let written = self.written();
        written.first().copied().filter(|_| written.len() == 1)
    }

    /// The keys that are written.
    fn written(&self) -> Vec<&'static str> {
        let Self { latency, abort, reset, hang, bandwidth, cut, refuse, exhaust, command } = self;
        let written = [
            latency.is_some(),
            abort.is_some(),
            reset.is_some(),
            hang.is_some(),
            bandwidth.is_some(),
            cut.is_some(),
            refuse.is_some(),
            exhaust.is_some(),
            command.is_some(),
        ];
        KINDS.into_iter().zip(written).filter(|(_, is_written)| *is_written).map(|(kind, _)| kind).collect()
    }

    /// `is_call` says whether it stands in a call, which may not name a command.
    pub(super) fn build(
        &self,
        is_call: bool,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<ChaosFault, ErrorGuaranteed> {
        let kinds = listed(KINDS);
        let kind = match self.written()[..] {
            [kind] => kind,
            [] => {
                let text =
                    Mismatch::new("none", format!("one of {kinds}"), "add fault = { latency = { fixed = \"300ms\" } }");
                return Err(report.missing(at, text));
            }
            [..] => {
                let found = self.written().join(" and ");
                let wanted = format!("one of {kinds}: of two nothing could be learnt of either");
                return Err(report.problem(at, Mismatch::new(found, wanted, "make two experiments of them")));
            }
        };
        let path = at.key(kind);
        if let Some(command) = &self.command {
            return command.build(is_call, &path, report).map(ChaosFault::Command);
        }
        for (key, said) in [("reset", self.reset), ("hang", self.hang), ("refuse", self.refuse)] {
            if said == Some(false) {
                return Err(
                    report.problem(&at.key(key), Mismatch::new("false", "true", "write true, or another fault"))
                );
            }
        }
        self.kind(kind, &path, report).map(ChaosFault::Injected)
    }

    fn kind(&self, kind: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<FaultKind, ErrorGuaranteed> {
        if let Some(latency) = &self.latency {
            return latency.build(at, report);
        }
        if let Some(abort) = &self.abort {
            return abort.build(at, report).map(FaultKind::Abort);
        }
        let sizes = ByteSize(1)..=ByteSize(1 << 40);
        if let Some(raw) = self.bandwidth {
            let size = setting(Some(raw), raw.0, sizes, at, report)?;
            return Ok(FaultKind::Bandwidth { bytes_per_s: bytes(size) });
        }
        if let Some(raw) = self.cut {
            let size = setting(Some(raw), raw.0, ByteSize(0)..=ByteSize(1 << 40), at, report)?;
            return Ok(FaultKind::Cut { after_bytes: bytes(size) });
        }
        if let Some(raw) = self.exhaust {
            let places = setting(Some(raw), raw.0, Quantity(0)..=Quantity(1_000_000), at, report)?;
            return Ok(FaultKind::Exhaust { places: u32::try_from(places.0).unwrap_or(u32::MAX) });
        }
        Ok(match kind {
            "reset" => FaultKind::Reset,
            "hang" => FaultKind::Hang,
            _ => FaultKind::Refuse,
        })
    }
}

fn bytes(size: ByteSize) -> u64 {
    u64::try_from(size.0).unwrap_or(u64::MAX)
}

impl RawFaultLatency {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<FaultKind, ErrorGuaranteed> {
        let zero = TimeSpan::millis(0);
        let fixed = setting(self.fixed, zero, zero..=LATENCY_MAX, &at.key("fixed"), report);
        let jitter = setting(self.jitter, zero, zero..=LATENCY_MAX, &at.key("jitter"), report);
        if self.fixed.is_none() && self.jitter.is_none() {
            let wanted = "how much later: fixed, jitter or both; \"0ms\" compares like with like";
            return Err(report.missing(at, Mismatch::new("neither", wanted, "write latency = { fixed = \"300ms\" }")));
        }
        Ok(FaultKind::Latency { fixed: fixed?.0, jitter: jitter?.0 })
    }
}

impl RawAbort {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<FaultAbort, ErrorGuaranteed> {
        let (status, path, is_grpc) = match self {
            Self::Status(status) => (*status, *at, false),
            Self::Table(RawAbortTable { http: Some(status), grpc: None }) => (*status, at.key("http"), false),
            Self::Table(RawAbortTable { http: None, grpc: Some(status) }) => (*status, at.key("grpc"), true),
            Self::Table(_) => {
                let text = Mismatch::new("none, or both", "one of http and grpc", "write abort = { http = 503 }");
                return Err(report.problem(at, text));
            }
        };
        let abort = if is_grpc {
            u8::try_from(status).ok().filter(|status| (1..=16).contains(status)).map(FaultAbort::Grpc)
        } else {
            let code = u16::try_from(status).ok().filter(|status| (400..=599).contains(status));
            code.and_then(|status| StatusCode::from_u16(status).ok()).map(FaultAbort::Http)
        };
        let wanted = if is_grpc { "a status of gRPC that is an error, 1 to 16" } else { "a status from 400 to 599" };
        abort.ok_or_else(|| report.problem(&path, Mismatch::new(status.to_string(), wanted, "write one of those")))
    }
}

impl RawChaosCommand {
    fn build(
        &self,
        is_call: bool,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<ChaosCommand, ErrorGuaranteed> {
        if is_call {
            let wanted = "one of an experiment in the config: what is run is the file's alone";
            let remedy = "add it to [chaos.experiments], and start that by its name";
            return Err(report.problem(at, Mismatch::new("a command in a call", wanted, remedy)));
        }
        let run = arguments(&self.run, "what begins the fault", &at.key("run"), report);
        let undo = arguments(&self.undo, "what undoes it: no fault stays", &at.key("undo"), report);
        let endpoint: Option<Result<SocketAddr, _>> =
            self.endpoint.as_deref().map(|text| check::socket(text, &at.key("endpoint"), report));
        let range = TimeSpan::secs(1)..=TimeSpan::secs(600);
        let timeout = setting(self.timeout, COMMAND_TIMEOUT, range, &at.key("timeout"), report);
        let (run, undo, timeout) = (run?, undo?, timeout?.0);
        Ok(ChaosCommand { run, undo, host: self.host.clone(), endpoint: endpoint.transpose()?, timeout })
    }
}

/// A program and its arguments.
fn arguments(
    raw: &List<String>,
    what: &str,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<String>, ErrorGuaranteed> {
    if raw.is_empty() {
        let wanted = format!("{what}, a program and its arguments");
        return Err(report.missing(at, Mismatch::new("none", wanted, "write [\"/usr/local/bin/PROGRAM\", \"{host}\"]")));
    }
    for (index, text) in raw.iter() {
        let at = at.item(index);
        if text.contains('\0') {
            report.problem(&at, Mismatch::new("a NUL character", "text", "remove it"));
        }
        if index == 0 && text.is_empty() {
            let remedy = "name it, best by its whole path";
            report.problem(&at, Mismatch::new("an empty text", "the program to run", remedy));
        }
        for name in placeholders(text) {
            if !ChaosCommand::PLACEHOLDERS.contains(&name) {
                let remedy = match suggest(name, ChaosCommand::PLACEHOLDERS) {
                    Some(meant) => format!("did you mean {{{meant}}}?"),
                    None => "write one of them".to_owned(),
                };
                let wanted = format!("one of {} in braces", listed(ChaosCommand::PLACEHOLDERS));
                report.problem(&at, Mismatch::new(format!("{{{name}}}"), wanted, remedy));
            }
        }
    }
    report.touched(at).map_or_else(|| Ok(raw.iter().map(|(_, text)| text.clone()).collect()), Err)
}
