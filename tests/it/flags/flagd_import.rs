//! Flags of a file in flagd's format, in the real binary: told to endpoints, shown, disabled, and read again when the
//! file changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use crate::support::pki::replace;
use crate::support::process::{Process, config};
use crate::support::{Origin, client, eventually, with};

const FLAGS: &str = "flags = [\"new-checkout\", \"own\", \"ramp\"]\n[attributes]\nemail = \"header:x-email\"\n\
    [flags]\nimport = \"flags.json\"\n[flags.own]\n\
    [flags.follower]\nfollows = { flag = \"new-checkout\", on = \"on\" }\n";

/// A file whose flag is on for these addresses, and follows the version otherwise.
fn file(suffix: &str) -> Value {
    json!({
        "metadata": { "flagSetId": "shop" },
        "$evaluators": { "staff": { "ends_with": [{ "var": "email" }, suffix] } },
        "flags": {
            "new-checkout": {
                "state": "ENABLED",
                "variants": { "on": true, "off": false, "v1": false },
                "defaultVariant": "off",
                "targeting": { "if": [{ "$ref": "staff" }, "on", { "version_of": "shop" }] }
            },
            "ramp": {
                "state": "ENABLED",
                "variants": { "a": 1, "b": 2 },
                "targeting": { "fractional": [["a", 50], ["b", 50]] }
            }
        }
    })
}

struct Shop {
    origin: Origin,
    process: Process,
    folder: tempfile::TempDir,
}

impl Shop {
    fn start() -> Self {
        let origin = Origin::saying("v1");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("flags.json"), file("@us").to_string()).unwrap();
        let path = folder.path().join("pointsman.toml");
        fs::write(&path, config(origin.address(), origin.address(), FLAGS)).unwrap();
        Self { process: Process::start(&path), origin, folder }
    }

    fn flags_json(&self) -> PathBuf {
        self.folder.path().join("flags.json")
    }

    /// What the endpoint is told of a flag.
    fn told(&self, flag: &str, lines: &[&str]) -> Option<String> {
        assert_eq!(client::send(self.process.listener, with(lines)).status, 200);
        self.origin.last().header(&format!("x-flag-{flag}")).map(str::to_owned)
    }

    #[track_caller]
    fn send(&self, method: Method, path: &str, body: Value) -> Value {
        self.process.send(method, path, body).unwrap()
    }

    fn problems(&self) -> String {
        self.process.get("/v1/status")["config"]["problems"].to_string()
    }
}

#[test]
fn endpoints_are_told_and_the_file_is_read_again() {
    let shop = Shop::start();
    let ann = ["X-Email: ann@us", "X-User-Id: ann"];
    assert_eq!(shop.told("new-checkout", &ann).as_deref(), Some("on"));
    assert_eq!(shop.told("own", &ann).as_deref(), Some("off"), "native flags stand beside them");
    assert_eq!(shop.told("new-checkout", &["X-User-Id: bob"]).as_deref(), Some("v1"), "the version that bob gets");
    assert_eq!(shop.told("ramp", &["X-Email: x"]), None, "without a key nothing is drawn, and there is no default");
    assert!(shop.told("ramp", &ann).is_some());
    // Another rule, in force without a revision, as conditions of the config are.
    replace(&shop.flags_json(), &file("@them").to_string());
    eventually("the new rule", || shop.told("new-checkout", &ann).as_deref() == Some("v1"));
    assert_eq!(shop.told("new-checkout", &["X-Email: bob@them"]).as_deref(), Some("on"));
    assert_eq!(shop.problems(), "[]");
}

#[test]
fn a_bad_file_is_refused_whole_and_the_last_good_one_stays() {
    let shop = Shop::start();
    let ann = ["X-Email: ann@us"];
    let mut bad = file("@them");
    bad["flags"]["ramp"]["targeting"]["fractional"][1][0] = "c".into();
    bad["flags"]["own"] = bad["flags"]["ramp"].clone();
    for (text, wanted) in [
        (bad.to_string(), &["flags.json#/flags/ramp/targeting/fractional/1/0: found unknown variant"][..]),
        ("{".to_owned(), &["flags.json#: found no JSON"]),
        (
            json!({ "flags": { "own": file("x")["flags"]["ramp"] } }).to_string(),
            &["flags.json#/flags/own: found a flag that the config has as well"],
        ),
    ] {
        replace(&shop.flags_json(), &text);
        eventually(wanted[0], || wanted.iter().all(|wanted| shop.problems().contains(wanted)));
        assert_eq!(shop.told("new-checkout", &ann).as_deref(), Some("on"), "{text}");
        assert_eq!(shop.process.get("/v1/status")["config"]["good"], false);
    }
    shop.process.tells(&["the config file is refused", "flags.json#"]);
    fs::remove_file(shop.flags_json()).unwrap();
    eventually("it is gone", || shop.problems().contains("flags.import"));
    assert_eq!(shop.told("new-checkout", &ann).as_deref(), Some("on"));
    fs::write(shop.flags_json(), file("@them").to_string()).unwrap();
    eventually("a good one", || shop.told("new-checkout", &ann).as_deref() == Some("v1"));
    assert_eq!(shop.problems(), "[]");
}

#[test]
fn an_imported_flag_is_shown_explained_evaluated_and_disabled() {
    let shop = Shop::start();
    let shown = shop.process.get("/v1/flags/new-checkout");
    assert_eq!((&shown["imported"], &shown["default"]), (&json!("v3"), &json!("off")), "{shown}");
    assert_eq!(shop.process.get("/v1/flags/ramp")["default"], Value::Null);
    let asked = json!({ "host": "a", "path": "/", "headers": { "x-email": "ann@us", "x-user-id": "ann" } });
    let explained = shop.send(Method::POST, "/v1/explain", asked)["flags"]["new-checkout"].clone();
    assert_eq!(explained["variant"], "on", "{explained}");
    assert_eq!(explained["why"], "the rule of the imported file (fractional v3) gives on", "{explained}");
    let evaluate =
        |context: Value| shop.send(Method::POST, "/v1/flags/new-checkout/evaluate", json!({ "context": context }));
    let found = evaluate(json!({ "targetingKey": "u", "email": "ann@us" }));
    assert_eq!((&found["variant"], &found["reason"]), (&json!("on"), &json!("targeting")), "{found}");
    let follower = json!({ "context": { "targetingKey": "u", "email": "ann@us" } });
    let follower = shop.send(Method::POST, "/v1/flags/follower/evaluate", follower);
    assert_eq!((&follower["variant"], &follower["reason"]), (&json!("on"), &json!("followed")), "{follower}");
    shop.send(Method::PUT, "/v1/flags/new-checkout", json!({ "enabled": false }));
    assert_eq!(shop.told("new-checkout", &["X-Email: ann@us"]), None, "disabled: the code's default");
    let found = evaluate(json!({ "email": "ann@us" }));
    assert_eq!((&found["variant"], &found["reason"]), (&Value::Null, &json!("disabled")), "{found}");
    // A change of the file's rules does not enable it again.
    replace(&shop.flags_json(), &file("@them").to_string());
    eventually("it was read", || shop.told("ramp", &["X-User-Id: u"]).is_some());
    assert_eq!(shop.told("new-checkout", &["X-Email: bob@them"]), None);
    shop.send(Method::PUT, "/v1/flags/new-checkout", json!({ "enabled": true }));
    eventually("the new rule", || shop.told("new-checkout", &["X-Email: bob@them"]).as_deref() == Some("on"));
}

#[test]
fn the_command_line_says_what_a_file_becomes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags.json");
    fs::write(&path, file("@us").to_string()).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let output = command.args(["flag", "import"]).arg(&path).args(more).output().unwrap();
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&path.display().to_string(), "flags.json");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let wanted = "flags.json: good: 2 flags\n  \
        new-checkout: enabled, off or on or v1, by default off, by a rule that looks at email, by the version of shop\n  \
        ramp: enabled, a or b, with the default of the code, by a rule\n";
    assert_eq!(run(&[]), (Some(0), wanted.to_owned(), String::new()));
    let shown: Value = serde_json::from_str(&run(&["--fractional", "v2", "--json"]).1).unwrap();
    assert_eq!(shown["flags"][0]["fractional"], "v2", "{shown}");
    fs::write(&path, json!({ "flags": { "a": {}, "b": { "state": "ENABLED", "variants": {} } } }).to_string()).unwrap();
    let (code, said, told) = run(&[]);
    assert_eq!((code, said.as_str()), (Some(64), ""), "{told}");
    for wanted in ["flags.json: /flags/a/state: found none", "flags.json: /flags/b/variants: found no variant"] {
        assert!(told.contains(wanted), "{told}");
    }
    check_says(&folder.path().join("pointsman.toml"), "flags.json#/flags/a/state: found none");
}

/// What `check` says of a config that imports the file beside it.
fn check_says(path: &Path, wanted: &str) {
    let nowhere = ([127, 0, 0, 1], 9).into();
    fs::write(path, config(nowhere, nowhere, "[flags]\nimport = \"flags.json\"\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let output = command.args(["check", "--config"]).arg(path).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.contains(wanted)), (Some(64), true), "{told}");
}
