//! From two responses to a pair: what of them differs.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::body_coding::BodyCoding;
use super::json_difference::differences;
use super::mirror_response::MirrorResponse;
use crate::shared::mirror_difference::{MirrorDifference, MirrorKind, MirrorValue};
use crate::shared::mirror_stats::{MirrorPair, MirrorTimes};
use crate::shared::name::Name;
use crate::table::spec::mirror::{MirrorBody, MirrorSpec};

/// How much of a value is shown, in bytes.
const SAMPLE_BYTES_MAX: usize = 200;

/// A copy is late that takes this many times as long as the user's request, and longer by [`LATE_US`].
const LATE_FACTOR: u64 = 2;

/// See [`LATE_FACTOR`]; in microseconds.
const LATE_US: u64 = 10_000;

/// What was asked.
#[derive(Debug)]
pub(crate) struct MirroredCall {
    /// The method.
    pub method: Box<str>,
    /// The path, without the query.
    pub path: Box<str>,
    /// The version that responded to the user.
    pub version: Name,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What hashes are salted with.
    pub salt: u64,
}

/// Compares the response that a user got with that to the copy of the request.
#[must_use]
pub(crate) fn compare(
    spec: &MirrorSpec,
    call: &MirroredCall,
    user: &MirrorResponse,
    mirror: &MirrorResponse,
) -> MirrorPair {
    let (user_failed, mirror_failed) = (user.has_failed(), mirror.has_failed());
    let mut finding = PairFinding { spec, call, differences: Vec::new(), body_left_out: false };
    let same = finding.statuses(user, mirror);
    let failed = user_failed || mirror_failed;
    // A validator of one version is none of the other one.
    if same && !failed && !user.is_not_modified() && !mirror.is_not_modified() {
        finding.headers(user, mirror);
        finding.bodies(user, mirror);
    }
    let times = (spec.compare.latency && !failed)
        .then_some(MirrorTimes { user_us: user.micros, mirror_us: mirror.micros })
        .inspect(|times| finding.times(*times));
    let PairFinding { differences, body_left_out, .. } = finding;
    MirrorPair { user_failed, mirror_failed, differences, body_left_out, times }
}

/// What is found of one pair.
struct PairFinding<'a> {
    spec: &'a MirrorSpec,
    call: &'a MirroredCall,
    differences: Vec<MirrorDifference>,
    body_left_out: bool,
}

impl PairFinding<'_> {
    /// Compares the statuses. Returns whether they are the same.
    fn statuses(&mut self, user: &MirrorResponse, mirror: &MirrorResponse) -> bool {
        let same = user.status == mirror.status && user.bad_call() == mirror.bad_call();
        // The client asked for what it has not got yet, by a validator of one of the versions.
        let by_validator = user.is_not_modified() != mirror.is_not_modified() && !mirror.has_failed();
        if !same && self.spec.compare.status && !by_validator {
            let [user, mirror] = [user, mirror].map(|side| status_text(side).into_bytes());
            self.note(MirrorKind::Status, "", [Some(&user), Some(&mirror)], true);
        }
        same
    }

    fn headers(&mut self, user: &MirrorResponse, mirror: &MirrorResponse) {
        let spec = self.spec;
        for ((name, ours), theirs) in spec.compare.headers.iter().zip(&user.headers).zip(&mirror.headers) {
            if ours != theirs {
                self.note(MirrorKind::Header, name.as_str(), [ours.as_deref(), theirs.as_deref()], spec.samples);
            }
        }
    }

    fn bodies(&mut self, user: &MirrorResponse, mirror: &MirrorResponse) {
        let (Some(ours), Some(theirs)) = (&user.body, &mirror.body) else {
            self.body_left_out = self.spec.compare.body != MirrorBody::Off;
            return;
        };
        match self.spec.compare.body {
            MirrorBody::Off => {}
            MirrorBody::Length => match (ours.length(), theirs.length()) {
                (Some(ours), Some(theirs)) if ours == theirs => {}
                (Some(ours), Some(theirs)) => {
                    let [ours, theirs] = [ours, theirs].map(|length| format!("{length} B").into_bytes());
                    self.note(MirrorKind::Length, "", [Some(&ours), Some(&theirs)], true);
                }
                (Some(_) | None, None) | (None, Some(_)) => self.body_left_out = true,
            },
            MirrorBody::Exact | MirrorBody::Json => match (ours.whole(), theirs.whole()) {
                (Some(ours), Some(theirs)) if ours == theirs && user.coding == mirror.coding => {}
                (Some(ours), Some(theirs)) => self.texts([user.coding, mirror.coding], [ours, theirs]),
                (Some(_) | None, None) | (None, Some(_)) => self.body_left_out = true,
            },
        }
    }

    /// Compares bodies that are not the same bytes.
    fn texts(&mut self, codings: [BodyCoding; 2], bodies: [&[u8]; 2]) {
        let max = self.spec.body_bytes_max;
        let (Some(ours), Some(theirs)) = (codings[0].read(bodies[0], max), codings[1].read(bodies[1], max)) else {
            self.body_left_out = true;
            return;
        };
        if ours == theirs {
            return;
        }
        if self.spec.compare.body == MirrorBody::Json
            && let (Ok(ours), Ok(theirs)) = (serde_json::from_slice(&ours), serde_json::from_slice(&theirs))
        {
            return self.documents(&ours, &theirs);
        }
        self.note(MirrorKind::Body, "", [Some(&ours), Some(&theirs)], self.spec.samples);
    }

    fn documents(&mut self, user: &Value, mirror: &Value) {
        for place in differences(user, mirror, &self.spec.compare.ignore) {
            let [ours, theirs] =
                [place.one, place.other].map(|value| value.map(|value| value.to_string().into_bytes()));
            self.note(MirrorKind::Body, &place.pointer, [ours.as_deref(), theirs.as_deref()], self.spec.samples);
        }
    }

    fn times(&mut self, MirrorTimes { user_us, mirror_us }: MirrorTimes) {
        if mirror_us > user_us.saturating_mul(LATE_FACTOR).max(user_us.saturating_add(LATE_US)) {
            #[expect(clippy::cast_precision_loss, reason = "shown with one digit of a millisecond")]
            let [ours, theirs] = [user_us, mirror_us].map(|us| format!("{:.1} ms", us as f64 / 1e3).into_bytes());
            self.note(MirrorKind::Latency, "", [Some(&ours), Some(&theirs)], true);
        }
    }

    /// Notes a difference, with the user's value and the copy's.
    fn note(&mut self, kind: MirrorKind, place: &str, values: [Option<&[u8]>; 2], shown: bool) {
        let MirroredCall { method, path, version, at_ms, salt } = self.call;
        let [user, mirror] = values.map(|value| MirrorValue {
            hash: value.map_or(0, |value| hash(*salt, value)),
            sample: value.filter(|_| shown).map(sample),
        });
        self.differences.push(MirrorDifference {
            kind,
            at_ms: *at_ms,
            method: method.clone(),
            path: path.clone(),
            version: version.clone(),
            place: place.into(),
            user,
            mirror,
        });
    }
}

/// A status as people write it.
fn status_text(side: &MirrorResponse) -> String {
    let status = side.status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
    match &side.grpc_status {
        Some(call) => format!("{status}, grpc-status {}", String::from_utf8_lossy(call)),
        None => status,
    }
}

fn hash(salt: u64, value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, value).hash(&mut hasher);
    hasher.finish()
}

/// The beginning of a value, as text.
fn sample(value: &[u8]) -> Box<str> {
    let cut = value.len() > SAMPLE_BYTES_MAX;
    let mut text = String::from_utf8_lossy(&value[..value.len().min(SAMPLE_BYTES_MAX)]).into_owned();
    if cut {
        text.push_str("...");
    }
    text.into()
}

#[cfg(test)]
mod tests;
