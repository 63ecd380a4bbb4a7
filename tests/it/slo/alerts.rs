//! The alerts of `docs/slo.md`, as Prometheus itself evaluates them.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The rules that the documentation shows.
fn documented_rules() -> String {
    let text = include_str!("../../../docs/slo.md");
    let block = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("there is a block of rules").to_owned()
}

/// Requests for an hour and more, and which alerts fire then.
struct AlertCase {
    what: &'static str,
    /// Minutes between two samples.
    every: u32,
    /// How many are bad by then, as a series of promtool; of 10,000 requests a minute.
    bad: &'static str,
    minutes: u32,
    firing: &'static [&'static str],
}

const FAST: &str = "ErrorBudgetBurnsFast";
const USUAL: &str = "ErrorBudgetBurns";
const SLOWLY: &str = "ErrorBudgetBurnsSlowly";

/// An objective of 99.9 % lets 20 of 20,000 go wrong: that is a burn rate of 1. On a young series the three days of the
/// slow alert are as short as the others.
const CASES: [AlertCase; 8] = [
    AlertCase { what: "within the budget", every: 10, bad: "0+90x460", minutes: 4500, firing: &[] },
    AlertCase { what: "slowly", every: 10, bad: "0+150x460", minutes: 4500, firing: &[SLOWLY] },
    AlertCase { what: "below six", every: 2, bad: "0+110x200", minutes: 380, firing: &[SLOWLY] },
    AlertCase { what: "seven times", every: 2, bad: "0+140x200", minutes: 380, firing: &[USUAL, SLOWLY] },
    AlertCase { what: "fifteen times", every: 2, bad: "0+310x200", minutes: 90, firing: &[FAST, USUAL, SLOWLY] },
    AlertCase {
        what: "a fifth fails for six minutes, and it is not over",
        every: 2,
        bad: "0+0x180 0+4000x3",
        minutes: 368,
        firing: &[FAST, SLOWLY],
    },
    AlertCase {
        what: "the same is over for ten minutes: the hour is still bad, its last minutes are not",
        every: 2,
        bad: "0+0x180 0+4000x3 12000+0x40",
        minutes: 380,
        firing: &[SLOWLY],
    },
    AlertCase { what: "nothing is asked", every: 2, bad: "0+0x200", minutes: 380, firing: &[] },
];

/// The tests of promtool for the cases with this number of minutes between two samples.
fn tests(every: u32) -> String {
    let mut tests = format!("rule_files: [rules.yml]\nevaluation_interval: {every}m\ntests:\n");
    for AlertCase { what, bad, minutes, firing, .. } in CASES.iter().filter(|case| case.every == every) {
        let each = if *what == "nothing is asked" { 0 } else { 10_000 * every };
        let requests = format!("0+{each}x460");
        let labels = "service=\"shop\",objective=\"availability\"";
        writeln!(tests, "- name: {what:?}\n  interval: {every}m\n  input_series:").unwrap();
        for (name, values) in [
            ("pointsman_slo_requests_total", requests.as_str()),
            ("pointsman_slo_bad_total", bad),
            ("pointsman_slo_objective_ratio", "0.999x460"),
        ] {
            writeln!(tests, "  - {{ series: '{name}{{{labels}}}', values: '{values}' }}").unwrap();
        }
        tests += "  promql_expr_test:\n";
        for alert in [FAST, USUAL, SLOWLY] {
            let wanted = match firing.contains(&alert) {
                true => "[ { labels: '{service=\"shop\"}', value: 1 } ]",
                false => "[]",
            };
            writeln!(
                tests,
                "  - expr: 'count by (service) (ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})'\n    \
                 eval_time: {minutes}m\n    exp_samples: {wanted}"
            )
            .unwrap();
        }
    }
    tests
}

/// Runs promtool in `folder`.
fn run(promtool: &str, arguments: &[&str], folder: &Path) {
    let run = Command::new(promtool).args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{arguments:?}: {said}");
    println!("{}", said.trim());
}

#[test]
fn the_documented_alerts_fire_when_they_should_and_only_then() {
    let promtool = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    if Command::new(&promtool).arg("--version").output().is_err() {
        eprintln!("promtool is not installed: the alerts of docs/slo.md were not tried");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), documented_rules()).unwrap();
    run(&promtool, &["check", "rules", "rules.yml"], folder.path());
    for every in [2, 10] {
        std::fs::write(folder.path().join("tests.yml"), tests(every)).unwrap();
        run(&promtool, &["test", "rules", "tests.yml"], folder.path());
    }
}
