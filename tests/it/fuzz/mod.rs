//! Fuzzing: every parser of our own against an independent reading of the same bytes, and the whole proxy against the
//! request that was sent.
//!
//! Inputs come from proptest, in two kinds: structured ones, which are mostly good and reach deep, and good seeds whose
//! bytes are changed, which are mostly bad. proptest and not a coverage-guided fuzzer, because it runs on the stable
//! compiler, in the same binary as every other test, shrinks what it finds, and because most of our parsers are so
//! small that structure finds more than coverage; the price is that nothing is learned from one run for the next.
//!
//! `cargo test` runs each target briefly and always with the same seed, so that one change is not held up by another
//! one's luck. With `FUZZ_SECONDS` all targets together run so long (`make fuzz`, a target on each core at a time),
//! each run with a new seed, which is printed; `FUZZ_SEED` repeats it.
//!
//! A new target is a file with a test that calls [`run`], and a line in [`TARGETS`].

mod claim;
mod config;
mod cookies;
mod exchange;
mod forwarded;
mod framing;
mod host;
mod http1;
mod http2;
mod libraries;
mod message;
mod mutate;
mod proxy_header;
mod reading;

use std::fmt::Debug;
use std::time::Duration;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokio::time::Instant;

/// Everything that shares the time of `make fuzz`.
const TARGETS: [&str; 21] = [
    "host",
    "same host",
    "X-Forwarded-For",
    "Forwarded",
    "forwarding prefix",
    "cookies and queries",
    "JWT claim",
    "JWT payload, mutated",
    "config, mutated",
    "config, restructured",
    "PROXY protocol",
    "framing",
    "framing beside hyper and httparse",
    "exchange, lawful",
    "exchange, mutated",
    "exchange to HTTP/2, lawful",
    "exchange to HTTP/2, mutated",
    "streams, lawful",
    "streams to HTTP/2, lawful",
    "streams, flawed",
    "streams to HTTP/2, flawed",
];

/// How long a failing input is made smaller: one that hangs costs seconds a try.
const SHRINK_MS_MAX: u32 = 20_000;

/// What a check of one input says.
pub(super) type Verdict = Result<(), TestCaseError>;

/// Runs `check` on `cases` inputs, or on as many as fit into this target's share of `FUZZ_SECONDS`.
#[track_caller]
pub(super) fn run<S: Strategy>(target: &str, cases: u32, inputs: &S, check: impl Fn(S::Value) -> Verdict)
where
    S::Value: Debug,
{
    assert!(TARGETS.contains(&target), "{target} is not in the list of targets");
    let seconds = number("FUZZ_SECONDS");
    let share = Duration::from_secs(seconds.unwrap_or(0)) / u32::try_from(TARGETS.len()).unwrap();
    let deadline = Instant::now() + share;
    let first = number("FUZZ_SEED").unwrap_or_else(|| seconds.map_or(0, |_| rand::random()));
    println!("fuzzing {target}: FUZZ_SEED={first}");
    for round in 0.. {
        let seed = first.wrapping_add(round);
        let config = Config { cases, failure_persistence: None, max_shrink_time: SHRINK_MS_MAX, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, generator(seed));
        if let Err(failure) = runner.run(inputs, &check) {
            panic!("{target}, again with FUZZ_SEED={seed}:\n{failure}");
        }
        if Instant::now() >= deadline {
            println!("fuzzing {target}: {} inputs", (round + 1) * u64::from(cases));
            return;
        }
    }
}

fn generator(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}: found {text:?}, want a number")))
}

/// Bytes that a failure prints as text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}
