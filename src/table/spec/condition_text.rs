//! Conditions in words, for people who look at a rule and do not have the config file before them.
//!
//! The text of the file would say the same, but a table does not keep it, and it says it in keys. All values are in
//! quotation marks with escapes, so that what stands in a file can neither end a line nor colour a terminal.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

use super::{Condition, Pattern};

/// `header x-staff is "yes" and attribute plan is one of "team", "pro"`
impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let parts = parts(self);
        f.write_str(&parts.join(" and "))
    }
}

/// Each part is named here, so that a new one cannot be forgotten.
fn parts(condition: &Condition) -> Vec<String> {
    let Condition { headers, cookies, query, methods, path, clients, segments, attributes, any, not } = condition;
    let headers = headers.iter().map(|(name, pattern)| format!("header {name} {pattern}"));
    let cookies = cookies.iter().map(|(name, pattern)| format!("cookie {name} {pattern}"));
    let query = query.iter().map(|(name, pattern)| format!("query parameter {name} {pattern}"));
    let methods = either(methods).map(|methods| format!("method is {methods}"));
    let path = path.iter().map(|pattern| format!("path {pattern}"));
    let clients = either(clients).map(|clients| format!("client is in {clients}"));
    let segments = either(segments.iter().map(|segment| &segment.name));
    let segments = segments.map(|segments| format!("the user is in segment {segments}"));
    let attributes = attributes.iter().map(|(attribute, pattern)| format!("attribute {} {pattern}", attribute.name));
    let any = either(any.iter().map(|one| format!("({one})")));
    let not = not.iter().map(|not| format!("not ({not})"));
    let named = headers.chain(cookies).chain(query).chain(methods);
    named.chain(path).chain(clients).chain(segments).chain(attributes).chain(any).chain(not).collect()
}

/// `GET or POST`; `None` if there is nothing.
fn either<T: Display>(items: impl IntoIterator<Item = T>) -> Option<String> {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    (!texts.is_empty()).then(|| texts.join(" or "))
}

/// `begins with "eu-"`
impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "is {text:?}"),
            Self::OneOf(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
                write!(f, "is {}{}", if texts.len() > 1 { "one of " } else { "" }, texts.join(", "))
            }
            Self::Prefix(text) => write!(f, "begins with {text:?}"),
            Self::Suffix(text) => write!(f, "ends with {text:?}"),
            Self::Regex(regex) => write!(f, "matches {:?}", regex.as_str()),
            Self::SemVer(range) => write!(f, "is a version {range}"),
            Self::Number(range) => number(range, f),
            Self::Present => f.write_str("is there"),
        }
    }
}

/// Which of its ends are given decides on the words.
fn number(range: &RangeInclusive<f64>, f: &mut Formatter<'_>) -> fmt::Result {
    let (from, to) = (range.start(), range.end());
    match (from.is_finite(), to.is_finite()) {
        (true, true) => write!(f, "is a number from {from} to {to}"),
        (true, false) => write!(f, "is a number of at least {from}"),
        (false, true) => write!(f, "is a number of at most {to}"),
        (false, false) => f.write_str("is a number"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, Method};
    use regex::Regex;

    use super::*;
    use crate::shared::name::Name;
    use crate::table::spec::version_range::VersionRange;
    use crate::table::spec::{Attribute, KeySource, Segment};

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn each_pattern_has_its_words() {
        let range = |text: &str| Pattern::SemVer(VersionRange::parse(text).expect("a range"));
        for (pattern, wanted) in [
            (Pattern::Exact("yes".into()), r#"is "yes""#),
            (Pattern::OneOf(["team".into(), "pro".into()].into()), r#"is one of "team", "pro""#),
            (Pattern::OneOf(["pro".into()].into()), r#"is "pro""#),
            (Pattern::Prefix("eu-".into()), r#"begins with "eu-""#),
            (Pattern::Suffix("@a.com".into()), r#"ends with "@a.com""#),
            (Pattern::Regex(Regex::new("^a+$").expect("a regex")), r#"matches "^a+$""#),
            (range(">= 2.1, <3.0.0-b"), "is a version >=2.1.0, <3.0.0-b"),
            (range("1"), "is a version =1.0.0"),
            (Pattern::Number(18.0..=65.5), "is a number from 18 to 65.5"),
            (Pattern::Number(18.0..=f64::INFINITY), "is a number of at least 18"),
            (Pattern::Number(f64::NEG_INFINITY..=0.0), "is a number of at most 0"),
            (Pattern::Present, "is there"),
            (Pattern::Exact("\u{1b}[31m\n\"".into()), r#"is "\u{1b}[31m\n\"""#),
        ] {
            assert_eq!(pattern.to_string(), wanted);
        }
    }

    #[test]
    fn all_parts_of_a_condition_are_told() {
        let is = |text: &str| Pattern::Exact(text.into());
        let segment = |text: &str| Arc::new(Segment { name: name(text), when: Condition::default() });
        let method = |method| Condition { methods: vec![method], ..Condition::default() };
        let plan = Attribute { name: name("plan"), sources: vec![KeySource::Ip] };
        let condition = Condition {
            headers: vec![(HeaderName::from_static("x-staff"), is("yes"))],
            cookies: vec![("beta".into(), Pattern::Present)],
            query: vec![("v".into(), is("2"))],
            methods: vec![Method::GET, Method::HEAD],
            path: Some(Pattern::Prefix("/new".into())),
            clients: vec!["10.0.0.0/8".parse().expect("a network")],
            segments: vec![segment("staff"), segment("friends")],
            attributes: vec![(Arc::new(plan), is("pro"))],
            any: vec![method(Method::GET), method(Method::HEAD)],
            not: Some(Box::new(method(Method::PUT))),
        };
        let wanted = concat!(
            r#"header x-staff is "yes" and cookie beta is there and query parameter v is "2" and method is GET or HEAD"#,
            r#" and path begins with "/new" and client is in 10.0.0.0/8 and the user is in segment staff or friends"#,
            r#" and attribute plan is "pro" and (method is GET) or (method is HEAD) and not (method is PUT)"#
        );
        assert_eq!(condition.to_string(), wanted);
    }
}
