//! The metrics text.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use pointsman::testing::control::watch::ConfigFacts;
use pointsman::testing::stats::{CodeClass, RejectReason, UpstreamFailure};
use tokio::time::{Instant, sleep};

use crate::support::PATIENCE;
use crate::support::control::Control;
use crate::support::spec::services;

#[tokio::test]
async fn what_was_counted_is_rendered() {
    let control = Control::start();
    let table = control.table();
    let version = &table.service_named("shop").unwrap().versions[1];
    let cell = version.stats.cell(0);
    for micros in [900, 1_100, 60_000] {
        cell.answered(CodeClass::Success, micros);
    }
    cell.answered(CodeClass::ServerError, 60_000_000);
    cell.failed(UpstreamFailure::Status);
    cell.passed_on();
    version.endpoints[0].stats.opened();
    let registry = &control.admin.exporter.sources().registry;
    registry.worker(0).refused(RejectReason::BadHost);
    let text = control.get("/metrics").await.text;
    let shop = "service=\"shop\",version=\"v2\"";
    for line in [
        format!("pointsman_requests_total{{{shop},code=\"2xx\"}} 3"),
        format!("pointsman_requests_total{{{shop},code=\"5xx\"}} 1"),
        format!("pointsman_request_duration_seconds_bucket{{{shop},le=\"0.001\"}} 1"),
        format!("pointsman_request_duration_seconds_bucket{{{shop},le=\"0.1\"}} 3"),
        format!("pointsman_request_duration_seconds_bucket{{{shop},le=\"+Inf\"}} 4"),
        format!("pointsman_request_duration_seconds_count{{{shop}}} 4"),
        format!("pointsman_upstream_failures_total{{{shop},reason=\"status_5xx\"}} 1"),
        format!("pointsman_passed_on_total{{{shop}}} 1"),
        format!("pointsman_split_weight_ratio{{{shop},kind=\"configured\"}} 0.05"),
        format!("pointsman_split_weight_ratio{{{shop},kind=\"effective\"}} 0.05"),
        format!("pointsman_connections{{{shop},side=\"upstream\"}} 1"),
        "pointsman_connections{side=\"client\"} 0".to_owned(),
        "pointsman_refusals_total{reason=\"bad_host\"} 1".to_owned(),
        "pointsman_revision 1".to_owned(),
        "pointsman_config_last_reload_successful 1".to_owned(),
        "pointsman_store_writable 1".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    for line in [
        format!("pointsman_requests_total{{{shop},code=\"4xx\"}} 0"),
        "pointsman_requests_total{service=\"shop\",version=\"v1\",code=\"5xx\"} 0".to_owned(),
        format!("pointsman_upstream_failures_total{{{shop},reason=\"connect\"}} 0"),
        format!("pointsman_first_attempts_total{{{shop},outcome=\"failed\"}} 0"),
        "pointsman_refusals_total{reason=\"overloaded\"} 0".to_owned(),
        "pointsman_tls_handshakes_total{kind=\"full\"} 0".to_owned(),
        format!("pointsman_hidden_failures_total{{{shop},by=\"shield\"}} 0"),
        "pointsman_request_duration_seconds_count{service=\"shop\",version=\"v1\"} 0".to_owned(),
        "pointsman_rollout_endings_total{service=\"cart\",ending=\"rolled_back\",why=\"errors\"} 0".to_owned(),
        "pointsman_requests_in_flight{service=\"cart\"} 0".to_owned(),
        "pointsman_changes_total{action=\"rollback\"} 0".to_owned(),
        "pointsman_judge_seconds_total 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "at zero from the beginning: {line} in\n{text}");
    }

    // Later looks add what came since.
    cell.answered(CodeClass::Success, 900);
    control.facts.send_modify(|facts: &mut ConfigFacts| facts.problems.push("bad".to_owned()));
    let text = control.get("/metrics").await.text;
    assert!(text.contains(&format!("pointsman_request_duration_seconds_count{{{shop}}} 5")), "{text}");
    assert!(text.contains("pointsman_config_last_reload_successful 0"), "{text}");
}

#[tokio::test]
async fn what_left_the_config_is_forgotten() {
    let control = Control::start();
    assert!(control.get("/metrics").await.text.contains("service=\"cart\""));
    control.handle.reload(services(&[("shop", "v1=95 v2=5")]), None).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = control.get("/metrics").await.text;
        assert!(text.contains("service=\"shop\""), "{text}");
        if !text.contains("service=\"cart\"") {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn many_versions_have_counters_when_they_have_had_a_request() {
    let names: Vec<String> = (0..300).map(|number| format!("s{number}")).collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), "v1=95 v2=5")).collect();
    let control = Control::start();
    control.handle.reload(services(&all), None).await.unwrap();
    let table = control.table();
    table.service_named("s7").unwrap().versions[0].stats.cell(0).answered(CodeClass::Success, 900);
    let text = control.get("/metrics").await.text;
    let counted: Vec<_> = text.lines().filter(|line| line.starts_with("pointsman_requests_total{")).collect();
    assert!(
        !counted.is_empty() && counted.iter().all(|line| line.contains("service=\"s7\",version=\"v1\"")),
        "{counted:?}"
    );
    assert!(counted.iter().any(|line| line.ends_with("code=\"5xx\"} 0")), "all of its series: {counted:?}");
}

#[tokio::test]
async fn seconds_of_the_processor_have_fractions() {
    let control = Control::start();
    let text = control.get("/metrics").await.text;
    assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");
    let seconds = text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
    let seconds: f64 = seconds.expect("it is there").parse().unwrap();
    let (begun, mut later) = (Instant::now(), seconds);
    // On a busy machine, what passes is not what is used.
    while later <= seconds && begun.elapsed() < PATIENCE {
        let now = Instant::now();
        while now.elapsed().as_millis() < 60 {}
        let text = control.get("/metrics").await.text;
        later = text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total ")).unwrap().parse().unwrap();
    }
    assert!(later > seconds && later < seconds + 30.0, "{seconds}, then {later}");
}

#[tokio::test]
async fn the_documents_name_every_label() {
    let control = Control::start();
    let text = control.get("/metrics").await.text;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let mut named = 0;
    for line in text.lines().filter(|line| line.starts_with("pointsman_")) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let is_there = |name: &str| page.lines().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = is_there(name).or_else(|| is_there(parts?));
        let row = row.unwrap_or_else(|| panic!("docs/metrics.md: no row for {name}"));
        for label in rest.split("\",").filter_map(|label| label.trim_start_matches('{').split_once('=')) {
            assert!(
                label.0 == "le" || row.contains(&format!("`{}`", label.0)),
                "docs/metrics.md: {} in {row}",
                label.0
            );
            named += 1;
        }
    }
    assert!(named > 100, "{named} labels in {text}");
}

#[tokio::test]
async fn revisions_are_counted_by_what_they_were_for() {
    let control = Control::start();
    let count = async |action: &str| {
        let (text, name) = (control.get("/metrics").await.text, "pointsman_changes_total");
        let series = format!("{name}{{action=\"{action}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series).map(str::to_owned))
    };
    assert_eq!(count("file").await.as_deref(), Some("1"), "the first one");
    control.handle.reload(services(&[("shop", "v1=90 v2=10"), ("cart", "v1=100 v2=0")]), None).await.unwrap();
    assert_eq!((count("file").await.as_deref(), count("shift").await.as_deref()), (Some("2"), Some("0")));
}

/// The rules for alerts that the documentation shows.
fn documented_alerts() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/releases.md")).unwrap();
    let block = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("there is a block of rules").to_owned()
}

#[test]
fn the_documented_alerts_fire_on_what_is_exported() {
    let promtool = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    if Command::new(&promtool).arg("--version").output().is_err() {
        eprintln!("promtool is not installed: the alerts of docs/releases.md were not tried");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), documented_alerts()).unwrap();
    let shop = "service=\"shop\"";
    let waiting = |need: &str| format!("pointsman_rollout_waiting{{{shop},need=\"{need}\"}}");
    let going = format!("pointsman_rollout_phase{{{shop},phase=\"going\"}}");
    let evidence = |test: &str| format!("pointsman_judge_evidence{{{shop},test=\"{test}\"}}");
    let cases = [
        ("RolloutWaitsForSomebody", vec![waiting("approval")], "1"),
        ("RolloutWaitsForSomebody", vec![waiting("acknowledgement")], "1"),
        ("RolloutWaitsForSomebody", vec![waiting("resume")], "1"),
        ("RolloutStuckOnItsWayBack", vec![waiting("repair")], "1"),
        ("NewVersionUnderSuspicion", vec![going.clone(), evidence("comparison")], "1"),
        ("NewVersionUnderSuspicion", vec![going, evidence("errors_max")], "1"),
        ("NothingCanBeWritten", vec!["pointsman_store_writable".to_owned()], "0"),
    ];
    let mut tests = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n".to_owned();
    for (alert, series, value) in cases {
        tests += "- interval: 1m\n  input_series:\n";
        for one in &series {
            tests += &format!("  - {{ series: '{one}', values: '{value}x30' }}\n");
        }
        // What it says is the rule's own business: that it fires is asked, by the series that Prometheus makes of it.
        tests += &format!(
            "  promql_expr_test:\n  - expr: 'count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})'\n    \
             eval_time: 20m\n    exp_samples: [ {{ labels: '{{}}', value: 1 }} ]\n"
        );
    }
    std::fs::write(folder.path().join("tests.yml"), &tests).unwrap();
    let run = Command::new(&promtool).args(["test", "rules", "tests.yml"]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{tests}");
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let promtool = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let run = Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut run) = run else {
        eprintln!("promtool is not installed: the metrics text was not checked by it");
        return;
    };
    let control = Control::start();
    let table = control.table();
    for service in table.services() {
        for version in &service.versions {
            let cell = version.stats.cell(0);
            CodeClass::ALL.into_iter().for_each(|class| cell.answered(class, 1_000));
            UpstreamFailure::ALL.into_iter().for_each(|failure| cell.failed(failure));
            cell.passed_on();
        }
    }
    let worker = control.admin.exporter.sources().registry.worker(0);
    RejectReason::ALL.into_iter().for_each(|reason| worker.refused(reason));
    let text = control.get("/metrics").await.text;
    run.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}
