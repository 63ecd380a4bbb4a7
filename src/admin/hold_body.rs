//! The `hold` of a change: its terms in the body of a call, and how it went in the response.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::Report;
use crate::config::reader::units::{ByteSize, Quantity, Setting, TimeSpan};
use crate::control::hold_registry::{HoldReport, HoldTerms};

/// Users do not wait longer for a page.
const MAX_MAX: TimeSpan = TimeSpan::secs(30);

/// More connections than a listener has by default, several times.
const REQUESTS_MAX_MAX: Quantity = Quantity(100_000);

/// What a machine that serves this many has to spare.
const BYTES_MAX_MAX: ByteSize = ByteSize::kib(1 << 20);

/// The terms of a hold; each may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct HoldBody {
    /// The longest wait for requests in flight, up to 30s; default 2s.
    #[schema(value_type = Option<String>, example = "2s")]
    pub max: Option<Setting<TimeSpan>>,
    /// How many requests may be held at a time; default 1000.
    #[schema(value_type = Option<u64>, example = 1000)]
    pub requests: Option<Setting<Quantity>>,
    /// How large their heads may be together; default 16MiB. Bodies are not read while a request is held.
    #[schema(value_type = Option<String>, example = "16MiB")]
    pub bytes: Option<Setting<ByteSize>>,
    /// What happens when requests in flight do not end in time, or more come than may be held. Nobody is refused: those
    /// that are held are let go. `abort` (the default) changes nothing and answers 409; `go_on` changes the traffic all
    /// the same.
    #[schema(value_type = Option<String>, example = "abort")]
    pub otherwise: Option<Otherwise>,
}

/// What happens when a hold cannot be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Otherwise {
    Abort,
    GoOn,
}

/// How a hold went.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HoldOutcome {
    /// Whether nothing of the services ran when the traffic changed.
    kept: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Requests that were held.
    held: u64,
    /// How long it took until nothing was in flight.
    waited_ms: u64,
    /// How long requests were held at the most.
    lasted_ms: u64,
}

impl HoldOutcome {
    /// The outcome of a hold.
    #[must_use]
    pub(crate) fn of(report: HoldReport) -> Self {
        let HoldReport { not_kept, held, waited, lasted } = report;
        let why = not_kept.map(|why| why.to_string());
        Self { kept: why.is_none(), why, held, waited_ms: millis(waited), lasted_ms: millis(lasted) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl HoldBody {
    /// What it says at `at`; what is wrong with it is reported.
    pub(crate) fn terms(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> HoldTerms {
        let bounds = HoldLimits { max: self.max, requests: self.requests, bytes: self.bytes };
        HoldTerms { go_on: self.otherwise == Some(Otherwise::GoOn), ..bounds.terms(at, report) }
    }
}

/// How much and how long, as it is written.
#[derive(Clone, Copy)]
pub(crate) struct HoldLimits {
    pub max: Option<Setting<TimeSpan>>,
    pub requests: Option<Setting<Quantity>>,
    pub bytes: Option<Setting<ByteSize>>,
}

impl HoldLimits {
    /// What they say at `at`; what is wrong with them is reported.
    pub(crate) fn terms(self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> HoldTerms {
        let terms = HoldTerms::default();
        let max = setting(self.max, TimeSpan(terms.max), TimeSpan::millis(1)..=MAX_MAX, &at.key("max"), report);
        let (requests, range) = (self.requests, Quantity(1)..=REQUESTS_MAX_MAX);
        let requests =
            setting(requests, Quantity(1), range, &at.key("requests"), report).ok().filter(|_| requests.is_some());
        let (bytes, range) = (self.bytes, ByteSize(1)..=BYTES_MAX_MAX);
        let bytes = setting(bytes, ByteSize(1), range, &at.key("bytes"), report).ok().filter(|_| bytes.is_some());
        HoldTerms {
            max: max.map_or(terms.max, |max| max.0),
            requests_max: requests.map_or(terms.requests_max, |requests| requests.0 as u64),
            bytes_max: bytes.map_or(terms.bytes_max, |bytes| bytes.0 as u64),
            ..terms
        }
    }
}
