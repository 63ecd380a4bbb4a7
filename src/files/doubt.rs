//! The doubt about a text that may be half of a file. Pure.
//!
//! Half a config can be a good config: with fewer services, or with a version less, whose users would go elsewhere and
//! stay there. What a save in place looks like half-way is *shorter than before and without what was there before*, so
//! that is read once more before it is believed. Who removes a service waits a second for it; who saves slowly is not
//! taken at half his word.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::table::spec::flag::{FlagSpec, FlagSpecs};
use crate::table::{Name, ServiceSpec};

/// How long a doubtful file has to stay as it is, when it is known that no program has it open.
pub(crate) const DOUBT_CLOSED: Duration = Duration::from_secs(1);

/// The same when that is not known: nothing tells of changes, or a writer has not closed the file.
pub(crate) const DOUBT_OPEN: Duration = Duration::from_secs(5);

/// Something is believed after this, even if the file is another one, and doubtful, at every look.
pub(crate) const DOUBT_MAX: Duration = Duration::from_secs(60);

/// What became of a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoubtVerdict {
    /// It is the file.
    Believe,
    /// Read it again at this time.
    LookAgain(Instant),
}

/// What is doubted, if anything.
#[derive(Debug, Default)]
pub(crate) struct Doubt(Option<Doubted>);

#[derive(Debug)]
struct Doubted {
    text: String,
    first: Instant,
    until: Instant,
}

impl Doubt {
    /// Judges a text that is doubtful or is not; `wait` is how long a doubtful one has to stay as it is.
    pub(crate) fn judge(&mut self, now: Instant, text: &str, doubtful: bool, wait: Duration) -> DoubtVerdict {
        let first = self.0.as_ref().map_or(now, |doubted| doubted.first);
        let until = match &self.0 {
            _ if !doubtful || now >= first + DOUBT_MAX => now,
            Some(doubted) if doubted.text == text => doubted.until,
            _ => now + wait,
        };
        if now >= until {
            self.0 = None;
            return DoubtVerdict::Believe;
        }
        self.0 = Some(Doubted { text: text.to_owned(), first, until });
        DoubtVerdict::LookAgain(until)
    }

    /// Whether something is doubted.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Nothing is doubted any more.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

/// Whether a text looks like one that is being written over `before`: shorter, and it has `lost` something or is the
/// beginning of it. The half of a file that grows may be longer than what was there before; where it is known that
/// no program has it `open` that is no half.
#[must_use]
pub(crate) fn is_doubtful(before: &str, text: &str, lost: &[String], open: bool) -> bool {
    let shorter = text.len() < before.len();
    !lost.is_empty() && (shorter || open) || shorter && before.starts_with(text.trim_end())
}

/// The services and versions of `before` that are not in `next`.
#[must_use]
pub(crate) fn lost(before: &[Arc<ServiceSpec>], next: &[Arc<ServiceSpec>]) -> Vec<String> {
    let named = |services: &[Arc<ServiceSpec>]| -> BTreeSet<String> {
        let versions = services.iter().flat_map(|service| {
            service.versions.iter().map(move |version| format!("{} {}", service.name, version.name))
        });
        services.iter().map(|service| service.name.to_string()).chain(versions).collect()
    };
    let (before, next) = (named(before), named(next));
    before.difference(&next).cloned().collect()
}

/// The flags of `before`, and their rules, that are not in `next`.
#[must_use]
pub(crate) fn lost_flags<'f>(before: impl Iterator<Item = &'f FlagSpec>, next: &'f FlagSpecs) -> Vec<String> {
    let names = |flag: &FlagSpec| -> Vec<String> {
        let rules = flag.rules().iter().map(|rule| format!("flag {} {}", flag.name, rule.name));
        [format!("flag {}", flag.name)].into_iter().chain(rules).collect()
    };
    let kept: BTreeSet<String> = next.flags.iter().flat_map(|flag| names(flag)).collect();
    before.flat_map(names).filter(|name| !kept.contains(name)).collect()
}

/// The experiments of `before` that are not in `next`.
#[must_use]
pub(crate) fn lost_experiments<'e>(
    before: impl Iterator<Item = &'e Name>,
    next: impl Iterator<Item = &'e Name>,
) -> Vec<String> {
    let kept: BTreeSet<&Name> = next.collect();
    before.filter(|name| !kept.contains(name)).map(|name| format!("experiment {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_doubtful_text_is_believed_when_it_stays() {
        let (start, mut doubt) = (Instant::now(), Doubt::default());
        let half = "half";
        assert_eq!(doubt.judge(start, half, true, DOUBT_CLOSED), DoubtVerdict::LookAgain(at(start, 1_000)));
        assert_eq!(doubt.judge(at(start, 999), half, true, DOUBT_CLOSED), DoubtVerdict::LookAgain(at(start, 1_000)));
        assert_eq!(doubt.judge(at(start, 1_000), half, true, DOUBT_CLOSED), DoubtVerdict::Believe);
        assert!(!doubt.is_open());
        assert_eq!(doubt.judge(start, half, true, DOUBT_OPEN), DoubtVerdict::LookAgain(at(start, 5_000)));
        assert_eq!(doubt.judge(at(start, 10), "whole", false, DOUBT_OPEN), DoubtVerdict::Believe);
        assert!(!doubt.is_open());
    }

    #[test]
    fn another_doubtful_text_begins_anew_but_not_for_ever() {
        let (start, mut doubt) = (Instant::now(), Doubt::default());
        for second in 0..60 {
            let now = at(start, second * 1_000);
            let verdict = doubt.judge(now, &second.to_string(), true, DOUBT_OPEN);
            assert_eq!(verdict, DoubtVerdict::LookAgain(now + DOUBT_OPEN));
        }
        assert_eq!(doubt.judge(at(start, 60_000), "60", true, DOUBT_OPEN), DoubtVerdict::Believe);
    }

    #[test]
    fn a_flag_or_a_rule_that_is_gone_is_lost() {
        use crate::table::Weights;
        use crate::table::fixture::name;
        use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, Variant};
        let rule = |rule: &&str| FlagRuleSpec { name: name(rule), when: None, serve: Weights::all_on(&name("on"), []) };
        let flag = |text: &str, rules: &[&str]| {
            Arc::new(FlagSpec {
                name: name(text),
                variants: vec![Variant { name: name("on"), json: "true".into() }],
                default: 0,
                enabled: true,
                source: FlagSource::Rules { draw: DrawSpec::Salt("x".into()), rules: rules.iter().map(rule).collect() },
            })
        };
        let before = [flag("a", &["staff", "launch"]), flag("b", &[])];
        let lost = |flags: Vec<Arc<FlagSpec>>| {
            lost_flags(before.iter().map(|flag| &**flag), &FlagSpecs { flags, ..FlagSpecs::default() })
        };
        assert_eq!(lost(before.to_vec()), [""; 0]);
        assert_eq!(lost(vec![flag("a", &["launch", "new"])]), ["flag a staff", "flag b"]);
    }

    #[test]
    fn what_is_doubtful_is_shorter_and_lacks_something() {
        let lost = ["cart".to_owned()];
        let before = "[a]\nb = 1\n[c]\n";
        for (text, lost, closed, open) in [
            ("[a]\nb = 1\n", &[][..], true, true),
            ("", &[], true, true),
            ("[a]\nb = 2\n", &[], false, false),
            ("[a]\nb = 2\n", &lost, true, true),
            ("[a]\nb = 2\n# as long as before, without cart", &lost, false, true),
            (before, &[], false, false),
        ] {
            let found = [false, true].map(|open| is_doubtful(before, text, lost, open));
            assert_eq!(found, [closed, open], "{text:?} {lost:?}");
        }
    }

    #[test]
    fn an_experiment_that_is_gone_is_lost() {
        let names = ["banner", "button"].map(|name| Name::new(name).expect("a name"));
        assert_eq!(lost_experiments(names.iter(), names[1..].iter()), ["experiment banner"]);
        assert!(lost_experiments(names[1..].iter(), names.iter()).is_empty(), "one more is none less");
    }
}
