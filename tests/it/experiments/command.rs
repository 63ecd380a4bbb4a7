//! `pointsman experiment`, as it is called.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Exit code, standard output and standard error.
pub(super) fn experiment(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.arg("experiment").args(arguments).env("NO_COLOR", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read may be gone already.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

/// The block of docs/experiments.md that follows the line with `words`.
fn documented(words: &str) -> String {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/experiments.md")).unwrap();
    let (_, rest) = docs.split_once(words).unwrap_or_else(|| panic!("docs/experiments.md has {words:?}"));
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn what_the_page_shows_is_what_is_printed() {
    let sums = documented("# counted.toml\n");
    let shown = |arguments: &[&str]| documented(&format!("$ pointsman experiment {}\n", arguments.join(" ")));
    let arguments = ["size", "--control", "10%", "--treatment", "12%", "--users-per-day", "500"];
    let (code, text, errors) = experiment(&arguments, "");
    assert_eq!((code, errors.as_str(), text), (0, "", shown(&arguments)));
    let (code, text, errors) = experiment(&["result", "--sums", "-"], &sums);
    assert_eq!((code, errors.as_str(), text), (0, "", shown(&["result", "--sums", "counted.toml"])));
}

#[test]
fn json_in_is_toml_in_and_json_out_has_the_vectors() {
    let toml = "control.users = 1000\ntreatment.users = 1000\n[[metrics]]\nkind = \"conversion\"\n\
                control.conversions = 100\ntreatment.conversions = 130\n";
    let json = r#"{"control": {"users": 1000}, "treatment": {"users": 1000}, "metrics":
        [{"kind": "conversion", "control": {"conversions": 100}, "treatment": {"conversions": 130}}]}"#;
    let [toml, json] = [toml, json].map(|text| {
        let (code, output, errors) = experiment(&["result", "--sums", "-", "--json"], text);
        assert_eq!(code, 0, "{errors}");
        serde_json::from_str::<Value>(&output).unwrap()
    });
    assert_eq!(toml, json);
    let metric = &json["metrics"][0];
    let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 6e-11;
    assert!(near(&metric["absolute"]["whenever_you_look"]["low"], -0.014_517_962_1), "{metric}");
    assert!(near(&metric["relative"]["looking_once"]["p"], 0.065_597_332_6), "{metric}");
    assert_eq!(metric["finding"], "open");
    assert_eq!(metric["name"], "metric-1");
    assert_eq!((&json["comparable"], &json["sample_ratio"]["alarm"]), (&true.into(), &false.into()));
}

#[test]
fn sums_that_cannot_be_are_refused_with_all_problems() {
    let bad = "alpha = 1\nshare = 0\ncontrol.users = 10\ntreatment = {}\ntypo = 1\n[[metrics]]\nkind = \"median\"\n";
    let (code, output, errors) = experiment(&["result", "--sums", "-"], bad);
    assert_eq!((code, output.as_str()), (64, ""));
    for wanted in [
        "line 1: alpha: found 1, want a number above 0 and below 1",
        "line 2: share: found 0, want per cent of the users in treatment",
        "treatment.users: found none, want how many users the arm has",
        "line 5: typo: found ",
        "kind: found \"median\"",
    ] {
        assert!(errors.contains(wanted), "{wanted}:\n{errors}");
    }
    let arms = "control.users = 10\ntreatment.users = 10\n[[metrics]]\nname = \"m\"\n";
    for (metric, wanted) in [
        (
            "kind = \"conversion\"\ncontrol.conversions = 11\ntreatment.conversions = 1",
            "at most the 10 users of the arm",
        ),
        ("kind = \"conversion\"\ncontrol.sum = 1\ntreatment.conversions = 1", "sum in a metric of another kind"),
        ("kind = \"mean\"\ncontrol = { sum = 20 }\ntreatment = { sum = 1, squares = 1 }", "found too little"),
        (
            "kind = \"mean\"\ncontrol = { sum = 20, squares = 1 }\ntreatment = { sum = 1, squares = 1 }",
            "found squares of 1",
        ),
        (
            "kind = \"mean\"\ncontrol = { sum = nan, squares = 1 }\ntreatment = { sum = 1, squares = 1 }",
            "want a number",
        ),
        (
            "kind = \"ratio\"\ncontrol = { sum = 1, squares = 1 }\ntreatment = { sum = 1, squares = 1 }",
            "what the value is divided by",
        ),
        ("control.conversions = 1\ntreatment.conversions = 1", "kind: found none"),
        (
            "kind = \"mean\"\ncontrol = { sum = 1, squares = 1, covariate = { sum = 1, squares = 1, products = 1 } }\n\
             treatment = { sum = 1, squares = 1 }",
            "a covariate of one arm",
        ),
    ] {
        let (code, _, errors) = experiment(&["result", "--sums", "-"], &format!("{arms}{metric}\n"));
        assert!(code == 64 && errors.contains(wanted), "{metric}: want {wanted}, found\n{errors}");
    }
    let (code, _, errors) = experiment(&["result", "--sums", "-"], "{ nope");
    assert!(code == 64 && errors.contains("no JSON"), "{errors}");
    let (code, _, errors) = experiment(&["result", "--sums", "/no/such/file"], "");
    assert!(code == 64 && errors.contains("cannot read /no/such/file"), "{errors}");
}

#[test]
fn sizes_want_something_to_find() {
    let (code, text, _) = experiment(&["size", "--mean", "50", "--deviation", "30", "--change", "3%", "--json"], "");
    let size: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    assert!(size["looking_always"]["users"].as_f64() > size["looking_once"]["users"].as_f64(), "{size}");
    for bad in [
        &["size"][..],
        &["size", "--control", "10%"],
        &["size", "--mean", "50"],
        &["size", "--control", "10%", "--treatment", "10%"],
        &["size", "--control", "0%", "--treatment", "10%"],
    ] {
        assert_eq!(experiment(bad, "").0, 64, "{bad:?}");
    }
}
