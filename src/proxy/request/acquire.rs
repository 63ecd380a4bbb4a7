//! The step in which a request waits before it is decided: for the end of a hold, and for a permit among the requests
//! of its service.
//!
//! Nearly every request passes without a look: nothing here is asked unless something is held or the table has a
//! service with such a limit.
//!
//! Nothing is awaited between the look at the holds and the moment in which the request is counted as in flight (when
//! it is decided, right after this): a [hold](crate::shared::hold) builds on that. A request that has waited takes a
//! new snapshot, and is decided by the table in force *then*; a request never uses two.

use tokio::time::Instant;

use super::admit::resolved_target::ResolvedTarget;
use super::context::RequestContext;
use super::local_reply::LocalReply;
use crate::message::RequestHead;
use crate::proxy::limits::concurrency::Acquired;
use crate::proxy::limits::worker_holds::HeldRequest;
use crate::proxy::report::in_flight::GaugeGuard;
use crate::proxy::worker::{Snapshot, Worker};
use crate::stats::ServiceStats;
use crate::table::Service;
use crate::table::spec::edge::EdgeSpec;
use crate::table::spec::limits::InFlightLimit;

/// The snapshot that a request is decided by, and what its target is there.
#[derive(Debug)]
pub(crate) struct TableView {
    /// The snapshot.
    pub table: Snapshot,
    pub target: ResolvedTarget,
}

impl TableView {
    /// What the service there changes of its messages, if anything.
    #[must_use]
    pub(crate) fn edge(&self) -> Option<&EdgeSpec> {
        self.table.service(self.target.service?).spec.edge.as_deref()
    }
}

/// Waits for what stands in the way of the request.
///
/// # Errors
/// The reply when its service is too busy, or its path cannot be normalised.
pub(crate) async fn acquire(
    worker: &Worker,
    head: &RequestHead,
    host: &str,
    context: &mut RequestContext,
) -> Result<TableView, LocalReply> {
    loop {
        let table = worker.snapshot();
        let target = ResolvedTarget::of(&table, host, &head.target)?;
        let holding = worker.holds.any();
        if !holding && !table.limits_in_flight() {
            return Ok(TableView { table, target });
        }
        let Some(index) = target.service else { return Ok(TableView { table, target }) };
        let service = table.service(index);
        if holding && let Some(held) = hold(worker, service, head) {
            // A request that waits for the end of a hold is not in progress: its permit is for another one, which will
            // wait here as well and not in the queue, whose time is short.
            context.permits.service = None;
            // On the heap, as is the wait below: requests that need not wait have no room for it.
            let gauge = &service.stats.cell(worker.index).held;
            context.note_hold(Box::pin(held.wait(&worker.holds, gauge, worker.settings.clock_start)).await);
            context.read_clock();
            continue;
        }
        let Some(limit) = service.spec.policy.limits.in_flight else { return Ok(TableView { table, target }) };
        if !enter(worker, &service.stats, &limit, context).await? {
            return Ok(TableView { table, target });
        }
        context.read_clock();
    }
}

/// The place of a request among those that wait, if its service is held.
fn hold(worker: &Worker, service: &Service, head: &RequestHead) -> Option<HeldRequest> {
    let now = Instant::now();
    worker.holds.enter(service, head, now, worker.clock_ms(now))
}

/// Takes a permit, unless the request has one. Returns whether it had to wait for it.
async fn enter(
    worker: &Worker,
    service: &ServiceStats,
    limit: &InFlightLimit,
    context: &mut RequestContext,
) -> Result<bool, LocalReply> {
    if context.permits.service.as_ref().is_some_and(|permit| permit.is_of(service)) {
        return Ok(false);
    }
    // A permit of the service that a table before this one had here.
    context.permits.service = None;
    let (permit, waited) = match worker.queue(service).acquire(limit)? {
        Acquired::Permit(permit) => (permit, false),
        Acquired::Wait(waiting) => {
            let cell = service.cell(worker.index);
            let _queued = GaugeGuard::new(&cell.queued);
            (Box::pin(waiting.permit()).await?, true)
        }
    };
    context.permits.service = Some(permit);
    Ok(waited)
}
