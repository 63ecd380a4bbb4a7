//! The target of a request: its path as it is routed and forwarded, which is one and the same
//! (docs/http-rules.md#rule-10), and the service that responds there.
//!
//! Nearly every target is forwarded as it came. It stays where it is then, in the head, and is looked up once: the step
//! that decides asks here for the service instead of the table.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::message::{RequestHead, RequestTarget};
use crate::proxy::request::local_reply::LocalReply;
use crate::stats::RejectReason;
use crate::table::{BearerClaims, RequestView, Table};

/// What a table makes of a target.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedTarget {
    /// What is forwarded instead of what was given. On the heap: nearly every request has none.
    rewritten: Option<Box<RequestTarget>>,
    /// Index of the service that responds.
    pub service: Option<u32>,
}

/// What the steps before know of a request, besides its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientView<'a> {
    /// The host that it asks.
    pub host: &'a str,
    /// Its client's address.
    pub client: IpAddr,
    /// What is to be believed of its token.
    pub claims: BearerClaims<'a>,
}

impl ResolvedTarget {
    /// What `table` makes of `given`, which was asked of `host`.
    ///
    /// # Errors
    /// The local reply when the path has to be normalised and cannot be.
    pub(crate) fn of(table: &Table, host: &str, given: &RequestTarget) -> Result<Self, LocalReply> {
        let bad =
            || LocalReply::new(RejectReason::BadTarget, "the path climbs above the root, or its encoding is broken");
        let (path, service) = table.place(host, given.path()).ok().ok_or_else(bad)?;
        let text = match (path, given.query()) {
            (Cow::Borrowed(_), _) => return Ok(Self { rewritten: None, service }),
            (Cow::Owned(path), Some(query)) => [&path[..], b"?", query].concat(),
            (Cow::Owned(path), None) => path,
        };
        Ok(Self { rewritten: Some(Box::new(RequestTarget::of_path_and_query(text))), service })
    }

    /// What routing looks at of the request whose target this is. The query is never rewritten.
    #[must_use]
    pub(crate) fn view<'a>(&'a self, head: &'a RequestHead, known: ClientView<'a>) -> RequestView<'a> {
        let ClientView { host, client, claims } = known;
        let (method, query, headers) = (&head.method, head.target.query(), &head.headers);
        RequestView { method, host, path: self.path(&head.target), query, headers, client, claims }
    }

    fn path<'a>(&'a self, given: &'a RequestTarget) -> &'a [u8] {
        self.rewritten.as_deref().unwrap_or(given).path()
    }

    /// Puts what is forwarded in the place of what was given.
    pub(crate) fn rewrite(self, given: &mut RequestTarget) {
        if let Some(rewritten) = self.rewritten {
            *given = *rewritten;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_rewritten_stays_as_it_came() {
        for given in ["/a?b", "http://a.example/x?y=1", "//a/../b", "/a\"b?c=<d>"] {
            let mut given = RequestTarget::parse(given.as_bytes()).expect("a target");
            let before = given.path_and_query().to_vec();
            let target = ResolvedTarget::of(&Table::empty(), "a.example", &given).expect("nothing to normalise");
            assert_eq!((target.service, target.path(&given)), (None, given.path()));
            target.rewrite(&mut given);
            assert_eq!(given.path_and_query(), before);
        }
    }

    #[test]
    fn what_is_rewritten_keeps_its_query() {
        let mut given = RequestTarget::parse(b"http://a.example/x/../y?q=/../").expect("a target");
        let rewritten = Some(Box::new(RequestTarget::of_path_and_query(b"/y?q=/../".to_vec())));
        let target = ResolvedTarget { rewritten, service: Some(3) };
        assert_eq!(target.path(&given), b"/y");
        target.rewrite(&mut given);
        assert_eq!((given.path_and_query(), given.authority()), (&b"/y?q=/../"[..], None));
    }
}
