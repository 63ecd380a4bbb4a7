//! What is known of the objectives of all services, in the process that counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::store::slo_rows::SloHourRow;
use crate::shared::additive::Additive;
use crate::slo::slo_budget::SloBudget;
use crate::slo::slo_history::SloHistory;
use crate::slo::steadiness;
use crate::stats::{SloStats, SloTotals};
use crate::table::spec::slo::SloSpec;
use crate::table::{ActiveSlo, Name, Table};

/// All services that have, or had, objectives while the process ran.
#[derive(Debug, Default)]
pub(crate) struct SloBook {
    services: BTreeMap<Name, KnownSlo>,
    /// When the counters were looked at last, in seconds since 1970.
    now_s: u64,
}

/// What is known of one.
#[derive(Debug)]
struct KnownSlo {
    /// Its objectives; none any more. The counts stay: they may come back.
    spec: Option<Arc<SloSpec>>,
    stats: Arc<SloStats>,
    /// What the counters had at the last look.
    seen: SloTotals,
    history: SloHistory,
    /// As many hours are known of it as the longest window needs that it had.
    known_hours: u32,
    read: ReadState,
}

/// What is known of the rows in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    /// Nothing yet.
    Never,
    /// They were read, and there may be others: of another process, or older ones.
    Lent,
    /// All of them.
    Current,
}

impl SloBook {
    /// Looks at the counters of the services of `table`, at this moment in seconds since 1970.
    pub(crate) fn look(&mut self, table: &Table, now_s: u64) {
        self.now_s = now_s;
        for known in self.services.values_mut() {
            known.spec = None;
        }
        for service in table.services() {
            if let Some(slo) = &service.slo {
                self.enter(&service.spec.name, slo);
            }
        }
        self.services.values_mut().for_each(|known| known.look(now_s));
    }

    fn enter(&mut self, name: &Name, slo: &ActiveSlo) {
        let spec = Some(Arc::clone(&slo.spec));
        match self.services.get_mut(name) {
            Some(known) => {
                known.spec = spec;
                if slo.spec.window_hours > known.known_hours {
                    known.known_hours = slo.spec.window_hours;
                    known.lend();
                }
            }
            None => {
                let known = KnownSlo {
                    spec,
                    stats: Arc::clone(&slo.stats),
                    seen: SloTotals::default(),
                    history: SloHistory::default(),
                    known_hours: slo.spec.window_hours,
                    read: ReadState::Never,
                };
                self.services.insert(name.clone(), known);
            }
        }
    }

    /// The services whose rows have to be read.
    pub(crate) fn unread(&self) -> Vec<Name> {
        let unread = self.services.iter().filter(|(_, known)| known.read != ReadState::Current);
        unread.map(|(name, _)| name.clone()).collect()
    }

    /// Takes over all rows that the store has of these services.
    pub(crate) fn load(&mut self, services: &[Name], rows: Vec<SloHourRow>) {
        let mut by_service = BTreeMap::<Name, Vec<(u64, SloTotals)>>::new();
        for SloHourRow { service, hour, counts } in rows {
            by_service.entry(service).or_default().push((hour, counts));
        }
        for name in services {
            if let Some(known) = self.services.get_mut(name) {
                known.history.load(by_service.remove(name).unwrap_or_default());
                known.read = ReadState::Current;
            }
        }
    }

    /// Another process may write from now on.
    pub(crate) fn lend(&mut self) {
        self.services.values_mut().for_each(KnownSlo::lend);
    }

    /// What the store does not have as it is. Without having read the store, nothing can be said of it.
    pub(crate) fn unsaved(&self) -> Vec<SloHourRow> {
        let known = self.services.iter().filter(|(_, known)| known.read == ReadState::Current);
        let rows = known.flat_map(|(name, known)| {
            known.history.unsaved().map(|(hour, counts)| SloHourRow { service: name.clone(), hour, counts })
        });
        rows.collect()
    }

    /// Notes what the store has.
    pub(crate) fn note_saved(&mut self, rows: &[SloHourRow]) {
        for SloHourRow { service, hour, counts } in rows {
            if let Some(known) = self.services.get_mut(service) {
                known.history.note_saved(*hour, *counts);
            }
        }
        for known in self.services.values_mut() {
            known.history.forget(self.now_s, known.known_hours);
        }
    }

    /// The budget of a service that has objectives, once the store has been read.
    pub(crate) fn budget(&self, service: &str) -> Option<(Arc<SloSpec>, SloBudget)> {
        let known = self.services.get(service).filter(|known| known.read != ReadState::Never)?;
        let spec = known.spec.as_ref()?;
        Some((Arc::clone(spec), SloBudget::of(spec, &known.history, self.now_s)))
    }

    /// Why the users of a service that has objectives are not well at this moment.
    pub(crate) fn unsteady(&self, service: &str) -> Option<String> {
        let known = self.services.get(service)?;
        steadiness::unsteady(known.spec.as_ref()?, &known.history, self.now_s)
    }
}

impl KnownSlo {
    /// What the store has may be more than is known, from now on.
    fn lend(&mut self) {
        if self.read == ReadState::Current {
            self.read = ReadState::Lent;
        }
    }

    fn look(&mut self, now_s: u64) {
        let counted = self.stats.totals();
        // One that has no objectives any more has requests in flight that began when it had.
        self.history.add(now_s, &counted.since(&self.seen));
        self.seen = counted;
    }
}
