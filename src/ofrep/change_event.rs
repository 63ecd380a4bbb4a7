//! What is said on a stream of change events (Server-sent events, HTML Living Standard, 9.2).

use std::fmt;

use bytes::Bytes;
use serde_json::json;

/// Says nothing, so that everything between us and the client knows that the connection is in use.
pub(crate) const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// How soon a client comes back when its stream ends, in milliseconds.
const RETRY_MS: u32 = 2000;

/// The state of all flags: a revision in which they were like this, and their fingerprint.
///
/// A client that comes back says which one it knows. To a process in which no flag has changed yet the fingerprint
/// alone tells whether it has missed something: flags that are the same have the same one everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FlagEdition {
    /// The revision.
    pub(crate) revision: u64,
    /// The fingerprint.
    pub(crate) fingerprint: u64,
}

impl FlagEdition {
    /// Whether this is the one with that id.
    #[must_use]
    pub(crate) fn has_id(self, id: &[u8]) -> bool {
        let fingerprint = id.iter().rposition(|byte| *byte == b'-').map(|dash| &id[dash + 1..]);
        fingerprint == Some(format!("{:016x}", self.fingerprint).as_bytes())
    }

    /// The event that tells of it; it is in force since `since`, in seconds since 1970.
    #[must_use]
    pub(crate) fn event(self, since: i64) -> Bytes {
        let data = json!({ "type": "refetchEvaluation", "etag": self.to_string(), "lastModified": since });
        format!("id: {self}\nevent: message\ndata: {data}\n\n").into()
    }

    /// What a stream begins with: how soon to come back, and, without an event, what the client then says it knows.
    #[must_use]
    pub(crate) fn greeting(self) -> Bytes {
        format!("retry: {RETRY_MS}\nid: {self}\n\n").into()
    }
}

/// `42-00c0ffee00c0ffee`
impl fmt::Display for FlagEdition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.revision, self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_protocols_and_names_its_edition() {
        let edition = FlagEdition { revision: 42, fingerprint: 0xc0ffee };
        let text = String::from_utf8(edition.event(1_771_622_898).to_vec()).expect("UTF-8");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["id: 42-0000000000c0ffee", "event: message"]);
        let data: serde_json::Value =
            serde_json::from_str(lines[2].strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(data["type"], "refetchEvaluation");
        assert_eq!((&data["etag"], &data["lastModified"]), (&json!("42-0000000000c0ffee"), &json!(1_771_622_898)));
        assert!(text.ends_with("}\n\n"), "{text:?}");
        assert!(edition.has_id(b"42-0000000000c0ffee") && edition.has_id(b"7-0000000000c0ffee"), "flags are the same");
        assert!(!edition.has_id(b"42-0000000000c0ffef") && !edition.has_id(b"42") && !edition.has_id(b""));
    }
}
