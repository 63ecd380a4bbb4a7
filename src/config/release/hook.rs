//! `upgrade` and `undo` of a rolling release: `{ command = [...] }`, `{ webhook = { url = "..." } }` or
//! `"acknowledge"`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::config::url::{RawWebhook, TIMEOUT_MAX};
use crate::problem::{Mismatch, listed, suggest};
use crate::rollout::release::Hook;

/// A service that is not up again after ten minutes will not come.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The one who has to say that it is done may be a person, who comes back from lunch.
const TIMEOUT_OF_PEOPLE: Duration = Duration::from_secs(3_600);

/// As it is written.
#[derive(Debug)]
pub(crate) enum RawHook {
    Word(String),
    Table(RawHookTable),
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawHookTable {
    command: Option<List<String>>,
    webhook: Option<RawWebhook>,
    acknowledge: Option<bool>,
    timeout: Option<Setting<TimeSpan>>,
}

impl<'de> Deserialize<'de> for RawHook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HookVisitor)
    }
}

const WANTED: &str = "{ command = [\"PROGRAM\", \"{endpoint}\"] }, { webhook = { url = \"...\" } } or \"acknowledge\"";

struct HookVisitor;

impl<'de> Visitor<'de> for HookVisitor {
    type Value = RawHook;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WANTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawHook, E> {
        Ok(RawHook::Word(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawHook, A::Error> {
        RawHookTable::deserialize(MapAccessDeserializer::new(table)).map(RawHook::Table)
    }
}

impl RawHook {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Hook, ErrorGuaranteed> {
        match self {
            Self::Word(word) if word == "acknowledge" => Ok(Hook::Acknowledge { timeout: TIMEOUT_OF_PEOPLE }),
            Self::Word(word) => {
                let remedy = "a program stands in a list: no shell reads it";
                Err(report.problem(at, Mismatch::new(format!("{word:?}"), WANTED, remedy)))
            }
            Self::Table(table) => table.build(at, report),
        }
    }
}

impl RawHookTable {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Hook, ErrorGuaranteed> {
        let timeout = |default, report: &mut Report<'_>| {
            setting(self.timeout, TimeSpan(default), TimeSpan::millis(1)..=TIMEOUT_MAX, &at.key("timeout"), report)
        };
        match (&self.command, &self.webhook, self.acknowledge) {
            (Some(command), None, None) => {
                let timeout = timeout(TIMEOUT, report);
                let arguments = arguments(command, &at.key("command"), report);
                Ok(Hook::Command { arguments: arguments?, timeout: timeout?.0 })
            }
            (None, Some(webhook), None) => {
                if self.timeout.is_some() {
                    let text = Mismatch::new(
                        "it beside a webhook",
                        "it inside",
                        "write webhook = { url = \"...\", timeout = \"10m\" }",
                    );
                    report.problem(&at.key("timeout"), text);
                }
                webhook.build(TIMEOUT, &at.key("webhook"), report).map(Hook::Webhook)
            }
            (None, None, Some(true)) => {
                timeout(TIMEOUT_OF_PEOPLE, report).map(|timeout| Hook::Acknowledge { timeout: timeout.0 })
            }
            (None, None, Some(false)) => {
                let text = Mismatch::new("false", "true", "name a command or a webhook instead");
                Err(report.problem(&at.key("acknowledge"), text))
            }
            (None, None, None) => {
                let text = Mismatch::new("no key", "one of command, webhook, acknowledge", "add one");
                Err(report.missing(at, text))
            }
            _ => {
                let text = Mismatch::new("several keys", "one of command, webhook, acknowledge", "keep one");
                Err(report.problem(at, text))
            }
        }
    }
}

/// A program and its arguments.
fn arguments(raw: &List<String>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Vec<String>, ErrorGuaranteed> {
    let mut arguments = Vec::new();
    for (index, text) in raw.iter() {
        let at = at.item(index);
        if text.contains('\0') {
            report.problem(&at, Mismatch::new("a NUL character", "text", "remove it"));
        }
        if index == 0 && text.is_empty() {
            report
                .problem(&at, Mismatch::new("an empty text", "the program to run", "name it, best by its whole path"));
        }
        for name in placeholders(text) {
            if index == 0 {
                let text =
                    Mismatch::new(format!("{{{name}}} in the name of the program"), "it in arguments", "move it");
                report.problem(&at, text);
            } else if !Hook::PLACEHOLDERS.contains(&name) {
                let remedy = match suggest(name, Hook::PLACEHOLDERS) {
                    Some(meant) => format!("did you mean {{{meant}}}?"),
                    None => "write one of them".to_owned(),
                };
                let known = listed(Hook::PLACEHOLDERS);
                report.problem(&at, Mismatch::new(format!("{{{name}}}"), format!("one of {known} in braces"), remedy));
            }
        }
        arguments.push(text.clone());
    }
    if raw.is_empty() {
        let text =
            Mismatch::new("none", "a program and its arguments", "write [\"/usr/local/bin/upgrade\", \"{endpoint}\"]");
        return Err(report.missing(at, text));
    }
    report.touched(at).map_or(Ok(arguments), Err)
}

/// The words in braces; other braces, such as those of JSON, are text.
pub(crate) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let word = |name: &&str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).filter(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_braces_are_text() {
        for (text, wanted) in [
            ("{endpoint}", &["endpoint"][..]),
            ("http://{host}:{port}/x", &["host", "port"]),
            ("{\"from\": \"{from}\", \"n\": {}}", &["from"]),
            ("${1} {a b} {x-y} {", &[]),
            ("}{to", &[]),
        ] {
            assert_eq!(placeholders(text).collect::<Vec<_>>(), wanted, "{text}");
        }
    }
}
