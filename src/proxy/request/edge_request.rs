//! What the edge of a service has to do with one request: edits of its head and path, and of the head of the response.
//!
//! The edits depend on the version, and a request may be sent to another one than it was decided for: a failed attempt
//! is replayed on the stable version, and a copy goes to a mirror. So they are made last, on the head that is about to
//! be sent, and never on one that is kept.
//!
//! What the client sent has been taken away by then and the lines of the proxy itself are there, so that a `Connection`
//! header cannot name what is set here. A service without edits has no such thing: `None`, and nothing else, on the way
//! of its requests.

use std::net::IpAddr;

use super::destination::Destination;
use super::local_reply::LocalReply;
use crate::message::known_headers::{X_FORWARDED_PREFIX, X_REQUEST_ID, X_VERSION};
use crate::message::{HeaderSet, Headers, RequestHead, RequestTarget};
use crate::stats::RejectReason;
use crate::table::spec::edge::{HeaderEdit, MessageEdits, PrefixRewrite};
use crate::table::spec::template::TemplateFacts;

/// What the edits of a request depend on, besides its version.
#[derive(Debug)]
pub(crate) struct EdgeRequest {
    /// The rule that holds.
    rule: Option<u16>,
    slot: Option<u32>,
    client: IpAddr,
}

impl EdgeRequest {
    /// What there is to edit of a request that has been routed; `None`: nothing.
    #[must_use]
    pub(crate) fn of(
        destination: &Destination,
        rule: Option<u16>,
        slot: Option<u32>,
        client: IpAddr,
    ) -> Option<Box<Self>> {
        destination.edge().map(|_| Box::new(Self { rule, slot, client }))
    }

    /// Whether the path can be rewritten for this version, if it has to be.
    ///
    /// # Errors
    /// The local reply.
    pub(crate) fn check_path(&self, target: &RequestTarget, destination: &Destination) -> Result<(), LocalReply> {
        self.rewrite(destination).map_or(Ok(()), |rewrite| rewritten(rewrite, target).map(drop))
    }

    /// Turns a head into the one that this version gets.
    ///
    /// # Errors
    /// The local reply when the path cannot be rewritten.
    pub(crate) fn edit_request(&self, head: &mut RequestHead, destination: &Destination) -> Result<(), LocalReply> {
        let Some(edge) = destination.edge() else { return Ok(()) };
        if let Some(rewrite) = self.rewrite(destination)
            && let Some(target) = rewritten(rewrite, &head.target)?
        {
            head.target = target;
            tell_prefix(&mut head.headers, rewrite);
        }
        if edge.version_to_endpoints {
            head.headers.insert(X_VERSION, destination.version().name.as_str());
        }
        for edits in edge.edits(Some(destination.version_index()), self.rule) {
            edits.request.iter().for_each(|edit| self.edit(&mut head.headers, edit, destination, None));
        }
        Ok(())
    }

    /// Edits the head of the response of this version to the request with this id.
    pub(crate) fn edit_response(&self, headers: &mut Headers, destination: &Destination, id: &[u8]) {
        let Some(edge) = destination.edge() else { return };
        for edits in edge.edits(Some(destination.version_index()), self.rule) {
            edits.response.iter().for_each(|edit| self.edit(headers, edit, destination, Some(id)));
        }
    }

    fn rewrite<'d>(&self, destination: &'d Destination) -> Option<&'d PrefixRewrite> {
        destination.edge()?.rewrite(Some(destination.version_index()), self.rule)
    }

    /// One edit; without an `id` it stands among the lines.
    fn edit(&self, headers: &mut Headers, edit: &HeaderEdit, destination: &Destination, id: Option<&[u8]>) {
        let facts = |headers: &Headers| {
            let request_id = id.or_else(|| headers.get(X_REQUEST_ID)).unwrap_or_default().to_vec();
            EditFacts {
                version: destination.version().name.as_str().to_owned(),
                slot: self.slot,
                client: self.client,
                request_id,
                revision: destination.revision(),
            }
        };
        apply(headers, edit, facts);
    }
}

/// What variables of header lines stand for.
pub(super) struct EditFacts {
    pub(super) version: String,
    pub(super) slot: Option<u32>,
    pub(super) client: IpAddr,
    pub(super) request_id: Vec<u8>,
    pub(super) revision: u64,
}

impl EditFacts {
    fn of_template(&self) -> TemplateFacts<'_> {
        TemplateFacts {
            version: &self.version,
            slot: self.slot,
            client: self.client,
            request_id: &self.request_id,
            revision: self.revision,
            host: "",
            path: b"",
            rest: b"",
            query: None,
        }
    }
}

/// Makes the edits of a response that no version gives.
pub(super) fn edit_reply<'e>(
    headers: &mut Headers,
    edits: impl Iterator<Item = &'e MessageEdits>,
    facts: impl Fn() -> EditFacts,
) {
    for edit in edits.flat_map(|edits| &edits.response) {
        apply(headers, edit, |_| facts());
    }
}

/// Makes an edit. What variables stand for is asked for only if there are some; a line whose value comes to nothing is
/// left out, with what was there by its name.
fn apply(headers: &mut Headers, edit: &HeaderEdit, facts: impl Fn(&Headers) -> EditFacts) {
    let (name, value) = match edit {
        HeaderEdit::Remove(name) => return headers.remove_named(name),
        HeaderEdit::Set(name, value) | HeaderEdit::Add(name, value) => (name, value),
    };
    let text = value.fixed().is_none().then(|| value.render(&facts(headers).of_template()));
    if matches!(edit, HeaderEdit::Set(..)) {
        headers.remove_named(name);
    }
    match (value.fixed(), text) {
        (Some(value), _) => headers.append_named(name, value),
        (None, Some(text)) if !text.is_empty() => headers.append_text(name, &text),
        (None, _) => {}
    }
}

/// The target with the other prefix; `None` if it does not have the one that is taken away. The query stays.
fn rewritten(rewrite: &PrefixRewrite, target: &RequestTarget) -> Result<Option<RequestTarget>, LocalReply> {
    let unclear = |_| {
        let detail =
            "the path has a dot segment or a backslash behind a prefix that is rewritten; normalize_path resolves it";
        LocalReply::new(RejectReason::BadTarget, detail)
    };
    let Some(mut path) = rewrite.apply(target.path()).map_err(unclear)? else { return Ok(None) };
    if let Some(query) = target.query() {
        path.push(b'?');
        path.extend_from_slice(query);
    }
    Ok(Some(RequestTarget::of_path_and_query(path)))
}

/// Tells the endpoint below which prefix its users see it, behind what a trusted proxy has taken away before.
fn tell_prefix(headers: &mut Headers, rewrite: &PrefixRewrite) {
    if !rewrite.to.as_str().is_empty() {
        return;
    }
    let before = headers.get(X_FORWARDED_PREFIX).unwrap_or_default();
    let before = before.strip_suffix(b"/").unwrap_or(before);
    let prefix = [before, rewrite.from.as_str().as_bytes()].concat();
    headers.insert(X_FORWARDED_PREFIX, prefix);
}

/// Tells a client which version responds, and the id of its request, if it is told. What an endpoint says of the first
/// is its own proxy's word, and nothing for other clients.
#[inline]
pub(crate) fn tell_client(headers: &mut Headers, destination: &Destination, trusted: bool, id: &[u8]) {
    if headers.has(HeaderSet::OF_PROXY) {
        headers.remove(X_VERSION);
    }
    let policy = &destination.service().spec.policy;
    if policy.version_to_clients.has(trusted) {
        headers.append(X_VERSION, destination.version().name.as_str());
    }
    if policy.request_id_to_clients.has(trusted) {
        headers.insert(X_REQUEST_ID, id);
    }
}
