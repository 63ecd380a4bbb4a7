//! Small parts of a service's conditions, side by side.
//!
//! Most rules do not apply to most requests, yet every rule is asked. A condition is a handful of allocations, and with
//! thousands of services none of them is in a cache: ten rules would cost a request a microsecond of waiting. So the
//! first header of each condition, the commonest part, is repeated here in six bytes: which header, and a short hash of
//! the value that it must have. Ten rules are one cache line of the service's
//! [`RouteEntry`](super::route_entry::RouteEntry) record, and a header that several rules ask for in a row is looked up
//! and hashed once. What a prefilter turns away cannot hold; what it lets through is asked properly.

use http::HeaderName;

use crate::message::{ascii, headers};
use crate::table::request::RequestView;
use crate::table::spec::{Condition, Pattern};

/// Bytes of a value that are hashed: as many as tell values apart, and no more, because a client chooses the value.
const HASHED_BYTES_MAX: usize = 64;

/// Bytes of a prefix that are compared.
const START_BYTES_MAX: u8 = 8;

/// A test that is necessary for a condition, not sufficient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RulePrefilter {
    /// The header that must be there, by its place in the names of the table.
    name: u16,
    /// The hash of what is compared.
    tag: u16,
    test: PrefilterTest,
}

/// What a prefilter asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PrefilterTest {
    /// Nothing: everything passes.
    None,
    /// Whether the header is there.
    Present,
    /// Whether the whole value has the tag.
    Whole,
    /// Whether this many bytes of the value's beginning have the tag.
    Start(u8),
}

/// The values of the header that was asked for last.
struct AskedHeader<'a> {
    name: u16,
    values: HeaderValues<'a>,
}

/// Nearly all headers come at most once; the tag of the one value is compared with that of every prefilter.
enum HeaderValues<'a> {
    None,
    One { value: &'a [u8], tag: u16 },
    Several(headers::ValuesOfName<'a>),
}

impl RulePrefilter {
    /// Lets everything through.
    pub(crate) const OPEN: Self = Self { name: 0, tag: 0, test: PrefilterTest::None };

    /// The prefilter of a condition. `place` tells where in the names of the table a header is; one without a place has
    /// no prefilter, which is slower and as right.
    pub(crate) fn of(condition: &Condition, place: impl FnOnce(&HeaderName) -> Option<u16>) -> Self {
        let header = condition.headers.first();
        let Some((name, pattern)) = header.and_then(|(name, pattern)| Some((place(name)?, pattern))) else {
            return Self::OPEN;
        };
        let (test, tag) = match pattern {
            Pattern::Exact(text) => (PrefilterTest::Whole, tag(text.as_bytes())),
            Pattern::Prefix(text) => {
                let count = u8::try_from(text.len()).unwrap_or(u8::MAX).min(START_BYTES_MAX);
                (PrefilterTest::Start(count), tag(&text.as_bytes()[..usize::from(count)]))
            }
            Pattern::OneOf(_)
            | Pattern::Suffix(_)
            | Pattern::Regex(_)
            | Pattern::SemVer(_)
            | Pattern::Number(_)
            | Pattern::Present => (PrefilterTest::Present, 0),
        };
        Self { name, tag, test }
    }

    /// The indices of the prefilters that let a request through, ascending.
    pub(crate) fn admitted<'a>(
        prefilters: impl Iterator<Item = &'a Self> + 'a,
        names: &'a [HeaderName],
        request: &RequestView<'a>,
    ) -> impl Iterator<Item = u16> + 'a {
        let headers = request.headers;
        let mut asked: Option<AskedHeader<'a>> = None;
        (0..).zip(prefilters).filter_map(move |(index, prefilter)| {
            if prefilter.test == PrefilterTest::None {
                return Some(index);
            }
            let asked = match &mut asked {
                Some(asked) if asked.name == prefilter.name => asked,
                asked => {
                    let values = HeaderValues::of(headers.all_named(&names[usize::from(prefilter.name)]));
                    asked.insert(AskedHeader { name: prefilter.name, values })
                }
            };
            asked.values.pass(*prefilter).then_some(index)
        })
    }

    fn admits(self, value: &[u8], tag_of_whole: impl FnOnce() -> u16) -> bool {
        match self.test {
            PrefilterTest::None | PrefilterTest::Present => true,
            PrefilterTest::Whole => tag_of_whole() == self.tag,
            PrefilterTest::Start(count) => value.get(..usize::from(count)).is_some_and(|start| tag(start) == self.tag),
        }
    }
}

impl<'a> HeaderValues<'a> {
    fn of(values: headers::ValuesOfName<'a>) -> Self {
        let mut list = values.clone();
        match (list.next(), list.next()) {
            (None, _) => Self::None,
            (Some(value), None) => Self::One { value, tag: tag(value) },
            (Some(_), Some(_)) => Self::Several(values),
        }
    }

    fn pass(&self, prefilter: RulePrefilter) -> bool {
        match self {
            Self::None => false,
            Self::One { value, tag } => prefilter.admits(value, || *tag),
            Self::Several(values) => values.clone().any(|value| prefilter.admits(value, || tag(value))),
        }
    }
}

/// A short hash of a value.
fn tag(value: &[u8]) -> u16 {
    let hashed = &value[..value.len().min(HASHED_BYTES_MAX)];
    #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    let tag = ascii::hash(ascii::words(hashed), value.len()) as u16;
    tag
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::message::Headers;
    use crate::table::BearerClaims;

    fn admitted(conditions: &[Condition], headers: &Headers) -> Vec<usize> {
        let (method, client) = (&Method::GET, [192, 0, 2, 1].into());
        let request = RequestView {
            method,
            host: "h",
            path: b"/",
            query: None,
            headers,
            client,
            claims: BearerClaims::AS_THEY_STAND,
        };
        let names: Vec<_> =
            conditions.iter().filter_map(|condition| Some(condition.headers.first()?.0.clone())).collect();
        let place = |name: &HeaderName| u16::try_from(names.iter().position(|known| known == name)?).ok();
        let prefilters: Vec<_> = conditions.iter().map(|condition| RulePrefilter::of(condition, place)).collect();
        let admitted: Vec<_> = RulePrefilter::admitted(prefilters.iter(), &names, &request).map(usize::from).collect();
        for (index, condition) in conditions.iter().enumerate() {
            assert!(!condition.holds(&request) || admitted.contains(&index), "{condition:?} of {headers:?}");
        }
        admitted
    }

    fn condition(header: &str, pattern: Pattern) -> Condition {
        let name = HeaderName::from_bytes(header.as_bytes()).expect("a name");
        Condition { headers: vec![(name, pattern)], ..Condition::default() }
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        let text = || "[ab]{0,3}|[ab]{10,13}";
        prop_oneof![
            text().prop_map(|text| Pattern::Exact(text.into())),
            text().prop_map(|text| Pattern::Prefix(text.into())),
            text().prop_map(|text| Pattern::Suffix(text.into())),
            prop::collection::vec(text().prop_map(Box::from), 0..3).prop_map(|all| Pattern::OneOf(all.into())),
            Just(Pattern::Present),
            Just(Pattern::Regex(regex::Regex::new("a$").expect("a regex"))),
        ]
    }

    proptest! {
        #[test]
        fn what_holds_is_admitted(
            rules in prop::collection::vec(("x-[abc]", pattern()), 0..8),
            headers in prop::collection::vec(("x-[abc]", "[ab]{0,3}|[ab]{10,14}"), 0..5),
        ) {
            let mut conditions: Vec<_> = rules.into_iter().map(|(name, pattern)| condition(&name, pattern)).collect();
            conditions.push(Condition::default());
            let line = |(name, value): (String, String)| {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                (name, HeaderValue::from_str(&value).expect("a value"))
            };
            let admitted = admitted(&conditions, &headers.into_iter().map(line).collect());
            prop_assert_eq!(admitted.last(), Some(&(conditions.len() - 1)), "the one without a header is open");
        }
    }

    #[test]
    fn gates_turn_away_what_they_can_tell() {
        let turned_away = |pattern: Pattern, value: &str| {
            let value = HeaderValue::from_str(value).expect("a value");
            let headers = Headers::from_iter([(HeaderName::from_static("x-a"), value)]);
            admitted(&[condition("x-a", pattern)], &headers).is_empty()
        };
        let exact = |text: &str| Pattern::Exact(text.into());
        assert!(turned_away(exact("always"), "never") && turned_away(exact("always"), "always-not"));
        assert!(turned_away(Pattern::Prefix("beta-".into()), "alpha-1"));
        assert!(turned_away(exact("longer-than-the-gate"), "longer-than-the-wall"));
        assert!(turned_away(Pattern::Prefix("beta".into()), "bet"));
        // As far as a prefilter sees, and no farther.
        assert!(!turned_away(Pattern::Prefix("longer-than".into()), "longer-t"));
        assert!(!turned_away(exact(&("x".repeat(70) + "y")), &("x".repeat(70) + "z")));
        assert!(!turned_away(exact(&"x".repeat(70_000)), &"x".repeat(70_000)));
        assert!(admitted(&[condition("x-none", Pattern::Present)], &Headers::default()).is_empty());
    }
}
