//! The context of a call: who the user is, in the words of the one who asks.

use serde_json::{Map, Value};

use super::protocol_error::{ErrorCode, ProtocolError};

/// The largest body of a call, in bytes. Contexts that programs make have some hundred; what has more is no description
/// of a user.
pub(crate) const CONTEXT_BYTES_MAX: usize = 64 * 1024;

/// The most values in a context, those inside of others included.
const VALUES_MAX: usize = 1000;

/// How deep values may be inside of each other.
const DEPTH_MAX: usize = 16;

/// The longest key of a user, in bytes: it is hashed for every flag.
const KEY_BYTES_MAX: usize = 1024;

/// Where the key of the user stands.
const TARGETING_KEY: &str = "targetingKey";

/// What a call says of its user.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct EvaluationContext {
    values: Map<String, Value>,
}

impl EvaluationContext {
    /// Reads the body of a call: `{"context": {"targetingKey": "user-1", ...}}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let unparsed = |details: String| Err(ProtocolError::bad_request(ErrorCode::ParseError, details));
        let invalid = |details: String| Err(ProtocolError::bad_request(ErrorCode::InvalidContext, details));
        if body.len() > CONTEXT_BYTES_MAX {
            return Err(Self::too_large());
        }
        if body.trim_ascii().is_empty() {
            return unparsed("found no body, want {\"context\": {\"targetingKey\": ...}}".to_owned());
        }
        let mut body = match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => body,
            Ok(other) => return unparsed(format!("found {}, want {{\"context\": {{...}}}}", kind(&other))),
            Err(error) => return unparsed(format!("the body is not good JSON: {error}")),
        };
        let values = match body.remove("context") {
            Some(Value::Object(values)) => values,
            Some(other) => return invalid(format!("found {} for context, want an object", kind(&other))),
            None => return invalid("found no context, want {\"context\": {\"targetingKey\": ...}}".to_owned()),
        };
        let mut left = VALUES_MAX;
        if !values.values().all(|value| fits(value, DEPTH_MAX, &mut left)) {
            let wanted = format!("at most {VALUES_MAX} values, and {DEPTH_MAX} inside of each other");
            return invalid(format!("the context has too many values, want {wanted}"));
        }
        match values.get(TARGETING_KEY) {
            Some(Value::String(key)) if key.len() > KEY_BYTES_MAX => {
                invalid(format!("found a {TARGETING_KEY} of {} bytes, want at most {KEY_BYTES_MAX}", key.len()))
            }
            None | Some(Value::String(_) | Value::Null) => Ok(Self { values }),
            Some(other) => invalid(format!("found {} for {TARGETING_KEY}, want a text", kind(other))),
        }
    }

    /// The refusal of a body that is larger than any may be.
    pub(crate) fn too_large() -> ProtocolError {
        let details = format!("found a body of more than {CONTEXT_BYTES_MAX} bytes, want a smaller context");
        ProtocolError::bad_request(ErrorCode::InvalidContext, details)
    }

    /// The key of the user; an empty one is none.
    pub(crate) fn targeting_key(&self) -> Option<&str> {
        self.values.get(TARGETING_KEY)?.as_str().filter(|key| !key.is_empty())
    }

    /// All that is said of the user.
    pub(crate) fn into_values(self) -> Map<String, Value> {
        self.values
    }
}

/// Whether there are no more values than may be.
fn fits(value: &Value, depth: usize, left: &mut usize) -> bool {
    let (Some(inner), Some(rest)) = (depth.checked_sub(1), left.checked_sub(1)) else { return false };
    *left = rest;
    match value {
        Value::Array(values) => values.iter().all(|value| fits(value, inner, left)),
        Value::Object(values) => values.values().all(|value| fits(value, inner, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// What a value is, for people.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (&'static str, String) {
        let error = EvaluationContext::parse(body.as_bytes()).expect_err(body);
        assert_eq!(error.status, http::StatusCode::BAD_REQUEST);
        (error.code.word(), error.details.into_owned())
    }

    #[test]
    fn a_context_is_a_key_and_attributes() {
        let body = br#"{"context":{"targetingKey":"ann","plan":"pro","age":42,"share":1.50,"new":true,"none":null,
            "list":[1],"inner":{"a":1}},"more":1}"#;
        let context = EvaluationContext::parse(body).expect("a context");
        assert_eq!(context.targeting_key(), Some("ann"));
        let values = context.into_values();
        let names: Vec<_> = values.keys().map(String::as_str).collect();
        assert_eq!(names, ["age", "inner", "list", "new", "none", "plan", "share", "targetingKey"]);
        assert_eq!((&values["age"], &values["inner"]["a"]), (&Value::from(42), &Value::from(1)));
        for none in ["{}", r#"{"targetingKey":""}"#, r#"{"targetingKey":null}"#] {
            let context = EvaluationContext::parse(format!("{{\"context\":{none}}}").as_bytes()).expect(none);
            assert_eq!(context.targeting_key(), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_context_is_refused_in_the_protocols_words() {
        for (body, code, details) in [
            ("", "PARSE_ERROR", "found no body"),
            ("  ", "PARSE_ERROR", "found no body"),
            ("[]", "PARSE_ERROR", "found a list, want {\"context\""),
            ("17", "PARSE_ERROR", "found a number"),
            ("null", "PARSE_ERROR", "found null"),
            ("{\"context\":", "PARSE_ERROR", "EOF"),
            ("{\"context\":{\"a\":NaN}}", "PARSE_ERROR", "not good JSON"),
            ("\u{7f}", "PARSE_ERROR", "not good JSON"),
            ("{}", "INVALID_CONTEXT", "found no context"),
            ("{\"context\":[]}", "INVALID_CONTEXT", "found a list for context, want an object"),
            ("{\"context\":null}", "INVALID_CONTEXT", "found null"),
            ("{\"context\":{\"targetingKey\":17}}", "INVALID_CONTEXT", "found a number for targetingKey, want a text"),
            ("{\"context\":{\"targetingKey\":[\"a\"]}}", "INVALID_CONTEXT", "found a list for targetingKey"),
        ] {
            let (found, said) = refused(body);
            assert_eq!(found, code, "{body}: {said}");
            assert!(said.contains(details), "{body}: {said}");
        }
    }

    #[test]
    fn a_context_is_bounded_in_bytes_depth_values_and_key() {
        let context = |inner: &str| format!("{{\"context\":{{{inner}}}}}");
        let megabytes = context(&format!("\"a\":\"{}\"", "x".repeat(3 << 20)));
        let deep = |depth: usize| context(&format!("\"a\":{}1{}", "[".repeat(depth), "]".repeat(depth)));
        let many = |count: usize| {
            let values: Vec<_> = (0..count).map(|n| format!("\"a{n}\":{n}")).collect();
            context(&values.join(","))
        };
        let key = |bytes: usize| context(&format!("\"targetingKey\":\"{}\"", "k".repeat(bytes)));
        for (bad, details) in [
            (&megabytes, "more than 65536 bytes"),
            (&deep(DEPTH_MAX), "too many values"),
            (&many(VALUES_MAX + 1), "too many values"),
            (&context(&format!("\"a\":[{}1]", "1,".repeat(VALUES_MAX))), "too many values"),
            (&key(KEY_BYTES_MAX + 1), "a targetingKey of 1025 bytes"),
        ] {
            let (code, said) = refused(bad);
            assert!(code == "INVALID_CONTEXT" && said.contains(details), "{code} {said}");
        }
        // Deeper than the parser goes.
        assert_eq!(refused(&deep(10_000)).0, "PARSE_ERROR");
        for good in [deep(DEPTH_MAX - 1), many(VALUES_MAX), key(KEY_BYTES_MAX)] {
            assert!(EvaluationContext::parse(good.as_bytes()).is_ok());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_can_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            EvaluationContext::parse(&body).ok();
        }

        #[test]
        fn no_json_can_panic(inner in "[\\[\\]{}\",:a0-9 \\\\tnu.-]{0,80}") {
            EvaluationContext::parse(format!("{{\"context\":{inner}}}").as_bytes()).ok();
        }
    }
}
