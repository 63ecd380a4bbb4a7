//! Pages for errors of the proxy itself, in the form that a client asks for.

use std::ops::RangeInclusive;

use super::fixed_response::PageContent;

/// A page for some statuses, in at least one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// The statuses.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// In HTML.
    pub html: Option<PageContent>,
    /// In JSON.
    pub json: Option<PageContent>,
    /// As plain text.
    pub text: Option<PageContent>,
}

impl ErrorPage {
    /// Whether it is for this status.
    #[must_use]
    pub fn is_for(&self, status: u16) -> bool {
        self.statuses.iter().any(|statuses| statuses.contains(&status))
    }

    /// The form for a client that names these types, in its order; none if it takes none of those that there are.
    #[must_use]
    pub fn of_types<'a>(&self, types: impl Iterator<Item = &'a str>) -> Option<&PageContent> {
        let mut asked = false;
        for kind in types {
            asked = true;
            let kind = kind.to_ascii_lowercase();
            let found = match kind.as_str() {
                "text/html" | "application/xhtml+xml" => self.html.as_ref(),
                "text/plain" => self.text.as_ref(),
                "text/*" => self.html.as_ref().or(self.text.as_ref()),
                "application/*" => self.json.as_ref(),
                "*/*" => self.first(),
                "application/json" => self.json.as_ref(),
                other if other.ends_with("+json") => self.json.as_ref(),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        if asked { None } else { self.first() }
    }

    /// What those get who take anything: programs ask so, and a text is good for people as well.
    fn first(&self) -> Option<&PageContent> {
        self.text.as_ref().or(self.html.as_ref()).or(self.json.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn content(text: &'static str) -> Option<PageContent> {
        Some(PageContent { kind: HeaderValue::from_static("x/y"), bytes: text.into() })
    }

    #[test]
    fn the_first_type_that_there_is_decides() {
        let all = ErrorPage { statuses: vec![500..=599], html: content("h"), json: content("j"), text: content("t") };
        let html = ErrorPage { json: None, text: None, ..all.clone() };
        let of = |page: &ErrorPage, accept: &str| {
            let types = accept.split(',').map(str::trim).filter(|kind| !kind.is_empty());
            page.of_types(types).map(|content| String::from_utf8_lossy(&content.bytes).into_owned())
        };
        for (accept, of_all, of_html) in [
            ("", Some("t"), Some("h")),
            ("*/*", Some("t"), Some("h")),
            ("text/html, */*", Some("h"), Some("h")),
            ("application/json", Some("j"), None),
            ("application/problem+json", Some("j"), None),
            ("image/png, text/plain", Some("t"), None),
            ("Text/HTML", Some("h"), Some("h")),
            ("image/png", None, None),
        ] {
            assert_eq!((of(&all, accept).as_deref(), of(&html, accept).as_deref()), (of_all, of_html), "{accept}");
        }
        assert!(all.is_for(502) && !all.is_for(404));
    }
}
