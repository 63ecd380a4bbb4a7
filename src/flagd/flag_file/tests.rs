use serde_json::{Value, json};

use super::*;

fn problems(file: &str) -> Vec<String> {
    let problems = parse(file, FractionalVersion::V3).map(|file| file.flags.len()).expect_err("a bad file");
    problems.as_slice().iter().map(ToString::to_string).collect()
}

/// The only problem of a file whose flag `f` has this rule, without the way to the rule.
fn problem_of_rule(rule: &Value) -> String {
    let flag = json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "targeting": rule});
    let found = problems(&json!({"flags": {"f": flag}}).to_string());
    assert_eq!(found.len(), 1, "{rule}: {found:#?}");
    found[0].strip_prefix("/flags/f/targeting").expect("a problem of the rule").to_owned()
}

fn good(file: &Value) -> Vec<ImportedFlag> {
    parse(&file.to_string(), FractionalVersion::V3).expect("a good file").flags
}

#[test]
fn a_file_is_read_with_its_metadata_defaults_and_references() {
    let flags = good(&json!({
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "metadata": {"flagSetId": "shop", "version": 7},
        "$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@us"]}, "both": {"and": [{"$ref": "staff"}, true]}},
        "flags": {
            "b": {"state": "DISABLED", "variants": {"x": 1, "y": 2.5}, "defaultVariant": "y", "targeting": {}},
            "a": {
                "state": "ENABLED",
                "variants": {"on": {"z": 1}, "off": {}},
                "defaultVariant": null,
                "targeting": {"if": [{"$ref": "both"}, "on", {"version_of": "shop"}]},
                "metadata": {"version": 8, "owner": "web"}
            }
        }
    }));
    let [a, b] = flags.as_slice() else { panic!("two flags") };
    assert_eq!((a.key.as_str(), a.enabled, a.default), ("a", true, None));
    assert_eq!(Value::from(a.metadata.clone()), json!({"flagSetId": "shop", "version": 8, "owner": "web"}));
    let services: Vec<_> = a.asked.services.iter().map(|(name, at)| (name.as_str(), at.as_str())).collect();
    assert_eq!(services, [("shop", "/flags/a/targeting/if/2/version_of")]);
    assert_eq!((b.key.as_str(), b.enabled, b.default), ("b", false, b.variant("y")));
    assert!(b.targeting.is_none(), "an empty rule is none");
    assert_eq!(Value::from(b.metadata.clone()), json!({"flagSetId": "shop", "version": 7}));
}

#[test]
fn flags_can_be_a_list_with_keys() {
    let flag = |key: &str| json!({"key": key, "state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"});
    assert_eq!(good(&json!({"flags": [flag("x"), flag("a")]})).len(), 2);
    let twice = problems(&json!({"flags": [flag("x"), flag("x")]}).to_string());
    assert_eq!(twice, ["/flags/1: found \"x\" for the second time, want each key once (rename one of the two)"]);
    let none = problems(&json!({"flags": [{"state": "ENABLED", "variants": {"on": true}}]}).to_string());
    assert_eq!(none, ["/flags/0/key: found none, want the key of the flag, a text (add it)"]);
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_at_once() {
    let found = problems(
        r#"{
            "flagz": {},
            "metadata": {"a": null, "": 1},
            "$evaluators": {"a": {"and": [{"$ref": "b"}]}, "b": {"!": {"$ref": "a"}}, "c": {"nope": 1}},
            "flags": {
                "mixed": {"state": "ENABLED", "variants": {"a": 1, "b": "x", "c": null}},
                "none": {"state": "ENABLED", "variants": {}},
                "state": {"state": "enabled", "variants": {"a": 1}, "defaultVariant": "b"},
                "two": {"state": "ENABLED", "variants": {"a": 1}, "variants": {"a": 2}},
                "a b": {"state": "ENABLED", "variants": {"a/b": 1}},
                "typo": {"state": "ENABLED", "variants": {"a": 1}, "target": {}},
                "list": {"state": "ENABLED", "variants": {"a": 1}, "targeting": [], "metadata": {"x": []}},
                "no": 3
            }
        }"#,
    );
    let wanted = [
        "/flags/two/variants: found this name for the second time, want each name once",
        "/flagz: found unknown member \"flagz\", want one of flags, $evaluators, metadata, $schema (did you mean \"flags\"?)",
        "/metadata/: found an empty name",
        "/metadata/a: found null, want a text, a number, true or false",
        "/$evaluators/a: found a circle: a -> b -> a, want an end",
        "/$evaluators/c/nope: found unknown operator \"nope\", want one of var, missing",
        "/flags/a b: found \"a b\", want 1 to 63 letters",
        "/flags/a b/variants/a~1b: found \"a/b\", want 1 to 63 letters",
        "/flags/list/metadata/x: found a list, want a text",
        "/flags/list/targeting: found a list, want an object with one operator",
        "/flags/mixed/variants: found values of different types: numbers, texts, want values of one type",
        "/flags/mixed/variants/c: found null, want true or false, a text, a number, an object or a list",
        "/flags/no: found 3, want an object with `state` and `variants`",
        "/flags/none/variants: found no variant, want at least one",
        "/flags/state/defaultVariant: found unknown variant \"b\", want one of a",
        "/flags/state/state: found \"enabled\", want \"ENABLED\" or \"DISABLED\"",
        "/flags/typo/target: found unknown member \"target\", want one of state, variants",
    ];
    for wanted in wanted {
        assert_eq!(found.iter().filter(|found| found.starts_with(wanted)).count(), 1, "{wanted}\n{found:#?}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn what_is_wrong_with_a_rule_is_told_at_its_place() {
    for (rule, wanted) in [
        (json!({"=": [1, 2]}), "/=: found unknown operator \"=\""),
        (json!({"if": [{"ends-with": ["a", "b"]}, "on"]}), "/if/0/ends-with: found unknown operator \"ends-with\""),
        (json!({"log": 1}), "/log: found unknown operator"),
        (json!({"==": [1]}), "/==: found 1 arguments of \"==\", want exactly 2 arguments"),
        (json!({"<": [1, 2, 3, 4]}), "/<: found 4 arguments of \"<\", want 2 to 3 arguments"),
        (json!({">": [1, 2, 3]}), "/>: found 3 arguments of \">\", want exactly 2 arguments"),
        (json!({"a": 1, "b": 2}), ": found an object with 2 members, want an object with one operator"),
        (json!({"!": {}}), "/!: found an object with 0 members"),
        (json!({"if": [{"$ref": "gone"}, "on"]}), "/if/0/$ref: found \"gone\", want a rule of $evaluators"),
        (json!({"$ref": 3}), "/$ref: found 3, want the name of a rule of $evaluators"),
        (
            json!({"if": [true, "offf"]}),
            "/if/1: found unknown variant \"offf\", want one of off, on (did you mean \"off\"?",
        ),
        (json!({"if": [{"var": "x"}, true]}), "/if/1: found unknown variant \"true\""),
        (json!({"fractional": [["on", 1], ["no", 1]]}), "/fractional/1/0: found unknown variant \"no\""),
        (json!({"fractional": [["on", 0.5]]}), "/fractional/0/1: found 0.5, want a whole number up to 2147483647"),
        (json!({"fractional": [["on", "1"]]}), "/fractional/0/1: found \"1\", want a whole number"),
        (json!({"fractional": [["on", 1, 2]]}), "/fractional/0: found [\"on\",1,2], want a share"),
        (json!({"fractional": ["salt", "on"]}), "/fractional/1: found \"on\", want a share"),
        (json!({"fractional": [{"cat": ["a", "b"]}]}), "/fractional: found no share"),
        (
            json!({"fractional": [["on", 2_147_483_647], ["off", 1]]}),
            "/fractional: found weights that sum to 2147483648, want at most 2147483647",
        ),
        (json!({"sem_ver": [{"var": "v"}, "=="]}), "/sem_ver: found 2 arguments of \"sem_ver\", want exactly 3"),
        (json!({"sem_ver": [{"var": "v"}, "==", "1"]}), "/sem_ver/1: found \"==\", want one of =, !="),
        (json!({"sem_ver": [{"var": "v"}, "=", "1.x"]}), "/sem_ver/2: found \"1.x\", want a semantic version"),
        (json!({"starts_with": ["abc"]}), "/starts_with: found 1 arguments of \"starts_with\""),
        (json!({"starts_with": [{"var": "x"}, 3]}), "/starts_with/1: found 3, want a text"),
        (json!({"version_of": {"var": "x"}}), "/version_of: found {\"var\":\"x\"}, want the name of a service"),
        (json!({"version_of": ["a shop"]}), "/version_of/0: found \"a shop\", want the name of a service"),
    ] {
        let found = problem_of_rule(&rule);
        assert!(found.starts_with(wanted), "{rule}:\n{found}\n{wanted}");
    }
}

#[test]
fn depth_and_size_have_bounds() {
    let deep = |depth: usize| (0..depth).fold(json!({"var": "x"}), |rule, _| json!({"!": rule}));
    let file = |rule: Value, evaluators: Value| {
        let flag = json!({"state": "ENABLED", "variants": {"on": true}, "targeting": rule});
        json!({"flags": {"f": flag}, "$evaluators": evaluators})
    };
    assert_eq!(good(&file(deep(50), json!({}))).len(), 1);
    assert!(problems(&file(deep(70), json!({})).to_string())[0].contains("more than 64 operators in each other"));
    assert!(problems(&file(deep(140), json!({})).to_string())[0].contains("recursion limit"));
    let lists = (0..70).fold(json!({"var": "x"}), |rule, _| json!([rule]));
    assert!(problems(&file(json!({"in": [1, lists]}), json!({})).to_string())[0].contains("more than 64"));
    // Deep over references, in whatever order they are read.
    let chain: Map<String, Value> =
        (0..80).map(|i| (format!("r{i:02}"), json!({"!": {"$ref": format!("r{:02}", i + 1)}}))).collect();
    let mut chain = Value::from(chain);
    chain["r80"] = json!({"var": "x"});
    assert!(
        problems(&file(json!({"$ref": "r00"}), chain.clone()).to_string()).iter().any(|p| p.contains("more than 64"))
    );
    // Many references to references are one rule each, not two to the power of their number.
    let doubled: Map<String, Value> = (0..28)
        .map(|i| {
            (
                format!("r{i:02}"),
                json!({"or": [{"$ref": format!("r{:02}", i + 1)}, {"$ref": format!("r{:02}", i + 1)}]}),
            )
        })
        .collect();
    let mut doubled = Value::from(doubled);
    doubled["r28"] = json!({"if": [{"version_of": "shop"}, "on"]});
    let flags = good(&file(json!({"$ref": "r00"}), doubled));
    assert_eq!(flags[0].asked.services.len(), 1);
    let many: Map<String, Value> =
        (0..2001).map(|i| (format!("f{i}"), json!({"state": "ENABLED", "variants": {"on": true}}))).collect();
    assert_eq!(
        problems(&json!({"flags": many}).to_string()),
        ["/flags: found 2001 flags, want at most 2000 (remove some)"]
    );
    let long = format!("{{\"flags\": {{}}}}{}", " ".repeat(FLAG_FILE_BYTES_MAX));
    assert!(problems(&long)[0].contains("want at most 4194304"));
    let wrong: Vec<Value> = (0..300).map(|_| json!({"nope": 1})).collect();
    let cut = problems(&file(json!({"and": wrong}), json!({})).to_string());
    assert_eq!((cut.len(), cut.last().is_some_and(|last| last.contains("more than 100 problems"))), (101, true));
}

#[test]
fn what_is_no_file_is_refused() {
    assert!(problems("")[0].starts_with("found no JSON: EOF"));
    assert_eq!(problems("[]"), ["found a list, want an object with `flags` (write {\"flags\": {}})"]);
    assert!(problems("{}")[0].starts_with("/flags: found none"));
    assert!(problems("{\"flags\": 3}")[0].starts_with("/flags: found 3"));
    assert_eq!(good(&json!({"flags": {}})).len(), 0);
}
