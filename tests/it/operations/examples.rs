//! The folders of `examples/`: each script runs to its end with this build, and fails when it does not show what it
//! says.

use std::path::Path;
use std::process::Command;

use crate::support::external_tools::installed;

/// All of them; a folder that is not listed here fails the test.
const EXAMPLES: [&str; 7] = ["blue-green", "canary", "first-split", "fleet", "gitops", "group", "rolling"];

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
