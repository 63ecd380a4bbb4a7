//! The metrics text.

use std::io::Write;
use std::process::{Command, Stdio};

use pointsman::control::watch::ConfigFacts;
use pointsman::stats::{CodeClass, Refused, UpstreamFailure};

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
    registry.worker(0).refused(Refused::BadHost);
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
    assert!(!text.contains("code=\"4xx\""), "only series with traffic:\n{text}");

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
    control.get("/metrics").await;
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    let text = control.get("/metrics").await.text;
    assert!(!text.contains("service=\"cart\""), "{text}");
    assert!(text.contains("service=\"shop\""), "{text}");
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
    Refused::ALL.into_iter().for_each(|reason| worker.refused(reason));
    let text = control.get("/metrics").await.text;
    run.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}
