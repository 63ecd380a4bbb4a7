//! The last stage: how a request ended, and whose account it goes on.
//!
//! The observer travels with the request, then with the body of the answer. Whatever way it ends, it is counted once:
//! at the end of the answer, at a refusal, or, when it is dropped before either, as a client that left.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::interim::Interim;
use super::local_reply::{LocalReply, is_ours};
use super::route::Destination;
use crate::message::RequestHead;
use crate::proxy::access_log::AccessLine;
use crate::proxy::body::transfer::RequestBody;
use crate::proxy::limits::concurrency::Permits;
use crate::proxy::report::canary_sample::{CanarySample, is_failed_call};
use crate::proxy::report::outlier_report::ReportedEndpoint;
use crate::proxy::worker::{LiveRequest, Worker};
use crate::stats::{CodeClass, FirstAttempt, RejectReason, Retry, UpstreamFailure};
use crate::table::{Cause, Decision};
use crate::upstream::Pools;

/// Watches one request to its end.
#[derive(Debug)]
pub(crate) struct RequestContext {
    worker: Rc<Worker>,
    live: LiveRequest,
    started: Instant,
    /// When somebody last looked at the clock for it, at a place where it may have waited before.
    looked_at: Instant,
    routed: Option<Destination>,
    /// Index of the endpoint in the version that the request was routed to.
    endpoint: Cell<Option<usize>>,
    status: Option<StatusCode>,
    ended: Option<Option<RejectReason>>,
    /// When, if somebody has looked at the clock for it.
    ended_at: Option<Instant>,
    line: Option<Box<AccessLine>>,
    /// Whether an attempt on the version that it is with now has failed by the upstream's fault.
    attempt_failed: Cell<bool>,
    /// The version that a first attempt was made on and failed, if another one followed.
    first_failed: Option<Destination>,
    /// What it has to say about a version under rollout.
    sample: Cell<Option<CanarySample>>,
    /// What the request occupies.
    pub permits: Permits,
    /// The pool of its client connection, if that has one of its own.
    pub private: Option<Rc<Pools<RequestBody>>>,
    /// Interim answers, on their way to the client.
    pub interim: Interim,
    held: Duration,
}

impl RequestContext {
    /// Begins with the head of a request.
    #[must_use]
    pub(crate) fn begin(worker: &Rc<Worker>, head: &RequestHead, peer: IpAddr) -> Self {
        let log = worker.settings.log.as_ref().filter(|log| worker.draws(log.sample));
        let line = log.map(|_| Box::new(AccessLine::of(head, peer)));
        let now = Instant::now();
        Self {
            worker: Rc::clone(worker),
            live: worker.enter(),
            started: now,
            looked_at: now,
            routed: None,
            endpoint: Cell::new(None),
            status: None,
            ended: None,
            ended_at: None,
            line,
            attempt_failed: Cell::new(false),
            first_failed: None,
            sample: Cell::new(None),
            permits: Permits::default(),
            private: None,
            interim: Interim::default(),
            held: Duration::ZERO,
        }
    }

    /// When the request came.
    #[must_use]
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// What time it is, if nothing was waited for since the last look: several stages ask, and a clock is not free.
    #[must_use]
    pub(crate) fn looked_at(&self) -> Instant {
        self.looked_at
    }

    /// Looks at the clock.
    pub(crate) fn look(&mut self) -> Instant {
        self.looked_at = Instant::now();
        self.looked_at
    }

    /// Notes for how long a hold kept the request: no version is to blame for that.
    pub(crate) fn held(&mut self, time: Duration) {
        self.held += time;
    }

    /// Notes the client's address, once it is known.
    pub(crate) fn client(&mut self, client: IpAddr) {
        if let Some(line) = &mut self.line {
            line.client = client;
        }
    }

    /// Notes the revision of the table that decides the request.
    pub(crate) fn decided_by(&mut self, revision: u64) {
        if let Some(line) = &mut self.line {
            line.revision = Some(revision);
        }
    }

    /// Notes where the request goes. Called again if it is sent elsewhere.
    pub(crate) fn routed(&mut self, routed: Destination, decision: &Decision<'_>) {
        // Counted once, also if the request was first tried on its own version.
        let first = self.routed.as_ref().is_none_or(|before| before.version_index() == decision.assigned);
        if decision.failed_over() && first {
            decision.service.versions[usize::from(decision.assigned)].stats.cell(self.worker.index).passed_on();
        }
        match &self.routed {
            None => self.sample.set(CanarySample::of_decision(decision)),
            // No endpoint of the version before took a connection: its failure stays with it.
            Some(before) if self.attempt_failed.replace(false) => self.first_failed = Some(before.clone()),
            Some(_) => {}
        }
        self.unroutable(routed);
        if decision.failed_over() {
            self.record_sample(true);
        }
    }

    /// Notes the version that a request was assigned to when no version can answer.
    pub(crate) fn no_healthy_upstream(&mut self, routed: Destination, drawn: (Cause, Option<u32>)) {
        if self.routed.is_none() {
            self.sample.set(CanarySample::of_draw(routed.service(), routed.version_index(), drawn));
        }
        self.unroutable(routed);
        self.record_sample(true);
    }

    /// Says how the first attempt of the request went, once.
    fn record_sample(&self, failed: bool) {
        let (Some(juror), Some(routed)) = (self.sample.take(), &self.routed) else { return };
        // Nothing was picked: its version has nothing to pick.
        let juror = if juror.selected { Some(juror) } else { self.select_sample(juror, None) };
        if let Some(juror) = juror {
            juror.record(routed.service(), self.worker.index, failed, self.micros(self.started.elapsed()));
        }
    }

    /// Asks whether the request is judged, now that it is known where it goes.
    #[cold]
    fn select_sample(&self, juror: CanarySample, picked: Option<usize>) -> Option<CanarySample> {
        let routed = self.routed.as_ref()?;
        let chance = self.worker.random();
        #[expect(clippy::cast_possible_truncation, reason = "both halves of the 128 random bits")]
        let chances = [chance as u64, (chance >> 64) as u64];
        juror.select(routed.service(), picked, (self.worker.clock_ms(self.looked_at), chances))
    }

    /// The time that counts, in microseconds, of what it took.
    fn micros(&self, took: Duration) -> u64 {
        u64::try_from(took.saturating_sub(self.held).as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes the version that a request was assigned to and that cannot answer: the refusal is on its account.
    pub(crate) fn unroutable(&mut self, routed: Destination) {
        if self.routed.is_none() {
            routed.service().stats.cell(self.worker.index).in_flight.add(1);
        }
        if let Some(line) = &mut self.line {
            line.route = Some((routed.service().spec.name.clone(), routed.version().name.clone()));
        }
        self.decided_by(routed.revision());
        self.routed = Some(routed);
        self.endpoint.set(None);
    }

    /// Notes the endpoint that is tried, by its index in the version.
    pub(crate) fn picked(&self, endpoint: usize) {
        self.endpoint.set(Some(endpoint));
        if let Some(juror) = self.sample.get().filter(|juror| !juror.selected) {
            self.sample.set(self.select_sample(juror, Some(endpoint)));
        }
    }

    /// Whose fault a failure is.
    fn reported_endpoint(&self) -> Option<ReportedEndpoint<'_>> {
        let routed = self.routed.as_ref()?;
        Some(ReportedEndpoint { service: routed.service(), version: routed.version(), index: self.endpoint.get()? })
    }

    /// Notes the request id.
    pub(crate) fn identified(&mut self, id: &[u8]) {
        if let Some(line) = &mut self.line {
            line.id = HeaderValue::from_bytes(id).ok();
        }
    }

    /// The name of the service that the request goes to; empty before that is known.
    #[must_use]
    pub(crate) fn service_name(&self) -> &str {
        self.routed.as_ref().map_or("", |routed| routed.service().spec.name.as_str())
    }

    /// The endpoint that is tried, or was last.
    fn endpoint(&self) -> Option<SocketAddr> {
        self.reported_endpoint().and_then(|blamed| blamed.endpoint()).map(|endpoint| endpoint.address)
    }

    /// Counts a failed attempt against the version it was made on.
    pub(crate) fn failed(&self, failure: UpstreamFailure) {
        self.attempt_failed.set(true);
        self.record_sample(true);
        if let Some(routed) = &self.routed {
            routed.cell(&self.worker).failed(failure);
        }
        if let Some(blamed) = self.reported_endpoint() {
            blamed.failed(failure, self.worker.clock_ms(Instant::now()));
        }
    }

    /// Whether this request may be tried once more.
    pub(crate) fn allow_retry(&mut self) -> bool {
        self.worker.allow_retry(&mut self.live)
    }

    /// Counts another attempt on the same version.
    pub(crate) fn retried(&mut self, why: Retry) {
        let Some(routed) = &self.routed else { return };
        routed.cell(&self.worker).retried(why);
        // What was not written was no attempt.
        if why == Retry::Reused && self.first_failed.is_none() {
            self.first_failed = Some(routed.clone());
            self.record_sample(true);
        }
    }

    /// Notes the `grpc-status` in the head or the trailers of the upstream's answer, if there is one. A call of gRPC that
    /// failed testifies, and that is all: an endpoint is not ejected for it, because some of these statuses are about what
    /// the client called.
    pub(crate) fn told(&self, grpc_status: Option<&[u8]>) {
        let canary = self.routed.as_ref().and_then(|routed| routed.service().canary.as_ref());
        if canary.zip(grpc_status).is_some_and(|(canary, status)| is_failed_call(status, canary)) {
            self.record_sample(true);
        }
    }

    /// Whether this request may be replayed on the stable version.
    pub(crate) fn allow_shield(&mut self) -> bool {
        self.worker.allow_shield(&mut self.live)
    }

    /// The attempt failed, and the next one is made on `stable`. The failed version keeps the blame.
    pub(crate) fn shielded(&mut self, stable: Destination) {
        self.retried(Retry::Shield);
        let endpoint = self.endpoint();
        if let Some(line) = &mut self.line {
            line.shielded = line.route.take().map(|(_, version)| (version, endpoint));
        }
        if self.first_failed.is_none() {
            self.first_failed.clone_from(&self.routed);
        }
        self.attempt_failed.set(false);
        self.unroutable(stable);
    }

    /// Notes the head of the upstream's answer.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        if status.is_server_error() {
            self.failed(UpstreamFailure::Status);
        } else if let Some(blamed) = self.reported_endpoint() {
            blamed.answered(|| self.worker.clock_ms(Instant::now()));
        }
    }

    /// Notes bytes of the answer's body.
    pub(crate) fn sent_bytes(&mut self, count: usize) {
        if let Some(line) = &mut self.line {
            line.bytes += count as u64;
        }
    }

    /// The answer was read to its end, `now`. It is counted when this is dropped.
    pub(crate) fn end(&mut self, now: Instant) {
        let good = self.status.is_some_and(|status| !status.is_server_error());
        if let Some(blamed) = self.reported_endpoint().filter(|_| good) {
            blamed.completed();
        }
        (self.ended, self.ended_at) = (Some(None), Some(now));
    }

    /// The upstream broke its answer off: the client's connection is aborted.
    pub(crate) fn end_broken(mut self, failure: UpstreamFailure) {
        self.failed(failure);
        let reason = match failure {
            UpstreamFailure::BodyTimeout => RejectReason::UpstreamTimeout,
            UpstreamFailure::ShortBody
            | UpstreamFailure::Connect
            | UpstreamFailure::Reset
            | UpstreamFailure::Timeout
            | UpstreamFailure::BadAnswer
            | UpstreamFailure::Status => RejectReason::UpstreamBadAnswer,
        };
        self.ended = Some(Some(reason));
    }

    /// The request's body broke after the answer had begun: the client's connection is aborted.
    pub(crate) fn end_by_client(mut self, reason: RejectReason) {
        self.ended = Some(Some(reason));
    }

    /// The proxy answered by itself.
    pub(crate) fn end_refused(mut self, refusal: &LocalReply, bytes: Option<u64>) {
        if let Some(line) = &mut self.line {
            line.bytes = bytes.unwrap_or(0);
        }
        self.status = Some(refusal.status());
        self.ended = Some(Some(refusal.reason));
    }

    fn count(&mut self) {
        let left = if std::thread::panicking() { RejectReason::Internal } else { RejectReason::ClientGone };
        let reason = self.ended.unwrap_or(Some(left));
        let took = self.ended_at.unwrap_or_else(Instant::now).saturating_duration_since(self.started);
        if let Some(reason) = reason {
            self.worker.stats.refused(reason);
        }
        if let Some(routed) = &self.routed {
            routed.service().stats.cell(self.worker.index).in_flight.sub(1);
            let class = self.status.map_or(CodeClass::None, CodeClass::of);
            let micros = self.micros(took);
            routed.cell(&self.worker).answered(class, micros);
            // One that was never seated met no endpoint.
            let heard = |juror: &CanarySample| juror.selected && !is_ours(reason);
            if let Some(juror) = self.sample.take().filter(heard) {
                juror.record(routed.service(), self.worker.index, false, micros);
            }
            match &self.first_failed {
                Some(first) => first.cell(&self.worker).first(FirstAttempt::Failed),
                None if is_ours(reason) => {}
                None if self.attempt_failed.get() || class == CodeClass::ServerError => {
                    routed.cell(&self.worker).first(FirstAttempt::Failed);
                }
                None => routed.cell(&self.worker).first(FirstAttempt::Ok),
            }
        }
        if let (Some(mut line), Some(log)) = (self.line.take(), &self.worker.settings.log) {
            line.status = self.status.map(|status| status.as_u16());
            line.reason = reason.map(RejectReason::word);
            line.duration = took;
            line.endpoint = self.endpoint();
            if !log.send(*line) {
                self.worker.stats.log_dropped();
            }
        }
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        self.count();
    }
}
