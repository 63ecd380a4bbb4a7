//! The body of a call that the proxy itself answers: it is read whole, within bounds.

use std::time::Duration;

use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::forward::reply_to_fault;
use super::local_reply::LocalReply;
use crate::proxy::body::body_fault::BodyFault;
use crate::proxy::body::inbound::Inbound;
use crate::stats::RejectReason;

/// The longest wait for a body: it is one packet, or a few.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body; nothing if it is larger than one may be.
///
/// # Errors
/// The local reply when it breaks or does not come.
pub(crate) async fn read(body: Inbound, bytes_max: usize) -> Result<Option<Vec<u8>>, LocalReply> {
    let late = || LocalReply::new(RejectReason::BodyTimeout, "the request's body did not come in time");
    let gone = || LocalReply::new(RejectReason::ClientGone, "the client left");
    let read = timeout(BODY_TIMEOUT, collect(body, bytes_max)).await.map_err(|_elapsed| late())?;
    read.map_err(|fault| reply_to_fault(fault).unwrap_or_else(gone))
}

async fn collect(mut body: Inbound, bytes_max: usize) -> Result<Option<Vec<u8>>, BodyFault> {
    let mut bytes = Vec::new();
    if body.size_hint().lower() > bytes_max as u64 {
        return Ok(None);
    }
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}
