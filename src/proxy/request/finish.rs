//! The last step of every request: its outcome, and on whose account that is.
//!
//! [`finish`](RequestContext::finish) is called with the outcome where that is known, and does everything that an ended
//! request leaves behind: the report on its endpoint, its sample for a rollout, its metrics, its line of the access
//! log. The alternative, to do this in `Drop` by what was noted before, hides the last step of a request in the end of
//! a scope. `Drop` notes only the one outcome that no code sees: the client left, and the future of the request is
//! dropped.

use std::time::Duration;

use tokio::time::Instant;

use super::context::RequestContext;
use super::local_reply::{LocalReply, is_own_shortage};
use super::user_trials::unix_ms;
use crate::proxy::report::awaited_request::AwaitedRequest;
use crate::proxy::report::canary_sample::SampleOutcome;
use crate::shared::canary_stats::ResponseSeen;
use crate::stats::{CodeClass, FirstAttempt, HiddenBy, RejectReason, UpstreamFailure};

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestOutcome {
    /// The response was read to its end, at this moment.
    Complete(Instant),
    /// The upstream broke its response off: the client's connection is aborted.
    UpstreamBroke(UpstreamFailure),
    /// The request's body broke after the response had begun: the client's connection is aborted.
    ClientBroke(RejectReason),
    /// The proxy responded by itself, with a body of this many bytes.
    Rejected(LocalReply, Option<u64>),
    /// A rule has said the response, with a body of this many bytes.
    Configured(RejectReason, u64),
    /// The client left before its response was complete.
    ClientLeft,
    /// The task of the request panicked.
    Panicked,
}

impl RequestOutcome {
    /// The reason that is counted and logged; none if the response of the upstream is complete.
    fn reason(self) -> Option<RejectReason> {
        match self {
            Self::Complete(_) => None,
            Self::UpstreamBroke(UpstreamFailure::BodyTimeout) => Some(RejectReason::UpstreamTimeout),
            Self::UpstreamBroke(
                UpstreamFailure::ShortBody
                | UpstreamFailure::Connect
                | UpstreamFailure::Reset
                | UpstreamFailure::Timeout
                | UpstreamFailure::BadAnswer
                | UpstreamFailure::Status,
            ) => Some(RejectReason::UpstreamBadAnswer),
            Self::ClientBroke(reason) => Some(reason),
            Self::Rejected(reply, _) => Some(reply.reason),
            Self::Configured(reason, _) => Some(reason),
            Self::ClientLeft => Some(RejectReason::ClientGone),
            Self::Panicked => Some(RejectReason::Internal),
        }
    }

    /// How much of the response the client has waited for, where it has `begun` or not.
    fn seen(self, begun: bool) -> ResponseSeen {
        match self {
            Self::ClientLeft if begun => ResponseSeen::Head,
            Self::ClientBroke(_) => ResponseSeen::Head,
            Self::ClientLeft => ResponseSeen::Nothing,
            Self::Rejected(reply, _) if reply.reason == RejectReason::ClientGone => ResponseSeen::Nothing,
            Self::Complete(_) | Self::UpstreamBroke(_) | Self::Rejected(..) | Self::Configured(..) | Self::Panicked => {
                ResponseSeen::Whole
            }
        }
    }

    /// When the request ended. The clock is read if that has not been done for the outcome.
    fn moment(self) -> Instant {
        match self {
            Self::Complete(now) => now,
            Self::UpstreamBroke(_)
            | Self::ClientBroke(_)
            | Self::Rejected(..)
            | Self::Configured(..)
            | Self::ClientLeft
            | Self::Panicked => Instant::now(),
        }
    }
}

impl RequestContext {
    /// Ends the request: reports, counts and logs it. Called once; the context is dropped next.
    pub(crate) fn finish(&mut self, outcome: RequestOutcome) {
        self.finished = true;
        match outcome {
            RequestOutcome::Complete(_) => self.report_completed(),
            RequestOutcome::UpstreamBroke(failure) => self.note_failure(failure),
            RequestOutcome::Rejected(reply, bytes) => self.note_local_reply(reply, bytes),
            RequestOutcome::Configured(_, bytes) => self.note_own_bytes(Some(bytes)),
            RequestOutcome::ClientBroke(_) | RequestOutcome::ClientLeft | RequestOutcome::Panicked => {}
        }
        let reason = outcome.reason();
        let took = outcome.moment().saturating_duration_since(self.started);
        if let Some(reason) = reason {
            self.worker.stats.refused(reason);
        }
        self.count(outcome, took);
        if self.chaos.is_some() {
            self.tell_chaos(outcome, took);
        }
        if let Some(awaited) = self.awaited.take() {
            self.tell_awaited(*awaited);
        }
        self.log(reason, took);
    }

    /// Tells the outlier detection that the endpoint did its part.
    fn report_completed(&self) {
        let good = self.status.is_some_and(|status| !status.is_server_error());
        if let Some(reported) = self.reported_endpoint().filter(|_| good) {
            reported.completed();
        }
    }

    fn note_local_reply(&mut self, reply: LocalReply, bytes: Option<u64>) {
        self.note_own_bytes(bytes);
        self.status = Some(reply.status());
    }

    fn note_own_bytes(&mut self, bytes: Option<u64>) {
        if let Some(line) = &mut self.line {
            line.bytes = bytes.unwrap_or(0);
        }
    }

    /// The metrics of the version that the request was on, and its sample for the judge.
    fn count(&mut self, outcome: RequestOutcome, took: Duration) {
        let reason = outcome.reason();
        let Some(destination) = &self.destination else { return };
        let (service, version) = destination.both();
        service.stats.cell(self.worker.index).in_flight.sub(1);
        let class = self.status.map_or(CodeClass::None, CodeClass::of);
        let micros = self.micros(took);
        let cell = version.stats.cell(self.worker.index);
        cell.answered(class, micros);
        if let Some(slo) = &service.slo {
            self.count_by_objectives(slo, outcome, micros);
        }
        // A sample that was never selected met no endpoint.
        if let Some(mut sample) = self.sample.take().map(|sample| *sample).filter(|sample| sample.selected) {
            let (compared, worker) = (destination.compared(), self.worker.index);
            if reason.is_none() {
                sample.response.complete();
            }
            if is_own_shortage(reason) {
                sample.land(compared, worker);
            } else {
                let seen = outcome.seen(self.status.is_some());
                sample.record(compared, worker, SampleOutcome { failed: false, seen, micros });
            }
        }
        match &self.first_failed {
            Some(first) => {
                let failed = first.cell(&self.worker);
                failed.first(FirstAttempt::Failed);
                if matches!(outcome, RequestOutcome::Complete(_)) && class != CodeClass::ServerError {
                    let same = first.version_index() == destination.version_index();
                    failed.hidden(if same { HiddenBy::Retry } else { HiddenBy::Shield });
                }
            }
            None if is_own_shortage(reason) => {}
            None if self.attempt_failed || class == CodeClass::ServerError => cell.first(FirstAttempt::Failed),
            None => cell.first(FirstAttempt::Ok),
        }
    }

    /// Tells experiments what the request turned out to be.
    #[cold]
    fn tell_awaited(&self, awaited: AwaitedRequest) {
        if let Some(status) = self.status {
            awaited.responded(status.as_u16(), unix_ms(), &self.worker.seen);
        }
    }

    /// Tells a chaos run what the user got.
    #[cold]
    fn tell_chaos(&mut self, outcome: RequestOutcome, took: Duration) {
        let (micros, seen) = (self.micros(took), outcome.seen(self.status.is_some()));
        let Some(chaos) = &mut self.chaos else { return };
        let broke = matches!(outcome, RequestOutcome::UpstreamBroke(_) | RequestOutcome::Panicked);
        let failed = broke || self.status.is_some_and(|status| status.is_server_error());
        chaos.record(self.worker.index, failed, seen, micros);
        if let (true, Some(destination)) = (chaos.injected, &self.destination) {
            let class = self.status.map_or(CodeClass::None, CodeClass::of);
            destination.version().stats.faulted_cell(self.worker.index).answered(class, micros);
        }
        if let Some(line) = &mut self.line {
            line.fault = chaos.told();
        }
    }

    /// Hands the line of the access log to its writer, if the request has one.
    fn log(&mut self, reason: Option<RejectReason>, took: Duration) {
        let Some(mut line) = self.line.take() else { return };
        line.status = self.status.map(|status| status.as_u16());
        line.reason = reason.map(RejectReason::word);
        line.duration = took;
        line.endpoint = self.endpoint_address();
        if let Some(log) = &self.worker.settings.log
            && !log.send(*line)
        {
            self.worker.stats.log_dropped();
        }
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        if !self.finished {
            let panics = std::thread::panicking();
            self.finish(if panics { RequestOutcome::Panicked } else { RequestOutcome::ClientLeft });
        }
    }
}
