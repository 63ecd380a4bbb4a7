//! The folders of `examples/`: each script runs to its end with this build, and fails when it does not show what it
//! says.

use std::path::Path;
use std::process::Command;

use crate::support::external_tools::{installed, python};
use crate::support::pki::set_mode;

/// All of them; a folder that is not listed here fails the test.
const EXAMPLES: [&str; 8] = ["blue-green", "canary", "ci", "first-split", "fleet", "gitops", "group", "rolling"];

#[test]
fn each_example_shows_what_it_says() {
    let all = "the examples";
    if !installed("curl", all) || !installed("python3", all) || !installed("git", all) || !installed("etcd", all) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("run").exists())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, EXAMPLES, "the list of this test and the folder differ");
    // One after the other: they are written for a person, with fixed ports.
    for example in EXAMPLES {
        let mut command = Command::new("timeout");
        command.arg("120").arg(folder.join(example).join("run")).env("POINTSMAN", env!("CARGO_BIN_EXE_pointsman"));
        let output = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{example}: {}\n{out}\n{err}", output.status);
        println!("{example}:\n{out}");
    }
}

/// The Compose file by the schema of its specification, which comes with the checker, and the config that it mounts.
#[test]
fn the_compose_file_of_a_fleet_is_one_and_its_config_is_good() {
    let Some(python) = python("the Compose file of the fleet") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet");
    let mut checker = Command::new(&python);
    checker
        .args(["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"])
        .arg(folder.join("compose.yaml"));
    let checked = checker.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()));
    // What Compose puts in its place is a file with a token.
    let here = tempfile::tempdir().unwrap();
    let (token, config) = (here.path().join("token"), here.path().join("compose.toml"));
    std::fs::write(&token, "a-token-of-some-length-for-the-fleet").unwrap();
    set_mode(&token, 0o600);
    let text = std::fs::read_to_string(folder.join("compose.toml")).unwrap();
    std::fs::write(&config, text.replace("/run/secrets/fleet", token.to_str().unwrap())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let checked = command.arg("check").arg("--config").arg(&config).env("EDGE", "edge-1").output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()));
    // What Compose reads of it, as another reader of YAML: each replica has a name.
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let read = Command::new(&python).args(["-c", script]).arg(folder.join("compose.yaml")).output().unwrap();
    let read: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    for name in ["edge-1", "edge-2", "edge-3"] {
        let service = &read["services"][name];
        assert_eq!((&service["image"], &service["build"]), (&"pointsman".into(), &"../..".into()), "{service}");
        assert_eq!(service["environment"]["EDGE"], name);
    }
}
