use std::path::Path;

use super::*;
use crate::chaos::chaos_definition::ChaosFault;
use crate::config::{Config, parse};
use crate::rollout::judge::judge_settings::Multiple;
use crate::table::spec::fault::{FaultAbort, FaultKind};

const EXAMPLE: &str = include_str!("../../../config/example.toml");

fn example() -> Config {
    parse(EXAMPLE, Path::new("/etc/pointsman")).unwrap()
}

fn read(config: &Config, definition: &Value) -> Result<ChaosDefinition, Problems> {
    config.chaos.read("try", definition, &config.services)
}

#[test]
fn the_example_is_what_it_says() {
    let config = example();
    let ChaosConfig { enabled, share_max, duration_max, experiments, .. } = &*config.chaos;
    assert_eq!((*enabled, share_max.percent(), duration_max.as_secs()), (true, 5.0, 1_800));
    let slow = &experiments["slow-payments"];
    assert_eq!((slow.duration.as_secs(), slow.baseline.as_secs(), slow.took().as_secs()), (600, 60, 660));
    let [fixed, jitter] = [300, 100].map(Duration::from_millis);
    assert_eq!(slow.kind(), FaultKind::Latency { fixed, jitter });
    assert_eq!(slow.hypothesis.slower, Multiple::new(1.2));
    assert_eq!((slow.hypothesis.margin.ratio.value(), slow.hypothesis.margin.increase.value()), (1.5, 0.001));
    assert_eq!((slow.stop_when.failed_requests, slow.stop_when.budget_left_below), (Some(50), Some(20.0)));
    assert_eq!(slow.written.fault, json!({ "latency": { "fixed": "300ms", "jitter": "100ms" } }));
    assert_eq!(slow.written.target["share"], json!(2.0));
    let kinds: Vec<_> = experiments.values().map(|experiment| experiment.kind().word()).collect();
    let all = ["abort", "cut", "abort", "exhaust", "command", "hang", "bandwidth", "reset", "latency", "refuse"];
    assert_eq!(kinds, all);
    let disk = &experiments["full-disk"];
    assert_eq!((disk.target.share, disk.command().map(|command| command.timeout.as_secs())), (Weight::FULL, Some(60)));
    // Chance decides on requests, so the settings of the judge are the only thing that a definition says of it.
    assert!(disk.judge(true).freezes && !slow.judge(true).freezes);
}

#[test]
fn nothing_may_be_done_unless_the_config_says_so() {
    let config = parse(include_str!("../../../config/minimal.toml"), Path::new("")).unwrap();
    assert!(!config.chaos.enabled && config.chaos.experiments.is_empty());
    assert_eq!((config.chaos.share_max.percent(), config.chaos.duration_max.as_secs()), (5.0, 1_800));
}

#[test]
fn a_call_defines_one_in_the_words_of_the_file() {
    let config = example();
    let definition = json!({
        "target": { "service": "shop", "segment": "staff" },
        "fault": { "abort": { "grpc": 14 } },
        "duration": "10s",
        "baseline": "0s",
        "hypothesis": { "errors": { "ratio_max": 2 } },
        "only": "00:00-24:00 UTC",
    });
    let read = read(&config, &definition).unwrap();
    assert_eq!(read.fault, ChaosFault::Injected(FaultKind::Abort(FaultAbort::Grpc(14))));
    assert_eq!((read.target.share.percent(), read.baseline), (1.0, Duration::ZERO));
    assert_eq!(read.written.target, json!({ "service": "shop", "segment": "staff", "share": 1.0 }));
    assert_eq!(read.written.only, json!("00:00-24:00 UTC"));
    assert_eq!((read.written.stop_when, read.name.as_str()), (Value::Null, "try"));
}

#[test]
fn what_a_call_may_not_say_is_told() {
    let config = example();
    let with = |key: &str, value: Value| {
        let mut definition = json!({
            "target": { "service": "shop" },
            "fault": { "hang": true },
            "duration": "10s",
            "hypothesis": { "errors": {} },
        });
        definition[key] = value;
        let problems = read(&config, &definition).expect_err("want problems");
        problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    for (key, value, wanted) in [
        (
            "fault",
            json!({ "command": { "run": ["x"], "undo": ["y"] } }),
            "definition.fault.command: found a command in a call, want one of an experiment in the config",
        ),
        (
            "stop_when",
            json!({ "webhook": { "url": "http://127.0.0.1/" } }),
            "definition.stop_when.webhook: found a webhook in a call, want one of an experiment in the config",
        ),
        ("duration", json!(null), "definition.duration: found none, want how long the fault is done"),
        ("duration", json!("1h"), "definition.duration: found 1h, above chaos.duration_max = 30m, want 1s to 30m"),
        ("target", json!({ "service": "shop", "share": 50 }), "definition.target.share: found 50, above"),
        ("target", json!({ "service": "shap" }), "definition.target.service: found unknown service \"shap\""),
        ("target", json!({ "service": "shop", "segment": "stuff" }), "definition.target.segment: found \"stuff\""),
        ("only", json!(["Mon 09:00-16:00 Mars/Olympus"]), "definition.only[1]: found the time zone \"Mars/Olympus\""),
        ("hypothesis", json!({}), "definition.hypothesis: found none, want what is believed"),
        ("stop_wen", json!({}), "definition.stop_wen: "),
    ] {
        let found = with(key, value);
        assert!(found.starts_with(wanted), "{found}");
    }
    let all = read(&config, &json!({})).expect_err("want problems");
    let paths: Vec<_> = all.as_slice().iter().map(|problem| problem.path.as_str()).collect();
    let missing = ["fault", "target.service", "duration", "hypothesis"].map(|key| format!("definition.{key}"));
    assert_eq!(paths, missing);
}

#[test]
fn one_thing_that_is_wrong_hides_no_other() {
    let config = example();
    // What the fault is, is known although something is wrong with it.
    let many = json!({
        "target": { "service": "shop", "version": "v9", "share": 50, "segment": "stuff" },
        "fault": { "command": { "run": ["x"] } },
        "duration": "1h",
        "baseline": "1ms",
        "hypothesis": {},
        "stop_when": { "budget_left_below": 20, "failed_requests": 0 },
    });
    let all = read(&config, &many).expect_err("want problems");
    let mut paths: Vec<_> = all.as_slice().iter().map(|problem| problem.path.as_str()).collect();
    paths.sort_unstable();
    let wrong = [
        "baseline",
        "duration",
        "fault.command",
        "hypothesis",
        "stop_when.failed_requests",
        "target.segment",
        "target.share",
        "target.version",
    ];
    assert_eq!(paths, wrong.map(|key| format!("definition.{key}")));
    let share = all.as_slice().iter().find(|problem| problem.path.ends_with("share")).map(ToString::to_string);
    assert!(share.as_ref().is_some_and(|text| text.contains("a share beside a command")), "{share:?}");
    let poor = json!({
        "target": { "service": "status", "share": 50 },
        "fault": { "hang": true },
        "duration": "10s",
        "hypothesis": { "errors": {} },
        "stop_when": { "budget_left_below": 20 },
    });
    let all = read(&config, &poor).expect_err("want problems");
    let paths: Vec<_> = all.as_slice().iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["definition.target.share", "definition.stop_when.budget_left_below"]);
}
