//! `[notify.NAME]`: the receivers that are told what rollouts do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::config::build::Build;
use crate::config::check::{self, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Setting, TimeSpan};
use crate::config::url::{self, TIMEOUT, TIMEOUT_MAX};
use crate::problem::{Mismatch, listed, suggest};
use crate::rollout::event::EventWord;
use crate::rollout::release::Notify;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawNotify {
    url: Option<String>,
    secret_file: Option<String>,
    timeout: Option<Setting<TimeSpan>>,
    retries: Option<Setting<Quantity>>,
    events: Option<List<String>>,
}

/// All of them, in order of their names.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawNotify>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<Arc<Notify>>, ErrorGuaranteed> {
    check::every(raw.iter().map(|(name, raw)| raw.build(name, &at.key(name), build).map(Arc::new)))
}

impl RawNotify {
    fn build(&self, name: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Notify, ErrorGuaranteed> {
        let (base, report) = (build.base, &mut build.report);
        let name = check::name(name, at, report);
        let url = url::url(self.url.as_deref(), url::RECEIVER, &at.key("url"), report);
        let secret_file = check::secret_file(self.secret_file.as_deref(), base, &at.key("secret_file"), report);
        let range = TimeSpan::millis(1)..=TIMEOUT_MAX;
        let timeout = setting(self.timeout, TimeSpan(TIMEOUT), range, &at.key("timeout"), report);
        // With pauses that double from a second on, half a minute: a restart of the receiver.
        let retries = setting(self.retries, Quantity(5), Quantity(0)..=Quantity(100), &at.key("retries"), report);
        let events =
            self.events.as_ref().map_or(Ok(EventWord::usual()), |events| events_of(events, &at.key("events"), report));
        Ok(Notify {
            name: name?,
            url: url?,
            secret_file: secret_file?,
            timeout: timeout?.0,
            retries: u32::try_from(retries?.0).unwrap_or(u32::MAX),
            events: events?,
        })
    }
}

/// The events that a receiver wants.
fn events_of(
    words: &List<String>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<EventWord>, ErrorGuaranteed> {
    if words.is_empty() {
        let problem =
            Mismatch::new("no event", "one at least", "leave it out for the usual ones, or remove the section");
        return Err(report.problem(at, problem.to_owned()));
    }
    check::every(words.iter().map(|(index, word)| {
        let known = || EventWord::ALL.map(EventWord::word);
        EventWord::ALL.into_iter().find(|event| event.word() == word).ok_or_else(|| {
            let remedy =
                suggest(word, known()).map_or("write one of these".to_owned(), |near| format!("write {near:?}"));
            report.problem(
                &at.item(index),
                Mismatch::new(format!("{word:?}"), format!("one of {}", listed(known())), remedy),
            )
        })
    }))
}
