//! How other parts ask for budgets: a small handle that every one of them has a clone of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::slo_book::SloBook;
use crate::control::clock::Clock;
use crate::control::publish::Published;
use crate::slo::slo_budget::SloBudget;
use crate::stats::SloTotals;
use crate::table::spec::slo::SloSpec;
use crate::table::{Name, Service, Table, Weight};

/// Whether the users of a service are well at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SteadyAnswer {
    /// Nothing speaks against it.
    Steady,
    /// They are not.
    Unsteady {
        /// Why not, in a sentence.
        reason: String,
    },
    /// There is no such service.
    Unknown,
}

/// The budget of a service, with the objectives that it is of.
#[derive(Clone, Debug)]
pub struct ServiceBudget {
    /// The objectives.
    pub spec: Arc<SloSpec>,
    /// What is left.
    pub budget: SloBudget,
}

/// What the metrics show of a service with objectives.
#[derive(Clone, Debug)]
pub(crate) struct SloGauge {
    /// The service.
    pub service: Name,
    /// What was counted since the start of the process.
    pub counted: SloTotals,
    /// Its budget, once the store has been read.
    pub budget: Option<ServiceBudget>,
    /// Its objectives.
    pub spec: Arc<SloSpec>,
}

/// Asks for budgets. The default one knows no service.
#[derive(Clone, Debug, Default)]
pub struct SloHandle {
    book: Arc<Mutex<SloBook>>,
    table: Option<TableSource>,
}

#[derive(Clone, Debug)]
struct TableSource {
    published: Published,
    clock: Clock,
}

impl SloHandle {
    /// A handle that knows nothing yet; what it is asked is answered by the table in force.
    #[must_use]
    pub fn new(published: Published, clock: Clock) -> Self {
        Self { book: Arc::default(), table: Some(TableSource { published, clock }) }
    }

    /// What is left of the budget of a service, in per cent of what there was: of the objective that has less, and
    /// below 0 when more is gone. None without objectives, and until the store has been read.
    #[must_use]
    pub fn left(&self, service: &str) -> Option<f64> {
        self.budget(service).map(|found| found.budget.left_percent())
    }

    /// Whether the users of a service are well: its versions that have a share have an endpoint that takes requests,
    /// and in the last seconds no budget of it went too fast. Faults of our own count.
    #[must_use]
    pub fn steady(&self, service: &str) -> SteadyAnswer {
        let Some(TableSource { published, clock }) = &self.table else { return SteadyAnswer::Unknown };
        let table = published.load();
        if table.service_named(service).is_none() {
            return SteadyAnswer::Unknown;
        }
        let reason = without_endpoint(&table, service, clock.now_ms()).or_else(|| self.book().unsteady(service));
        reason.map_or(SteadyAnswer::Steady, |reason| SteadyAnswer::Unsteady { reason })
    }

    /// The budget of a service that has objectives, once the store has been read.
    #[must_use]
    pub fn budget(&self, service: &str) -> Option<ServiceBudget> {
        self.book().budget(service).map(|(spec, budget)| ServiceBudget { spec, budget })
    }

    /// What the metrics show.
    pub(crate) fn gauges(&self, table: &Table) -> Vec<SloGauge> {
        let book = self.book();
        let gauge = |service: &Service| {
            let (service, slo) = (service.spec.name.clone(), service.slo.as_ref()?);
            let budget = book.budget(service.as_str()).map(|(spec, budget)| ServiceBudget { spec, budget });
            Some(SloGauge { service, counted: slo.stats.totals(), budget, spec: Arc::clone(&slo.spec) })
        };
        table.services().filter_map(gauge).collect()
    }

    pub(super) fn book(&self) -> MutexGuard<'_, SloBook> {
        // Nothing in there is half done at a panic that could not be looked at.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A version of a service that has a share, and no endpoint for it.
fn without_endpoint(table: &Table, service: &str, now_ms: u64) -> Option<String> {
    let service = table.service_named(service)?;
    let mut with_share = service.versions.iter().filter(|version| version.weight > Weight::ZERO);
    let dead = with_share.find(|version| !version.usable(now_ms))?;
    Some(format!("{} has {} % of the requests and no endpoint that takes any", dead.name, dead.weight))
}
