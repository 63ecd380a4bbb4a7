//! One edition of the document, and the events that tell of it.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde_json::Value;

use crate::document::merge_patch;

/// Which edition of which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EditionId {
    /// The revision in force.
    pub(crate) revision: u64,
    /// The process, by a number of its own.
    pub(crate) process: u64,
    /// The number of the edition, from 1.
    pub(crate) number: u64,
}

/// Text that is not the id of an edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoEditionId;

impl fmt::Display for EditionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}.{}", self.revision, self.process, self.number)
    }
}

impl FromStr for EditionId {
    type Err = NoEditionId;

    fn from_str(text: &str) -> Result<Self, NoEditionId> {
        let (revision, rest) = text.split_once('-').ok_or(NoEditionId)?;
        let (process, number) = rest.split_once('.').ok_or(NoEditionId)?;
        let number_of = |text: &str| text.parse().map_err(|_bad| NoEditionId);
        let process = u64::from_str_radix(process, 16).map_err(|_bad| NoEditionId)?;
        Ok(Self { revision: number_of(revision)?, process, number: number_of(number)? })
    }
}

/// An edition of the document.
#[derive(Debug)]
pub(crate) struct LiveEdition {
    pub(crate) id: EditionId,
    document: Value,
    /// The event for readers of the edition before: what changed. None of the first.
    change: Option<Bytes>,
}

impl LiveEdition {
    /// The first one since someone looks.
    pub(crate) fn first(id: EditionId, document: Value) -> Self {
        Self { id, document, change: None }
    }

    /// The one after this; `None`: nothing has changed.
    pub(crate) fn next(&self, revision: u64, document: Value) -> Option<Self> {
        let patch = merge_patch::diff(&self.document, &document)?;
        let id = EditionId { revision, number: self.id.number + 1, ..self.id };
        Some(Self { id, document, change: Some(event(id, "change", &patch)) })
    }

    /// The event for a reader that knows nothing: all of it.
    pub(crate) fn snapshot(&self) -> Bytes {
        event(self.id, "snapshot", &self.document)
    }

    /// The event for a reader of an `earlier` edition; `None`: nothing has changed for it.
    pub(crate) fn since(&self, earlier: &Self) -> Option<Bytes> {
        match &self.change {
            Some(change) if earlier.id.number + 1 == self.id.number => Some(change.clone()),
            Some(_) | None => {
                let patch = merge_patch::diff(&earlier.document, &self.document)?;
                Some(event(self.id, "change", &patch))
            }
        }
    }
}

fn event(id: EditionId, name: &str, data: &Value) -> Bytes {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIRST: EditionId = EditionId { revision: 7, process: 0xabc, number: 1 };

    #[test]
    fn an_id_is_read_back_and_nothing_else_is_one() {
        assert_eq!(FIRST.to_string(), "7-abc.1");
        assert_eq!("7-abc.1".parse(), Ok(FIRST));
        for bad in ["", "7", "7-abc", "7.1", "x-abc.1", "7-xyz.1", "7-abc.-1", "7-abc.1.2", " 7-abc.1"] {
            assert_eq!(bad.parse::<EditionId>(), Err(NoEditionId), "{bad:?}");
        }
    }

    #[test]
    fn a_reader_is_told_what_changed_for_it() {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let first = LiveEdition::first(FIRST, json!({ "a": 1, "b": { "c": 1 } }));
        assert_eq!(text(first.snapshot()), "id: 7-abc.1\nevent: snapshot\ndata: {\"a\":1,\"b\":{\"c\":1}}\n\n");
        assert!(first.next(7, json!({ "a": 1, "b": { "c": 1 } })).is_none(), "nothing changed");
        let second = first.next(7, json!({ "a": 2, "b": { "c": 1 } })).expect("a change");
        let third = second.next(8, json!({ "a": 2, "b": {} })).expect("a change");
        let of_third = third.since(&second).map(text);
        assert_eq!(of_third.as_deref(), Some("id: 8-abc.3\nevent: change\ndata: {\"b\":{\"c\":null}}\n\n"));
        let of_both = third.since(&first).map(text);
        assert_eq!(of_both.as_deref(), Some("id: 8-abc.3\nevent: change\ndata: {\"a\":2,\"b\":{\"c\":null}}\n\n"));
        let back = third.next(8, json!({ "a": 1, "b": { "c": 1 } })).expect("a change");
        assert_eq!(back.since(&first), None, "it is as it was");
    }

    #[test]
    fn a_line_break_in_a_name_does_not_end_an_event() {
        let edition = LiveEdition::first(FIRST, json!({ "reason": "a\n\nevent: x\r\ndata: y" }));
        let text = String::from_utf8(edition.snapshot().to_vec()).expect("UTF-8");
        assert_eq!(text.lines().count(), 4, "{text}");
    }
}
