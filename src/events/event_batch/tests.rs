use super::*;
use crate::experiment::definition::{MetricSource, MetricSpec};
use crate::experiment::estimate::Measure;
use crate::experiment::metric_result::{Better, MetricPlan};

const NOW: u64 = 1_795_000_000_000;

fn names() -> EventNames {
    let metric = |name: &str, measure, event: &str, denominator: Option<&str>| MetricSpec {
        plan: MetricPlan { name: name.to_owned(), measure, better: Better::Higher, guardrail: false },
        source: MetricSource::Event(event.into()),
        denominator: denominator.map(Into::into),
        window_ms: 1,
    };
    EventNames::of(&[
        metric("revenue", Measure::AdjustedMean, "order_value", None),
        metric("basket", Measure::Ratio, "order_value", Some("order")),
    ])
}

fn read(body: &str) -> Vec<UserEvent> {
    parse_batch(body.as_bytes(), &names(), NOW).unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
}

fn problems(body: &str) -> Vec<String> {
    match parse_batch(body.as_bytes(), &names(), NOW) {
        Err(BatchFault::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_batch_is_read() {
    let events = read(
        r#"[{"id": "1", "event": "order_value", "targetingKey": "ann", "value": 49.5, "at": "2026-11-01T12:00:00Z"},
            {"id": "2", "event": "order", "targetingKey": "böb", "at": 1700000000123},
            {"id": "3", "covariate": "revenue", "targetingKey": "ann", "value": -7}]"#,
    );
    let wanted = |id: &str, kind, event: &str, user: &str| UserEvent {
        id: NameHash::of(id),
        kind,
        event: event.into(),
        user: NameHash::of(user),
        value: 1.0,
        at_ms: NOW,
    };
    let first = UserEvent {
        value: 49.5,
        at_ms: 1_793_534_400_000,
        ..wanted("1", UserEventKind::Happened, "order_value", "ann")
    };
    let second = UserEvent { at_ms: 1_700_000_000_123, ..wanted("2", UserEventKind::Happened, "order", "böb") };
    let third = UserEvent { value: -7.0, ..wanted("3", UserEventKind::KnownBefore, "revenue", "ann") };
    assert_eq!(events, [first, second, third]);
}

#[test]
fn a_clock_that_is_a_little_ahead_has_it_now() {
    let at = |at: u64| read(&format!(r#"[{{"id": "1", "event": "order", "targetingKey": "a", "at": {at}}}]"#))[0].at_ms;
    assert_eq!([at(NOW - 1), at(NOW), at(NOW + AHEAD_MS)], [NOW - 1, NOW, NOW]);
    let late = format!(r#"[{{"id": "1", "event": "order", "targetingKey": "a", "at": {}}}]"#, NOW + AHEAD_MS + 1);
    assert!(problems(&late)[0].contains("want a time that is not in the future"), "{late}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let body = r#"[
        {"id": "1", "event": "order_value", "targetingKey": "ann", "value": NaN},
        {"id": "2", "event": "order_value", "targetingKey": "ann", "value": "12 NaN"},
        {"id": "3", "event": "order_valeu", "targetingKey": "ann"},
        {"id": "4", "event": "order", "targetingKey": "ann", "at": "2126-01-01T00:00:00Z"},
        7,
        {"event": "order", "targetingKey": "", "at": -1, "vlaue": 1},
        {"id": 8, "covariate": "basket", "targetingKey": "ann"},
        {"id": "9", "event": "order", "covariate": "revenue", "targetingKey": "ann", "value": -Infinity}]"#;
    let found = problems(body);
    for wanted in [
        r#"[1].value: found "NaN", want a number of at most 1e15"#,
        r#"[2].value: found "12 NaN", want a number"#,
        r#"[3].event: found "order_valeu", which no metric asks for, want one that a metric asks for: order, order_value (did you mean "order_value"?)"#,
        r#"[4].at: found "2126-01-01T00:00:00Z", want a time that is not in the future"#,
        "[5]: found the number 7, want an object",
        "[6].vlaue: found an unknown key",
        "[6].id: found none, want a text that makes it the same event",
        "[6].targetingKey: found an empty text",
        "[6].at: found -1, want a time such as",
        "[7].id: found the number 8, want a text",
        "[7].value: found none, want a number",
        r#"[7].covariate: found "basket", which no metric asks for, want one that a metric asks for: revenue"#,
        "[8]: found both of event and covariate, want one of them",
        r#"[8].value: found "-Infinity", want a number"#,
    ] {
        assert!(found.iter().any(|found| found.starts_with(wanted)), "{wanted}\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 14, "{}", found.join("\n"));
    assert!(found.iter().any(|found| found.contains("did you mean \"value\"?")), "{}", found.join("\n"));
}

#[test]
fn what_is_no_list_of_some_events_is_refused() {
    for (body, wanted) in [
        ("{}", "body: found an object, want a list of events"),
        ("null", "body: found null, want a list"),
        ("[]", "body: found 0 events, want 1 to 1000"),
    ] {
        assert!(problems(body)[0].starts_with(wanted), "{body}: {:?}", problems(body));
    }
    let many = format!("[{}]", vec!["{}"; BATCH_EVENTS_MAX + 1].join(","));
    assert!(problems(&many)[0].starts_with("body: found 1001 events, want 1 to 1000 (send several batches)"));
    assert_eq!(problems(&format!("[{}]", vec!["{}"; 500].join(","))).len(), PROBLEMS_MAX, "the first of many");
    for body in ["", "  ", "[", "[{\"id\": \"1\"", "[{\"id\": \"a\", \"id\": \"b\"}]", "[1e999]", "NaN NaN", "\u{fffd}"]
    {
        let fault = parse_batch(body.as_bytes(), &names(), NOW);
        assert!(matches!(fault, Err(BatchFault::NoJson(_))), "{body}: {fault:?}");
    }
    assert!(matches!(parse_batch(b"\xff[", &names(), NOW), Err(BatchFault::NoJson(_))));
}

#[test]
fn texts_and_values_have_bounds() {
    let event = |id: usize, key: usize, value: &str| {
        let (id, key) = ("i".repeat(id), "k".repeat(key));
        format!(r#"[{{"id": "{id}", "event": "order", "targetingKey": "{key}", "value": {value}}}]"#)
    };
    assert_eq!(read(&event(NAME_BYTES_MAX, KEY_BYTES_MAX, "-1e15"))[0].value, -1e15);
    let found = problems(&event(NAME_BYTES_MAX + 1, KEY_BYTES_MAX + 1, "1.1e15"));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("[1].id: found 201 bytes, want at most 200 (shorten it)"), "{found:?}");
}

#[test]
fn words_in_texts_are_left_alone() {
    assert_eq!(quote_non_numbers(br#"["NaN", "a\"NaN", 1]"#), None);
    let quoted = quote_non_numbers(br#"["\\", NaN, -Infinity, "Infinity"]"#).expect("two");
    assert_eq!(quoted, br#"["\\", "NaN", "-Infinity", "Infinity"]"#);
    assert_eq!(quote_non_numbers(b"\"\\"), None, "cut off");
}
