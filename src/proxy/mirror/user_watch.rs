//! Looks at the body of a user's response as it passes, and tells the task of the copy what the user got.

use http::HeaderMap;
use tokio::sync::oneshot;

use crate::message::known_headers::GRPC_STATUS;
use crate::mirror::MirrorResponse;
use crate::shared::name::Name;
use crate::upstream::incoming::BodyWatch;

/// What a user got, and from whom.
#[derive(Debug)]
pub(crate) struct UserResponse {
    /// The version that responded.
    pub version: Name,
    /// Its response.
    pub response: MirrorResponse,
}

/// A response under way. One that its user gives up is never told.
#[derive(Debug)]
pub(crate) struct UserWatch {
    told: Option<oneshot::Sender<UserResponse>>,
    version: Name,
    response: MirrorResponse,
}

impl UserWatch {
    /// The head has come; `told` is told the rest.
    pub(crate) fn new(told: oneshot::Sender<UserResponse>, version: Name, response: MirrorResponse) -> Self {
        Self { told: Some(told), version, response }
    }

    /// Whether there is nothing of it left to see.
    pub(crate) fn is_over(&self) -> bool {
        self.response.body.is_none()
    }

    /// The response is told as it stands. The task of the copy may be gone.
    fn tell(&mut self, response: MirrorResponse) {
        if let Some(told) = self.told.take() {
            told.send(UserResponse { version: self.version.clone(), response }).ok();
        }
    }
}

impl BodyWatch for UserWatch {
    fn part(&mut self, part: &[u8]) {
        let Some(body) = &mut self.response.body else { return };
        if self.told.is_none() {
            return;
        }
        body.add(part);
        if body.is_full() {
            let response = self.response.clone();
            self.tell(response);
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(status) = trailers.get(GRPC_STATUS.as_str()) {
            self.response.grpc_status = Some(status.as_bytes().into());
        }
    }

    fn over(mut self: Box<Self>, whole: bool) {
        let mut response = std::mem::replace(&mut self.response, MirrorResponse::failed(None, 0));
        if whole {
            if let Some(body) = &mut response.body {
                body.end();
            }
        } else {
            response = MirrorResponse::failed(None, response.micros);
        }
        self.tell(response);
    }
}
