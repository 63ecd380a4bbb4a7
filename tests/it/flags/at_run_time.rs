//! Flags that are changed while the binary runs: by the command line, over reloads and restarts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::eventually;
use crate::support::process::{Process, config};

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

const FLAGS: &str = r#"
[segments.staff]
attribute = { email = { suffix = "@example.com" } }
[attributes]
email = ["header:x-email"]
[flags.new-checkout]
salt = "service:shop"
rules = [
  { name = "dogfood", when = { segment = "staff" }, serve = "on" },
  { name = "launch", serve = { on = 10, off = 90 } },
]
[flags.theme]
variants = { classic = "classic", new = "new" }
default = "classic"
follows = { service = "shop", v2 = "new" }
"#;

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    write(&path, FLAGS);
    (folder, path)
}

fn write(path: &Path, flags: &str) {
    std::fs::write(path, config(nowhere(), nowhere(), &format!("salt = \"fixed\"\n{flags}"))).unwrap();
}

/// The command line against a process.
struct Shell<'p>(&'p Process);

impl Shell<'_> {
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let admin = self.0.admin.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["--admin", &admin]).args(words).env("NO_COLOR", "1").env_remove("POINTSMAN_TOKEN");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().expect("an exit code"), text(stdout), text(stderr))
    }

    /// What a good command prints.
    #[track_caller]
    fn say(&self, words: &[&str]) -> String {
        let (code, output, errors) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {errors}");
        output
    }

    /// What is complained of.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> String {
        let (code, output, errors) = self.run(words);
        assert!(code != 0, "{words:?}: {output}");
        errors
    }
}

#[test]
fn a_flag_is_launched_disabled_and_rolled_back_on_the_command_line() {
    let (_folder, path) = folder();
    let mut process = Process::start(&path);
    let shell = Shell(&process);
    let list = "  flag          state    serves\n  \
                new-checkout  enabled  launch off 90 %, on 10 %, 1 rule before\n  \
                theme         enabled  follows shop\n";
    assert_eq!(shell.say(&["flag", "list"]), list);
    let dry = shell.say(&["flag", "set", "new-checkout", "on=50,off=50", "--dry-run"]);
    let line = "  flag new-checkout: launch off 90 -> 50 %, on 10 -> 50 %, 40 % of its users move\n";
    assert_eq!(dry, format!("dry run, nothing was changed: revision 1 is in force\n{line}"));
    let set = ["flag", "set", "new-checkout", "on=50", "off=50", "--if-revision", "1", "--reason", "half"];
    assert_eq!(shell.say(&set), format!("revision 2 is in force\n{line}"));
    let errors = shell.refused(&set);
    assert!(errors.contains("412"), "{errors}");
    let off =
        "  flag new-checkout: disabled; dogfood 100 % of its users move to off; launch 50 % of its users move to off\n";
    assert_eq!(shell.say(&["flag", "disable", "new-checkout"]), format!("revision 3 is in force\n{off}"));
    assert_eq!(shell.say(&["flag", "disable", "new-checkout"]), "nothing to change: revision 3 is in force\n");
    let asked = shell.say(&["flag", "evaluate", "new-checkout", "ann"]);
    assert_eq!(asked, "new-checkout off\n  value false\n  the flag is disabled, so off, its default\n  revision 3\n");
    let back = shell.say(&["rollback", "--flag", "new-checkout"]);
    assert!(
        back.starts_with(
            "revision 4 is in force\n  the flags of revision 2 are restored\n  flag new-checkout: enabled;"
        ),
        "{back}"
    );
    let staff = shell.say(&["flag", "evaluate", "new-checkout", "--attribute", "email=ann@example.com"]);
    assert_eq!(staff, "new-checkout on\n  value true\n  rule dogfood serves on\n  revision 4\n");
    let misspelt = shell.say(&["flag", "evaluate", "new-checkout", "ann", "--attribute", "emial=ann@example.com"]);
    let warned = "\n  warning: found the attribute \"emial\", which nothing looks at that decides on new-checkout, \
        want one of email (did you mean \"email\"?)\n";
    assert!(misspelt.starts_with("new-checkout off\n") && misspelt.ends_with(warned), "{misspelt}");
    let page = shell.say(&["flag", "show", "new-checkout"]);
    assert!(
        page.contains(
            "rule launch: off 50 %, on 50 %\n    differs from the config file, which says off 90 %, on 10 %\n"
        ),
        "{page}"
    );
    assert!(
        shell
            .say(&["status"])
            .contains("\nflags\n  new-checkout: enabled, launch off 50 %, on 50 %, 1 rule before (differs")
    );
    let history = shell.say(&["history"]);
    let heads: Vec<&str> = history.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(
        heads.len() == 4 && heads[0].contains("rollback to 2") && heads[2].contains("flag  by local: half"),
        "{history}"
    );
    assert!(history.contains(line) && history.contains(off), "{history}");
    let json: Value = serde_json::from_str(&shell.say(&["--json", "flag", "list"])).unwrap();
    assert_eq!(json["flags"][0]["rules"][1]["serve"]["on"], 50.0, "{json:#}");
    assert!(process.end().success());
}

#[test]
fn what_was_changed_at_run_time_outlives_restarts_and_reloads_that_say_nothing_new() {
    let (_folder, path) = folder();
    let mut process = Process::start(&path);
    let shell = Shell(&process);
    shell.say(&["flag", "set", "new-checkout", "on=50,off=50"]);
    shell.say(&["flag", "set", "new-checkout", "off", "--rule", "dogfood"]);
    let before = process.get("/v1/flags/new-checkout");
    assert!(process.end().success());
    let process = Process::start(&path);
    assert_eq!(process.get("/v1/flags/new-checkout"), before);
    write(&path, &FLAGS.replace("classic = \"classic\"", "classic = \"old\""));
    eventually("the file is read again", || process.get("/v1/flags/theme")["variants"][0]["value"] == "old");
    assert_eq!(process.get("/v1/flags/new-checkout"), before);
    assert_eq!(process.get("/v1/status")["revision"], 3);
    write(&path, &FLAGS.replace("on = 10, off = 90", "on = 20, off = 80"));
    eventually("the file says something new", || process.get("/v1/status")["revision"] == 4);
    let after = process.get("/v1/flags/new-checkout");
    assert_eq!((&after["rules"][1]["serve"]["on"], &after["rules"][0]["serve"]["on"]), (&20.0.into(), &0.0.into()));
    // A bad one changes nothing.
    write(&path, &FLAGS.replace("on = 10, off = 90", "on = 20, off = 90"));
    eventually("the file is refused", || process.get("/v1/status")["config"]["good"] == false);
    assert_eq!(process.get("/v1/flags/new-checkout"), after);
}

#[test]
fn what_is_wrong_with_a_flag_is_told_in_the_words_of_the_command_line() {
    let (_folder, path) = folder();
    let process = Process::start(&path);
    let shell = Shell(&process);
    for (words, wanted) in [
        (
            &["show", "new-chekout"][..],
            "unknown flag \"new-chekout\", want one of new-checkout, theme (did you mean \"new-checkout\"?)",
        ),
        (&["set", "new-chekout", "on"], "FLAG: found unknown flag"),
        (
            &["set", "new-checkout", "onn"],
            "VARIANT=WEIGHT: found \"onn\", want a variant of the flag: off, on (did you mean \"on\"?)",
        ),
        (&["set", "new-checkout", "onn=50,off=50"], "onn: found \"onn\""),
        (
            &["set", "new-checkout", "on=50,off=60"],
            "VARIANT=WEIGHT: found weights that sum to 110, want a sum of 100 (lower off to 50)",
        ),
        (&["set", "new-checkout", "on=50", "on=50"], "found on twice, want each variant once"),
        (&["set", "new-checkout", "on", "off"], "want VARIANT=WEIGHT, such as on=50,off=50"),
        (
            &["set", "new-checkout", "on", "--rule", "lanch"],
            "--rule: found unknown rule \"lanch\", want one of dogfood, launch (did you mean \"launch\"?)",
        ),
        (&["set", "theme", "new"], "found a flag that follows the service shop, and has no rules"),
        (&["set", "new-checkout"], "required"),
        (&["evaluate", "theme", "--attribute", "plan"], "want NAME=VALUE, such as plan=pro"),
        (&["disable", "a/b"], "want a name"),
        (&["list", "x"], "unexpected argument"),
    ] {
        let errors = shell.refused(&[&["flag"], words].concat());
        assert!(errors.contains(wanted), "{words:?}: {errors}");
        assert!(!errors.contains("serve"), "the API's word: {errors}");
    }
    let errors = shell.refused(&["rollback", "--flag", "new-chekout"]);
    assert!(errors.contains("--flag: found unknown flag \"new-chekout\""), "{errors}");
    assert_eq!(process.get("/v1/status")["revision"], 1);
}
