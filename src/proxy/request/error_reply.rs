//! What the edge of a service makes of a local reply: the page of its status in the form that the client asks for, the
//! lines that the service sets in all responses, and the id of the request.
//!
//! An endpoint's own error is a response like any other and stays as it is. A call of gRPC has no pages.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;

use super::admit::host::Host;
use super::admit::{AdmitSettings, client_address};
use super::cache_headers;
use super::context::RequestContext;
use super::edge_request::{EditFacts, edit_reply};
use super::header_edits::RequestId;
use super::local_reply::{ErrorFormat, FaultParty, LocalReply, accepted_types};
use crate::message::known_headers::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, VARY, X_REQUEST_ID};
use crate::message::{Headers, RequestHead, Response};
use crate::proxy::worker::Snapshot;
use crate::stats::RejectReason;
use crate::table::Service;
use crate::table::spec::error_page::ErrorPage;

/// A request that ends with a local reply.
pub(crate) struct FailedRequest<'r> {
    pub(crate) head: &'r RequestHead,
    pub(crate) id: &'r RequestId,
    /// What its listener takes.
    pub(crate) admit: &'r AdmitSettings,
    pub(crate) peer: IpAddr,
    pub(crate) format: ErrorFormat,
}

impl FailedRequest<'_> {
    /// The client's address: looked for once more, since nearly no request has to know it here.
    fn client(&self) -> IpAddr {
        let Self { head, admit, peer, .. } = *self;
        match admit.trusts(peer) {
            true => client_address::behind(peer, &head.headers, &admit.trusted_proxies).to_canonical(),
            false => peer.to_canonical(),
        }
    }
}

/// Makes of a local reply what the service says of it.
#[cold]
pub(crate) fn dress(
    response: &mut Response<Full<Bytes>>,
    reply: LocalReply,
    failed: &FailedRequest<'_>,
    context: &RequestContext,
) {
    let Some(place) = FailedService::of(reply, failed.head, context) else { return };
    let service = place.service();
    let id = || failed.id.text(&failed.head.headers);
    if let Some(edge) = service.spec.edge.as_deref() {
        let page = edge.error_page(reply.status().as_u16()).filter(|_| failed.format != ErrorFormat::Grpc);
        if let Some(page) = page {
            put_page(response, page, &failed.head.headers);
        }
        let facts = || EditFacts {
            version: String::new(),
            slot: None,
            client: failed.client(),
            request_id: id().to_vec(),
            revision: place.table.revision,
        };
        edit_reply(&mut response.headers, [&edge.service].into_iter(), facts);
        // What is said of the pages of a service is not said of its failures: they must not outlive their cause.
        cache_headers::keep_out(&mut response.headers);
    }
    if service.spec.policy.request_id_to_clients.has(failed.admit.trusts(failed.peer)) {
        response.headers.insert(X_REQUEST_ID, id());
    }
}

/// The service that a failed request was for.
struct FailedService {
    table: Snapshot,
    index: u32,
}

impl FailedService {
    /// The one that it was decided for, or the one at its host and path.
    fn of(reply: LocalReply, head: &RequestHead, context: &RequestContext) -> Option<Self> {
        if let Some(destination) = &context.destination {
            return Some(Self { table: destination.snapshot(), index: destination.service_index() });
        }
        // A head that was not admitted has no host and path that are to be believed.
        let unbelievable = reply.fault() == FaultParty::Client && reply.status().as_u16() == 400;
        if unbelievable || reply.reason == RejectReason::ClientGone {
            return None;
        }
        let table = context.worker.snapshot();
        let host = head.headers.get(HOST).and_then(|line| std::str::from_utf8(line).ok()).and_then(Host::parse);
        let index = table.find(host.map_or("", |host| host.name), head.target.path())?;
        Some(Self { table, index })
    }

    fn service(&self) -> &Service {
        self.table.service(self.index)
    }
}

/// Puts the page in the place of the sentence, if the client takes one of its forms.
fn put_page(response: &mut Response<Full<Bytes>>, page: &ErrorPage, asked: &Headers) {
    let Some(content) = page.of_types(accepted_types(asked)) else { return };
    let headers = &mut response.headers;
    headers.insert(CONTENT_TYPE, &content.kind);
    headers.insert(CONTENT_LENGTH, content.bytes.len().to_string());
    headers.append(VARY, ACCEPT.as_str());
    response.body = Full::new(content.bytes.clone());
}
