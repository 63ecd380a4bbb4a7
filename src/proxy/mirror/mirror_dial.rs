//! A connection for a copy: a pooled one, or a new one if permits are left over. Whatever comes of it, no endpoint is
//! paused or brought back: that is decided by what users meet.

use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::report::in_flight::InFlightGuard;
use crate::proxy::request::dial::{Dialed, open};
use crate::proxy::request::upstream_connection::UpstreamConnection;
use crate::proxy::worker::Worker;
use crate::table::Version;
use crate::upstream::balance;
use crate::upstream::budget::PermitClaim;

/// Why there is no connection for a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoCopyConnection {
    /// Its version takes none.
    Endpoints,
    /// We have no room for it.
    Own,
}

/// Finds a connection to `version`; with `fresh`, a new one.
///
/// # Errors
/// [`NoCopyConnection`].
pub(crate) async fn connect(
    worker: &Worker,
    version: &Version,
    connect_timeout: Duration,
    fresh: bool,
) -> Result<UpstreamConnection, NoCopyConnection> {
    let now = Instant::now();
    #[expect(clippy::cast_possible_truncation, reason = "any 64 of the 128 random bits will do")]
    let chance = worker.random() as u64;
    let index = balance::preview(version, worker.clock_ms(now), chance).ok_or(NoCopyConnection::Endpoints)?;
    let endpoint = &version.endpoints[index];
    let in_flight = InFlightGuard::of_copy(&endpoint.stats);
    let pooled = if fresh { None } else { worker.pools.take(&endpoint.stats, version.protocol, now) };
    if let Some((sender, opened)) = pooled {
        return Ok(UpstreamConnection { sender, in_flight, reused: true, since: now, opened });
    }
    // As one of many of a client whose count is not known: what users may need soon is left to them.
    let permit = worker.settings.budget.take(PermitClaim::Further { of_client: 0 });
    let permit = permit.map_err(|_none| NoCopyConnection::Own)?;
    let dialed = Dialed { version, endpoint, now, connect_timeout };
    open(worker, dialed, permit, in_flight).await.map_err(|error| {
        tracing::debug!(error = &error as &dyn std::error::Error, "no connection for a copy of a request");
        if error.is_own() { NoCopyConnection::Own } else { NoCopyConnection::Endpoints }
    })
}
