//! The task of one copy: it sends it, waits for what the user got, and has both compared.

use tokio::time::timeout;

use super::mirror_exchange::exchange;
use super::mirror_job::MirrorJob;
use crate::proxy::body::request_body::RequestBody;
use crate::shared::mirror_difference::MirrorDrop;

/// Sends a copy with this body, and compares its response.
pub(crate) async fn run(mut job: MirrorJob, body: RequestBody) {
    let mirror = match Box::pin(exchange(&job, body)).await {
        Ok(mirror) => mirror,
        Err(why) => return job.dropped(why),
    };
    let patience = job.to.service().spec.policy.response_timeout;
    match timeout(patience, &mut job.user).await {
        Ok(Ok(user)) => job.record(&user, &mirror),
        // The user has left, or was told something that says nothing of a version.
        Ok(Err(_gone)) => {}
        Err(_elapsed) => job.dropped(MirrorDrop::Behind),
    }
}
