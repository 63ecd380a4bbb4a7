//! Looks after the endpoints: asks those whose version has `health` whether they are well, and tells the data plane
//! through their [`EndpointHealth`](crate::shared::endpoint_health::EndpointHealth), where the whole model is written
//! down.
//!
//! It also sums what the workers saw and ejects by it (`outliers`), tries endpoints that refused a connection until
//! they take one (`reconnect`), and begins the slow start of endpoints that are new beside old ones.
//!
//! [`rise_fall`] turns single results into a verdict and is pure; [`probe`] is one check; this file runs a task for
//! each endpoint that is checked, on the control plane's own thread: checks are not traffic, share no connection with
//! it, are in none of its counts, and go on when the workers are busy.
//!
//! **An endpoint that was not checked yet takes requests.** A proxy that starts (or takes a new version in) would
//! otherwise refuse everybody until the first answers are there. The first check comes within a fraction of its
//! interval, and its result decides alone, as in HAProxy and Envoy; after that it takes `fall` failures or `rise`
//! successes in a row.

mod check_tasks;
pub(crate) mod endpoint_status;
mod outliers;
pub(crate) mod probe;
mod reconnect;
pub(crate) mod resolve;
pub(crate) mod rise_fall;
mod slow_start;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::time::{MissedTickBehavior, interval};

use crate::control::clock::Clock;
use crate::table::Table;
use crate::tls::Clients;

use crate::control::publish::Published;
use check_tasks::CheckTasks;
use outliers::Outliers;
use reconnect::Reconnects;

pub(crate) use check_tasks::CHECKS_MAX;

/// How often a new table is looked for (a check that begins so much later is not missed), and endpoints that are paused
/// are tried.
const TICK: Duration = Duration::from_millis(100);

/// What the endpoints are looked after with.
#[derive(Debug)]
pub(crate) struct EndpointDeps {
    /// The table in force.
    pub(crate) published: Published,
    /// How TLS is spoken with endpoints.
    pub(crate) clients: Arc<Clients>,
    /// The clock of the data plane.
    pub(crate) clock: Clock,
    /// Spreads the checks.
    pub(crate) random: StdRng,
    /// Checks under way at a time, and as many tries of paused endpoints: each holds a descriptor.
    pub(crate) checks_max: usize,
}

/// Looks after the endpoints of the table in force until `shutdown` ends.
pub(crate) async fn run(deps: EndpointDeps, shutdown: impl Future<Output = ()>) {
    let EndpointDeps { published, clients, clock, random, checks_max: max } = deps;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reconnects = Reconnects::new(Arc::clone(&clients), clock, max);
    let mut tasks = CheckTasks::new(clock, random, clients, max);
    let mut outliers = Outliers::default();
    let mut known: Option<Arc<Table>> = None;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        let table = published.load_full();
        if tasks.any_ended() {
            tasks.adapt(&table);
        }
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &table)) {
            tasks.adapt(&table);
            outliers.adapt(&table, clock.now_ms());
            if let Some(before) = &known {
                slow_start::begin(before, &table, clock.now_ms());
            }
        }
        outliers.tick(&table, clock.now_ms());
        reconnects.tick(&table);
        known = Some(table);
    }
}
