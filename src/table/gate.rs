//! Small parts of a service's conditions, side by side.
//!
//! Most rules do not apply to most requests, yet every rule is asked. A condition is a handful of allocations, and with
//! thousands of services none of them is in a cache: ten rules would cost a request a microsecond of waiting. So the
//! first header of each condition, the commonest part, is repeated here with the length and the first bytes of the
//! wanted value: ten rules are four cache lines in a row, and a header that several rules ask for in a row is looked
//! up once. What a gate turns away cannot hold; what it lets through is asked properly.

use http::{HeaderName, HeaderValue, header::GetAll};

use super::request::RequestView;
use super::spec::{Condition, Pattern};

/// Bytes of a value that a gate compares: enough to tell the words of one header apart.
const START_BYTES: usize = 11;

/// The gates of one service's rules, in the order of the rules.
#[derive(Debug)]
pub(super) struct Gates {
    gates: Box<[Gate]>,
    /// The headers that the gates ask for, each once.
    names: Box<[HeaderName]>,
}

/// A test that is necessary for a condition, not sufficient.
#[derive(Debug)]
struct Gate {
    /// The header that must be there, by its place in the names; `None` lets everything through.
    name: Option<u16>,
    like: Like,
}

/// How a value begins, and how long it is.
#[derive(Clone, Copy, Debug)]
struct Like {
    start: [u8; START_BYTES],
    /// Bytes of `start` that count.
    compared: u8,
    /// The exact length, if it is wanted.
    len: Option<u16>,
}

impl Gates {
    /// The gates of conditions.
    pub(super) fn of<'a>(conditions: impl Iterator<Item = &'a Condition>) -> Self {
        let mut names: Vec<HeaderName> = Vec::new();
        let gates = conditions.map(|condition| {
            let Some((name, pattern)) = condition.headers.first() else {
                return Gate { name: None, like: Like::of(&Pattern::Present) };
            };
            let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            // More headers than that have no gate, which is slower and as right.
            Gate { name: u16::try_from(place).ok(), like: Like::of(pattern) }
        });
        let gates = gates.collect();
        Self { gates, names: names.into() }
    }

    /// The indices of the rules that may hold, ascending.
    pub(super) fn admitted<'a>(&'a self, request: &RequestView<'a>) -> impl Iterator<Item = u16> + 'a {
        let headers = request.headers;
        let mut asked: Option<(u16, GetAll<'a, HeaderValue>)> = None;
        (0..).zip(&self.gates).filter_map(move |(index, gate)| {
            let Some(name) = gate.name else { return Some(index) };
            let values = match &asked {
                Some((last, values)) if *last == name => values,
                _ => &asked.insert((name, headers.get_all(&self.names[usize::from(name)]))).1,
            };
            values.iter().any(|value| gate.like.fits(value.as_bytes())).then_some(index)
        })
    }
}

impl Like {
    fn of(pattern: &Pattern) -> Self {
        let (text, exact) = match pattern {
            Pattern::Exact(text) => (text.as_bytes(), true),
            Pattern::Prefix(text) => (text.as_bytes(), false),
            Pattern::Regex(_) | Pattern::Present => (&[][..], false),
        };
        let mut like = Self { start: [0; START_BYTES], compared: 0, len: None };
        for (place, byte) in like.start.iter_mut().zip(text) {
            *place = *byte;
            like.compared += 1;
        }
        // A text too long for the field is told apart by its beginning only.
        like.len = u16::try_from(text.len()).ok().filter(|_| exact);
        like
    }

    fn fits(self, value: &[u8]) -> bool {
        self.len.is_none_or(|len| value.len() == usize::from(len))
            && value.starts_with(&self.start[..usize::from(self.compared)])
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use proptest::prelude::*;

    use super::*;

    fn admitted(conditions: &[Condition], headers: &HeaderMap) -> Vec<usize> {
        let (method, client) = (&Method::GET, [192, 0, 2, 1].into());
        let request = RequestView { method, host: "h", path: "/", query: None, headers, client };
        let gates = Gates::of(conditions.iter());
        let admitted: Vec<_> = gates.admitted(&request).map(usize::from).collect();
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
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                map.append(name, HeaderValue::from_str(&value).expect("a value"));
            }
            let admitted = admitted(&conditions, &map);
            prop_assert_eq!(admitted.last(), Some(&(conditions.len() - 1)), "the one without a header is open");
        }
    }

    #[test]
    fn gates_turn_away_what_they_can_tell() {
        let turned_away = |pattern: Pattern, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-a", value.parse().expect("a value"));
            admitted(&[condition("x-a", pattern)], &headers).is_empty()
        };
        let exact = |text: &str| Pattern::Exact(text.into());
        assert!(turned_away(exact("always"), "never") && turned_away(exact("always"), "always-not"));
        assert!(turned_away(Pattern::Prefix("beta-".into()), "alpha-1"));
        assert!(!turned_away(exact("longer-than-the-gate"), "longer-than-the-wall"));
        assert!(!turned_away(exact(&"x".repeat(70_000)), &"x".repeat(70_000)));
        assert!(admitted(&[condition("x-none", Pattern::Present)], &HeaderMap::new()).is_empty());
    }
}
