use std::borrow::Cow;

use serde_json::json;

use super::*;
use crate::flagd::flag_file::parse;
use crate::flagd::fractional_version::FractionalVersion;

/// A context as a client sends it.
struct Sent(Value);

impl FlagContext for Sent {
    fn targeting_key(&self) -> Option<Cow<'_, str>> {
        self.0.get("targetingKey")?.as_str().map(Cow::Borrowed)
    }

    fn attribute(&self, name: &str) -> Option<Datum<'_>> {
        self.0.get(name).map(Datum::from)
    }

    fn version_of(&self, service: &str) -> Option<Cow<'_, str>> {
        (service == "shop" && self.targeting_key().is_some()).then_some(Cow::Borrowed("v2"))
    }

    fn seconds(&self) -> i64 {
        NOW
    }
}

const NOW: i64 = 1_700_000_000;

/// What is resolved of the flag `f` with this rule, in words: the variant and why.
fn resolved(version: FractionalVersion, variants: &[&str], rule: &Value, context: &Value) -> String {
    let variants: Map<String, Value> = variants.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
    let file = json!({"flags": {"f": {"state": "ENABLED", "variants": variants, "targeting": rule}}});
    let file = parse(&file.to_string(), version).expect("a good file");
    let flag = &file.flags[0];
    let Resolution { variant, cause } = flag.resolve(&Sent(context.clone()));
    let variant = variant.map_or("-", |index| flag.variants[usize::from(index)].name.as_str());
    format!("{variant} {cause:?}")
}

/// What a rule gives: the text of a value that is no variant.
fn given(rule: &Value, context: &Value) -> String {
    let found = resolved(FractionalVersion::V3, &["no"], &json!({"cat": ["<", rule, ">"]}), context);
    found.trim_start_matches("- NoVariant(\"").trim_end_matches("\")").to_owned()
}

#[test]
fn variants_are_found_by_what_the_rule_gives() {
    let variants = ["a", "true", "7", "1.5", "null"];
    for (rule, wanted) in [
        (json!({"if": [true, "a"]}), "a TargetingMatch"),
        (json!({"if": [false, "a"]}), "- Default"),
        (json!({"==": [1, 1]}), "true TargetingMatch"),
        (json!({"==": [1, 2]}), "- NoVariant(\"false\")"),
        (json!({"+": [3, 4.0]}), "7 TargetingMatch"),
        (json!({"+": [1, 0.5]}), "1.5 TargetingMatch"),
        (json!({"cat": ["nu", "ll"]}), "null TargetingMatch"),
        (json!({"cat": [""]}), "- NoVariant(\"\")"),
        (json!({"merge": ["a"]}), "- NoVariant(\"a list or an object\")"),
        (json!({"var": "x"}), "- NoVariant(\"a list or an object\")"),
        (json!({"version_of": "shop"}), "- NoVariant(\"v2\")"),
        (json!({"version_of": "blog"}), "- Default"),
    ] {
        let context = json!({"targetingKey": "u", "x": {}});
        assert_eq!(resolved(FractionalVersion::V3, &variants, &rule, &context), wanted, "{rule}");
    }
}

#[test]
fn without_a_rule_the_default_holds() {
    let file = json!({"flags": {
        "a": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"},
        "b": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": null},
        "c": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on", "targeting": {"var": "none"}},
    }});
    let file = parse(&file.to_string(), FractionalVersion::V3).expect("a good file");
    let found: Vec<_> = file.flags.iter().map(|flag| flag.resolve(&Sent(json!({})))).collect();
    let wanted = [
        Resolution { variant: Some(0), cause: ResolutionCause::Static },
        Resolution { variant: None, cause: ResolutionCause::Default },
        Resolution { variant: Some(0), cause: ResolutionCause::Default },
    ];
    assert_eq!(found, wanted);
}

#[test]
fn the_context_is_asked_by_name() {
    let context = json!({"targetingKey": "u1", "user": {"tags": ["a", {"b": 3}]}, "name": "b\u{e4}r", "empty": ""});
    for (rule, wanted) in [
        (json!({"var": "targetingKey"}), "<u1>"),
        (json!({"var": "$flagd.flagKey"}), "<f>"),
        (json!({"var": ["$flagd.timestamp"]}), "<1700000000>"),
        (json!({"var": "user.tags.1.b"}), "<3>"),
        (json!({"var": "user.tags.length"}), "<2>"),
        (json!({"var": "user.tags.01"}), "<>"),
        (json!({"var": "name.1"}), "<\u{e4}>"),
        (json!({"var": ["user.none", "x"]}), "<x>"),
        (json!({"var": ["none", {"var": "name"}]}), "<b\u{e4}r>"),
        (json!({"var": {"cat": ["na", "me"]}}), "<b\u{e4}r>"),
        (json!({"var": ""}), "<>"),
        (json!({"missing": ["name", "empty", "none"]}), "<empty,none>"),
        (json!({"missing": {"merge": ["name", "none"]}}), "<none>"),
        (json!({"missing_some": [1, ["name", "none"]]}), "<>"),
        (json!({"missing_some": [2, ["name", "none"]]}), "<none>"),
    ] {
        assert_eq!(given(&rule, &context), wanted, "{rule}");
    }
}

#[test]
fn operators_of_json_logic() {
    let context = json!({"list": [1, 2, 3], "people": [{"age": 5}, {"age": 50}], "nested": [[1], [2, 3]]});
    for (rule, wanted) in [
        (json!({"if": [false, 1, false, 2, 3]}), "<3>"),
        (json!({"if": [false, 1, true, 2, 3]}), "<2>"),
        (json!({"if": ["x"]}), "<x>"),
        (json!({"and": [1, 0, 2]}), "<0>"),
        (json!({"or": [0, "", 2, 3]}), "<2>"),
        (json!({"!": [[]]}), "<true>"),
        (json!({"!!": "0"}), "<true>"),
        (json!({"<": [1, 2, 3]}), "<true>"),
        (json!({"<": [1, 3, 2]}), "<false>"),
        (json!({"<=": [1, 1]}), "<true>"),
        (json!({"==": [null, 0]}), "<false>"),
        (json!({"!=": [null, {"var": "none"}]}), "<false>"),
        (json!({"===": [1, "1"]}), "<false>"),
        (json!({"in": ["b", "abc"]}), "<true>"),
        (json!({"in": [{"var": "none"}, "abc"]}), "<false>"),
        (json!({"in": [2, {"var": "list"}]}), "<true>"),
        (json!({"in": [true, [1]]}), "<false>"),
        (json!({"in": ["a", 5]}), "<false>"),
        (json!({"map": [{"var": "list"}, {"*": [{"var": ""}, 2]}]}), "<2,4,6>"),
        (json!({"filter": [{"var": "people"}, {">": [{"var": "age"}, 18]}]}), "<[object Object]>"),
        (json!({"all": [{"var": "list"}, {">": [{"var": ""}, 0]}]}), "<true>"),
        (json!({"all": [[], true]}), "<false>"),
        (json!({"some": [{"var": "people"}, {">": [{"var": "age"}, 18]}]}), "<true>"),
        (json!({"none": [{"var": "people"}, {">": [{"var": "age"}, 80]}]}), "<true>"),
        (json!({"none": [3, true]}), "<true>"),
        (
            json!({"reduce": [{"var": "list"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, {"+": [10]}]}),
            "<16>",
        ),
        (json!({"reduce": [3, {"var": "current"}, "none"]}), "<none>"),
        (json!({"merge": [1, {"var": "list"}, [[9]]]}), "<1,1,2,3,9>"),
        (
            json!({"map": [{"var": "nested"}, {"reduce": [{"var": ""}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}]}),
            "<1,5>",
        ),
        (json!({"map": [{"var": "list"}, {"var": "targetingKey"}]}), "<,,>"),
        (json!({"substr": ["jsonlogic", {"var": "list.0"}, 3]}), "<son>"),
        (json!({"starts_with": [{"var": "none"}, "a"]}), "<>"),
        (json!({"starts_with": ["abc", "ab"]}), "<true>"),
        (json!({"ends_with": ["abc", "ab"]}), "<false>"),
        (json!({"sem_ver": [1.2, ">", "1.1"]}), "<true>"),
        (json!({"-": [{"var": "$flagd.timestamp"}, 1_699_999_999]}), "<1>"),
    ] {
        assert_eq!(given(&rule, &context), wanted, "{rule}");
    }
}

#[test]
fn users_are_drawn_as_flagd_draws_them() {
    let cards = ["clubs", "diamonds", "hearts", "spades"];
    let quarters = json!([["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]);
    let by = |by: Value| {
        let mut arguments = vec![by];
        arguments.extend(quarters.as_array().into_iter().flatten().cloned());
        json!({"fractional": arguments})
    };
    let by_name = by(json!({"cat": ["fractional-flag", {"var": "user.name"}]}));
    for (name, v3, v2) in [
        ("jack", "diamonds", "hearts"),
        ("queen", "diamonds", "spades"),
        ("ten", "clubs", "clubs"),
        ("nine", "clubs", "diamonds"),
        ("3", "spades", "clubs"),
    ] {
        let context = json!({"user": {"name": name}});
        for (version, wanted) in [(FractionalVersion::V3, v3), (FractionalVersion::V2, v2)] {
            let found = resolved(version, &cards, &by_name, &context);
            assert_eq!(found, format!("{wanted} TargetingMatch"), "{name} {version}");
        }
    }
    let shorthand = json!({"fractional": quarters});
    for (rule, context, v3, v2) in [
        // Without a key, and with a value that no user can be drawn by.
        (&shorthand, json!({}), "- Default", "- Default"),
        (&shorthand, json!({"targetingKey": ""}), "- Default", "- Default"),
        (&by(json!({"var": "none"})), json!({}), "- Default", "- Default"),
        (&by(json!({"var": "x"})), json!({"x": 42}), "diamonds TargetingMatch", "- Default"),
    ] {
        assert_eq!(resolved(FractionalVersion::V3, &cards, rule, &context), v3, "{rule} {context}");
        assert_eq!(resolved(FractionalVersion::V2, &cards, rule, &context), v2, "{rule} {context}");
    }
    // Nothing to draw by: `v2` draws by the key, as flagd does, and `v3` does not guess.
    let user = json!({"targetingKey": "u"});
    let v2 = |rule: &Value| resolved(FractionalVersion::V2, &cards, rule, &user);
    assert_eq!(v2(&by(json!({"var": "none"}))), v2(&shorthand));
    assert_eq!(resolved(FractionalVersion::V3, &cards, &by(json!({"var": "none"})), &user), "- Default");
    // The first share can be made by a rule.
    let made = json!({"fractional": [{"merge": ["clubs", 1]}, ["hearts", 0]]});
    assert_eq!(resolved(FractionalVersion::V3, &cards, &made, &user), "clubs TargetingMatch");
    // A ramp by time.
    let ramp = json!({"fractional": [["clubs", {"-": [{"var": "$flagd.timestamp"}, NOW]}], ["hearts", {"-": [NOW + 1, {"var": "$flagd.timestamp"}]}]]});
    assert_eq!(resolved(FractionalVersion::V3, &cards, &ramp, &user), "hearts TargetingMatch");
}

#[test]
fn work_has_a_bound() {
    let many: Vec<i32> = (0..2000).collect();
    let context = json!({"list": many, "forty": many[..40], "long": "x".repeat(60_000)});
    let too_much = |rule: Value| resolved(FractionalVersion::V3, &["no"], &rule, &context).contains("TooMuchWork");
    // Each of these would take all memory, or minutes.
    let doubled = json!({"cat": [{"var": "accumulator"}, {"var": "accumulator"}]});
    assert!(too_much(json!({"reduce": [{"var": "forty"}, doubled, "ab"]})));
    let merged = json!({"merge": [{"var": "accumulator"}, {"var": "accumulator"}]});
    assert!(too_much(json!({"reduce": [{"var": "forty"}, merged, [1, 2]]})));
    let nested = json!({"reduce": [{"var": "list"}, [{"var": "accumulator"}], 1]});
    assert!(too_much(json!({"cat": [nested]})));
    let inner = json!({"map": [{"var": ""}, 1]});
    assert!(too_much(json!({"map": [{"map": [{"var": "list"}, {"map": [[1, 2, 3, 4, 5], inner]}]}, 1]})));
    let looked_at = json!({"filter": [{"var": "list"}, {"in": ["y", "x".repeat(6_000)]}]});
    assert!(too_much(looked_at));
    let refs = json!({"flags": {"f": {"state": "ENABLED", "variants": {"no": "no"}, "targeting": {"$ref": "r00"}}}});
    let mut file = refs;
    for i in 0..28 {
        let next = json!({"$ref": format!("r{:02}", i + 1)});
        file["$evaluators"][format!("r{i:02}")] = json!({"and": [next, next]});
    }
    file["$evaluators"]["r28"] = json!({"==": [1, 1]});
    let file = parse(&file.to_string(), FractionalVersion::V3).expect("a good file");
    let found = file.flags[0].resolve(&Sent(json!({})));
    assert_eq!(found.cause, ResolutionCause::TooMuchWork(TooMuchWork::Steps));
    // What is usual is far below.
    assert!(!too_much(json!({"in": [1999, {"var": "list"}]})));
    assert!(!too_much(json!({"some": [{"var": "forty"}, {"==": [{"var": ""}, 39]}]})));
}
