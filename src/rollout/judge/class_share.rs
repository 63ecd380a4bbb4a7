//! How many responses are in a class, by version, and what is found of it.

use std::time::Duration;

use super::per_version::PerVersion;
use super::stretch::RunningTotals;
use crate::shared::additive::additive;
use crate::shared::response_class::ResponseClass;
use crate::shared::response_counters::ClassTotals;

/// How many responses were in a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassShare {
    /// All that were asked.
    pub asked: u64,
    /// Those in the class.
    pub found: u64,
}

/// What was counted of a class by a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ClassTally {
    pub at: Duration,
    pub shares: PerVersion<ClassShare>,
}

/// A class that is more frequent than it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResponseFinding {
    /// The class.
    pub class: ResponseClass,
    /// How many responses are in it.
    pub shares: PerVersion<ClassShare>,
    /// Over the last part of the rollout, if it is a late part that proves it.
    pub lately: Option<Duration>,
    /// Whether it is proved to be beyond a fifth, and turns the version back.
    pub is_large: bool,
    /// Whether an operator has promoted over it.
    pub is_accepted: bool,
    /// ln E of the proof.
    pub ln_e: f64,
}

impl ClassShare {
    /// The part of the responses that is in the class.
    #[must_use]
    pub fn part(&self) -> f64 {
        if self.asked == 0 { 0.0 } else { self.found as f64 / self.asked as f64 }
    }
}

additive!(ClassShare { asked, found });

pub(super) fn shares(class: ResponseClass, totals: &PerVersion<ClassTotals>) -> PerVersion<ClassShare> {
    let of =
        |totals: &ClassTotals| ClassShare { asked: totals.asked_for(class), found: totals.by_class[class.index()] };
    PerVersion { candidate: of(&totals.candidate), baseline: of(&totals.baseline) }
}

impl ClassTally {
    pub(super) fn of(class: ResponseClass, totals: &PerVersion<ClassTotals>, at: Duration) -> Self {
        Self { at, shares: shares(class, totals) }
    }
}

additive!(ClassTally { at, shares });

impl RunningTotals for ClassTally {
    fn of_candidate(&self) -> u64 {
        self.shares.candidate.asked
    }
}

/// What responses in a class are, for a sentence about them.
pub(super) fn class_text(class: ResponseClass, baseline: &str) -> String {
    match class {
        ResponseClass::NotFound => "404 or 410".to_owned(),
        ResponseClass::Unauthorized => "401 or 403".to_owned(),
        ResponseClass::Redirect => "redirects".to_owned(),
        ResponseClass::NotModified => "304".to_owned(),
        ResponseClass::TooMany => "429".to_owned(),
        ResponseClass::ClientError => "4xx other than 401, 403, 404, 410 and 429".to_owned(),
        ResponseClass::UnusualStatus => format!("of a status that {baseline} hardly has"),
        ResponseClass::Empty => "2xx without a body".to_owned(),
        ResponseClass::Short => format!("shorter than half of what {baseline} sends"),
        ResponseClass::Long => format!("longer than twice what {baseline} sends"),
        ResponseClass::OtherType => format!("of a content type that {baseline} hardly has"),
    }
}
