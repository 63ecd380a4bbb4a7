//! The signature by which a receiver knows that a message is ours and of now.
//!
//! The signature is over the time and the body, `TIMESTAMP.BODY`: over the body alone, an attacker who saw a message
//! could send it again next year. Each attempt is signed anew, at its own time.

use ring::hmac::{HMAC_SHA256, Key, sign};

/// The header with the signature.
pub(crate) const SIGNATURE: &str = "x-pointsman-signature";

/// The header with the seconds since 1970 that are signed.
pub(crate) const TIMESTAMP: &str = "x-pointsman-timestamp";

/// The value of [`SIGNATURE`] for a body that is sent at a time: `sha256=` and the HMAC-SHA256 in hex.
#[must_use]
pub(crate) fn signature(secret: &[u8], timestamp_s: i64, body: &[u8]) -> String {
    let signed = [timestamp_s.to_string().as_bytes(), b".", body].concat();
    format!("sha256={}", hmac_hex(secret, &signed))
}

fn hmac_hex(secret: &[u8], message: &[u8]) -> String {
    let tag = sign(&Key::new(HMAC_SHA256, secret), message);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, 4.2, 4.3 and 4.7.
    #[test]
    fn the_hmac_is_that_of_the_rfc() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (secret, message, wanted) in cases {
            assert_eq!(hmac_hex(secret, message), wanted);
        }
    }

    #[test]
    fn the_time_is_signed_too() {
        let signed = signature(b"secret", 1_700_000_000, b"{}");
        assert_eq!(signed, format!("sha256={}", hmac_hex(b"secret", b"1700000000.{}")));
        assert_ne!(signed, signature(b"secret", 1_700_000_001, b"{}"));
    }
}
