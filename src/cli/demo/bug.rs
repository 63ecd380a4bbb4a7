//! The bugs that the new version of the shop can have.

use std::time::Duration;

use clap::ValueEnum;
use rand::RngExt;
use rand::rngs::StdRng;

/// A bug of v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bug {
    /// After some seconds one of five requests fails
    Errors,
    /// Answers take two and a half times as long as those of v1
    Latency,
    /// It fills up: ever slower, and ever more requests fail
    Leak,
    /// None: it is as good as v1
    None,
}

/// When [`Bug::Errors`] begins: users have seen it work by then.
pub(crate) const ERRORS_AFTER: Duration = Duration::from_secs(5);

/// How long [`Bug::Leak`] takes until it is as bad as it gets.
const LEAK_FULL: Duration = Duration::from_secs(40);

impl Bug {
    /// Whether a request fails, at this time since the shop was opened.
    pub(crate) fn fails(self, age: Duration, random: &mut StdRng) -> bool {
        let probability = match self {
            Self::Errors if age >= ERRORS_AFTER => 0.2,
            Self::Leak => 0.5 * part(age),
            Self::Errors | Self::Latency | Self::None => 0.0,
        };
        random.random_bool(probability)
    }

    /// How many times as long an answer takes.
    pub(crate) fn slower(self, age: Duration) -> f64 {
        match self {
            Self::Latency => 2.5,
            Self::Leak => 1.0 + 3.0 * part(age),
            Self::Errors | Self::None => 1.0,
        }
    }
}

/// How full it is, 0 to 1.
fn part(age: Duration) -> f64 {
    (age.as_secs_f64() / LEAK_FULL.as_secs_f64()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn each_bug_is_what_it_says() {
        let mut random = StdRng::seed_from_u64(1);
        let mut failed =
            |bug: Bug, age: u64| (0..1_000).filter(|_| bug.fails(Duration::from_secs(age), &mut random)).count();
        assert_eq!([failed(Bug::None, 60), failed(Bug::Latency, 60), failed(Bug::Errors, 1)], [0; 3]);
        assert!((150..250).contains(&failed(Bug::Errors, 6)));
        assert!(failed(Bug::Leak, 2) < 50 && failed(Bug::Leak, 60) > 400);
        let slow = |bug: Bug| [0, 60].map(|age| bug.slower(Duration::from_secs(age)));
        assert_eq!((slow(Bug::Latency), slow(Bug::Leak), slow(Bug::None)), ([2.5; 2], [1.0, 4.0], [1.0; 2]));
    }
}
