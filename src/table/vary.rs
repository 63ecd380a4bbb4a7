//! The request headers that decide which version a user gets, and which variants of flags the version is told. A cache
//! between the proxy and its users has to know them (docs/http-rules.md#rule-30), or it hands one version's response to
//! users of the other.
//!
//! They are a fact of the service under its traffic, not of one request: a cache compares a request with what the
//! response that it has says (RFC 9111, 4.1), so all responses to a URL have to say the same. And only what matters is
//! named, because each name makes a cache less useful: while all users get one version, no header decides anything.
//!
//! What does not stand in a header has no name here. Path, query and method are what a cache goes by anyway; the
//! client's address is nothing that a cache could compare.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderName, HeaderValue};

use super::flag_inputs::FlagInput;
use super::rules::{CompiledRule, CompiledTarget, Rules};
use super::spec::{Condition, KeySource, ServiceSpec};

/// Names of headers, at least one, each once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Vary {
    names: Box<[HeaderName]>,
    /// All of them, as a response says it that says nothing else of the kind.
    value: HeaderValue,
}

impl Vary {
    /// The headers that decide between the versions of a service; `None` if no header does, or caches are not told.
    /// `have_share` says of each version whether the split gives it anything.
    pub(crate) fn of(spec: &ServiceSpec, rules: &Rules, have_share: impl Iterator<Item = bool>) -> Option<Self> {
        if !spec.policy.cache_headers {
            return None;
        }
        let mut with_share = (0_u16..).zip(have_share).filter_map(|(index, has_share)| has_share.then_some(index));
        let first = with_share.next();
        let is_split = with_share.next().is_some();
        let only = first.filter(|_| !is_split);
        let mut names = Vec::new();
        // After the last rule that picks another version than the split, all ways lead to one.
        // What edits a response, or is one, makes it another one as well.
        let tells_apart = |(index, rule): (u16, &CompiledRule)| match rule.target {
            CompiledTarget::Version(version) => Some(version) != only || spec.edits_by(index),
            CompiledTarget::Split => spec.edits_by(index),
            CompiledTarget::Respond => true,
        };
        let numbered = (0..).zip(&**rules);
        if let Some(last) = numbered.filter(|rule| tells_apart(*rule)).last().map(|(index, _)| usize::from(index)) {
            rules[..=last].iter().for_each(|rule| note_condition(&rule.when, &mut names));
        }
        if is_split {
            names.extend(spec.sticky.iter().filter_map(header_of));
        }
        Self::named(names)
    }

    /// The headers that decide on flags, which are told to the endpoint and so decide on its response.
    pub(crate) fn of_flags(inputs: &[FlagInput<'_>]) -> Option<Self> {
        let mut names = Vec::new();
        for input in inputs {
            match input {
                FlagInput::Condition(condition) => note_condition(condition, &mut names),
                FlagInput::Source(source) => names.extend(header_of(source)),
            }
        }
        Self::named(names)
    }

    fn named(names: Vec<HeaderName>) -> Option<Self> {
        let mut once: Vec<HeaderName> = Vec::with_capacity(names.len());
        for name in names {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        let joined = once.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
        let value = HeaderValue::from_str(&joined).ok().filter(|value| !value.is_empty())?;
        Some(Self { names: once.into(), value })
    }

    /// The names.
    pub(crate) fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// Whether all names of another one are among these.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.names.iter().all(|name| self.names.contains(name))
    }

    /// The names as the value of a header.
    pub(crate) fn value(&self) -> &HeaderValue {
        &self.value
    }
}

/// The header that a key comes from.
fn header_of(source: &KeySource) -> Option<HeaderName> {
    match source {
        KeySource::Header(name) => Some(name.clone()),
        KeySource::Cookie(_) | KeySource::OwnCookie | KeySource::NamedOwnCookie(_) => Some(COOKIE),
        KeySource::Jwt(_) => Some(AUTHORIZATION),
        KeySource::Query(_) | KeySource::Ip => None,
    }
}

/// Adds the headers that a condition looks at. Each part is named here, so that a new one cannot be forgotten.
fn note_condition(condition: &Condition, names: &mut Vec<HeaderName>) {
    let Condition { headers, cookies, attributes, segments, any, not, .. } = condition;
    let Condition { query: _, methods: _, path: _, clients: _, .. } = condition;
    let sources = attributes.iter().flat_map(|(attribute, _)| &attribute.sources);
    names.extend(sources.filter_map(header_of));
    names.extend(headers.iter().map(|(name, _)| name.clone()));
    names.extend((!cookies.is_empty()).then_some(COOKIE));
    segments.iter().for_each(|segment| note_condition(&segment.when, names));
    any.iter().chain(not.as_deref()).for_each(|other| note_condition(other, names));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::table::fixture::{name, rule, spec, table, weights};
    use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FlagSpecs, Variant};
    use crate::table::spec::{Attribute, HostPattern, Pattern, Segment};

    fn vary(service: ServiceSpec) -> String {
        let table = table([service]);
        table.service(0).vary.as_ref().map_or(String::new(), |vary| vary.value().to_str().expect("text").to_owned())
    }

    fn header(name: &'static str) -> Condition {
        Condition { headers: vec![(HeaderName::from_static(name), Pattern::Present)], ..Condition::default() }
    }

    #[test]
    fn a_key_counts_while_there_is_something_to_split() {
        for (source, named) in [
            (KeySource::Header(HeaderName::from_static("x-user")), "x-user"),
            (KeySource::Cookie("uid".into()), "cookie"),
            (KeySource::OwnCookie, "cookie"),
            (KeySource::Jwt("sub".into()), "authorization"),
            (KeySource::Query("uid".into()), ""),
            (KeySource::Ip, ""),
        ] {
            for (split, named) in [("v1=100 v2=0", ""), ("v1=0 v2=100", ""), ("v1=99.999 v2=0.001", named)] {
                let service = ServiceSpec { sticky: vec![source.clone()], ..spec("shop", split) };
                assert_eq!(vary(service), named, "{source:?} of {split}");
            }
        }
    }

    #[test]
    fn rules_count_while_they_pick_another_version_than_the_rest() {
        let beta = Condition { cookies: vec![("beta".into(), Pattern::Present)], ..Condition::default() };
        let segment = Segment { name: name("staff"), when: header("x-staff") };
        let staff = Condition { segments: vec![Arc::new(segment)], ..Condition::default() };
        let plan = Attribute {
            name: name("plan"),
            sources: vec![
                KeySource::Query("plan".into()),
                KeySource::Cookie("p".into()),
                KeySource::Jwt("plan".into()),
            ],
        };
        let plan = Condition { attributes: vec![(Arc::new(plan), Pattern::Present)], ..Condition::default() };
        let posts = Condition { methods: vec![Method::POST], ..Condition::default() };
        for (split, rules, named) in [
            ("v1=100 v2=0", vec![rule("canary", header("x-canary"), "v2")], "x-canary"),
            ("v1=0 v2=100", vec![rule("canary", header("x-canary"), "v2")], ""),
            ("v1=100 v2=0", vec![rule("beta", beta.clone(), "v2"), rule("staff", staff, "v2")], "cookie, x-staff"),
            ("v1=100 v2=0", vec![rule("posts", posts, "v2")], ""),
            ("v1=100 v2=0", vec![rule("plan", plan, "v2")], "cookie, authorization"),
            ("v1=100 v2=0", vec![rule("a", header("x-a"), "v1"), rule("b", header("x-b"), "v2")], "x-a, x-b"),
            ("v1=100 v2=0", vec![rule("b", header("x-b"), "v2"), rule("a", header("x-a"), "v1")], "x-b"),
            // The key of the fixture is a header as well.
            ("v1=50 v2=50", vec![rule("a", header("x-a"), "v1"), rule("b", beta, "v1")], "x-a, cookie, x-user"),
            ("v1=50 v2=50", vec![rule("a", header("x-user"), "v1")], "x-user"),
        ] {
            let service = ServiceSpec { rules, ..spec("shop", split) };
            assert_eq!(vary(service), named, "{split}");
        }
    }

    #[test]
    fn what_decides_on_flags_counts_while_it_decides() {
        let variant = |(variant, json): (&str, &str)| Variant { name: name(variant), json: json.into() };
        let flag = |flag: &str, source| {
            let variants = [("off", "false"), ("on", "true")].map(variant).to_vec();
            FlagSpec { name: name(flag), variants, default: 0, enabled: true, source }
        };
        let rule = |when: Option<Condition>, serve: &str| FlagRuleSpec {
            name: name(if when.is_some() { "some" } else { "launch" }),
            when: when.map(Arc::new),
            serve: weights(serve),
        };
        let drawn = |draw, rules| flag("f", FlagSource::Rules { draw, rules });
        let (own, cart) = (|| DrawSpec::Salt("f".into()), || DrawSpec::Service(name("cart")));
        let follows = |service: &str| flag("f", FlagSource::Service(name(service), vec![(name("v2"), 1)]));
        for (flag, named) in [
            (drawn(own(), vec![rule(None, "off=90 on=10")]), "x-user"),
            (drawn(cart(), vec![rule(None, "off=90 on=10")]), "cookie"),
            // Served to all, or to none: no header decides.
            (drawn(own(), vec![rule(None, "off=0 on=100")]), ""),
            (drawn(own(), vec![]), ""),
            (drawn(own(), vec![rule(Some(header("x-staff")), "off=0 on=100")]), "x-staff"),
            (drawn(own(), vec![rule(None, "off=0 on=100"), rule(Some(header("x-staff")), "off=100 on=0")]), ""),
            (
                drawn(own(), vec![rule(Some(header("x-staff")), "off=0 on=100"), rule(None, "off=50 on=50")]),
                "x-staff, x-user",
            ),
            (FlagSpec { enabled: false, ..drawn(own(), vec![rule(None, "off=90 on=10")]) }, ""),
            // What decides on the version is said by the service itself.
            (follows("shop"), ""),
            (follows("cart"), "x-lab, cookie"),
        ] {
            let when = header("x-lab");
            let cart = ServiceSpec {
                sticky: vec![KeySource::OwnCookie],
                rules: vec![crate::table::fixture::rule("lab", when, "v2")],
                hosts: vec![HostPattern::Exact("cart".into())],
                ..spec("cart", "v1=50 v2=50")
            };
            let told = BTreeMap::from([(name("shop"), vec![name("f")])]);
            let specs = FlagSpecs { flags: vec![Arc::new(flag)], told };
            let table = table([cart, spec("shop", "v1=50 v2=50")]).with_flags(1, &specs, &BTreeMap::new());
            let vary = table.flags().told(1).expect("a flag").vary.as_ref();
            let said = vary.map_or("", |vary| vary.value().to_str().expect("text"));
            assert_eq!(said, named, "{:?}", specs.flags[0]);
        }
    }

    #[test]
    fn a_service_may_tell_caches_nothing() {
        let mut service = spec("shop", "v1=50 v2=50");
        service.policy.cache_headers = false;
        assert_eq!(vary(service), "");
    }
}
