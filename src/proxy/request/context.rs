//! The context of one request: the state that every step reads and adds to.
//!
//! The context travels with the request and then with the body of its response. It is one object and not a result of
//! each step, because a request may end at any step, and what is known by then is what its end is counted and logged by
//! ([`finish`](super::finish)).
//!
//! A request has one context, and the context is finished once.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::chaos_request::ChaosRequest;
use super::destination::Destination;
use super::interim::Interim;
use crate::experiment::name_hash::NameHash;
use crate::flags::DrawnVariant;
use crate::message::RequestHead;
use crate::message::Response;
use crate::proxy::access_log::AccessLine;
use crate::proxy::connection::stream_permit::StreamPermit;
use crate::proxy::limits::concurrency::{ProcessPermit, ServicePermit};
use crate::proxy::report::awaited_request::{AwaitedRequest, AwaitingTrial};
use crate::proxy::report::canary_sample::{CanarySample, Draw, PickedEndpoint, SampleOutcome, is_failed_call};
use crate::proxy::report::objective_notes::ObjectiveNotes;
use crate::proxy::report::outlier_report::ReportedEndpoint;
use crate::proxy::worker::{LiveRequest, Worker};
use crate::shared::canary_stats::ResponseSeen;
use crate::shared::per_arm::ExperimentArm;
use crate::stats::{Retry, UpstreamFailure};
use crate::table::{CanaryPair, Decision, Name, RequestView, Version};
use crate::upstream::{Pools, balance};

/// What a request occupies until it ends.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    /// Of the requests that the process works on.
    pub process: Option<ProcessPermit>,
    /// Of the requests that its service works on.
    pub service: Option<ServicePermit>,
    /// Of the streams of its client, over HTTP/2.
    pub stream: Option<StreamPermit>,
}

/// The state of one request.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// The worker that proxies it.
    pub worker: Rc<Worker>,
    /// What the request occupies.
    pub permits: Permits,
    /// The pool of its client connection, if that has one of its own.
    pub private: Option<Rc<Pools>>,
    /// Interim responses on their way to the client.
    pub interim: Interim,
    pub(super) live: LiveRequest,
    pub(super) started: Instant,
    /// The last reading of the clock at a place where the request may have waited before.
    pub(super) now: Instant,
    pub(super) destination: Option<Destination>,
    /// Index of the endpoint in the version of the destination.
    pub(super) endpoint: Option<usize>,
    /// The status that the client is told.
    pub(super) status: Option<StatusCode>,
    pub(super) line: Option<Box<AccessLine>>,
    /// Whether an attempt on the present destination has failed by the upstream's fault.
    pub(super) attempt_failed: bool,
    /// Where the first attempt was made and failed, if another one followed.
    pub(super) first_failed: Option<Destination>,
    /// What the request still has to say about a version under rollout: on the heap, since most requests have none.
    pub(super) sample: Option<Box<CanarySample>>,
    /// What it may count for when its response is known: on the heap too.
    pub(super) awaited: Option<Box<AwaitedRequest>>,
    /// What a chaos run has to do with it: on the heap too.
    pub(super) chaos: Option<Box<ChaosRequest>>,
    /// For how long a hold kept the request.
    pub(super) held: Duration,
    /// What it will say of the objectives of its service.
    pub(super) objectives: ObjectiveNotes,
    pub(super) finished: bool,
}

impl RequestContext {
    /// Begins with the head of a request, which counts as in progress from here on.
    #[must_use]
    pub(crate) fn begin(worker: &Rc<Worker>, head: &RequestHead, peer: IpAddr, interim: Interim) -> Self {
        let log = worker.settings.log.as_ref().filter(|log| worker.draws(log.sample));
        let line = log.map(|_| Box::new(AccessLine::of(head, peer)));
        let now = Instant::now();
        Self {
            worker: Rc::clone(worker),
            permits: Permits::default(),
            private: None,
            interim,
            live: worker.enter(),
            started: now,
            now,
            destination: None,
            endpoint: None,
            status: None,
            line,
            attempt_failed: false,
            first_failed: None,
            sample: None,
            awaited: None,
            chaos: None,
            held: Duration::ZERO,
            objectives: ObjectiveNotes::default(),
            finished: false,
        }
    }

    /// When the request came.
    #[must_use]
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The time, if nothing was waited for since the clock was read last: several steps ask, and a clock is not free.
    #[must_use]
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn read_clock(&mut self) -> Instant {
        self.now = Instant::now();
        self.now
    }

    /// Notes for how long a hold kept the request: no version is to blame for that.
    pub(crate) fn note_hold(&mut self, time: Duration) {
        self.held += time;
    }

    /// Notes the client's address, once it is known.
    pub(crate) fn note_client(&mut self, client: IpAddr) {
        if let Some(line) = &mut self.line {
            line.client = client;
        }
    }

    /// Notes the request id.
    pub(crate) fn note_id(&mut self, id: &[u8]) {
        if let Some(line) = &mut self.line {
            line.id = HeaderValue::from_bytes(id).ok();
        }
    }

    /// Notes the revision of the table that decides the request.
    pub(crate) fn note_revision(&mut self, revision: u64) {
        if let Some(line) = &mut self.line {
            line.revision = Some(revision);
        }
    }

    /// Notes where the request goes. Called again if it is sent elsewhere.
    pub(crate) fn note_decision(
        &mut self,
        destination: Destination,
        decision: &Decision<'_>,
        request: &RequestView<'_>,
    ) {
        // Counted once, also if the request was first tried on its own version.
        let first = self.destination.as_ref().is_none_or(|before| before.version_index() == decision.assigned);
        if decision.failed_over() && first {
            decision.service.versions[usize::from(decision.assigned)].stats.cell(self.worker.index).passed_on();
        }
        match &self.destination {
            None => {
                let worker = self.worker.index;
                self.sample = CanarySample::of_decision(decision, request, worker).map(Box::new);
            }
            // No endpoint of the version before took a connection: its failure stays with it.
            Some(before) if std::mem::take(&mut self.attempt_failed) => self.first_failed = Some(before.clone()),
            Some(_) => {}
        }
        self.set_destination(destination);
        if decision.failed_over() {
            self.record_sample(true);
        }
    }

    /// Notes the version that a request was assigned to when no version can respond.
    pub(crate) fn note_no_version(&mut self, destination: Destination, draw: Draw, request: &RequestView<'_>) {
        if self.destination.is_none() {
            let worker = self.worker.index;
            self.sample = CanarySample::of_draw(destination.service(), draw, request, worker).map(Box::new);
        }
        self.set_destination(destination);
        self.record_sample(true);
    }

    /// Notes the variant of the flag that is released, as its rule has drawn it; the request has been routed.
    #[cold]
    pub(crate) fn note_variant(&mut self, pair: &CanaryPair, drawn: DrawnVariant, request: &RequestView<'_>) {
        let Some(destination) = &self.destination else { return };
        let (version, worker) = (destination.version_index(), self.worker.index);
        self.sample = CanarySample::of_variant(pair, drawn, version, request, worker).map(Box::new);
        if let Some(index) = self.endpoint {
            self.begin_sample(PickedEndpoint { index, connected: true });
        }
    }

    /// Notes the experiment that gave the version, and the arm that this is.
    pub(crate) fn note_experiment(&mut self, experiment: &Name, arm: ExperimentArm) {
        if let Some(line) = &mut self.line {
            line.experiment = Some((experiment.clone(), arm));
        }
    }

    /// Notes that the request of a user may count when its response is known.
    pub(crate) fn await_response(&mut self, user: NameHash, trial: AwaitingTrial) {
        self.awaited.get_or_insert_with(|| Box::new(AwaitedRequest::of(user))).add(trial);
    }

    /// Puts the request on the account of `destination`.
    fn set_destination(&mut self, destination: Destination) {
        if self.destination.is_none() {
            destination.service().stats.cell(self.worker.index).in_flight.add(1);
        }
        if let Some(line) = &mut self.line {
            line.route = Some((destination.service().spec.name.clone(), destination.version().name.clone()));
        }
        self.note_revision(destination.revision());
        self.destination = Some(destination);
        self.endpoint = None;
    }

    /// Notes the endpoint that is tried, by its index in the version, and whether there was a connection to it already.
    pub(crate) fn note_endpoint(&mut self, index: usize, connected: bool) {
        self.endpoint = Some(index);
        if self.sample.is_some() {
            self.begin_sample(PickedEndpoint { index, connected });
        }
    }

    /// Asks whether the request is judged, and if so, notes that it is in flight.
    #[cold]
    fn begin_sample(&mut self, picked: PickedEndpoint) {
        let (Some(mut sample), Some(destination)) = (self.sample.take(), &self.destination) else { return };
        if !sample.selected {
            let Some(selected) = self.select_sample(*sample, Some(picked.index)) else { return };
            *sample = selected;
        }
        let compared = destination.compared();
        sample.sent_to(compared, picked.index);
        if sample.meets_growing_pools(compared) {
            let (worker, now) = (&self.worker, self.now);
            #[expect(clippy::cast_possible_truncation, reason = "any 64 of the 128 random bits will do")]
            let chance = worker.random() as u64;
            let foresee = |version: &Version| balance::preview(version, worker.clock_ms(now), chance);
            let is_cold = |version: &Version, index: usize| {
                let endpoint = version.endpoints.get(index);
                endpoint.is_some_and(|endpoint| worker.pools.is_cold(&endpoint.stats, version.protocol, now))
            };
            sample.time_unless_cold(compared, picked, foresee, is_cold);
        }
        let begun_ms = self.worker.clock_ms(self.started + self.held);
        sample.begin(compared, self.worker.index, begun_ms);
        self.sample = Some(sample);
    }

    /// Asks whether the request is judged, now that it is known where it goes.
    #[cold]
    fn select_sample(&self, sample: CanarySample, picked: Option<usize>) -> Option<CanarySample> {
        let destination = self.destination.as_ref()?;
        let chance = self.worker.random();
        #[expect(clippy::cast_possible_truncation, reason = "both halves of the 128 random bits")]
        let chances = [chance as u64, (chance >> 64) as u64];
        sample.select(destination.compared(), picked, self.worker.clock_ms(self.now), chances)
    }

    /// Says how the first attempt of the request went, once.
    fn record_sample(&mut self, failed: bool) {
        let sample = self.sample.take().map(|sample| *sample);
        let (Some(sample), Some(destination)) = (sample, &self.destination) else { return };
        // Nothing was picked: its version has nothing to pick.
        let sample = if sample.selected { Some(sample) } else { self.select_sample(sample, None) };
        if let Some(sample) = sample {
            let micros = self.micros(self.started.elapsed());
            let outcome = SampleOutcome { failed, seen: ResponseSeen::Whole, micros };
            sample.record(destination.compared(), self.worker.index, outcome);
        }
    }

    /// The time that counts, in microseconds, of what it took.
    pub(super) fn micros(&self, took: Duration) -> u64 {
        u64::try_from(took.saturating_sub(self.held).as_micros()).unwrap_or(u64::MAX)
    }

    /// The endpoint that is tried, or was last, for a report of how it does.
    pub(super) fn reported_endpoint(&self) -> Option<ReportedEndpoint<'_>> {
        let destination = self.destination.as_ref()?;
        Some(ReportedEndpoint { service: destination.service(), version: destination.version(), index: self.endpoint? })
    }

    pub(super) fn endpoint_address(&self) -> Option<SocketAddr> {
        let reported = self.reported_endpoint().and_then(|reported| reported.endpoint());
        reported.or_else(|| self.faulted_endpoint()).map(|endpoint| endpoint.address)
    }

    /// The name of the service that the request goes to; empty before that is known.
    #[must_use]
    pub(crate) fn service_name(&self) -> &str {
        self.destination.as_ref().map_or("", |destination| destination.service().spec.name.as_str())
    }

    /// Counts a failed attempt against the version and the endpoint that it was made on.
    pub(crate) fn note_failure(&mut self, failure: UpstreamFailure) {
        self.attempt_failed = true;
        self.record_sample(true);
        if let Some(destination) = &self.destination {
            destination.cell(&self.worker).failed(failure);
        }
        self.note_fault_caused(failure);
        if let Some(reported) = self.reported_endpoint() {
            reported.failed(failure, self.worker.clock_ms(Instant::now()));
        }
    }

    /// Whether this request may be tried once more.
    pub(crate) fn allow_retry(&mut self) -> bool {
        self.worker.allow_retry(&mut self.live)
    }

    /// Counts another attempt on the same version.
    pub(crate) fn note_retry(&mut self, why: Retry) {
        let Some(destination) = &self.destination else { return };
        destination.cell(&self.worker).retried(why);
        // What was not written was no attempt.
        if why == Retry::Reused && self.first_failed.is_none() {
            self.first_failed = Some(destination.clone());
            self.record_sample(true);
        }
    }

    /// Whether this request may be replayed on the stable version.
    pub(crate) fn allow_replay(&mut self) -> bool {
        self.worker.allow_replay(&mut self.live)
    }

    /// The attempt failed, and the next one is made on `stable`. The failure stays on the account of the failed
    /// version.
    pub(crate) fn fall_back(&mut self, stable: Destination) {
        self.note_retry(Retry::Shield);
        let endpoint = self.endpoint_address();
        if let Some(line) = &mut self.line {
            line.shielded = line.route.take().map(|(_, version)| (version, endpoint));
        }
        if self.first_failed.is_none() {
            self.first_failed.clone_from(&self.destination);
        }
        self.attempt_failed = false;
        self.set_destination(stable);
    }

    /// Notes the head of the upstream's response.
    pub(crate) fn note_response(&mut self, status: StatusCode) {
        self.status = Some(status);
        if status.is_server_error() {
            self.note_failure(UpstreamFailure::Status);
        } else if let Some(reported) = self.reported_endpoint() {
            reported.responded(|| self.worker.clock_ms(Instant::now()));
        }
    }

    /// Notes the `grpc-status` in the head or the trailers of the upstream's response, if there is one. A call of gRPC
    /// that failed is a failed sample, and that is all: an endpoint is not ejected for it, because some of these
    /// statuses are about what the client called.
    pub(crate) fn note_grpc_status(&mut self, grpc_status: Option<&[u8]>) {
        let Some(status) = grpc_status else { return };
        self.note_call(status);
        let (Some(_), Some(destination)) = (&self.sample, &self.destination) else { return };
        if destination.table().compared(destination.service_index()).is_some_and(|pair| is_failed_call(status, pair)) {
            self.record_sample(true);
        }
    }

    /// Notes what the response is besides its status, with the length that it declares.
    pub(crate) fn note_shape<B>(&mut self, response: &Response<B>, length: Option<u64>) {
        if let (Some(sample), Some(destination)) = (&mut self.sample, &self.destination) {
            sample.land(destination.compared(), self.worker.index);
            sample.response.head(response, length);
        }
    }

    /// Notes bytes of the response's body.
    pub(crate) fn note_bytes(&mut self, count: usize) {
        if let Some(sample) = &mut self.sample {
            sample.response.bytes(count);
        }
        if let Some(line) = &mut self.line {
            line.bytes += count as u64;
        }
    }
}
