//! Requests as HTTP/1.1 bytes, in all the ways in which a client may write them.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::message::{Message, Payload};

/// What means the same in each writing.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Whether the target is in absolute form.
    absolute: bool,
    /// How lines of the head end.
    line_end: &'static str,
    /// Empty lines before the request.
    before: &'static str,
    /// White space around values.
    blank: (&'static str, &'static str),
    upper_case: bool,
    /// Where the line with the host stands.
    host_at: Index,
    framing_at: Index,
    /// Zeros before the sizes of chunks and what follows them.
    zeros: usize,
    extension: &'static str,
}

/// All of them.
pub(super) fn style() -> impl Strategy<Value = Style> {
    let blank = select(vec![(" ", ""), ("", ""), ("\t", " "), ("  ", "\t \t")]);
    let extension = select(vec!["", "", ";a", ";a=b", "; a=\"b;c\"", " ", "\t;x=y"]);
    let line_end = prop_oneof![5 => Just("\r\n"), 1 => Just("\n")];
    let before = prop_oneof![5 => Just(""), 1 => Just("\r\n"), 1 => Just("\r\n\r\n")];
    let head = (any::<bool>(), line_end, before, blank, any::<bool>());
    let places = (any::<Index>(), any::<Index>());
    (head, places, 0..4_usize, extension).prop_map(|(head, (host_at, framing_at), zeros, extension)| {
        let (absolute, line_end, before, blank, upper_case) = head;
        Style { absolute, line_end, before, blank, upper_case, host_at, framing_at, zeros, extension }
    })
}

/// The bytes of a request.
pub(super) fn render(message: &Message, style: &Style) -> Vec<u8> {
    let host = message.authority.as_deref().unwrap_or_default();
    let mut lines = message.fields.clone();
    let mut insert = |at: &Index, name: &str, value: String| {
        let at = at.index(lines.len() + 1);
        lines.insert(at, (name.to_owned(), super::Bytes(value.into())));
    };
    match &message.body {
        Payload::None => {}
        Payload::Whole(body) => {
            let zeros = "0".repeat(style.zeros);
            insert(&style.framing_at, "content-length", format!("{zeros}{}", body.0.len()));
        }
        Payload::Pieces(..) => insert(&style.framing_at, "transfer-encoding", "chunked".to_owned()),
    }
    if message.authority.is_some() {
        insert(&style.host_at, "host", host.to_owned());
    }
    let scheme = if style.absolute { format!("http://{host}") } else { String::new() };
    let mut bytes = format!("{}{} {scheme}", style.before, message.method).into_bytes();
    bytes.extend_from_slice(&message.target.0);
    bytes.extend_from_slice(b" HTTP/1.1");
    bytes.extend_from_slice(style.line_end.as_bytes());
    for (name, value) in &lines {
        field(&mut bytes, name, &value.0, style, style.line_end);
    }
    bytes.extend_from_slice(style.line_end.as_bytes());
    body(&mut bytes, &message.body, style);
    bytes
}

fn field(bytes: &mut Vec<u8>, name: &str, value: &[u8], style: &Style, line_end: &str) {
    let name = if style.upper_case { name.to_ascii_uppercase() } else { name.to_owned() };
    bytes.extend_from_slice(format!("{name}:{}", style.blank.0).as_bytes());
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(format!("{}{line_end}", style.blank.1).as_bytes());
}

fn body(bytes: &mut Vec<u8>, body: &Payload, style: &Style) {
    let size = |bytes: &mut Vec<u8>, size: usize| {
        let digits = if style.upper_case { format!("{size:X}") } else { format!("{size:x}") };
        bytes.extend_from_slice(format!("{}{digits}{}\r\n", "0".repeat(style.zeros), style.extension).as_bytes());
    };
    match body {
        Payload::None => {}
        Payload::Whole(body) => bytes.extend_from_slice(&body.0),
        Payload::Pieces(pieces, trailers) => {
            for piece in pieces.iter().filter(|piece| !piece.0.is_empty()) {
                size(bytes, piece.0.len());
                bytes.extend_from_slice(&piece.0);
                bytes.extend_from_slice(b"\r\n");
            }
            size(bytes, 0);
            for (name, value) in trailers {
                field(bytes, name, &value.0, style, "\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
        }
    }
}
