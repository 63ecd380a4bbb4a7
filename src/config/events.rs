//! `[events]`: who may send events of users to listeners with `events = true`, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::build::Build;
use super::caller_token::CallerToken;
use super::callers::{self, RawCallerTokens, TokenNotes};
use super::limits::{RateBy, RawRate, RequestRate};
use super::listener::RawListener;
use super::reader::config_path::ConfigPath;
use super::reader::list::List;
use super::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;

/// Batches of one token in a second: a hundred machines that send what they have once a second.
const BATCHES_A_SECOND: u32 = 100;

/// Who may send events of users, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventsConfig {
    /// One of these is asked for; at least one if a listener takes events.
    pub tokens: Vec<CallerToken>,
    /// Pages of these origins may call, besides those of the site itself.
    pub origins: Vec<String>,
    /// Batches of each token.
    pub rate: RequestRate,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawEvents {
    tokens: RawCallerTokens,
    origins: List<String>,
    rate: Option<RawRate>,
}

impl RawEvents {
    /// Builds the section; `listeners` are those that may take events.
    pub(crate) fn build(
        &self,
        listeners: &BTreeMap<String, RawListener>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<EventsConfig, ErrorGuaranteed> {
        let notes: TokenNotes = |files| &mut files.event_tokens;
        let tokens_at = at.key("tokens");
        let tokens = callers::tokens(&self.tokens, notes, &tokens_at, build);
        let origins = callers::origins(&self.origins, &at.key("origins"), build);
        let rate = self.rate.as_ref().map(|rate| rate.of_callers(&at.key("rate"), &mut build.report)).transpose();
        let mut takes = listeners.iter().filter(|(_, listener)| listener.events == Some(true));
        let written = !(self.tokens.is_empty() && self.origins.is_empty()) || self.rate.is_some();
        match takes.next() {
            Some((name, _)) if self.tokens.is_empty() => {
                let found = format!("none, and listeners.{name} takes events");
                let wanted = "a token: those who send events decide which arm is better";
                let remedy = "add [events.tokens.NAME] with file = \"NAME.token\"";
                return Err(build.report.missing(&tokens_at, Mismatch::new(found, wanted, remedy)));
            }
            None if written => {
                let remedy = "add events = true to a listener, or leave the section out: the admin API takes events \
                              without it";
                let text = Mismatch::new("no listener that takes events", "one at least", remedy);
                return Err(build.report.problem(at, text));
            }
            Some(_) | None => {}
        }
        let usual = RequestRate {
            requests: BATCHES_A_SECOND,
            per: Duration::from_secs(1),
            burst: BATCHES_A_SECOND,
            by: RateBy::Listener,
        };
        Ok(EventsConfig { tokens: tokens?, origins: origins?, rate: rate?.unwrap_or(usual) })
    }
}
