use std::path::Path;

use serde_json::json;

use super::*;
use crate::chaos::chaos_ending::{ChaosEndedBy, ChaosEnding};
use crate::chaos::chaos_record::ChaosUndo;

/// A run whose hypothesis was broken, with a command to undo or without.
fn record() -> ChaosRecord {
    let record = json!({
        "id": 7,
        "name": "slow-payments",
        "state": "ended",
        "ending": "broken",
        "ended_by": "verdict",
        "sentence": "slow-payments: hypothesis broken after 1.2 s: 40 of 210 requests failed (19 %) against 2 of 205 \
                     (1 %) on the control slice, odds of chance below 1 in 1,000",
        "service": "pay",
        "target": { "service": "pay", "version": "v1", "share": 2.0 },
        "fault": { "latency": { "fixed": "300ms", "jitter": "100ms" } },
        "duration_s": 600,
        "baseline_s": 60,
        "started_at": "2026-11-30T08:00:00Z",
        "injecting_since": "2026-11-30T08:01:00Z",
        "ends_at": "2026-11-30T08:11:00Z",
        "ended_at": "2026-11-30T08:01:01.2Z",
        "restored_at": "2026-11-30T08:01:01.25Z",
        "author": "ada",
        "reason": "before the sale",
        "hypothesis": { "errors": { "ratio_max": 1.5 }, "latency": { "slower_max": 1.2 } },
        "stop_when": { "failed_requests": 50 },
        "before": { "requests": 24_010, "failed": 240, "p50_ms": 20.1, "p99_ms": 64.5 },
        "fault_slice": {
            "requests": 210, "failed": 40, "injected": 209, "users": 190, "p50_ms": 350.5, "p90_ms": 390.0,
            "p99_ms": 412.25,
        },
        "control_slice": {
            "requests": 205, "failed": 2, "injected": 0, "users": 188, "p50_ms": 20.0, "p90_ms": 38.0, "p99_ms": 64.0,
        },
        "evidence": {
            "e": 12_300.0,
            "alarm": 1_000.0,
            "errors": { "e": 12_300.0, "ratio_max": 1.5, "ratio_low": 4.1, "ratio_high": null, "at_most": null },
            "latency": {
                "e": 8.5, "slower_max": 1.2, "quantile": 0.99, "slow_ms": 77.4, "slow": 150, "compared": 170,
            },
        },
        "undo": null,
    });
    serde_json::from_value(record).unwrap()
}

/// The same of a command that reached everyone, ended by an operator, whose undoing failed.
fn of_command() -> ChaosRecord {
    let mut record = record();
    record.target = json!({ "service": "pay" });
    record.fault = json!({ "command": { "run": ["fill", "{host}"], "undo": ["empty", "{host}"], "host": "db1" } });
    (record.ending, record.ended_by) = (Some(ChaosEnding::NotEnoughData), Some(ChaosEndedBy::Operator));
    record.sentence = "slow-payments: not enough data after 1.2 s: an operator stopped it".to_owned();
    (record.control_slice, record.restored_at) = (None, None);
    let error = Some("\"empty\" ended with status 1, want 0".to_owned());
    record.undo = Some(ChaosUndo { state: ChaosUndoState::Failed, tries: 5, error });
    record
}

/// One whose fault never began.
fn unsteady() -> ChaosRecord {
    let mut record = record();
    (record.ending, record.ended_by) = (Some(ChaosEnding::NotEnoughData), Some(ChaosEndedBy::Steady));
    record.sentence = "slow-payments: not enough data before the fault began: the service was not steady".to_owned();
    (record.injecting_since, record.evidence, record.stop_when) = (None, None, json!(null));
    record
}

#[test]
fn reports_are_their_golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chaos");
    for (name, record) in [("broken", record()), ("command", of_command()), ("unsteady", unsteady())] {
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap() + "\n";
        for (kind, found) in [
            ("md", markdown(&record)),
            ("report.json", pretty(&json(&record))),
            ("journal.json", pretty(&journal(&record))),
        ] {
            let file = folder.join(format!("{name}.{kind}"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&file, &found).unwrap();
            }
            let wanted = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(found, wanted, "{}: UPDATE_GOLDEN=1 writes it anew", file.display());
        }
    }
}

#[test]
fn what_is_kept_is_what_is_shown() {
    for record in [record(), of_command(), unsteady()] {
        let stored = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<ChaosRecord>(&stored).unwrap(), record);
        assert_eq!(json(&record)["run"], serde_json::to_value(&record).unwrap());
    }
}
