//! Where a request waits before it is decided: for the end of a hold, and for a place among the requests of its service.
//!
//! Nearly every request passes without a look: nothing here is asked unless something is held or the table
//! has a service with such a limit.
//!
//! Nothing is awaited between the look at the holds and the moment in which the request is counted as in flight (when
//! it is decided, right after this): that is what a [hold](crate::shared::hold) builds on.
//!
//! Who has waited takes a new snapshot, and is decided by the table in force *then*; a request never uses two.

use super::admit::target::ResolvedTarget;
use super::context::RequestContext;
use super::local_reply::LocalReply;
use crate::message::RequestHead;
use crate::proxy::limits::concurrency::Acquired;
use crate::proxy::limits::hold;
use crate::proxy::worker::{Snapshot, Worker};
use crate::stats::ServiceStats;
use crate::table::limits::InFlightLimit;

/// The snapshot that a request is decided by, and its target in it.
///
/// # Errors
/// The refusal when its service is too busy, or it has no such target.
pub(crate) async fn acquire(
    worker: &Worker,
    (head, host): (&RequestHead, &str),
    observer: &mut RequestContext,
) -> Result<(Snapshot, ResolvedTarget), LocalReply> {
    loop {
        let table = worker.snapshot();
        let target = ResolvedTarget::of(&table, host, &head.target)?;
        let holding = worker.holds.any();
        if !holding && !table.limits_in_flight() {
            return Ok((table, target));
        }
        let Some(index) = target.service else { return Ok((table, target)) };
        let service = table.service(index);
        if holding && let Some(held) = hold::enter(worker, service, head) {
            // Who waits for the end of a hold is not in progress: the place is for somebody else, who will wait here as
            // well and not in the queue, whose time is short.
            observer.permits.service = None;
            // On the heap, as is the wait below: requests that need not wait have no room for it.
            observer.held(Box::pin(held.wait(worker, service)).await);
            observer.look();
            continue;
        }
        let Some(limit) = service.spec.policy.limits.in_flight else { return Ok((table, target)) };
        if !enter(worker, &service.stats, &limit, observer).await? {
            return Ok((table, target));
        }
        observer.look();
    }
}

/// Takes a place, unless the request has one. Returns whether it had to wait for it.
async fn enter(
    worker: &Worker,
    service: &ServiceStats,
    limit: &InFlightLimit,
    observer: &mut RequestContext,
) -> Result<bool, LocalReply> {
    if observer.permits.service.as_ref().is_some_and(|place| place.is_of(service)) {
        return Ok(false);
    }
    // A place of the service that a table before this one had here.
    observer.permits.service = None;
    let (place, waited) = match worker.queue(service).acquire(limit)? {
        Acquired::Permit(place) => (place, false),
        Acquired::Wait(waiting) => {
            let cell = service.cell(worker.index);
            let _queued = crate::proxy::report::in_flight::GaugeGuard::new(&cell.queued);
            (Box::pin(waiting.place()).await?, true)
        }
    };
    observer.permits.service = Some(place);
    Ok(waited)
}
