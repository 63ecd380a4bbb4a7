//! What the edge of a service changes of its messages: lines of heads, a prefix of paths, and the URL that a service
//! wants to be asked by.
//!
//! All of it hangs on one pointer of the definition, which is empty where nothing of it is written: a request of such a
//! service asks that once. Edits of a service, of its versions and of its rules are kept apart and made in this order,
//! so that what is more special has the last word. To join them beforehand would take a copy for each version and rule.
//!
//! What must stay true: no edit frames a message or says where it comes from; the names that do are refused before they
//! are here.

use http::HeaderName;

use super::PathPrefix;
use super::error_page::ErrorPage;
use super::template::Template;
use crate::shared::name::Name;

/// What the edge of a service changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeSpec {
    /// For all messages.
    pub service: MessageEdits,
    /// For those of the version with this index.
    pub versions: Vec<MessageEdits>,
    /// For those of requests that the rule with this index holds for.
    pub rules: Vec<MessageEdits>,
    /// Whether endpoints are told the version that they are.
    pub version_to_endpoints: bool,
    /// The URL that the service wants to be asked by.
    pub canonical: CanonicalUrl,
    /// The pages of its errors.
    pub error_pages: Vec<ErrorPage>,
}

impl EdgeSpec {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The edits of a message, the most special last.
    pub fn edits(&self, version: Option<u16>, rule: Option<u16>) -> impl DoubleEndedIterator<Item = &MessageEdits> {
        let of_version = version.and_then(|version| self.versions.get(usize::from(version)));
        [&self.service].into_iter().chain(of_version).chain(self.of_rule(rule))
    }

    /// The edits of a rule.
    #[must_use]
    pub fn of_rule(&self, rule: Option<u16>) -> Option<&MessageEdits> {
        self.rules.get(usize::from(rule?))
    }

    /// What is done to the path: by the most special of those that have a word on it.
    #[must_use]
    pub fn rewrite(&self, version: Option<u16>, rule: Option<u16>) -> Option<&PrefixRewrite> {
        self.edits(version, rule).rev().find_map(|edits| edits.prefix.as_ref())
    }

    /// The page of an error with this status: the first that has one.
    #[must_use]
    pub fn error_page(&self, status: u16) -> Option<&ErrorPage> {
        self.error_pages.iter().find(|page| page.is_for(status))
    }
}

/// Edits of a request and of its response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageEdits {
    /// Of the head of the request.
    pub request: Vec<HeaderEdit>,
    /// Of the head of the response.
    pub response: Vec<HeaderEdit>,
    /// Of the path.
    pub prefix: Option<PrefixRewrite>,
}

impl MessageEdits {
    /// Whether nothing is edited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty() && self.prefix.is_none()
    }
}

/// An edit of a head.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderEdit {
    /// The lines of this name go.
    Remove(HeaderName),
    /// They go, and this one comes.
    Set(HeaderName, Template),
    /// A line comes, beside those that are there.
    Add(HeaderName, Template),
}

/// A prefix that is taken from paths which have it, and what is put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRewrite {
    /// The prefix.
    pub from: PathPrefix,
    /// What comes instead; the root: nothing.
    pub to: PathPrefix,
}

/// Why a path is not rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path has a `.` or `..` segment or a backslash, so that its beginning is not what it seems")]
pub struct UnclearPath;

impl PrefixRewrite {
    /// The path with the other prefix; `None` if it does not have the one that is taken away.
    ///
    /// What follows the prefix begins with one slash: an endpoint could take `//evil.example` for a URL.
    ///
    /// # Errors
    /// When an endpoint may read what is left as another path than the one that was asked for.
    pub fn apply(&self, path: &[u8]) -> Result<Option<Vec<u8>>, UnclearPath> {
        let Some(rest) = self.from.rest(path) else { return Ok(None) };
        if has_unclear_segment(rest) {
            return Err(UnclearPath);
        }
        let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
        let (to, rest) = (self.to.as_str().as_bytes(), &rest[slashes..]);
        let slash: &[u8] = if slashes > 0 || to.is_empty() { b"/" } else { b"" };
        Ok(Some([to, slash, rest].concat()))
    }
}

/// Whether there is a segment that endpoints resolve, in any encoding and behind slashes in theirs, or what some take
/// for a slash.
fn has_unclear_segment(path: &[u8]) -> bool {
    let text = String::from_utf8_lossy(path).to_ascii_lowercase();
    let text = text.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    // Some servers cut off what follows a semicolon before they resolve.
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    path.contains(&b'\\') || text.split('/').any(dots)
}

/// The URL that a service wants to be asked by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanonicalUrl {
    /// Its host, with a port if it has one.
    pub host: Option<CanonicalHost>,
    /// The port of the https URLs that all requests are sent to, if they are.
    pub https_port: Option<u16>,
}

/// By which URL a service was asked.
#[derive(Clone, Copy, Debug)]
pub struct AskedOrigin<'a> {
    /// The host without its port; empty if none was named.
    pub host: &'a str,
    /// The port with its colon; empty if none was named.
    pub port: &'a str,
    /// Whether it was asked by https.
    pub secure: bool,
}

/// Where a client is sent, but for path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Scheme, host and port; none: there is no host to send it to.
    pub origin: Option<String>,
    /// Whether the scheme is another one.
    pub to_https: bool,
}

impl CanonicalUrl {
    /// Where a client is sent that has asked so; `None`: nowhere.
    #[must_use]
    pub fn elsewhere(&self, asked: AskedOrigin<'_>) -> Option<Elsewhere> {
        let AskedOrigin { host: asked, port, secure } = asked;
        let https = self.https_port.filter(|_| !secure);
        // A client of HTTP/1.0 that names no host would not name the other one either.
        let host = self.host.as_ref().filter(|host| !asked.is_empty() && !host.name.eq_ignore_ascii_case(asked));
        if https.is_none() && host.is_none() {
            return None;
        }
        let name = self.host.as_ref().map_or(asked, |host| &*host.name);
        let scheme = if secure || https.is_some() { "https" } else { "http" };
        let written = self.host.as_ref().and_then(|host| host.port);
        let port = match (written, https) {
            (Some(port), _) => format!(":{port}"),
            (None, Some(443)) => String::new(),
            (None, Some(port)) => format!(":{port}"),
            // The same server by another name.
            (None, None) => port.to_owned(),
        };
        let origin = (!name.is_empty()).then(|| format!("{scheme}://{name}{port}"));
        Some(Elsewhere { origin, to_https: https.is_some() })
    }
}

/// The one host of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalHost {
    /// Its name, in lower case.
    pub name: Box<str>,
    /// Its port, if URLs name one.
    pub port: Option<u16>,
}

/// Which clients are told something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToldClients {
    /// None.
    Never,
    /// Those that are trusted proxies.
    #[default]
    Trusted,
    /// All.
    Always,
}

impl ToldClients {
    /// Whether a client is among them that is a trusted proxy, or is not.
    #[must_use]
    pub fn has(self, trusted: bool) -> bool {
        match self {
            Self::Never => false,
            Self::Trusted => trusted,
            Self::Always => true,
        }
    }
}

/// What a rule does with a request that it holds for.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleTarget {
    /// It goes to this version.
    Version(Name),
    /// It goes where the split has it, with the rule's edits.
    Split,
    /// The proxy responds.
    Respond(super::fixed_response::RuleResponse),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> PathPrefix {
        PathPrefix::new(text).expect("a prefix")
    }

    #[test]
    fn a_prefix_is_taken_at_a_boundary_and_something_else_may_come() {
        for (from, to, path, wanted) in [
            ("/api", "/", "/api/x", Some("/x")),
            ("/api", "/", "/api", Some("/")),
            ("/api", "/", "/api/", Some("/")),
            ("/api", "/", "/apix", None),
            ("/api", "/", "/api%2Fx", None),
            ("/api", "/", "/API/x", None),
            ("/api", "/v2", "/api/x/", Some("/v2/x/")),
            ("/api", "/v2", "/api", Some("/v2")),
            ("/", "/app", "/x", Some("/app/x")),
            ("/", "/app", "/", Some("/app/")),
            // An endpoint could take it for a URL.
            ("/api", "/", "/api//evil.example/x", Some("/evil.example/x")),
            ("/api", "/", "/api/x//y", Some("/x//y")),
            ("/api", "/", "/api/a%2Fb", Some("/a%2Fb")),
            ("/api", "/", "/api/...", Some("/...")),
        ] {
            let rewrite = PrefixRewrite { from: prefix(from), to: prefix(to) };
            let found = rewrite.apply(path.as_bytes()).expect("a clear path");
            assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{from} -> {to}: {path}");
        }
    }

    #[test]
    fn a_path_that_endpoints_resolve_is_not_rewritten() {
        let rewrite = PrefixRewrite { from: prefix("/api"), to: prefix("/public") };
        for path in [
            "/api/../x",
            "/api/%2e%2E/x",
            "/api/.%2e",
            "/api/./x",
            "/api/a\\..\\x",
            "/api/..;a=b/x",
            "/api/..%2Fx",
            "/api/a%5c..%5cx",
            "/api/..",
        ] {
            assert_eq!(rewrite.apply(path.as_bytes()), Err(UnclearPath), "{path}");
        }
        assert_eq!(rewrite.apply(b"/other/../x"), Ok(None), "what has no such prefix is not looked at");
    }

    #[test]
    fn a_client_is_sent_to_host_and_scheme_at_once_and_never_to_where_it_is() {
        let url = |host: Option<&str>, https_port| {
            let host = host.map(|name| CanonicalHost { name: name.into(), port: None });
            CanonicalUrl { host, https_port }
        };
        let (host, https, both) = (url(Some("a"), None), url(None, Some(8443)), url(Some("a"), Some(443)));
        for (canonical, asked, port, secure, wanted) in [
            (&host, "b", "", false, Some("http://a")),
            (&host, "b", ":8080", false, Some("http://a:8080")),
            (&host, "b", "", true, Some("https://a")),
            (&host, "A", ":1", false, None),
            (&host, "", "", false, None),
            (&https, "b", ":80", false, Some("https://b:8443")),
            (&https, "b", "", true, None),
            (&both, "b", ":80", false, Some("https://a")),
            (&both, "a", "", false, Some("https://a")),
            (&both, "", "", false, Some("https://a")),
            (&both, "a", "", true, None),
            (&both, "b", ":8443", true, Some("https://a:8443")),
            (&CanonicalUrl::default(), "b", "", false, None),
        ] {
            let found = canonical.elsewhere(AskedOrigin { host: asked, port, secure });
            let origin = found.and_then(|elsewhere| elsewhere.origin);
            assert_eq!(origin.as_deref(), wanted, "{canonical:?} {asked}{port} {secure}");
            // Once there, it stays.
            let again = wanted.map(|origin| AskedOrigin { host: "a", port: "", secure: origin.starts_with("https") });
            let stays = canonical.host.is_none() || again.is_none_or(|asked| canonical.elsewhere(asked).is_none());
            assert!(stays, "{canonical:?}");
        }
        let nowhere = https.elsewhere(AskedOrigin { host: "", port: "", secure: false });
        assert_eq!(nowhere, Some(Elsewhere { origin: None, to_https: true }));
    }

    #[test]
    fn the_most_special_rewrite_has_the_word() {
        let rewrite = |from: &str| Some(PrefixRewrite { from: prefix(from), to: prefix("/") });
        let edits = |from| MessageEdits { prefix: rewrite(from), ..MessageEdits::default() };
        let edge = EdgeSpec {
            service: edits("/s"),
            versions: vec![MessageEdits::default(), edits("/v")],
            rules: vec![edits("/r")],
            ..EdgeSpec::default()
        };
        let from = |version, rule| edge.rewrite(version, rule).map(|rewrite| rewrite.from.to_string());
        assert_eq!(from(Some(0), None).as_deref(), Some("/s"));
        assert_eq!(from(Some(1), None).as_deref(), Some("/v"));
        assert_eq!(from(Some(1), Some(0)).as_deref(), Some("/r"));
        assert!(!edge.is_empty() && EdgeSpec::default().is_empty());
    }
}
