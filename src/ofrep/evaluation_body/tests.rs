use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, json};

use super::*;
use crate::flagd::flag_file::parse;
use crate::flagd::fractional_version::FractionalVersion;
use crate::flagd::imported_flag::{ImportedFlag, ImportedVariant};
use crate::flags::KnownUser;
use crate::table::Weight;
use crate::table::experiment_run::ExperimentRun;
use crate::table::fixture::{name, spec, weights};
use crate::table::spec::experiment::{AssignmentSpec, CountedRequests, ExperimentSubject, PerArm};
use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSpec, FlagSpecs, ImportedSource, Variant};
use crate::table::spec::{Attribute, Condition, KeySource, Pattern};

/// A flag of the variants `off` and `on`, with these values, of which `off` is the default.
fn flag(flag: &str, values: [&str; 2], source: FlagSource) -> FlagSpec {
    let variants = ["off", "on"].iter().zip(values);
    let variants = variants.map(|(variant, json)| Variant { name: name(variant), json: json.into() });
    FlagSpec { name: name(flag), variants: variants.collect(), default: 0, enabled: true, source }
}

fn rules(rules: Vec<FlagRuleSpec>) -> FlagSource {
    FlagSource::Rules { draw: DrawSpec::Salt("s".into()), rules }
}

fn serve(rule: &str, when: Option<Condition>, serve: &str) -> FlagRuleSpec {
    FlagRuleSpec { name: name(rule), when: when.map(Arc::new), serve: weights(serve) }
}

/// Holds for those whose plan is `pro`.
fn for_pros() -> Condition {
    let plan = Arc::new(Attribute {
        name: name("plan"),
        sources: vec![KeySource::Header(http::HeaderName::from_static("x-plan"))],
    });
    Condition { attributes: vec![(plan, Pattern::Exact("pro".into()))], ..Condition::default() }
}

/// A flag of each kind, in order of their names.
fn specs() -> FlagSpecs {
    let follow = |of: &str| vec![(name(of), 1)];
    let text = ["\"\\\"a\\\"\"", "\"b\""];
    let disabled = flag("c-disabled", ["false", "true"], rules(vec![serve("r", None, "on=100 off=0")]));
    let flags = [
        flag("a-constant", ["1.0", "2.5"], rules(Vec::new())),
        flag("b-always", ["1", "2"], rules(vec![serve("everybody", None, "on=100 off=0")])),
        FlagSpec { enabled: false, ..disabled },
        flag("d-matched", text, rules(vec![serve("pros", Some(for_pros()), "on=100 off=0")])),
        flag("e-drawn", ["{\"a\":[]}", "{\"a\":[1.0]}"], rules(vec![serve("launch", None, "on=50 off=50")])),
        flag("f-service", ["false", "true"], FlagSource::Service(name("shop"), follow("v2"))),
        flag("g-flag", ["false", "true"], FlagSource::Flag(name("b-always"), follow("on"))),
    ];
    FlagSpecs { flags: flags.into_iter().map(Arc::new).collect(), told: BTreeMap::new() }
}

/// A table with a flag of each kind; everybody gets v2.
fn table(revision: u64) -> Table {
    crate::table::fixture::table([spec("shop", "v1=0 v2=100")]).with_flags(revision, &specs(), &BTreeMap::new())
}

fn user<'t>(table: &'t Table, key: Option<&str>, plan: &str) -> KnownUser<'t> {
    let context = Map::from_iter([("plan".to_owned(), Value::from(plan))]);
    KnownUser { table, key: key.map(Into::into), context, clock: || 0 }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn each_cause_has_its_reason_and_each_value_its_type() {
    let table = table(7);
    let ask = |flag: &str, plan: &str| single(&table, flag, &user(&table, Some("ann"), plan), WithoutKey::Refused);
    for (flag, wanted) in [
        (
            "a-constant",
            r#"{"key":"a-constant","reason":"STATIC","variant":"off","value":1.0,"metadata":{"revision":7}}"#,
        ),
        (
            "b-always",
            r#"{"key":"b-always","reason":"STATIC","variant":"on","value":2,"metadata":{"revision":7,"rule":"everybody"}}"#,
        ),
        (
            "c-disabled",
            r#"{"key":"c-disabled","reason":"DISABLED","variant":"off","value":false,"metadata":{"revision":7}}"#,
        ),
        (
            "d-matched",
            r#"{"key":"d-matched","reason":"TARGETING_MATCH","variant":"on","value":"b","metadata":{"revision":7,"rule":"pros"}}"#,
        ),
        ("f-service", r#"{"key":"f-service","reason":"SPLIT","variant":"on","value":true,"metadata":{"revision":7}}"#),
        (
            "g-flag",
            r#"{"key":"g-flag","reason":"TARGETING_MATCH","variant":"on","value":true,"metadata":{"revision":7}}"#,
        ),
    ] {
        assert_eq!(ask(flag, "pro").expect(flag), wanted);
    }
    let drawn = parsed(&ask("e-drawn", "pro").expect("a flag"));
    assert_eq!((&drawn["reason"], &drawn["metadata"]["rule"]), (&json!("SPLIT"), &json!("launch")));
    assert!(drawn["value"].is_object(), "{drawn}");
    // A version that the flag does not name has the default, and by the draw of the split as well.
    let v1 = crate::table::fixture::table([spec("shop", "v1=100 v2=0")]);
    let v1 = v1.with_flags(7, &specs(), &BTreeMap::new());
    let followed = parsed(&single(&v1, "f-service", &user(&v1, Some("ann"), ""), WithoutKey::Refused).expect("a flag"));
    assert_eq!((&followed["reason"], &followed["variant"]), (&json!("SPLIT"), &json!("off")));
    let unmatched = parsed(&ask("d-matched", "free").expect("a flag"));
    assert_eq!((&unmatched["reason"], &unmatched["value"]), (&json!("UNKNOWN"), &json!("\"a\"")));
}

#[test]
fn a_variant_of_an_experiment_is_drawn_and_says_so() {
    let assignment = AssignmentSpec {
        name: name("button"),
        subject: ExperimentSubject::Flag(name("d-matched")),
        arms: PerArm { control: name("off"), treatment: name("on") },
        share: Weight::FULL,
        segment: None,
        layer: None,
        requests: CountedRequests::default(),
    };
    let runs = BTreeMap::from([(name("button"), Arc::new(ExperimentRun::of_everybody(7)))]);
    let table = table(7).with_experiments(8, &[Arc::new(assignment)], &runs);
    let ask = |key: Option<&str>, plan: &str| {
        parsed(&single(&table, "d-matched", &user(&table, key, plan), WithoutKey::Refused).expect("a flag"))
    };
    let mut variants = std::collections::BTreeSet::new();
    for key in ["ann", "bob", "carl", "dora", "emil", "fritz", "gerd", "hans"] {
        let drawn = ask(Some(key), "free");
        assert_eq!(
            (&drawn["reason"], &drawn["metadata"]["experiment"]),
            (&json!("SPLIT"), &json!("button")),
            "{drawn}"
        );
        variants.insert(drawn["variant"].to_string());
        assert_eq!(ask(Some(key), "pro")["reason"], json!("TARGETING_MATCH"), "conditions come first");
    }
    assert_eq!(variants.len(), 2);
    assert_eq!(ask(None, "free")["reason"], json!("UNKNOWN"), "there is no key, and none was asked for before");
}

#[test]
fn what_is_not_there_is_said_in_the_protocols_words() {
    let table = table(7);
    let error = single(&table, "nothing", &user(&table, Some("ann"), ""), WithoutKey::Refused).unwrap_err();
    assert_eq!((error.status.as_u16(), error.code.word()), (404, "FLAG_NOT_FOUND"));
    let body = json!({ "key": "nothing", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "found no flag \"nothing\"" });
    assert_eq!(parsed(&error.body(Some("nothing"))), body);
    for key in [None, Some("")] {
        for flag in ["e-drawn", "f-service"] {
            let error = single(&table, flag, &user(&table, key, ""), WithoutKey::Refused).unwrap_err();
            assert_eq!((error.status.as_u16(), error.code.word()), (400, "TARGETING_KEY_MISSING"), "{flag}");
            let default = parsed(&single(&table, flag, &user(&table, key, ""), WithoutKey::Default).expect(flag));
            assert_eq!((&default["reason"], &default["variant"]), (&json!("UNKNOWN"), &json!("off")), "{flag}");
        }
        let needs_none = single(&table, "b-always", &user(&table, key, ""), WithoutKey::Refused);
        assert!(needs_none.is_ok(), "what is not drawn needs no key");
    }
}

#[test]
fn a_bulk_response_has_every_flag_and_says_where_changes_are_told() {
    let table = table(7);
    let body = parsed(&bulk(&table, &user(&table, Some("ann"), "pro"), WithoutKey::Refused).text);
    let flags = body["flags"].as_array().expect("a list");
    let keys: Vec<_> = flags.iter().map(|flag| flag["key"].as_str().expect("a text")).collect();
    assert_eq!(keys, table.flags().flags.iter().map(|flag| flag.spec.name.as_str()).collect::<Vec<_>>());
    assert!(flags.iter().all(|flag| flag["variant"].is_string() && !flag["value"].is_null()), "{body}");
    assert_eq!(body["metadata"], json!({ "revision": 7 }));
    assert_eq!(body["eventStreams"], json!([{ "type": "sse", "endpoint": { "requestUri": "/ofrep/v1/events" } }]));
    let without = parsed(&bulk(&table, &user(&table, None, "pro"), WithoutKey::Refused).text);
    let refused: Vec<_> = without["flags"].as_array().expect("a list").iter().collect();
    let codes: Vec<_> = refused.iter().filter_map(|flag| flag["errorCode"].as_str()).collect();
    assert_eq!(codes, ["TARGETING_KEY_MISSING"; 2], "the others are answered");
}

#[test]
fn the_tag_changes_with_the_result_whatever_changed_it() {
    let now = table(7);
    let of = |table: &Table, key: &str, plan: &str| bulk(table, &user(table, Some(key), plan), WithoutKey::Refused).tag;
    let (before, same) = (of(&now, "ann", "pro"), of(&table(8), "ann", "pro"));
    let has = |tag: EntityTag, known: EntityTag| tag.is_among([known.to_string().as_bytes()].into_iter());
    assert!(has(same, before), "another revision with the same flags");
    assert!(!has(of(&now, "ann", "free"), before), "an attribute");
    let someone = (0..100).map(|n| of(&now, &format!("user-{n}"), "pro")).find(|tag| !has(*tag, before));
    assert!(someone.is_some(), "another key");
}

#[test]
fn an_imported_flag_says_what_its_file_says_of_it() {
    let file = json!({ "metadata": { "flagSetId": "shop", "revision": 1 }, "flags": {
        "a": {
            "state": "ENABLED", "variants": { "on": true, "off": false }, "metadata": { "owner": "web" },
            "targeting": { "if": [{ "==": [{ "var": "plan" }, "pro"] }, "on", { "==": [{ "var": "plan" }, "bad"] }, { "cat": "x" }] }
        },
        "b": { "state": "ENABLED", "variants": { "n": 1.0 }, "defaultVariant": "n" },
        "c": { "state": "DISABLED", "variants": { "n": 1 }, "defaultVariant": "n" }
    } });
    let file = parse(&file.to_string(), FractionalVersion::V3).unwrap_or_else(|problems| panic!("{problems}"));
    let imported = |flag: ImportedFlag| {
        let json = |variant: &ImportedVariant| variant.value.to_string().into();
        let variants = flag.variants.iter().map(|variant| Variant { name: variant.name.clone(), json: json(variant) });
        Arc::new(FlagSpec {
            name: flag.key.clone(),
            variants: variants.collect(),
            default: flag.default.unwrap_or_default(),
            enabled: flag.enabled,
            source: FlagSource::Imported(ImportedSource { flag: Arc::new(flag), attributes: Vec::new() }),
        })
    };
    let specs = FlagSpecs { flags: file.flags.into_iter().map(imported).collect(), told: BTreeMap::new() };
    let table = crate::table::fixture::table([spec("shop", "v1=100")]).with_flags(7, &specs, &BTreeMap::new());
    let ask = |flag: &str, plan: &str| single(&table, flag, &user(&table, Some("ann"), plan), WithoutKey::Refused);
    let said = parsed(&ask("a", "pro").expect("an answer"));
    let metadata = json!({ "revision": 7, "flagSetId": "shop", "owner": "web" });
    let wanted =
        json!({ "key": "a", "reason": "TARGETING_MATCH", "variant": "on", "value": true, "metadata": metadata });
    assert_eq!(said, wanted);
    let said = parsed(&ask("a", "free").expect("an answer"));
    let wanted = json!({ "key": "a", "reason": "UNKNOWN", "variant": "", "metadata": metadata });
    assert_eq!(said, wanted, "the default of the code");
    let error = ask("a", "bad").expect_err("no variant");
    assert_eq!((error.status, error.code), (http::StatusCode::BAD_REQUEST, ErrorCode::General));
    assert!(error.details.contains("something that is no variant"), "{error:?}");
    let said = ask("b", "").expect("an answer");
    assert!(said.starts_with(r#"{"key":"b","reason":"STATIC","variant":"n","value":1.0,"#), "{said}");
    assert_eq!(parsed(&ask("c", "").expect("an answer"))["reason"], "DISABLED");
    let all = bulk(&table, &user(&table, Some("ann"), "bad"), WithoutKey::Refused);
    assert_eq!(parsed(&all.text)["flags"][0]["errorCode"], "GENERAL", "{}", all.text);
}
