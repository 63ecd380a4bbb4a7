//! Events (SSE) out of the bytes of a stream, wherever its pieces end.

use std::mem::take;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamedEvent {
    /// Its id; empty: it has none.
    pub(crate) id: String,
    /// What it is called.
    pub(crate) name: String,
    /// What it says.
    pub(crate) data: String,
}

/// Reads a stream (HTML, 9.2.6).
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    /// The beginning of a line.
    line: Vec<u8>,
    /// The beginning of an event.
    event: StreamedEvent,
}

impl EventReader {
    /// The events that end in the next piece of the stream.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<StreamedEvent> {
        let mut events = Vec::new();
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(line);
            if line.ends_with(b"\n") {
                let line = take(&mut self.line);
                events.extend(self.read(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
            }
        }
        events
    }

    /// Reads a line; an empty one ends an event.
    fn read(&mut self, line: &str) -> Option<StreamedEvent> {
        if line.is_empty() {
            return Some(take(&mut self.event)).filter(|event| !event.data.is_empty());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = value.to_owned(),
            "event" => self.event.name = value.to_owned(),
            "data" if self.event.data.is_empty() => self.event.data = value.to_owned(),
            "data" => self.event.data = format!("{}\n{value}", self.event.data),
            // A comment, the pause before a new connection, or something of a later version.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_the_pieces_end() {
        let text = "retry: 1000\n\nid: 1-a.1\nevent: snapshot\ndata: {\"a\":\"\u{e9}\"}\n\n:\n\nid: 2-a.2\r\nevent:change\r\ndata: 1\r\ndata: 2\r\n\r\nid: 3";
        let event =
            |id: &str, name: &str, data: &str| StreamedEvent { id: id.into(), name: name.into(), data: data.into() };
        let wanted = [event("1-a.1", "snapshot", "{\"a\":\"\u{e9}\"}"), event("2-a.2", "change", "1\n2")];
        for size in 1..=text.len() {
            let mut reader = EventReader::default();
            let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| reader.push(piece)).collect();
            assert_eq!(found, wanted, "in pieces of {size}");
        }
    }
}
