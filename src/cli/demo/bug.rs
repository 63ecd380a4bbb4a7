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
    /// Nearly every page is answered by 404, which is no failure of its server
    WrongPage,
    /// It breaks down when it gets nearly all of the traffic
    Crash,
    /// None: it is as good as v1
    None,
}

/// When [`Bug::Errors`] begins: users have seen it work by then.
pub(crate) const ERRORS_AFTER: Duration = Duration::from_secs(5);

/// How long [`Bug::Leak`] takes until it is as bad as it gets.
const LEAK_FULL: Duration = Duration::from_secs(40);

/// What [`Bug::Crash`] can carry, as a part of all requests: half of them are no trouble yet.
const CARRIED: f64 = 0.75;

impl Bug {
    /// All, and none.
    pub(crate) const ALL: [Self; 6] =
        [Self::Errors, Self::Latency, Self::Leak, Self::WrongPage, Self::Crash, Self::None];

    /// One of them, each as likely.
    pub(crate) fn drawn(random: &mut StdRng) -> Self {
        Self::ALL[random.random_range(0..Self::ALL.len())]
    }

    /// Its word, which the command line has too.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Leak => "leak",
            Self::WrongPage => "wrong-page",
            Self::Crash => "crash",
            Self::None => "none",
        }
    }

    /// The bug of that word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.word() == word)
    }

    /// What it does to users, in a sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Errors => "After five seconds with users, one of five requests to v2 failed.",
            Self::Latency => "Every answer of v2 took two and a half times as long as those of v1.",
            Self::Leak => "v2 filled up: the longer it ran, the slower it was and the more requests failed.",
            Self::WrongPage => "v2 answered nine of ten requests with a page that says 404.",
            Self::Crash => "v2 broke down whenever it got nearly all of the traffic, and was well with half of it.",
            Self::None => "There was none: v2 was as good as v1.",
        }
    }

    /// Whether a request fails, at this time since the shop was opened.
    pub(crate) fn fails(self, age: Duration, random: &mut StdRng) -> bool {
        let probability = match self {
            Self::Errors if age >= ERRORS_AFTER => 0.2,
            Self::Leak => 0.5 * part(age),
            Self::Errors | Self::Latency | Self::WrongPage | Self::Crash | Self::None => 0.0,
        };
        random.random_bool(probability)
    }

    /// How many times as long an answer takes.
    pub(crate) fn slower(self, age: Duration) -> f64 {
        match self {
            Self::Latency => 2.5,
            Self::Leak => 1.0 + 3.0 * part(age),
            Self::Errors | Self::WrongPage | Self::Crash | Self::None => 1.0,
        }
    }

    /// Whether a page is not found that is there. What users write still arrives.
    pub(crate) fn loses(self, method: &http::Method) -> bool {
        self == Self::WrongPage && *method == http::Method::GET
    }

    /// Whether `load` requests a second are too many, if all users together send `all`.
    pub(crate) fn breaks_under(self, load: f64, all: f64) -> bool {
        self == Self::Crash && load > CARRIED * all
    }
}

/// How full it is, 0 to 1.
fn part(age: Duration) -> f64 {
    (age.as_secs_f64() / LEAK_FULL.as_secs_f64()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use rand::SeedableRng;

    #[test]
    fn each_bug_is_what_it_says() {
        let mut random = StdRng::seed_from_u64(1);
        let mut failed =
            |bug: Bug, age: u64| (0..1_000).filter(|_| bug.fails(Duration::from_secs(age), &mut random)).count();
        let well = [Bug::None, Bug::Latency, Bug::WrongPage, Bug::Crash].map(|bug| failed(bug, 60));
        assert_eq!((well, failed(Bug::Errors, 1)), ([0; 4], 0));
        assert!((150..250).contains(&failed(Bug::Errors, 6)));
        assert!(failed(Bug::Leak, 2) < 50 && failed(Bug::Leak, 60) > 400);
        let slow = |bug: Bug| [0, 60].map(|age| bug.slower(Duration::from_secs(age)));
        assert_eq!((slow(Bug::Latency), slow(Bug::Leak), slow(Bug::None)), ([2.5; 2], [1.0, 4.0], [1.0; 2]));
        let lost = Bug::ALL.into_iter().filter(|bug| bug.loses(&Method::GET) || bug.loses(&Method::POST));
        assert_eq!(lost.collect::<Vec<_>>(), [Bug::WrongPage]);
        assert!(!Bug::WrongPage.loses(&Method::POST));
    }

    #[test]
    fn only_the_whole_load_is_too_much() {
        assert!(Bug::Crash.breaks_under(190.0, 200.0));
        assert!(!Bug::Crash.breaks_under(120.0, 200.0) && !Bug::None.breaks_under(190.0, 200.0));
    }

    #[test]
    fn the_words_are_those_of_the_command_line_and_all_are_drawn() {
        for bug in Bug::value_variants() {
            let named = bug.to_possible_value().map(|value| value.get_name().to_owned());
            assert_eq!(named.as_deref(), Some(bug.word()));
            assert_eq!(Bug::of_word(bug.word()), Some(*bug));
        }
        let mut random = StdRng::seed_from_u64(2);
        let drawn: Vec<_> = (0..100).map(|_| Bug::drawn(&mut random)).collect();
        assert!(Bug::ALL.iter().all(|bug| drawn.contains(bug)), "{drawn:?}");
    }
}
