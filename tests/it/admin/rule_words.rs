//! Rules in words: whom each is for, where the config file is not at hand.

use std::fs;

use serde_json::json;

use crate::support::Origin;
use crate::support::process::{Process, config};

#[test]
fn rules_of_services_and_flags_say_whom_they_are_for() {
    let origins = [Origin::saying("v1"), Origin::saying("v2")];
    let folder = tempfile::tempdir().unwrap();
    let more = r#"flags = ["dark"]
rules = [{ name = "staff", when = { header = { x-staff = "yes" }, segment = "office" }, use = "v2" }]
[segments.office]
client = ["10.0.0.0/8"]
[attributes]
plan = "header:x-plan"
[flags.dark]
rules = [
    { name = "payers", when = { attribute = { plan = ["team", "pro"] } }, serve = "on" },
    { name = "launch", serve = { on = 10, off = 90 } },
]
"#;
    let path = folder.path().join("pointsman.toml");
    fs::write(&path, config(origins[0].address(), origins[1].address(), more)).unwrap();
    let process = Process::start(&path);
    let service = process.get("/v1/services/shop");
    let staff =
        json!({ "name": "staff", "when": r#"header x-staff is "yes" and the user is in segment office"#, "use": "v2" });
    assert_eq!((&service["rules"], &service["rule_details"]), (&json!(["staff"]), &json!([staff])));
    let rules = process.get("/v1/flags/dark")["rules"].clone();
    assert_eq!(rules[0]["when"], r#"attribute plan is one of "team", "pro""#);
    assert!(rules[1].get("when").is_none(), "{rules}");
}
