//! Text out of bytes, with the place of the first byte that is none: an editor that saves in another encoding does not
//! show it.

/// The first byte of a file that does not belong to a text in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: found the byte 0x{byte:02x} at place {place} of the line, want UTF-8; save the file in UTF-8")]
pub(crate) struct NotUtf8 {
    /// Its line, from 1.
    line: usize,
    /// Its place in the line in bytes, from 1.
    place: usize,
    /// What it is.
    byte: u8,
}

/// The text that these bytes are.
///
/// # Errors
/// [`NotUtf8`] where they are none.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let good = &bytes[..at];
        let line_begin = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        NotUtf8 { line, place: 1 + at - line_begin, byte: bytes.get(at).copied().unwrap_or_default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_byte_is_named_with_its_line() {
        assert_eq!(text(b"a = \"\xc3\xa9\"\n".to_vec()).as_deref(), Ok("a = \"\u{e9}\"\n"));
        let error = text(b"a = 1\nb = \"caf\xe9\"\n".to_vec()).expect_err("Latin-1");
        assert_eq!(
            error.to_string(),
            "line 2: found the byte 0xe9 at place 9 of the line, want UTF-8; save the file in UTF-8"
        );
        assert_eq!(text(vec![0xff]).expect_err("no text"), NotUtf8 { line: 1, place: 1, byte: 0xff });
    }
}
