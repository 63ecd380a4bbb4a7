//! What is counted of a rollout, as its plan says.

use std::sync::Arc;

/// What is counted of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryTerms {
    /// The version under rollout, or the variant of the flag.
    pub candidate: Box<str>,
    /// The one that it would replace.
    pub baseline: Box<str>,
    /// Whether users stay on their version, so that one is counted once.
    pub per_key: bool,
    /// Longer than this is slow at first, in microseconds; none: nothing is.
    pub slow_us: Option<u64>,
    /// Statuses of gRPC that are failures, a bit for each.
    pub failed_calls: u32,
    /// How many ticks a tolerated burst can touch: a user who has had nothing but failures for as long is lost.
    pub burst_ticks: u16,
    /// Whether responses are judged besides failing.
    pub responses: bool,
    /// Beginnings of paths whose responses are not asked for.
    pub except: Arc<[Box<str>]>,
    /// Whether routes are judged by themselves too.
    pub routes: bool,
    /// The flag whose variants are compared; none: versions are.
    pub flag: Option<FlagTerms>,
    /// All flags that the rollout moves, also where versions are compared.
    pub flags: Arc<[Box<str>]>,
}

/// The rule of a flag that a rollout moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagTerms {
    /// The flag.
    pub flag: Box<str>,
    /// Its rule.
    pub rule: Box<str>,
}
