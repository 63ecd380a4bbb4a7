//! A copy, and what its task needs to send it and to have it compared.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::user_watch::UserResponse;
use crate::message::RequestHead;
use crate::mirror::{MirrorResponse, MirroredCall, compare};
use crate::proxy::request::destination::Destination;
use crate::proxy::request::user_trials::unix_ms;
use crate::proxy::worker::Worker;
use crate::shared::mirror_difference::MirrorDrop;
use crate::shared::mirror_stats::MirrorPermit;
use crate::table::spec::mirror::MirrorSpec;

/// The longest path that is kept with a difference, in bytes.
const PATH_BYTES_MAX: usize = 200;

/// A copy, and what its task needs.
#[derive(Debug)]
pub(crate) struct MirrorJob {
    /// The worker that the request is of.
    pub worker: Rc<Worker>,
    /// The version that gets the copy.
    pub to: Destination,
    /// The mirror.
    pub spec: Arc<MirrorSpec>,
    /// The head of the copy.
    pub head: RequestHead,
    /// Its place among those under way.
    pub permit: MirrorPermit,
    /// What its user got.
    pub user: oneshot::Receiver<UserResponse>,
}

impl MirrorJob {
    /// Counts that the request is not compared.
    pub(crate) fn dropped(&self, why: MirrorDrop) {
        self.permit.stats().drop_one(self.worker.index, why);
    }

    fn call(&self, user: &UserResponse) -> MirroredCall {
        let path = String::from_utf8_lossy(self.head.target.path());
        #[expect(clippy::cast_possible_truncation, reason = "any 64 of the 128 random bits will do")]
        let salt = self.permit.stats().salt(|| self.worker.random() as u64);
        MirroredCall {
            method: self.head.method.as_str().into(),
            path: path
                .chars()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= PATH_BYTES_MAX).then_some(c)
                })
                .collect::<String>()
                .into(),
            version: user.version.clone(),
            at_ms: unix_ms(),
            salt,
        }
    }

    /// Counts what its user and it got.
    pub(crate) fn record(&self, user: &UserResponse, mirror: &MirrorResponse) {
        let pair = compare(&self.spec, &self.call(user), &user.response, mirror);
        self.permit.stats().record(self.worker.index, pair);
    }
}

/// How long ago that was, in microseconds.
#[must_use]
pub(crate) fn micros_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX)
}
