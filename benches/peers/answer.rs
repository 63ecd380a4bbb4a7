//! An answer of the origin, as it comes through a proxy: just as much of HTTP as is needed to know where it ends.

/// The header that says which version answered.
pub(crate) const VERSION: &str = "x-version";

/// The header that repeats the request's `X-Forwarded-For`, where it is asked for.
pub(crate) const SAW: &str = "x-saw-forwarded-for";

/// A whole answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `v1` or `v2`.
    pub(crate) version: String,
    /// What the origin saw as `X-Forwarded-For`, if it was asked to tell.
    pub(crate) forwarded_for: Option<String>,
    /// Of head and body.
    pub(crate) bytes: usize,
}

/// The answer that stands first in `bytes`; `None` as long as it is not whole.
///
/// # Errors
/// It is not one of the origin's.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let (mut length, mut version, mut forwarded_for) = (None, None, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            name if name == VERSION => version = Some(value.to_owned()),
            name if name == SAW => forwarded_for = Some(value.to_owned()),
            _ => {}
        }
    }
    let (Some(status), Some(length), Some(version)) = (status, length, version) else {
        return Err(format!("want an answer of the origin with its length, found {head:?}"));
    };
    let bytes_wanted = end + 4 + length;
    let answer = Answer { status, version, forwarded_for, bytes: bytes_wanted };
    Ok((bytes.len() >= bytes_wanted).then_some(answer))
}
