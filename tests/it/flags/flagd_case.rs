//! A flag of a file in flagd's format, asked for in a context: what we say.

use std::borrow::Cow;

use pointsman::testing::flagd::{Datum, FlagContext, FractionalVersion, ImportedFlag, ResolutionCause, parse};
use serde_json::{Map, Value, json};

/// When all of it happens, in seconds since 1970.
pub(super) const NOW: i64 = 1_790_000_000;

/// A context as a client sends it.
#[derive(Debug)]
pub(super) struct SentContext<'a>(pub(super) &'a Map<String, Value>);

impl FlagContext for SentContext<'_> {
    fn targeting_key(&self) -> Option<Cow<'_, str>> {
        self.0.get("targetingKey")?.as_str().map(Cow::Borrowed)
    }

    fn attribute(&self, name: &str) -> Option<Datum<'_>> {
        self.0.get(name).map(Datum::from)
    }

    fn version_of(&self, _service: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn seconds(&self) -> i64 {
        NOW
    }
}

/// The flag of a good file.
pub(super) fn flag_of(file: &str, flag: &str, version: FractionalVersion) -> Option<ImportedFlag> {
    let file = parse(file, version).unwrap_or_else(|problems| panic!("{problems}\n{file}"));
    file.flags.into_iter().find(|known| known.key.as_str() == flag)
}

/// What we say, in flagd's words: reason, variant and value, or the word of an error.
pub(super) fn said(flag: &ImportedFlag, context: &Map<String, Value>) -> Value {
    if !flag.enabled {
        return json!({"reason": "DISABLED", "metadata": flag.metadata});
    }
    let found = flag.resolve(&SentContext(context));
    let reason = match found.cause {
        ResolutionCause::Static => "STATIC",
        ResolutionCause::TargetingMatch => "TARGETING_MATCH",
        ResolutionCause::Default => "DEFAULT",
        ResolutionCause::NoVariant(_) | ResolutionCause::TooMuchWork(_) => return json!({"error": "GENERAL"}),
    };
    let mut said = json!({"reason": reason, "metadata": flag.metadata});
    if let Some(index) = found.variant {
        let variant = &flag.variants[usize::from(index)];
        said["variant"] = variant.name.as_str().into();
        said["value"] = variant.value.clone();
    }
    said
}

/// How a client asks for this flag: by the type of its variants.
pub(super) fn type_of(flag: &ImportedFlag) -> &'static str {
    match &flag.variants[0].value {
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Number(_) if flag.variants.iter().all(|variant| variant.value.is_i64()) => "integer",
        Value::Number(_) => "float",
        Value::Null | Value::Array(_) | Value::Object(_) => "object",
    }
}
