//! The guides for those who come from elsewhere: what they show is what the program takes and makes.

use std::path::Path;
use std::process::Command;

use crate::support::external_tools::python;

/// A block of a page: its language, its text, and the line before it.
struct Block<'p> {
    language: &'p str,
    text: String,
    before: &'p str,
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let (mut lines, mut before) = (page.lines(), "");
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            found.push(Block { language, text, before });
        } else if !line.is_empty() {
            before = line;
        }
    }
    found
}

fn pointsman(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman")).args(arguments).output().unwrap();
    let said = [output.stdout, if output.status.success() { Vec::new() } else { output.stderr }].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn each_config_of_the_guide_for_those_who_come_from_elsewhere_is_good_and_what_import_makes() {
    let page = page("docs/migrate.md");
    let blocks = blocks(&page);
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.toml"), folder.path().join("theirs"));
    let (mut checked, mut imported) = (0, 0);
    for pair in blocks.windows(2) {
        let [before, block] = pair else { unreachable!("windows of two") };
        if block.language != "toml" {
            continue;
        }
        std::fs::write(&ours, &block.text).unwrap();
        let (good, said) = pointsman(&["check", "--config", ours.to_str().unwrap()]);
        assert!(good, "{}\n{said}", block.text);
        checked += 1;
        if let Some(command) = block.before.strip_prefix("`pointsman import ") {
            let kind = command.split(' ').next().unwrap();
            std::fs::write(&theirs, &before.text).unwrap();
            let (good, made) = pointsman(&["import", kind, theirs.to_str().unwrap()]);
            assert!(good, "{kind}: {made}");
            assert_eq!(made, block.text, "{kind}");
            imported += 1;
        }
    }
    assert_eq!((checked, imported), (8, 4));
}

#[test]
fn the_guide_for_pipelines_has_the_files_of_the_example_which_are_good_by_their_schemas() {
    let page = page("docs/ci.md");
    let shown: Vec<_> = blocks(&page).into_iter().map(|block| block.text).collect();
    let files =
        ["release.sh", "github-actions.yml", "gitlab-ci.yml"].map(|file| self::page(&format!("examples/ci/{file}")));
    assert_eq!(shown, files);
    let Some(python) = python("the files of the pipelines") else { return };
    for (schema, file) in [("vendor.github-workflows", "github-actions.yml"), ("vendor.gitlab-ci", "gitlab-ci.yml")] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(file);
        let mut checker = Command::new(&python);
        let checked = checker.args(["-m", "check_jsonschema", "--builtin-schema", schema]).arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        assert!(checked.status.success(), "{schema}: {said}");
    }
}
