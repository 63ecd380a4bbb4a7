//! What is seen of a response on its way, for the judge of a rollout.
//!
//! The status and the type are known with the head, the length with the head where it is declared, else at the end of
//! the body; and whether the response is a failure may be known later still. So what is seen is kept with the request's
//! sample and told with it. A response that its client did not wait for has no length unless it was declared, on both
//! versions alike; one that its endpoint broke off is a failure, and nothing else.

use http::Method;

use crate::message::Response;
use crate::message::known_headers::CONTENT_TYPE;
use crate::shared::response_class::{ObservedResponse, media_type};
use crate::shared::response_counters::ResponseOutcome;

/// What was seen so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseWatch {
    is_asked: bool,
    has_body: bool,
    /// Whether all of the body was read, or its length was declared.
    is_measured: bool,
    /// 0 before the head has come.
    status: u16,
    media_type: u64,
    bytes: u64,
}

impl ResponseWatch {
    /// Of the response to a request that is asked for, or not.
    pub(crate) fn of(method: &Method, is_asked: bool) -> Self {
        let has_body = method != Method::HEAD;
        Self { is_asked, has_body, is_measured: false, status: 0, media_type: 0, bytes: 0 }
    }

    /// Notes the head, with the length that it declares.
    pub(crate) fn head<B>(&mut self, response: &Response<B>, length: Option<u64>) {
        self.status = response.status.as_u16();
        self.media_type = media_type(response.headers.get(CONTENT_TYPE));
        self.is_measured = length.is_some();
        self.bytes = length.unwrap_or(0);
    }

    /// Notes a part of the body.
    pub(crate) fn bytes(&mut self, count: usize) {
        if !self.is_measured {
            self.bytes += count as u64;
        }
    }

    /// Notes the end of the body.
    pub(crate) fn complete(&mut self) {
        self.is_measured = true;
    }

    /// What it says of its version.
    pub(crate) fn outcome(self, failed: bool) -> ResponseOutcome {
        let Self { is_asked, has_body, is_measured, status, media_type, bytes } = self;
        let length = is_measured.then_some(bytes);
        let observed = (status > 0 && !failed).then_some(ObservedResponse { status, media_type, length });
        ResponseOutcome { is_asked, has_body, observed }
    }
}
