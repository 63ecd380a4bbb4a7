//! What of a response is compared, from its head.

use http::header::CONTENT_ENCODING;
use http_body::Body;

use crate::message::Response;
use crate::message::known_headers::GRPC_STATUS;
use crate::mirror::body_coding::BodyCoding;
use crate::mirror::{MirrorResponse, SeenBody};
use crate::proxy::streams::long_lived::StreamKind;
use crate::table::spec::mirror::MirrorSpec;
use crate::upstream::Incoming;

/// A response whose head took this many microseconds; of its body nothing has been seen. A stream of events has none
/// that could be compared.
#[must_use]
pub(crate) fn of_head(spec: &MirrorSpec, response: &Response<Incoming>, micros: u64) -> MirrorResponse {
    let headers = &response.headers;
    let value = |name| {
        let lines: Vec<_> = headers.all_named(name).collect();
        (!lines.is_empty()).then(|| lines.join(&b", "[..]))
    };
    let has_body = StreamKind::of_response(headers) != Some(StreamKind::Events);
    let declared = response.body.size_hint().exact();
    MirrorResponse {
        status: Some(response.status.as_u16()),
        grpc_status: headers.get(GRPC_STATUS).map(Into::into),
        headers: spec.compare.headers.iter().map(value).collect(),
        coding: BodyCoding::of(headers.all_named(&CONTENT_ENCODING).next()),
        body: has_body.then(|| SeenBody::new(spec.compare.body, spec.body_bytes_max, declared)),
        micros,
    }
}
