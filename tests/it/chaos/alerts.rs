//! The alert of `docs/chaos.md`, as Prometheus itself evaluates it.

use std::process::Command;

/// When it fires: the gauge, minute by minute, and how many alerts there are after ten.
const CASES: [(&str, &str, &str); 3] = [
    ("what could not be undone", "0x5 1x20", "[ { labels: '{service=\"shop\"}', value: 1 } ]"),
    ("all was undone", "0x30", "[]"),
    ("it is mended", "0x2 1x4 0x20", "[]"),
];

#[test]
fn the_documented_alert_fires_when_something_is_not_undone() {
    let promtool = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    if Command::new(&promtool).arg("--version").output().is_err() {
        eprintln!("promtool is not installed: the alert of docs/chaos.md was not tried");
        return;
    }
    let rules =
        include_str!("../../../docs/chaos.md").split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules.expect("there is a block of rules")).unwrap();
    let mut tests = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n".to_owned();
    for (what, values, wanted) in CASES {
        tests += &format!(
            "- name: {what}\n  interval: 1m\n  input_series:\n  \
             - {{ series: 'pointsman_chaos_undo_failed{{service=\"shop\"}}', values: '{values}' }}\n  promql_expr_test:\n  \
             - expr: 'count by (service) (ALERTS{{alertname=\"ChaosNotUndone\",alertstate=\"firing\"}})'\n    \
             eval_time: 10m\n    exp_samples: {wanted}\n"
        );
    }
    std::fs::write(folder.path().join("tests.yml"), &tests).unwrap();
    for arguments in [&["check", "rules", "rules.yml"][..], &["test", "rules", "tests.yml"]] {
        let run = Command::new(&promtool).args(arguments).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{arguments:?}: {said}\n{tests}");
    }
}
