//! A run of an experiment: the part of it that changes while requests flow, and that revisions record.

use std::fmt;

use super::slot_ranges::SlotRanges;
use super::weights::{SLOTS, Weight};

/// Whether an experiment runs, for which users, and since when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExperimentRun {
    /// Whether it runs; otherwise this is what is left of the last run.
    pub running: bool,
    /// The revision that started it: the name of the run.
    pub since: u64,
    /// How many of all users it was given, in both arms together.
    pub share: Weight,
    /// The slots of its layer that it owns: as many as its share has while it runs, and none after.
    pub slots: SlotRanges,
    /// What it compares.
    pub compares: Fingerprint,
}

/// What a run compares, in 64 bits: a run must not go on as a comparison of something else, and what it compared is no
/// longer in the config by then.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub u64);

/// A stored text that is no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?}, want a run such as `on;since=12;share=40;of=0011223344556677;slots=0-40000`")]
pub struct BadRun {
    /// The text.
    pub found: String,
}

impl ExperimentRun {
    /// One of all users that there are, in a layer of its own.
    #[must_use]
    pub(crate) fn of_everybody(since: u64) -> Self {
        let slots = SlotRanges::default().grown(SLOTS, &SlotRanges::default()).unwrap_or_default();
        Self { running: true, since, share: Weight::FULL, slots, compares: Fingerprint(0) }
    }

    /// The same run after its end: its slots are free.
    #[must_use]
    pub fn ended(&self) -> Self {
        Self { running: false, slots: SlotRanges::default(), ..*self }
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`BadRun`] when it is something else.
    pub fn parse(text: &str) -> Result<Self, BadRun> {
        let read = Self::read(text);
        // One text for one run, whose share is that of its slots.
        let fits = |run: &Self| run.slots.count() == if run.running { run.share.slots() } else { 0 };
        let read = read.filter(|run| fits(run) && run.share > Weight::ZERO && run.to_string() == text);
        read.ok_or_else(|| BadRun { found: text.to_owned() })
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let mut part = |key: &str| parts.next()?.strip_prefix(key);
        let running = match part("")? {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        let since = part("since=")?.parse().ok()?;
        let share = Weight::from_percent(part("share=")?.parse().ok()?)?;
        let compares = Fingerprint(u64::from_str_radix(part("of=")?, 16).ok()?);
        let slots = if running { SlotRanges::parse(part("slots=")?).ok()? } else { SlotRanges::default() };
        Some(Self { running, since, share, slots, compares })
    }
}

/// `on;since=12;share=40;of=0011223344556677;slots=0-20000,35000-55000`
impl fmt::Display for ExperimentRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { running, since, share, slots, compares: Fingerprint(compares) } = self;
        f.write_str(if *running { "on" } else { "off" })?;
        write!(f, ";since={since};share={share};of={compares:016x}")?;
        if *running { write!(f, ";slots={slots}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_text_is_read_back_and_nothing_else_is_read() {
        for text in [
            "on;since=12;share=40;of=0011223344556677;slots=0-20000,35000-55000",
            "on;since=1;share=0.001;of=ffffffffffffffff;slots=7-8",
            "off;since=12;share=40;of=0000000000000000",
        ] {
            assert_eq!(ExperimentRun::parse(text).map(|run| run.to_string()).as_deref(), Ok(text));
        }
        for bad in [
            "",
            "on",
            "on;since=12;share=40;of=0011223344556677",
            "on;since=12;share=40;of=0011223344556677;slots=0-20000",
            "on;since=12;share=0;of=0011223344556677;slots=",
            "on;since=-1;share=40;of=0011223344556677;slots=0-40000",
            "on;since=12;share=40.0;of=0011223344556677;slots=0-40000",
            "on;since=12;share=40;of=11223344556677;slots=0-40000",
            "on;since=12;share=40;of=0011223344556677;slots=0-40000;",
            "off;since=12;share=40;of=0011223344556677;slots=0-40000",
            "On;since=12;share=40;of=0011223344556677;slots=0-40000",
        ] {
            assert!(ExperimentRun::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_has_ended_owns_nothing() {
        let run = ExperimentRun::parse("on;since=12;share=40;of=0011223344556677;slots=0-40000").expect("a run");
        assert_eq!(run.ended().to_string(), "off;since=12;share=40;of=0011223344556677");
        assert_eq!(run.ended().ended(), run.ended());
    }
}
