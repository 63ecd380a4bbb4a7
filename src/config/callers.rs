//! Callers that are no operators: their tokens, by the files that hold them (`[ofrep.tokens]`, `[events.tokens]`), and
//! the origins of pages that may call.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::build::Build;
use super::caller_token::CallerToken;
use super::check::{self, every};
use super::files::{ConfigFiles, ConfigKey};
use super::reader::config_path::ConfigPath;
use super::reader::list::List;
use super::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;

/// The tokens of a section as they are written.
pub(crate) type RawCallerTokens = BTreeMap<String, RawCallerToken>;

/// Where the files of a section's tokens are noted.
pub(crate) type TokenNotes = fn(&mut ConfigFiles) -> &mut Vec<(ConfigKey, CallerToken)>;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawCallerToken {
    file: Option<String>,
}

/// Builds the tokens of a section.
pub(crate) fn tokens(
    raw: &RawCallerTokens,
    notes: TokenNotes,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<CallerToken>, ErrorGuaranteed> {
    every(raw.iter().map(|(name, raw)| raw.build(name, notes, &at.key(name), build)))
}

impl RawCallerToken {
    fn build(
        &self,
        name: &str,
        notes: TokenNotes,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<CallerToken, ErrorGuaranteed> {
        let file_at = at.key("file");
        let file = match &self.file {
            Some(text) => check::file(text, build.base, &file_at, &mut build.report),
            None => {
                let mismatch = Mismatch::new("none", "the file of the token", format!("add file = \"{name}.token\""));
                Err(build.report.missing(&file_at, mismatch))
            }
        };
        let name = check::name(name, at, &mut build.report);
        let (name, file) = (name?, file?);
        let token = CallerToken { name, file };
        let key = build.report.key(&file_at);
        notes(&mut build.report.files).push((key, token.clone()));
        Ok(token)
    }
}

/// Builds a list of origins.
pub(crate) fn origins(
    raw: &List<String>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<String>, ErrorGuaranteed> {
    every(raw.iter().map(|(index, text)| origin(text, &at.item(index), build)))
}

/// An origin as browsers write it (RFC 6454, 6.2).
fn origin(text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<String, ErrorGuaranteed> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let good = host.is_some_and(|host| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(allowed)
    });
    if good {
        return Ok(text.to_owned());
    }
    let wanted = "the origin of pages, such as \"https://shop.example.com\"";
    let remedy = if text == "*" {
        "name each origin: a page of any other one could read what its visitors get"
    } else {
        "write scheme, host in lower case, and the port if it is not the usual one; no path and no slash at the end"
    };
    Err(build.report.problem(at, Mismatch::new(format!("{text:?}"), wanted, remedy)))
}
