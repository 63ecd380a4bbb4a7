//! Heads to bytes, and the framing of bodies that are sent.

use std::io::Write;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::write_buf::WriteBuf;
use crate::message::Headers;
use crate::message::known_headers::DATE;

/// Writes the head of a request with a target in origin form. The framing headers are the caller's.
pub(crate) fn write_request(write_buf: &mut WriteBuf, method: &Method, target: &[u8], headers: &Headers) {
    let out = write_buf.small();
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    if target.starts_with(b"?") {
        // The path of `http://host?query`, which is none (RFC 9112, 3.2.1).
        out.push(b'/');
    }
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    headers.write(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a response, with a `date` (such as `Sat, 21 Nov 2026 12:00:00 GMT`) if it has none (RFC 9110,
/// 6.6.1), and `framing`, whole lines that are not among them. Always HTTP/1.1: the version is the server's, not the
/// client's (RFC 9110, 2.5).
pub(crate) fn write_response(
    write_buf: &mut WriteBuf,
    status: StatusCode,
    headers: &Headers,
    framing: &[u8],
    date: impl FnOnce() -> [u8; 29],
) {
    let out = write_buf.small();
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    headers.write(out);
    out.extend_from_slice(framing);
    if !headers.contains(DATE) {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(&date());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of an interim response (RFC 9110, 15.2), which is all of it: no date, no framing.
pub(crate) fn write_interim(write_buf: &mut WriteBuf, status: StatusCode, headers: &Headers) {
    let out = write_buf.small();
    for part in [&b"HTTP/1.1 "[..], status.as_str().as_bytes(), b" "] {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    headers.write(out);
    out.extend_from_slice(b"\r\n");
}

fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Frames a body that is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyEncoder {
    /// This many bytes have to follow, without more framing.
    Length(u64),
    /// In chunks.
    Chunked,
    /// The connection is closed at its end.
    UntilClose,
}

/// A body that is not as long as its head said. The reader of the connection must not take what follows for something
/// else: it has to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the body is not as long as its head said")]
pub(crate) struct WrongLength;

impl BodyEncoder {
    /// Puts `data` into the write buffer, which has to have [room](WriteBuf::has_room).
    ///
    /// # Errors
    /// [`WrongLength`] when it is more than was announced; nothing of it is written then.
    pub(crate) fn data(&mut self, write_buf: &mut WriteBuf, data: Bytes) -> Result<(), WrongLength> {
        match self {
            Self::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WrongLength)?;
                write_buf.push(data, b"");
            }
            Self::UntilClose => write_buf.push(data, b""),
            // An empty chunk would end the body.
            Self::Chunked if data.is_empty() => {}
            Self::Chunked => {
                // Writing to memory does not fail.
                let _infallible = write!(write_buf.small(), "{:x}\r\n", data.len());
                write_buf.push(data, b"\r\n");
            }
        }
        Ok(())
    }

    /// Ends the body, with trailers if its framing has room for them.
    ///
    /// # Errors
    /// [`WrongLength`] when it is less than was announced.
    pub(crate) fn end(&mut self, write_buf: &mut WriteBuf, trailers: Option<&HeaderMap>) -> Result<(), WrongLength> {
        match self {
            Self::Length(0) | Self::UntilClose => Ok(()),
            Self::Length(_) => Err(WrongLength),
            Self::Chunked => {
                let out = write_buf.small();
                out.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    write_trailers(out, trailers);
                }
                out.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }
}
