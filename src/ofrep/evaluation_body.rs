//! Asks for flags, and writes what the protocol says of them.
//!
//! The text is written by hand and not by a serializer: values stand in the table as JSON already, and one that is read
//! and written again may change its type (`1.0` is a float to the client that asked for one, and `1` is not).

use std::fmt::Write as _;

use serde_json::Value;

use super::entity_tag::EntityTag;
use super::protocol_call::EVENTS;
use super::protocol_error::{ErrorCode, ProtocolError};
use crate::flags::user::FlagUser;
use crate::flags::{Evaluation, FlagCause, evaluate};
use crate::table::compiled_flag::Flag;
use crate::table::spec::flag::FlagSource;
use crate::table::{Name, Table};

/// What a flag gets that is drawn by a key, of a user who has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WithoutKey {
    /// An error: the caller has to say who the user is.
    Refused,
    /// The default: it is not known who the user is.
    Default,
}

/// The body of a bulk response, and its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BulkBody {
    /// The text.
    pub(crate) text: String,
    /// The tag.
    pub(crate) tag: EntityTag,
}

/// The body of the response to a call for one flag.
///
/// # Errors
/// The refusal: there is no such flag, or no key to draw it by.
pub(crate) fn single(
    table: &Table,
    name: &str,
    user: &impl FlagUser,
    without: WithoutKey,
) -> Result<String, ProtocolError> {
    let flag = table.flags().named(name).ok_or_else(|| ProtocolError::no_flag(name))?;
    let evaluation = evaluated(table, flag, user, without)?;
    let mut text = String::with_capacity(256);
    write_flag(&mut text, flag, evaluation, Some(table.revision));
    Ok(text)
}

/// The body of the response to a call for all flags. What is wrong with one of them stands in its place.
pub(crate) fn bulk(table: &Table, user: &impl FlagUser, without: WithoutKey) -> BulkBody {
    let flags = &table.flags().flags;
    let mut text = String::with_capacity(128 + 160 * flags.len());
    text.push_str("{\"flags\":[");
    for (index, flag) in flags.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match evaluated(table, flag, user, without) {
            Ok(evaluation) => write_flag(&mut text, flag, evaluation, None),
            Err(error) => text.push_str(&error.body(Some(flag.spec.name.as_str()))),
        }
    }
    text.push(']');
    // Not of what follows: a client that has the same flags has all it wants.
    let tag = EntityTag::of(table.revision, &text);
    let events = format!("[{{\"type\":\"sse\",\"endpoint\":{{\"requestUri\":\"{EVENTS}\"}}}}]");
    text.push_str(&format!(",\"metadata\":{{\"revision\":{}}},\"eventStreams\":{events}}}", table.revision));
    BulkBody { text, tag }
}

fn evaluated(
    table: &Table,
    flag: &Flag,
    user: &impl FlagUser,
    without: WithoutKey,
) -> Result<Evaluation, ProtocolError> {
    let evaluation = evaluate(table, flag, user);
    match evaluation.why {
        FlagCause::NoKey if without == WithoutKey::Refused => Err(ProtocolError::no_key()),
        // The code that asks has a default for this.
        FlagCause::NoVariant | FlagCause::TooMuchWork => {
            Err(ProtocolError::bad_request(ErrorCode::General, crate::flags::reason(flag, evaluation)))
        }
        FlagCause::NoKey
        | FlagCause::Disabled
        | FlagCause::Rule(_)
        | FlagCause::Slot { .. }
        | FlagCause::Experiment(_)
        | FlagCause::Default
        | FlagCause::Followed
        | FlagCause::Static
        | FlagCause::Targeting => Ok(evaluation),
    }
}

/// Writes one flag. A variant is there always, for clients read it without a look whether it is; it is empty, and there
/// is no value, where an imported flag leaves both to the code that asks.
fn write_flag(text: &mut String, flag: &Flag, evaluation: Evaluation, revision: Option<u64>) {
    let variant = evaluation.variant.and_then(|index| flag.spec.variants.get(usize::from(index)));
    let decided_by = match evaluation.why {
        FlagCause::Rule(rule) | FlagCause::Slot { rule, .. } => {
            flag.spec.rules().get(usize::from(rule)).map(|rule| ("rule", &rule.name))
        }
        FlagCause::Experiment(index) => flag.experiments.name(index).map(|name| ("experiment", name)),
        FlagCause::Disabled
        | FlagCause::NoKey
        | FlagCause::Default
        | FlagCause::Followed
        | FlagCause::Static
        | FlagCause::Targeting
        | FlagCause::NoVariant
        | FlagCause::TooMuchWork => None,
    };
    text.push_str("{\"key\":");
    write_quoted(text, &flag.spec.name);
    text.push_str(",\"reason\":\"");
    text.push_str(reason(flag, evaluation));
    text.push_str("\",\"variant\":");
    match variant {
        Some(variant) => {
            write_quoted(text, &variant.name);
            text.push_str(",\"value\":");
            text.push_str(&variant.json);
        }
        None => text.push_str("\"\""),
    }
    write_metadata(text, flag, revision, decided_by);
    text.push('}');
}

/// Writes what is known of a flag beside its value: the revision, the rule or experiment, and what an imported file
/// says of it.
fn write_metadata(text: &mut String, flag: &Flag, revision: Option<u64>, decided_by: Option<(&str, &Name)>) {
    const OPENED: &str = ",\"metadata\":{";
    let mut before = OPENED;
    // Writing to a string does not fail.
    if let Some(revision) = revision {
        let _written = write!(text, "{before}\"revision\":{revision}");
        before = ",";
    }
    if let Some((what, name)) = decided_by {
        let _written = write!(text, "{before}\"{what}\":");
        write_quoted(text, name);
        before = ",";
    }
    let source = if let FlagSource::Imported(source) = &flag.spec.source { Some(source) } else { None };
    let imported = source.into_iter().flat_map(|source| &source.flag.metadata);
    // One that is called like ours would stand there twice.
    for (name, value) in imported.filter(|(name, _)| !["revision", "rule", "experiment"].contains(&name.as_str())) {
        text.push_str(before);
        write_quoted(text, name);
        let _written = write!(text, ":{value}");
        before = ",";
    }
    if before != OPENED {
        text.push('}');
    }
}

/// The protocol's word for a cause. Its schema has five, and `DEFAULT`, which would be the word for a flag none of
/// whose rules holds, is not among them.
fn reason(flag: &Flag, evaluation: Evaluation) -> &'static str {
    match evaluation.why {
        FlagCause::Disabled => "DISABLED",
        FlagCause::Slot { .. } | FlagCause::Experiment(_) => "SPLIT",
        FlagCause::Rule(rule) => {
            let always = flag.spec.rules().get(usize::from(rule)).is_some_and(|rule| rule.when.is_none());
            if always { "STATIC" } else { "TARGETING_MATCH" }
        }
        FlagCause::Static => "STATIC",
        FlagCause::Targeting => "TARGETING_MATCH",
        FlagCause::NoKey | FlagCause::NoVariant | FlagCause::TooMuchWork => "UNKNOWN",
        // Also the default, where what is followed has no variant of its own.
        FlagCause::Followed | FlagCause::Default => match &flag.spec.source {
            FlagSource::Service(..) => "SPLIT",
            FlagSource::Flag(..) => "TARGETING_MATCH",
            FlagSource::Rules { rules, .. } if rules.is_empty() => "STATIC",
            FlagSource::Rules { .. } | FlagSource::Imported(..) => "UNKNOWN",
        },
    }
}

/// Writes a text of JSON. Names are rarely such that anything in them has to be escaped.
fn write_quoted(text: &mut String, value: &str) {
    if value.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        text.push_str(&Value::from(value).to_string());
        return;
    }
    text.push('"');
    text.push_str(value);
    text.push('"');
}

#[cfg(test)]
mod tests;
