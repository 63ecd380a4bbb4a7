//! The step that draws a request for the slices of a chaos run, if there is one on its service.
//!
//! It stands between the decision, which gives the key and the version of the user, and the first connection: before
//! it nothing is known of the user, and after it a fault would come too late. A request is drawn once, by one table,
//! however often it is decided again.
//!
//! Some requests are never drawn: those of a service that is released (the control plane refuses both together, and a
//! worker that sees them at one moment leaves the fault alone), the checks of a certificate's issuer, copies of
//! requests, and what a trusted proxy marks by `x-pointsman-no-fault: 1`. What the proxy answers by itself does not
//! come here.

use std::sync::Arc;

use super::chaos_request::ChaosRequest;
use super::context::RequestContext;
use super::local_reply::LocalReply;
use crate::message::Headers;
use crate::message::known_headers::{X_MIRROR, X_NO_FAULT};
use crate::shared::fault_stats::FaultAsked;
use crate::stats::RejectReason;
use crate::table::fault_table::{FaultDraw, FaultQuery, PlacedFault};
use crate::table::spec::fault::FaultKind;
use crate::table::{Decision, RequestView, Table};

/// Where an issuer of certificates looks whether the host is ours (RFC 8555, 8.3).
const CERTIFICATE_CHECKS: &[u8] = b"/.well-known/acme-challenge/";

/// What a client that found no place may wait before it comes again, in seconds: as where a service is really full.
const RETRY_AFTER_SECONDS: u64 = 1;

/// A request that has been decided, on a service with a fault.
pub(crate) struct DecidedRequest<'q> {
    /// The table that it is decided by.
    pub table: &'q Table,
    pub view: &'q RequestView<'q>,
    pub decision: &'q Decision<'q>,
    /// Whether its peer is a trusted proxy.
    pub trusted: bool,
}

/// Draws a request, once.
///
/// # Errors
/// The reply when it is in the fault slice and finds no place where those are what the fault takes.
#[cold]
pub(crate) fn begin(
    fault: &Arc<PlacedFault>,
    request: &DecidedRequest<'_>,
    context: &mut RequestContext,
) -> Result<(), LocalReply> {
    let (view, decision) = (request.view, request.decision);
    let now_ms = context.worker.clock_ms(context.now());
    if fault.is_over(now_ms) || is_spared(request) || request.table.compared(decision.service_index).is_some() {
        return Ok(());
    }
    #[expect(clippy::cast_possible_truncation, reason = "any 32 of the 128 random bits will do")]
    let chance = context.worker.random() as u32;
    let (service, new_key) = (decision.service, decision.new_key);
    let version = &service.versions[usize::from(decision.assigned)];
    let Some(FaultDraw { slice, slot }) = fault.draw(&FaultQuery { request: view, service, version, new_key, chance })
    else {
        return Ok(());
    };
    let begun_ms = context.worker.clock_ms(context.begun());
    let asked = FaultAsked { slice, slot, client: Some(view.client), begun_ms };
    let sample = fault.stats.begin(context.worker.index, asked);
    let mut chaos = Box::new(ChaosRequest::new(Arc::clone(fault), slice, sample));
    let taken = take_in(&mut chaos, now_ms);
    context.enter_slice(chaos);
    taken
}

/// What is done to the request as a whole, before any attempt.
fn take_in(chaos: &mut ChaosRequest, now_ms: u64) -> Result<(), LocalReply> {
    match chaos.acting(now_ms) {
        Some(FaultKind::Exhaust { places }) => {
            let places = *places;
            if !chaos.enter(places) {
                chaos.injected = true;
                let detail = "too many requests of this service are in flight";
                return Err(LocalReply::new(RejectReason::QueueFull, detail).retry_after(RETRY_AFTER_SECONDS));
            }
        }
        // What a command does somewhere is done to all of them.
        Some(FaultKind::Nothing) => chaos.injected = true,
        Some(
            FaultKind::Latency { .. }
            | FaultKind::Abort(_)
            | FaultKind::Reset
            | FaultKind::Hang
            | FaultKind::Bandwidth { .. }
            | FaultKind::Cut { .. }
            | FaultKind::Refuse,
        )
        | None => {}
    }
    Ok(())
}

/// Whether a request is in no slice, whatever its user is.
fn is_spared(request: &DecidedRequest<'_>) -> bool {
    request.view.path.starts_with(CERTIFICATE_CHECKS) || request.trusted && is_marked(request.view.headers)
}

fn is_marked(headers: &Headers) -> bool {
    let says = |name| headers.get(name).is_some_and(|value| value == b"1");
    says(X_NO_FAULT) || says(X_MIRROR)
}
