//! One claim out of a token's payload, without allocating.
//!
//! A JSON library would do it in three lines, but allocates where tokens are real: for objects in objects, for escapes,
//! and for the error of a payload that is no JSON, which anybody may send. What is needed is less than JSON: the
//! members of the outermost object, one of which is read and the others skipped. So what is skipped is not judged
//! beyond its strings and brackets; a user whose token is odd inside gets a key all the same.

/// The longest claim that can be a key.
pub(crate) const CLAIM_BYTES_MAX: usize = 256;

/// A claim's value as text: strings decoded, whole numbers as they stand.
pub(crate) struct JwtClaim {
    bytes: [u8; CLAIM_BYTES_MAX],
    len: usize,
}

impl JwtClaim {
    /// The claim of this name; of several the last, `None` unless it is a string of 1 to [`CLAIM_BYTES_MAX`] bytes or a
    /// whole number of 64 bits.
    pub(crate) fn find(payload: &[u8], name: &str) -> Option<Self> {
        let mut scan = Scan { rest: std::str::from_utf8(payload).ok()? };
        let mut claim = None;
        scan.token('{')?;
        if scan.token('}').is_none() {
            loop {
                let mut left = Some(name);
                scan.string(|part| left = left.and_then(|left| left.strip_prefix(part)))?;
                scan.token(':')?;
                if left == Some("") {
                    claim = scan.claim()?
                } else {
                    scan.skip()?
                }
                if scan.token(',').is_none() {
                    scan.token('}')?;
                    break;
                }
            }
        }
        (scan.rest.trim_ascii().is_empty()).then_some(claim)?
    }

    /// The text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, part: &str) -> Option<()> {
        let end = self.len + part.len();
        self.bytes.get_mut(self.len..end)?.copy_from_slice(part.as_bytes());
        self.len = end;
        Some(())
    }
}

/// What is left to read.
struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    /// Steps over white space and this token.
    fn token(&mut self, token: char) -> Option<()> {
        self.rest = self.rest.trim_ascii_start().strip_prefix(token)?;
        Some(())
    }

    /// Steps over a string and hands out its decoded parts.
    fn string(&mut self, mut part: impl FnMut(&str)) -> Option<()> {
        self.token('"')?;
        loop {
            let plain = self.rest.find(|c: char| matches!(c, '"' | '\\') || c < ' ')?;
            part(&self.rest[..plain]);
            let special = self.rest.as_bytes()[plain];
            self.rest = &self.rest[plain + 1..];
            match special {
                b'"' => return Some(()),
                b'\\' => part(self.escape()?.encode_utf8(&mut [0; 4])),
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let kind = self.rest.chars().next()?;
        self.rest = &self.rest[kind.len_utf8()..];
        Some(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.hex()?;
                let second = if (0xd800..0xdc00).contains(&first) {
                    self.rest = self.rest.strip_prefix("\\u")?;
                    Some(self.hex()?)
                } else {
                    None
                };
                char::decode_utf16([first].into_iter().chain(second)).next()?.ok()?
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = self.rest.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.rest = &self.rest[4..];
        u16::from_str_radix(digits, 16).ok()
    }

    /// A number or a word.
    fn bare(&mut self) -> &'a str {
        self.rest = self.rest.trim_ascii_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
        let (bare, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        bare
    }

    /// Reads a value that may be a key; the outer `None` means that the payload is broken.
    fn claim(&mut self) -> Option<Option<JwtClaim>> {
        let mut claim = JwtClaim { bytes: [0; CLAIM_BYTES_MAX], len: 0 };
        let mut fits = Some(());
        if self.rest.trim_ascii_start().starts_with('"') {
            self.string(|part| fits = fits.and_then(|()| claim.push(part)))?;
            return Some(fits.filter(|()| claim.len > 0).map(|()| claim));
        }
        if self.rest.trim_ascii_start().starts_with(['{', '[']) {
            self.skip()?;
            return Some(None);
        }
        let number = self.bare();
        let digits = number.strip_prefix('-').unwrap_or(number);
        let canonical = number == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
        let whole = canonical && (number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok());
        Some((whole && claim.push(number).is_some()).then_some(claim))
    }

    /// Steps over a value of any kind.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest.as_bytes().first()? {
                b'"' => self.string(|_| ())?,
                b'{' | b'[' => {
                    depth += 1;
                    self.rest = &self.rest[1..];
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.rest = &self.rest[1..];
                }
                b',' | b':' if depth > 0 => self.rest = &self.rest[1..],
                _ => {
                    // Something must be there, or the scan would stand still.
                    if self.bare().is_empty() {
                        return None;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn found(payload: &str) -> Option<String> {
        JwtClaim::find(payload.as_bytes(), "sub").map(|claim| String::from_utf8_lossy(claim.as_bytes()).into_owned())
    }

    /// What a JSON library makes of it.
    fn expected(payload: &str) -> Option<String> {
        match serde_json::from_str::<Value>(payload).ok()?.as_object()?.get("sub")? {
            Value::String(text) if (1..=CLAIM_BYTES_MAX).contains(&text.len()) => Some(text.clone()),
            Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
            Value::String(_) | Value::Number(_) => None,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z\"\\\\\u{1}\u{e9}\u{1f680}]{0,12}".prop_map(Value::from),
        ];
        let key = || prop_oneof![Just("sub".to_owned()), "[a-z\"\\\\]{0,4}"];
        leaf.prop_recursive(3, 24, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key(), inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_json_library_finds_the_same(subject in value(), more in value(), pretty: bool) {
            let payload = json!({ "a": more, "sub": subject, "z": [more], "s": "sub" });
            let text = if pretty { format!("{payload:#}") } else { payload.to_string() };
            prop_assert_eq!(found(&text), expected(&text), "{}", text);
            // Escapes that a writer may choose and this one does not.
            let escaped = text.replace("\"sub\"", "\"s\\u0075b\"");
            prop_assert_eq!(found(&escaped), expected(&escaped), "{}", escaped);
        }

        #[test]
        fn a_broken_payload_neither_panics_nor_yields_another_key(more in value(), cut: prop::sample::Index) {
            let text = json!({ "a": more, "sub": "user-1", "z": more }).to_string();
            let cut = cut.index(text.len());
            prop_assert_eq!(JwtClaim::find(&text.as_bytes()[..cut], "sub").is_some(), false);
            let mut bytes = text.clone().into_bytes();
            bytes.remove(cut);
            let _ = JwtClaim::find(&bytes, "sub");
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,\" \\\\u0-9a-fsub-]{0,60}", bytes: Vec<u8>) {
            let _ = (found(&text), JwtClaim::find(&bytes, "sub"));
        }
    }

    #[test]
    fn odd_payloads() {
        for (payload, key) in [
            (r#"{"sub":"a","sub":"b"}"#, Some("b")),
            (r#" { "sub" : "x" } "#, Some("x")),
            (r#"{"sub":"\ud83d\ude80"}"#, Some("🚀")),
            (r#"{"sub":"\ud83d"}"#, None),
            (r#"{"sub":"\ud83d\u0041"}"#, None),
            (r#"{"sub":18446744073709551615}"#, Some("18446744073709551615")),
            (r#"{"sub":18446744073709551616}"#, None),
            (r#"{"sub":-7}"#, Some("-7")),
            (r#"{"sub":-0}"#, None),
            (r#"{"sub":007}"#, None),
            (r#"{"sub":true}"#, None),
            (r#"{"sub":"x"}}"#, None),
            (r#"{"sub":"x",}"#, None),
            (r#"{"sub" "x"}"#, None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(found(payload).as_deref(), key, "{payload}");
        }
        let deep = format!(r#"{{"a":{}{},"sub":"x"}}"#, "[".repeat(2_000), "]".repeat(2_000));
        assert_eq!(found(&deep).as_deref(), Some("x"), "no recursion that a client could make deep");
    }
}
