//! What a run would be, before it is begun: how many users it reaches, and whether it could begin now.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::chaos::chaos_definition::ChaosDefinition;
use crate::chaos::chaos_schedule::ChaosClosed;
use crate::chaos::chaos_time::written;
use crate::metrics::recent_rates::RecentRates;
use crate::table::Table;

/// What a run would be.
#[derive(Clone, Debug)]
pub(crate) struct ChaosPreview {
    /// What would be executed.
    pub definition: Arc<ChaosDefinition>,
    /// Users in each slice, in per cent of those of the service.
    pub share: f64,
    /// Requests per second in each slice, by those of the last seconds; none before there were any looks.
    pub requests_per_second: Option<f64>,
    /// Why it may not begin now, if its windows are closed.
    pub closed: Option<ChaosClosed>,
}

impl ChaosPreview {
    /// Of a definition, with the traffic of this moment.
    pub(crate) fn of(definition: &Arc<ChaosDefinition>, table: &Table, live: &RecentRates, now: Timestamp) -> Self {
        let target = &definition.target;
        let requests_per_second = table.service_named(target.service.as_str()).map(|service| {
            let meant = |name: &str| target.version.as_ref().is_none_or(|version| version.as_str() == name);
            let versions = service.versions.iter().filter(|version| meant(version.name.as_str()));
            let windows = versions.map(|version| live.window(service, version, Instant::now()));
            let all: f64 = windows.map(|window| window.per_second(window.recent.requests())).sum();
            all * target.share.ratio()
        });
        let closed = definition.only.open_for(now, definition.took()).err();
        let share = target.share.percent();
        Self { definition: Arc::clone(definition), share, requests_per_second, closed }
    }

    /// When its windows open, if they are closed and that is known.
    pub(crate) fn opens_at(&self) -> Option<String> {
        match self.closed? {
            ChaosClosed::Now { opens } => opens.map(written),
            ChaosClosed::TooShort { .. } => None,
        }
    }

    /// All of it in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let (share, name) = (self.share, &self.definition.name);
        let rate = self.requests_per_second.map_or_else(String::new, |rate| format!(", {rate:.1} requests/s"));
        let slices = if self.definition.command().is_some() {
            format!("a command for all users{rate}")
        } else {
            format!("{share} % of the users in each of two slices{rate} in each")
        };
        let windows = match self.closed {
            None => "it can begin now".to_owned(),
            Some(closed) => closed_text(closed),
        };
        format!(
            "{name}: {slices}, for {:?} after a baseline of {:?}; {windows}",
            self.definition.duration, self.definition.baseline
        )
    }
}

/// Why windows are closed, for people.
pub(crate) fn closed_text(closed: ChaosClosed) -> String {
    match closed {
        ChaosClosed::Now { opens: Some(opens) } => format!("no window of `only` is open before {}", written(opens)),
        ChaosClosed::Now { opens: None } => "no window of `only` is open for more than a week".to_owned(),
        ChaosClosed::TooShort { closes } => {
            format!("the window of `only` closes at {}, before its end", written(closes))
        }
    }
}
