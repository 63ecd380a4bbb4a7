//! The target of a request: its path as it is routed and forwarded, which is one and the same (rule 10), and the service
//! that answers there.
//!
//! Nearly every target is forwarded as it came. It stays where it is then, in the head, and is looked up once: whoever
//! decides asks here for the service instead of the table.

use std::borrow::Cow;
use std::net::IpAddr;

use http::Uri;
use http::uri::PathAndQuery;

use super::refuse::Refusal;
use crate::message::RequestHead;
use crate::stats::Refused;
use crate::table::{RequestView, Table};

/// What a table makes of a target.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is forwarded instead of what was given.
    rewritten: Option<PathAndQuery>,
    /// Index of the service that answers.
    pub service: Option<u32>,
}

impl Target {
    /// What `table` makes of `given`, which was asked of `host`.
    ///
    /// # Errors
    /// The refusal when the path has to be normalised and cannot be.
    pub fn of(table: &Table, host: &str, given: &Uri) -> Result<Self, Refusal> {
        let bad = || Refusal::new(Refused::BadTarget, "the path climbs above the root, or its encoding is broken");
        let (path, service) = table.place(host, given.path()).ok().ok_or_else(bad)?;
        let text = match (path, given.query()) {
            (Cow::Borrowed(_), _) => return Ok(Self { rewritten: None, service }),
            (Cow::Owned(path), Some(query)) => format!("{path}?{query}"),
            (Cow::Owned(path), None) => path,
        };
        Ok(Self { rewritten: Some(text.parse().ok().ok_or_else(bad)?), service })
    }

    /// What routing looks at of the request whose target this is. The query is never rewritten.
    #[must_use]
    pub fn view<'a>(&'a self, head: &'a RequestHead, host: &'a str, client: IpAddr) -> RequestView<'a> {
        let (method, query, headers) = (&head.method, head.uri.query(), &head.headers);
        RequestView { method, host, path: self.path(&head.uri), query, headers, client }
    }

    /// The path.
    fn path<'a>(&'a self, given: &'a Uri) -> &'a str {
        self.rewritten.as_ref().map_or_else(|| given.path(), PathAndQuery::path)
    }

    /// The target in origin form.
    #[must_use]
    pub fn into_uri(self, given: Uri) -> Uri {
        match self.rewritten {
            None if given.authority().is_none() => given,
            None => Uri::from(given.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/"))),
            Some(rewritten) => Uri::from(rewritten),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forwarded_is_in_origin_form() {
        for (given, wanted) in [
            ("/a?b", "/a?b"),
            ("/", "/"),
            ("http://a.example/x?y=1", "/x?y=1"),
            ("http://a.example", "/"),
            ("http://a.example?y", "/?y"),
            ("//a/../b", "//a/../b"),
        ] {
            let given: Uri = given.parse().expect("a target");
            let target = Target::of(&Table::empty(), "a.example", &given).expect("nothing to normalise");
            assert_eq!(target.service, None);
            let path = target.path(&given).to_owned();
            let forwarded = target.into_uri(given);
            assert_eq!((forwarded.to_string(), forwarded.path()), (wanted.to_owned(), &*path));
            assert!(forwarded.authority().is_none() && forwarded.scheme().is_none());
        }
    }

    #[test]
    fn what_is_rewritten_keeps_its_query() {
        let given = Uri::from_static("http://a.example/x/../y?q=/../");
        let target = Target { rewritten: Some(PathAndQuery::from_static("/y?q=/../")), service: Some(3) };
        assert_eq!(target.path(&given), "/y");
        assert_eq!(target.into_uri(given), "/y?q=/../");
    }
}
