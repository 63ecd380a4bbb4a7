//! An answer as it comes through a proxy, or from one: just as much of HTTP as is needed to know where it ends.

#![allow(dead_code, reason = "each bench uses a part of it")]

/// The header that says which version answered.
pub(crate) const VERSION: &str = "x-version";

/// The header that repeats the request's `X-Forwarded-For`, where it is asked for.
pub(crate) const SAW: &str = "x-saw-forwarded-for";

/// A whole answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `v1` or `v2`; empty of an answer that did not come from an origin of versions.
    pub(crate) version: String,
    /// What the origin saw as `X-Forwarded-For`, if it was asked to tell.
    pub(crate) forwarded_for: Option<String>,
    /// Of head and body.
    pub(crate) bytes: usize,
}

/// The answer of an origin of versions that stands first in `bytes`; `None` as long as it is not whole.
///
/// # Errors
/// It is not one of the origin's.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<Answer>, String> {
    match any(bytes)? {
        Some(answer) if answer.version.is_empty() => {
            Err(format!("want an answer of the origin, found one of {} without a version", answer.status))
        }
        found => Ok(found),
    }
}

/// The answer of anything that stands first in `bytes`; `None` as long as it is not whole.
///
/// # Errors
/// It does not say how long it is.
pub(crate) fn any(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let (mut length, mut version, mut forwarded_for) = (None, String::new(), None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            name if name == VERSION => version = value.to_owned(),
            name if name == SAW => forwarded_for = Some(value.to_owned()),
            _ => {}
        }
    }
    let (Some(status), Some(length)) = (status, length) else {
        return Err(format!("want an answer with its length, found {head:?}"));
    };
    let bytes_wanted = end + 4 + length;
    let answer = Answer { status, version, forwarded_for, bytes: bytes_wanted };
    Ok((bytes.len() >= bytes_wanted).then_some(answer))
}
