//! What a rule responds by itself: a text, the content of a file, or where to go.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::template::Template;

/// What a rule responds.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleResponse {
    /// A page.
    Page(Arc<FixedPage>),
    /// Where to go.
    Redirect(Arc<Redirect>),
}

/// A page with a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedPage {
    /// The status.
    pub status: StatusCode,
    /// The content.
    pub content: PageContent,
    /// When it is worth to ask again, in seconds.
    pub retry_after: Option<u64>,
}

/// Bytes with their type: what was in a file when the config was read, or a text of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageContent {
    /// The type.
    pub kind: HeaderValue,
    /// The bytes.
    pub bytes: Bytes,
}

/// Where to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The status: 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// The URL, or a path of the same host. It begins with a scheme and a host, or with one slash and no other: what a
    /// client sends can never become the host.
    pub to: Template,
    /// The prefix that the rule asks for in the path, without a slash at its end.
    pub prefix: Box<str>,
}

impl RuleResponse {
    /// `503 with 120 bytes of text/html`, `308 to https://new.example{path}`
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Page(page) => {
                let kind = page.content.kind.to_str().unwrap_or_default();
                format!("{} with {} bytes of {kind}", page.status.as_u16(), page.content.bytes.len())
            }
            Self::Redirect(redirect) => format!("{} to {}", redirect.status.as_u16(), redirect.to),
        }
    }
}
