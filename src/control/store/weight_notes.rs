//! The marks of weights, a note each: who set them, which commits brought what the config says, and which of those were
//! taken back. As text, so that an operator can read them in the SQLite shell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, schema};
use crate::control::weight_marks::{
    BroughtWeights, PlannedMarks, RejectedCommit, SetWeights, WeightMarks, WeightSubject,
};

/// A note that is written, or forgotten if it has no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightNote {
    /// What it is about.
    pub(super) key: String,
    /// What it says.
    pub(super) text: Option<String>,
}

impl WeightNote {
    /// All notes of what was planned.
    pub(crate) fn all(planned: &PlannedMarks) -> Vec<Self> {
        let PlannedMarks { next: WeightMarks { brought, rejected, set }, accepted } = planned;
        let note = |key: String, text: String| Self { key, text: Some(text) };
        let brought =
            brought.iter().map(|(subject, brought)| note(format!("brought {subject}"), brought_text(brought)));
        let set = set.iter().map(|(subject, set)| note(format!("set {subject}"), set_text(set)));
        let rejected =
            rejected.iter().map(|(commit, rejected)| note(format!("rejected {commit}"), rejected_text(rejected)));
        let accepted = accepted.iter().map(|commit| Self { key: format!("rejected {commit}"), text: None });
        accepted.chain(brought).chain(set).chain(rejected).collect()
    }

    /// Does to other notes what it does to those of the store.
    pub(crate) fn apply(&self, notes: &mut BTreeMap<String, String>) {
        match &self.text {
            Some(text) => notes.insert(self.key.clone(), text.clone()),
            None => notes.remove(&self.key),
        };
    }
}

impl Store {
    /// All notes as they are.
    pub(super) fn weight_note_texts(&self) -> rusqlite::Result<BTreeMap<String, String>> {
        let there: bool = self.db.query_row(schema::HAS_WEIGHT_NOTES, [], |row| row.get(0))?;
        if !there {
            return Ok(BTreeMap::new());
        }
        let mut notes = self.db.prepare(schema::WEIGHT_NOTES)?;
        notes.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// All that is noted.
    pub(super) fn weight_marks(&self) -> rusqlite::Result<WeightMarks> {
        // The table may be missing: in a store of an earlier program that can only be read.
        Ok(WeightMarks::of_notes(&self.weight_note_texts()?))
    }
}

/// What a note says now.
pub(super) fn text(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(schema::WEIGHT_NOTE)?.query_row([key], |row| row.get(0)).optional()
}

/// Writes a note, or forgets it.
pub(super) fn put(db: &Connection, WeightNote { key, text }: &WeightNote) -> rusqlite::Result<()> {
    match text {
        Some(text) => db.prepare_cached(schema::PUT_WEIGHT_NOTE)?.execute(params![key, text])?,
        None => db.prepare_cached(schema::FORGET_WEIGHT_NOTE)?.execute([key])?,
    };
    Ok(())
}

impl WeightMarks {
    /// What notes say.
    pub(crate) fn of_notes(notes: &BTreeMap<String, String>) -> Self {
        let mut marks = Self::default();
        for (key, text) in notes {
            // What cannot be read was written by a later program, or by hand: nothing is known then, as before it.
            if marks.take_note(key, text).is_none() {
                tracing::warn!(key, text, "a note of the revision store is not understood");
            }
        }
        marks
    }

    /// Takes in a note; none when it says nothing that is known.
    fn take_note(&mut self, key: &str, text: &str) -> Option<()> {
        let (kind, about) = key.split_once(' ')?;
        match kind {
            "brought" => drop(self.brought.insert(WeightSubject::parse(about)?, Arc::new(brought(text)?))),
            "set" => drop(self.set.insert(WeightSubject::parse(about)?, Arc::new(set(text)?))),
            "rejected" => drop(self.rejected.insert(about.to_owned(), Arc::new(rejected(text)?))),
            _ => return None,
        }
        Some(())
    }
}

/// `COMMIT 12 v1=50 v2=50`
fn brought_text(BroughtWeights { commit, revision, said }: &BroughtWeights) -> String {
    format!("{commit} {revision} {said}")
}

fn brought(text: &str) -> Option<BroughtWeights> {
    let mut words = text.splitn(3, ' ');
    let (commit, revision, said) = (words.next()?, words.next()?, words.next()?);
    Some(BroughtWeights { commit: commit.to_owned(), revision: revision.parse().ok()?, said: said.to_owned() })
}

/// Revision, time and the end if there is one, the author, and the reason if there is one, a line each.
fn set_text(SetWeights { revision, at_ms, author, reason, until_ms }: &SetWeights) -> String {
    let until = until_ms.map_or(String::new(), |until| format!(" {until}"));
    let reason = reason.as_ref().map_or(String::new(), |reason| format!("\n{reason}"));
    format!("{revision} {at_ms}{until}\n{}{reason}", on_a_line(author))
}

fn set(text: &str) -> Option<SetWeights> {
    let mut lines = text.splitn(3, '\n');
    let mut times = lines.next()?.splitn(3, ' ');
    let (revision, at_ms) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    let until_ms = times.next().map(|until| until.parse().ok());
    let (author, reason) = (lines.next()?.to_owned(), lines.next().map(str::to_owned));
    Some(SetWeights {
        revision,
        at_ms,
        author,
        reason,
        until_ms: until_ms.map_or(Some(None), |until| until.map(Some))?,
    })
}

/// Revision and time, whose weights, the author, and the reason, a line each.
fn rejected_text(RejectedCommit { revision, at_ms, subjects, author, reason }: &RejectedCommit) -> String {
    let subjects = subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!("{revision} {at_ms}\n{subjects}\n{}\n{reason}", on_a_line(author))
}

fn rejected(text: &str) -> Option<RejectedCommit> {
    let mut lines = text.splitn(4, '\n');
    let (revision, at_ms) = lines.next()?.split_once(' ')?;
    let subjects: Option<BTreeSet<_>> = lines.next()?.split(',').map(WeightSubject::parse).collect();
    let (author, reason) = (lines.next()?.to_owned(), lines.next()?.to_owned());
    let (revision, at_ms) = (revision.parse().ok()?, at_ms.parse().ok()?);
    Some(RejectedCommit { revision, at_ms, subjects: subjects?, author, reason })
}

fn on_a_line(text: &str) -> String {
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::store::Record;
    use crate::table::fixture::name;

    fn marks() -> WeightMarks {
        let (shop, flag) = (WeightSubject::Service(name("shop")), WeightSubject::Flag(name("dark")));
        let brought = BroughtWeights { commit: "abc".to_owned(), revision: 3, said: "v1=50 v2=50".to_owned() };
        let rejected = RejectedCommit {
            revision: 4,
            at_ms: -1,
            subjects: [shop.clone(), flag.clone()].into(),
            author: "rollout 2".to_owned(),
            reason: "v2 fails\nmore often".to_owned(),
        };
        let set = |reason: Option<String>| {
            let until_ms = reason.is_some().then_some(6);
            SetWeights { revision: 4, at_ms: 5, author: "ada".to_owned(), reason, until_ms }
        };
        WeightMarks {
            brought: [(shop.clone(), Arc::new(brought))].into(),
            rejected: [("abc".to_owned(), Arc::new(rejected))].into(),
            set: [(shop, Arc::new(set(None))), (flag, Arc::new(set(Some("why\nnot".to_owned()))))].into(),
        }
    }

    #[test]
    fn marks_are_read_as_they_were_written_and_a_commit_can_be_accepted_again() {
        let mut store = Store::in_memory().expect("memory");
        let mut put = |planned: &PlannedMarks| {
            let record = Record { notes: WeightNote::all(planned), ..Record::default() };
            store.commit(&record).expect("there is room");
            store.load().expect("a read").marks
        };
        let planned = PlannedMarks { next: marks(), ..PlannedMarks::default() };
        assert_eq!(put(&planned), marks());
        let accepted = PlannedMarks { accepted: ["abc".to_owned()].into(), ..PlannedMarks::default() };
        assert_eq!(put(&accepted), WeightMarks { rejected: Default::default(), ..marks() });
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        let mut marks = WeightMarks::default();
        for (key, text) in [
            ("", ""),
            ("later", "x"),
            ("later shop", "x"),
            ("brought shop", "abc"),
            ("brought a b", "abc 1 v1=100"),
            ("set shop", "1\nada"),
            ("set shop", "1 2"),
            ("set shop", "1 2 soon\nada"),
            ("rejected abc", "1 2\nshop\nada"),
            ("rejected abc", "1 2\na b\nada\nwhy"),
        ] {
            assert_eq!(marks.take_note(key, text), None, "{key}: {text}");
        }
        assert_eq!(marks, WeightMarks::default());
    }
}
