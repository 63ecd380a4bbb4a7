//! The match of a request with a rule's condition. Nothing is allocated: values are compared where they stand.

use super::request::RequestView;
use super::spec::{Condition, Pattern};
use super::user_facts::UserFacts;

impl Condition {
    /// Whether every part of the condition holds. A condition without parts holds for every request.
    #[must_use]
    pub fn holds(&self, facts: &impl UserFacts) -> bool {
        let by_request = match facts.request() {
            Some(request) => self.fits(request),
            None => self.asks_nothing_of_a_request(),
        };
        by_request
            && (self.segments.is_empty() || self.segments.iter().any(|segment| segment.when.holds(facts)))
            && self.attributes.iter().all(|(attribute, pattern)| {
                facts.with_attribute(attribute, |value| pattern.fits(value)).unwrap_or(false)
            })
            && (self.any.is_empty() || self.any.iter().any(|one| one.holds(facts)))
            && self.not.as_ref().is_none_or(|not| not.fails(facts))
    }

    /// Whether it is certain that the condition does not hold. Of a user without a request that is not known where a
    /// part of a request is asked for.
    fn fails(&self, facts: &impl UserFacts) -> bool {
        !self.holds(facts) && (facts.request().is_some() || !self.asks_of_a_request())
    }

    /// Whether any part, however deep, asks for a part of the request.
    fn asks_of_a_request(&self) -> bool {
        !self.asks_nothing_of_a_request()
            || self.segments.iter().any(|segment| segment.when.asks_of_a_request())
            || self.any.iter().chain(self.not.as_deref()).any(Self::asks_of_a_request)
    }

    /// Whether the pattern of the path fits. A prefix ends at a `/`, as that of a service does: `/new` is not `/newer`.
    fn fits_path(pattern: &Pattern, path: &[u8]) -> bool {
        let Pattern::Prefix(prefix) = pattern else { return pattern.fits(path) };
        let rest = path.strip_prefix(prefix.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')) || prefix.ends_with('/'))
    }

    /// Whether a request that differs in its path alone would fit, as far as the path is asked for. What else is asked
    /// for is taken to be as wanted.
    #[must_use]
    pub fn may_hold_at(&self, path: &[u8]) -> bool {
        let is_of_path = |not: &Self| not.path.is_some() && Self { path: None, ..not.clone() }.is_empty();
        self.path.as_ref().is_none_or(|pattern| Self::fits_path(pattern, path))
            && (self.any.is_empty() || self.any.iter().any(|one| one.may_hold_at(path)))
            && self.not.as_ref().is_none_or(|not| !is_of_path(not) || !not.may_hold_at(path))
    }

    /// Whether it looks at more than the URL and the method: at who asks.
    #[must_use]
    pub fn asks_who(&self) -> bool {
        let Self { headers, cookies, query: _, methods: _, path: _, clients, segments, attributes, any, not } = self;
        !headers.is_empty()
            || !cookies.is_empty()
            || !clients.is_empty()
            || !segments.is_empty()
            || !attributes.is_empty()
            || any.iter().chain(not.as_deref()).any(Self::asks_who)
    }

    /// Whether every part holds that asks for a part of the request.
    fn fits(&self, request: &RequestView<'_>) -> bool {
        let one_of = |empty: bool, fits: bool| empty || fits;
        one_of(self.methods.is_empty(), self.methods.contains(request.method))
            && self.path.as_ref().is_none_or(|pattern| Self::fits_path(pattern, request.path))
            && self
                .headers
                .iter()
                .all(|(name, pattern)| request.headers.all_named(name).any(|value| pattern.fits(value)))
            && self.cookies.iter().all(|(name, pattern)| request.cookie(name).is_some_and(|value| pattern.fits(value)))
            && self
                .query
                .iter()
                .all(|(name, pattern)| request.query_value(name).is_some_and(|value| pattern.fits(value)))
            && one_of(self.clients.is_empty(), self.clients.iter().any(|block| block.contains(&request.client)))
    }

    /// Whether no part asks for a part of the request.
    fn asks_nothing_of_a_request(&self) -> bool {
        self.headers.is_empty()
            && self.cookies.is_empty()
            && self.query.is_empty()
            && self.methods.is_empty()
            && self.path.is_none()
            && self.clients.is_empty()
    }

    /// Whether the condition has no part at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asks_nothing_of_a_request()
            && self.segments.is_empty()
            && self.attributes.is_empty()
            && self.any.is_empty()
            && self.not.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue, Method};

    use super::*;
    use crate::message::Headers;
    use crate::shared::name::Name;
    use crate::table::BearerClaims;
    use crate::table::spec::{Attribute, KeySource, Segment};

    fn holds(condition: &Condition) -> bool {
        let lines = [("x-canary", "no"), ("x-canary", "always"), ("cookie", "a=1; group=beta-7"), ("cookie", "flag")];
        let line = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let headers = Headers::from_iter(lines.map(line));
        let request = RequestView {
            method: &Method::GET,
            host: "shop.example",
            path: b"/cart/items",
            query: Some(b"debug&user=ann"),
            headers: &headers,
            client: [10, 1, 2, 3].into(),
            claims: BearerClaims::AS_THEY_STAND,
        };
        condition.holds(&request)
    }

    fn exact(text: &str) -> Pattern {
        Pattern::Exact(text.into())
    }

    #[test]
    fn every_part_can_hold_and_fail() {
        let header = |pattern| Condition {
            headers: vec![("x-canary".parse().expect("a name"), pattern)],
            ..Condition::default()
        };
        let cookie = |name: &str, pattern| Condition { cookies: vec![(name.into(), pattern)], ..Condition::default() };
        let query = |name: &str, pattern| Condition { query: vec![(name.into(), pattern)], ..Condition::default() };
        let path = |pattern| Condition { path: Some(pattern), ..Condition::default() };
        let regex = |text| Pattern::Regex(regex::Regex::new(text).expect("a regex"));
        for (condition, expected) in [
            (header(exact("always")), true),
            (header(exact("never")), false),
            (header(Pattern::Prefix("al".into())), true),
            (cookie("group", regex("^beta-[0-9]+$")), true),
            (cookie("group", regex("^alpha")), false),
            (cookie("flag", Pattern::Present), true),
            (cookie("gro", Pattern::Present), false),
            (query("user", exact("ann")), true),
            (query("debug", Pattern::Present), true),
            (query("bug", Pattern::Present), false),
            (path(Pattern::Prefix("/cart/".into())), true),
            (path(exact("/cart")), false),
            (path(Pattern::Prefix("/cart".into())), true),
            (path(Pattern::Prefix("/".into())), true),
            // A prefix ends at a slash.
            (path(Pattern::Prefix("/car".into())), false),
            (path(Pattern::Prefix("/cart/item".into())), false),
        ] {
            assert_eq!(holds(&condition), expected, "{condition:?}");
            assert!(!condition.is_empty());
        }
    }

    #[test]
    fn one_of_any_holds_and_what_must_not_hold_does_not() {
        let methods = |methods: &[Method]| Condition { methods: methods.to_vec(), ..Condition::default() };
        let client = |block: &str| Condition { clients: vec![block.parse().expect("a block")], ..Condition::default() };
        let any = |any: &[Condition]| Condition { any: any.to_vec(), ..Condition::default() };
        let not = |not| Condition { not: Some(Box::new(not)), ..Condition::default() };
        for (condition, expected) in [
            (any(&[methods(&[Method::POST]), client("10.0.0.0/8")]), true),
            (any(&[methods(&[Method::POST]), client("10.2.0.0/16")]), false),
            (not(client("10.0.0.0/8")), false),
            (not(client("10.2.0.0/16")), true),
            (not(Condition { methods: vec![Method::GET], ..client("10.2.0.0/16") }), true),
            (not(any(&[methods(&[Method::POST]), client("10.0.0.0/8")])), false),
            (methods(&[Method::POST, Method::GET]), true),
            (methods(&[Method::POST]), false),
            (client("10.0.0.0/8"), true),
            (client("10.2.0.0/16"), false),
            (client("::/0"), false),
        ] {
            assert_eq!(holds(&condition), expected, "{condition:?}");
            assert!(!condition.is_empty());
        }
    }

    #[test]
    fn an_attribute_is_what_its_first_source_with_a_value_says() {
        let header = |name: &'static str| KeySource::Header(HeaderName::from_static(name));
        let attribute = |sources: &[KeySource]| {
            Arc::new(Attribute { name: Name::new("plan").expect("a name"), sources: sources.to_vec() })
        };
        let with = |sources: &[KeySource], pattern| Condition {
            attributes: vec![(attribute(sources), pattern)],
            ..Condition::default()
        };
        let (none, empty) = (header("x-none"), KeySource::Query("debug".into()));
        let group = KeySource::Cookie("group".into());
        for (condition, expected) in [
            (with(&[header("x-canary")], exact("no")), true),
            // A header with several lines is one value, as it is as a key.
            (with(&[header("x-canary")], exact("always")), false),
            (with(&[none.clone(), empty.clone(), group.clone()], Pattern::Suffix("-7".into())), true),
            (with(&[KeySource::Query("user".into()), group.clone()], Pattern::Suffix("-7".into())), false),
            (with(&[none.clone(), group], Pattern::Present), true),
            (with(&[none, empty], Pattern::Present), false),
        ] {
            assert_eq!(holds(&condition), expected, "{condition:?}");
            assert!(!condition.is_empty());
        }
    }

    #[test]
    fn all_parts_and_one_segment_must_hold() {
        let segment = |name: &str, block: &str| {
            let when = Condition { clients: vec![block.parse().expect("a block")], ..Condition::default() };
            Arc::new(Segment { name: Name::new(name).expect("a name"), when })
        };
        let with = |segments: &[&Arc<Segment>], method: Method| Condition {
            segments: segments.iter().map(|s| Arc::clone(s)).collect(),
            methods: vec![method],
            ..Condition::default()
        };
        let (inside, outside) = (segment("office", "10.1.0.0/16"), segment("lab", "192.0.2.0/24"));
        assert!(holds(&with(&[&outside, &inside], Method::GET)));
        assert!(!holds(&with(&[&outside], Method::GET)));
        assert!(!holds(&with(&[&inside], Method::PUT)));
        assert!(holds(&Condition::default()) && Condition::default().is_empty());
    }
}
