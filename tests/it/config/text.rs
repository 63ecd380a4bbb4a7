//! Configs from their text: what is good, and the whole report on what is not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pointsman::config::{AdminAddress, AdminRole, Config, LogFormat, Problems, parse};
use pointsman::testing::table::spec::{HostPattern, KeySource, Pattern};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../config/example.toml");
const MINIMAL: &str = include_str!("../../../config/minimal.toml");

fn read(text: &str) -> Result<Config, Problems> {
    parse(text, Path::new("/etc/pointsman"))
}

fn good(text: &str) -> Config {
    read(text).map_err(|problems| problems.to_string()).expect("no problem")
}

fn report(text: &str) -> String {
    read(text).expect_err("want problems").to_string()
}

/// A minimal config with `more` in its service.
fn service(more: &str) -> String {
    format!(
        "[listeners.a]\naddress = \"127.0.0.1:0\"\n[services.s.versions.v1]\nendpoints = [\"10.0.0.1:80\"]\n\
         [services.s]\n{more}\n"
    )
}

#[test]
fn flags_that_follow_each_other_have_an_end_that_is_near() {
    let flags = |count: usize| {
        let follows = |i: usize| format!("[flags.f{i}]\nfollows = {{ flag = \"f{}\", on = \"on\" }}\n", i + 1);
        service("") + &(1..count).map(follows).collect::<String>() + &format!("[flags.f{count}]\n")
    };
    good(&flags(16));
    let wanted = |flag: &str| {
        format!("flags.{flag}.follows.flag: found more than 16 flags that follow each other, want at most 16")
    };
    let found = report(&flags(17));
    assert!(found.contains(&wanted("f1")) && found.lines().count() == 1, "{found}");
    // However long it is, it is told once, and soon.
    let found = report(&flags(20_000));
    assert!(found.contains(&wanted("f19984")) && found.lines().count() == 1, "{found}");
    let round = flags(40).replace("[flags.f40]", "[flags.f40]\nfollows = { flag = \"f21\", on = \"on\" }");
    let found = report(&round);
    let told =
        found.contains("flags.f21.follows.flag: found a circle: f21 -> f22 -> ") && found.contains(" -> f40 -> f21, ");
    assert!(told && found.contains(&wanted("f4")) && found.lines().count() == 2, "{found}");
}

/// Each `NAME.toml` has its report in `NAME.problems`; `UPDATE_GOLDEN=1` writes the reports anew.
#[test]
fn bad_configs_get_their_golden_reports() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the folder").map(|e| e.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() >= 20, "found only {} golden configs", files.len());
    let mut differences = String::new();
    for file in files {
        let found = report(&fs::read_to_string(&file).expect("readable")) + "\n";
        let golden = file.with_extension("problems");
        if update {
            fs::write(&golden, &found).expect("writable");
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        if found != wanted {
            writeln!(differences, "{}\nfound:\n{found}wanted:\n{wanted}", golden.display()).expect("a string");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn the_minimal_config_has_ten_lines_and_defaults() {
    assert_eq!(MINIMAL.lines().count(), 10);
    let config = good(MINIMAL);
    assert_eq!(config.admin.address, AdminAddress::Tcp("127.0.0.1:9900".parse().expect("an address")));
    assert_eq!(config.state.path, Path::new("/etc/pointsman/pointsman.db"));
    assert_eq!(config.listeners[0].head_read_timeout, Duration::from_secs(75));
    assert_eq!(config.access_log.format, LogFormat::Off);
    assert_eq!(config.access_log.sample, 1.0);
    let proxy = &config.proxy;
    assert_eq!((proxy.workers, proxy.upstream_idle_max, proxy.request_heads.lines_max), (None, 1024, 100));
    assert_eq!((proxy.request_heads.target_bytes_max, proxy.request_heads.bytes_max), (8 << 10, 32 << 10));
    assert_eq!((proxy.via.as_str(), proxy.revision_header), ("pointsman", true));
    let service = &config.services[0];
    assert_eq!(service.split.to_string(), "v1=95 v2=5");
    assert_eq!(service.paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/"]);
    assert_eq!(service.policy, pointsman::testing::table::spec::Policy::default());
}

#[test]
fn the_example_means_what_it_says() {
    let config = good(EXAMPLE);
    let roles: Vec<_> = config.admin.tokens.iter().map(|token| (token.name.as_str(), token.role)).collect();
    assert_eq!(roles, [("dashboard", AdminRole::Read), ("ops", AdminRole::Operate)]);
    assert_eq!(config.admin.tokens[1].file, Path::new("/etc/pointsman/ops.token"));
    assert_eq!(config.proxy.workers.map(usize::from), Some(4));
    let shop = &config.services[0];
    assert_eq!(shop.hosts[1], HostPattern::Below("shop.example.com".into()));
    assert_eq!(shop.sticky.last(), Some(&KeySource::OwnCookie));
    assert_eq!(shop.salt.as_deref(), Some("spring-2"));
    let when = &shop.rules[1].when;
    assert_eq!((when.headers.len(), when.methods.len(), when.clients.len(), when.segments.len()), (2, 2, 1, 2));
    assert_eq!(when.attributes.len(), 3);
    assert!(matches!(&when.path, Some(Pattern::Prefix(text)) if &**text == "/api/"));
    assert_eq!(config.services[1].name.as_str(), "status");
}

#[test]
fn one_version_needs_no_split_and_rules_get_names() {
    let rule = |when: &str| format!("[[services.s.rules]]\nuse = \"v1\"\nwhen.{when}\n");
    let config = good(&service(&(rule("method = \"GET\"") + &rule("client = \"::1\""))));
    assert_eq!(config.services[0].split.to_string(), "v1=100");
    let names: Vec<_> = config.services[0].rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["rule-1", "rule-2"]);
}

#[test]
fn hosts_are_lower_cased_and_versions_in_natural_order() {
    let text = service(
        "hosts = [\"Shop.EXAMPLE.com\", \"[::1]\"]\nsplit = { v1 = 0.5, v10 = 99.5 }\n\
         versions.v10 = { endpoints = [\"10.0.0.2:80\"] }\nversions.v2 = { endpoints = [\"10.0.0.3:80\"] }",
    );
    // A table that was opened by a header cannot be extended with dotted keys.
    let text = text.replace("[services.s.versions.v1]\nendpoints", "[services.s]\nversions.v1.endpoints");
    let text = text.replacen("[services.s]\nhosts", "hosts", 1);
    let service = &good(&text).services[0];
    assert_eq!(service.hosts[0], HostPattern::Exact("shop.example.com".into()));
    assert_eq!(service.split.to_string(), "v1=0.5 v2=0 v10=99.5");
    let names: Vec<_> = service.versions.iter().map(|version| version.name.as_str()).collect();
    assert_eq!(names, ["v1", "v2", "v10"]);
}

#[test]
fn a_unix_socket_needs_no_token_and_windows_line_ends_count_as_one() {
    let config = good(&format!("[admin]\r\naddress = \"unix:run/admin.sock\"\r\n{MINIMAL}"));
    assert_eq!(config.admin.address, AdminAddress::Unix("/etc/pointsman/run/admin.sock".into()));
    assert_eq!(report(&format!("\r\n\r\nx = 1\r\n{MINIMAL}")).split(':').next(), Some("line 3"));
}

#[test]
fn a_report_is_bounded() {
    let many: String = (0..250).map(|i| format!("strange{i} = 1\n")).collect();
    let problems = read(&many).expect_err("want problems");
    assert_eq!(problems.as_slice().len(), 101);
    assert!(problems.to_string().ends_with("(mend these first)"), "{problems}");
}

/// Any byte, or one that means something to TOML.
fn damaged_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(b"\"[]{}=.,#\n".to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes of a config, there is a config or a report.
    #[test]
    fn damaged_bytes_never_panic(
        damage in prop::collection::vec((0..EXAMPLE.len(), damaged_byte()), 1..8),
        cut in prop_oneof![Just(EXAMPLE.len()), 0..EXAMPLE.len()],
    ) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        bytes.truncate(cut);
        if let Err(problems) = read(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!problems.as_slice().is_empty());
            prop_assert!(problems.as_slice().iter().all(|problem| !problem.found.is_empty() && !problem.remedy.is_empty()));
        }
    }
}

/// Where the keys of each raw section stand in a file.
const SECTIONS: [(&str, &[&str]); 83] = [
    ("access_log.rs RawAccessLog", &["access_log"]),
    ("admin.rs RawAdmin", &["admin"]),
    ("admin.rs RawToken", &["admin.tokens.X"]),
    ("admin.rs RawClient", &["admin.clients.X"]),
    ("callers.rs RawCallerToken", &["events.tokens.X", "ofrep.tokens.X"]),
    ("mod.rs RawChaos", &["chaos"]),
    ("experiment.rs RawChaosExperiment", &["chaos.experiments.X"]),
    ("target.rs RawFaultTarget", &["chaos.experiments.X.target"]),
    ("fault.rs RawFault", &["chaos.experiments.X.fault"]),
    ("fault.rs RawFaultLatency", &["chaos.experiments.X.fault.latency"]),
    ("fault.rs RawAbortTable", &["chaos.experiments.X.fault.abort"]),
    ("fault.rs RawChaosCommand", &["chaos.experiments.X.fault.command"]),
    ("hypothesis.rs RawHypothesis", &["chaos.experiments.X.hypothesis"]),
    ("hypothesis.rs RawErrorsBelief", &["chaos.experiments.X.hypothesis.errors"]),
    ("hypothesis.rs RawLatencyBelief", &["chaos.experiments.X.hypothesis.latency"]),
    ("hypothesis.rs RawChaosStop", &["chaos.experiments.X.stop_when"]),
    ("cookie.rs RawCookie", &["services.X.cookie"]),
    ("error_pages.rs RawErrorPage", &["services.X.error_pages"]),
    ("header_lines.rs RawHeaderEdits", &["services.X.request_headers"]),
    ("prefix.rs RawPrefixReplacement", &["services.X.replace_prefix"]),
    ("respond.rs RawRespond", &["services.X.rules.respond"]),
    ("rule_redirect.rs RawRuleRedirect", &["services.X.rules.redirect"]),
    ("mod.rs RawEdits", &[]),
    ("canonical.rs RawCanonical", &[]),
    ("condition.rs RawCondition", &["services.X.rules.when"]),
    ("definition.rs RawExperiment", &["experiments.X"]),
    ("definition.rs RawArms", &["experiments.X.arms"]),
    ("mirror.rs RawMirror", &["services.X.mirror"]),
    ("mirror.rs RawMirrorCompare", &["services.X.mirror.compare"]),
    ("metric.rs RawExperimentMetric", &["experiments.X.metrics"]),
    ("metric.rs RawRequestMatch", &["experiments.X.metrics.when"]),
    ("events.rs RawEvents", &["events"]),
    ("flag_rule.rs RawFlagRule", &["flags.X.rules"]),
    ("group.rs RawGroup", &["groups.X"]),
    ("guardrails.rs RawGuardrailTable", &["services.X.rollout.guardrails"]),
    ("health.rs RawHealth", &["services.X.versions.X.health"]),
    ("hook.rs RawHookTable", &["services.X.rollout.upgrade"]),
    ("judge.rs RawJudge", &["services.X.rollout.judge"]),
    ("judge.rs RawSlowMax", &["services.X.rollout.judge.slow_max"]),
    ("limits.rs RawRate", &["listeners.X.rate"]),
    ("limits.rs RawLimits", &[]),
    ("limits.rs RawListenerLimits", &[]),
    ("mod.rs RawListener", &["listeners.X"]),
    ("mod.rs RawConfig", &[]),
    ("notify.rs RawNotify", &["notify.X"]),
    ("ofrep.rs RawOfrep", &["ofrep"]),
    ("on_shift.rs RawAfter", &["services.X.on_shift"]),
    ("outlier.rs RawOutlier", &["services.X.outlier"]),
    ("pattern.rs RawPatternTable", &["pattern"]),
    ("proxy.rs RawProxy", &["proxy"]),
    ("proxy_protocol.rs RawProxyProtocol", &["listeners.X.proxy_protocol"]),
    ("redirect.rs RawPort", &["listeners.X.redirect_https"]),
    ("commit_status.rs RawStatus", &["gitops.status"]),
    ("repository.rs RawLocal", &[]),
    ("repository.rs RawGitops", &["gitops"]),
    ("repository.rs RawVerify", &["gitops.verify"]),
    ("responses.rs RawResponses", &["services.X.rollout.judge.responses"]),
    ("rollout.rs RawGradual", &["services.X.rollout.rollback"]),
    ("rollout.rs RawRollout", &["services.X.rollout"]),
    ("rule.rs RawRule", &["services.X.rules"]),
    ("mod.rs RawFlag", &["flags.X"]),
    ("raw_flags.rs RawImport", &["flags"]),
    ("mod.rs RawService", &["services.X"]),
    ("shield.rs RawShieldTable", &["services.X.shield"]),
    ("slo.rs RawSlo", &["services.X.slo"]),
    ("slo.rs RawLatency", &["services.X.slo.latency"]),
    ("smoke.rs RawSmoke", &["services.X.rollout.smoke"]),
    ("own_metrics.rs RawMetric", &["services.X.rollout.metrics"]),
    ("own_metrics.rs RawCompare", &["services.X.rollout.metrics.compare"]),
    ("state.rs RawState", &["state"]),
    ("fleet.rs RawFleet", &["fleet"]),
    ("step.rs RawStepTable", &["services.X.rollout.steps"]),
    // Written beside a config; docs/experiments.md has their keys.
    ("sums.rs RawSums", &[]),
    ("sums.rs RawArm", &[]),
    ("sums.rs RawMetricSums", &[]),
    ("sums.rs RawArmSums", &[]),
    ("sums.rs RawSecond", &[]),
    ("tls.rs RawServerTls", &["listeners.X.tls"]),
    ("tls.rs RawClientTls", &["services.X.versions.X.tls"]),
    ("tls.rs RawKeyPair", &["listeners.X.tls.certificates"]),
    ("token_keys.rs RawJwt", &["jwt"]),
    ("url.rs RawWebhook", &["services.X.rollout.webhook", "chaos.experiments.X.stop_when.webhook"]),
    ("version.rs RawVersion", &["services.X.versions.X"]),
];

/// All files of a folder and of those in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The keys that the code reads, from the structs that are read into.
fn keys_of_the_code() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for path in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config"))) {
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let text = std::fs::read_to_string(&path).expect("a file");
        for part in text.split("struct Raw").skip(1) {
            let name = part.split([' ', '(', ';', '<']).next().expect("a name");
            let Some((_, body)) = part.split_once("{\n").filter(|(head, _)| !head.contains([';', '('])) else {
                continue;
            };
            let section = SECTIONS.iter().find(|(section, _)| *section == format!("{file} Raw{name}"));
            let (_, places) = section.unwrap_or_else(|| panic!("{file}: Raw{name} has no place in SECTIONS"));
            let fields = body.split("\n}").next().expect("a body").lines();
            let mut renamed = None;
            for line in fields.map(str::trim) {
                if let Some(name) = line.strip_prefix("#[serde(rename = \"") {
                    renamed = name.split('"').next();
                }
                let field = line.trim_start_matches("pub(crate) ").split_once(": ").map(|(name, _)| name);
                let Some(field) = field.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
                else {
                    continue;
                };
                let key = renamed.take().unwrap_or(field);
                keys.extend(places.iter().map(|place| format!("{place}.{key}")));
            }
        }
    }
    keys
}

#[test]
fn the_reference_page_has_every_key_and_no_other() {
    let page = include_str!("../../../docs/configuration.md");
    let listed: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect();
    // A key whose own keys are listed may stand for itself as well.
    let is_section = |key: &str| listed.iter().any(|other| other.starts_with(&format!("{key}.")));
    let keys = keys_of_the_code();
    let missing: Vec<_> = keys.iter().filter(|key| !listed.contains(*key) && !is_section(key)).collect();
    let strange: Vec<_> = listed.iter().filter(|key| !keys.contains(*key)).collect();
    assert!(missing.is_empty() && strange.is_empty(), "not on the page: {missing:?}; not in the code: {strange:?}");
    assert!(page.lines().filter(|line| line.starts_with("| `")).all(|line| line.matches(" | ").count() == 4));
}
