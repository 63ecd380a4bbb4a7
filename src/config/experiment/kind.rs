//! What is said of a metric wherever one is written: its kind, and which difference is good.

use serde::Deserialize;

use crate::experiment::metric_result::Better;

/// What of each user is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetricKind {
    /// Whether the user did it.
    Conversion,
    /// A value.
    Mean,
    /// The sum of a value by the sum of another.
    Ratio,
}

/// Which difference is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawBetter {
    Higher,
    Lower,
}

impl From<RawBetter> for Better {
    fn from(raw: RawBetter) -> Self {
        match raw {
            RawBetter::Higher => Self::Higher,
            RawBetter::Lower => Self::Lower,
        }
    }
}
