//! By the clock, with processes: how soon a bad version is turned back, and that two equal ones that pause are not.
//!
//! `make judge-live` plays each as often as `LIVE_RUNS` says and prints the times, on a machine that has nothing else
//! to do: another one has pauses of its own. The suite plays a short one of the equal versions, and one of a version
//! that is twice as slow. Each version is a process, which is stopped and goes on again by signals: nothing in it knows
//! of its pauses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::load::{Load, User};
use crate::support::process::{Process, config_by_chance};
use crate::support::release::{Mood, Operator, id, last_words, version, visitors};

/// The test that is a version when it runs in a process of its own, and the variable that says so.
const ORIGIN_TEST: &str = "rollout::judge_live::an_origin_obeys_its_input";
const ORIGIN_VARIABLE: &str = "BE_AN_ORIGIN";

/// Rollouts with pauses that are played at a time.
const AT_ONCE: u64 = 6;

const SEED: u64 = 20_261_129;

/// How often each is played.
pub(super) fn runs() -> Option<u64> {
    std::env::var("LIVE_RUNS").ok().and_then(|runs| runs.parse().ok())
}

/// A version in a process of its own.
struct OriginProcess {
    child: Child,
    input: ChildStdin,
    /// Kept open: after a minute the test harness in it says that its test still runs, and would end with the pipe.
    _output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl OriginProcess {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([ORIGIN_TEST, "--exact", "--nocapture"]).env(ORIGIN_VARIABLE, "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.by_ref().lines().map_while(Result::ok);
        let told = |line: String| line.split_once("serves at ").and_then(|(_, address)| address.trim().parse().ok());
        let address = lines.into_iter().find_map(told).expect("it says where it serves");
        let input = child.stdin.take().unwrap();
        Self { child, input, _output: output, address }
    }

    /// Says how it is from now on.
    fn tell(&mut self, what: &str, number: u64) {
        writeln!(self.input, "{what} {number}").unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for OriginProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn obey(mood: &Mood, line: &str) {
    let (what, number) = line.split_once(' ').unwrap();
    let number = number.trim().parse().unwrap();
    match what {
        "failing" => mood.failing.store(number, SeqCst),
        "delay_ms" => mood.delay_ms.store(number, SeqCst),
        _ => panic!("unknown: {line}"),
    }
}

/// With the variable, it serves until its input ends.
#[test]
fn an_origin_obeys_its_input() {
    let (origin, mood) = version("shop");
    if std::env::var_os(ORIGIN_VARIABLE).is_some() {
        println!("serves at {}", origin.address());
        std::io::stdin().lines().map_while(Result::ok).for_each(|line| obey(&mood, &line));
        return;
    }
    obey(&mood, "failing 200");
    obey(&mood, "delay_ms 3");
    assert_eq!((mood.failing.load(SeqCst), mood.delay_ms.load(SeqCst)), (200, 3));
}

/// A proxy in a process of its own before two versions, under load.
struct Stage {
    operator: Operator,
    versions: [OriginProcess; 2],
    load: Load,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// By as many visitors that those who wait hardly lower the rate. Both versions take `delay_ms` from the start.
    fn new(per_second: u32, dozens_of_visitors: u32, delay_ms: u64) -> Self {
        let mut versions = [OriginProcess::start(), OriginProcess::start()];
        versions.iter_mut().for_each(|version| version.tell("delay_ms", delay_ms));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pointsman.toml");
        std::fs::write(&path, config_by_chance(versions[0].address, versions[1].address, "")).unwrap();
        let process = Process::start(&path);
        let users = (0..dozens_of_visitors)
            .flat_map(|_| visitors(process.listener, &["/"], per_second / dozens_of_visitors, false))
            .collect::<Vec<Box<dyn User>>>();
        let load = Load::start(users);
        load.await_more(u64::from(per_second) / 2);
        Self { operator: Operator(process.admin.clone()), versions, load, _process: process, _folder: folder }
    }

    /// Begins with ten per cent; no step goes on while it is measured.
    fn start(&self) -> u64 {
        let plan = json!({"steps": [10, 100], "bake": "10m", "judge": {"warm_up": "0s"}});
        id(&self.operator.start(json!({"service": "shop", "to": "v2", "plan": plan})))
    }

    /// How long it takes from `since` until all of the traffic is on v1 again.
    fn until_back(&self, rollout: u64, since: Instant) -> Duration {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let found = self.operator.rollout(rollout);
            let took = since.elapsed();
            if found["phase"] == "finished" {
                assert_eq!(found["ending"], "rolled_back", "{found:#}");
                println!("    {took:.2?}: {}", last_words(&found));
                return took;
            }
            assert!(Instant::now() < deadline, "not turned back: {found:#}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Prints the median and the ninetieth percentile, and fails when the median is beyond `wanted`: of many runs, because
/// a busy machine may disturb some.
pub(super) fn judge_times(what: &str, wanted: Duration, mut took: Vec<Duration>) {
    took.sort_unstable();
    let [median, p90] = [took.len() / 2, took.len() * 9 / 10].map(|at| took[at.min(took.len() - 1)]);
    println!("{what}: median {median:.2?}, nine of ten within {p90:.2?}, {} runs", took.len());
    let most = if took.len() < 10 { wanted * 5 } else { wanted };
    assert!(median <= most, "{what}: {took:?}");
}

/// All of it at 1,000 requests a second and ten per cent.
#[test]
fn judge_live_bad_versions_are_turned_back_in_seconds() {
    let Some(runs) = runs() else { return };
    let mut stage = Stage::new(1_000, 10, 0);
    let mut begins_to_fail = Vec::new();
    for _ in 0..runs {
        let rollout = stage.start();
        stage.operator.until_judged(rollout, 500);
        stage.versions[1].tell("failing", 200);
        begins_to_fail.push(stage.until_back(rollout, Instant::now()));
        stage.versions[1].tell("failing", 0);
    }
    let mut fails_at_once = Vec::new();
    for _ in 0..runs {
        stage.versions[1].tell("failing", 200);
        let rollout = stage.start();
        fails_at_once.push(stage.until_back(rollout, Instant::now()));
        stage.versions[1].tell("failing", 0);
    }
    stage.load.end();
    judge_times("begins to fail 20 %", Duration::from_secs(3), begins_to_fail);
    judge_times("fails 20 % from the start", Duration::from_secs(2), fails_at_once);
}

#[test]
fn judge_live_slow_versions_are_turned_back_in_seconds() {
    let Some(runs) = runs() else { return };
    let mut stage = Stage::new(1_000, 12, 25);
    let mut took = Vec::new();
    for _ in 0..runs {
        let rollout = stage.start();
        stage.operator.until_judged(rollout, 500);
        stage.versions[1].tell("delay_ms", 50);
        took.push(stage.until_back(rollout, Instant::now()));
        stage.versions[1].tell("delay_ms", 25);
    }
    stage.load.end();
    judge_times("twice as slow", Duration::from_secs(5), took);
}

/// Stops a version for some milliseconds every second or so, for two minutes at the longest.
fn delay_now_and_then(pid: Pid, over: &AtomicBool, mut random: StdRng) {
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(random.random_range(700..1_300)));
        if over.load(SeqCst) {
            return;
        }
        kill_process(pid, Signal::STOP).unwrap();
        thread::sleep(Duration::from_millis(random.random_range(30..90)));
        kill_process(pid, Signal::CONT).unwrap();
    }
}

/// Every machine makes some requests late together now and then; that is no reason to doubt that all are slow.
#[test]
fn judge_live_a_version_that_is_twice_as_slow_is_turned_back() {
    let most = 2_000;
    // Beside these times it matters little by how much a busy machine is late.
    let mut stage = Stage::new(400, 8, 50);
    let rollout = stage.start();
    let asked = |found: &Value| found["evidence"][0]["candidate"]["requests"].as_u64().unwrap_or(0);
    let is_over = |found: &Value| found["phase"] == "finished" || asked(found) > most;
    let (pids, over) = ([0, 1].map(|number| Pid::from_child(&stage.versions[number].child)), AtomicBool::new(false));
    let found = thread::scope(|scope| {
        for (number, pid) in (0..).zip(pids) {
            let (over, random) = (&over, StdRng::seed_from_u64(SEED + number));
            scope.spawn(move || delay_now_and_then(pid, over, random));
        }
        // Until that has been seen of v1.
        stage.operator.until_judged(rollout, 400);
        stage.versions[1].tell("delay_ms", 100);
        let found = stage.operator.until(rollout, "turned back", is_over);
        over.store(true, SeqCst);
        found
    });
    assert_eq!(found["ending"], "rolled_back", "after {} of its requests: {found:#}", asked(&found));
    println!("after {} of its requests: {}", asked(&found), last_words(&found));
    stage.load.end();
}

/// Stops both versions for 0.7 to 1 s now and then, each at its own moments, until the rollout is over or it was long
/// enough. Says how it stands then.
fn with_pauses(seed: u64, most: Duration, every: [u64; 2]) -> Value {
    let stage = Stage::new(100, 5, 0);
    let plan = json!({
        "steps": [10, 50, 100], "bake": format!("{}s", most.as_secs() / 3),
        "judge": {"warm_up": "1s", "requests_min": most.as_secs()},
    });
    let rollout = id(&stage.operator.start(json!({"service": "shop", "to": "v2", "plan": plan})));
    let end = Instant::now() + most;
    let [v1, v2] = [0, 1].map(|number| (&stage.versions[number], StdRng::seed_from_u64(seed * 2 + number as u64)));
    let paused = AtomicU64::new(0);
    let pause = |version: &OriginProcess, mut random: StdRng| {
        loop {
            let next = Instant::now() + Duration::from_millis(random.random_range(every[0]..every[1]));
            thread::sleep(next.min(end).saturating_duration_since(Instant::now()));
            if next >= end {
                return;
            }
            version.signal(Signal::STOP);
            thread::sleep(Duration::from_millis(random.random_range(700..1_000)));
            version.signal(Signal::CONT);
            paused.fetch_add(1, SeqCst);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| pause(v1.0, v1.1));
        scope.spawn(|| pause(v2.0, v2.1));
    });
    let found = stage.operator.rollout(rollout);
    println!("seed {seed}, {} pauses: {}", paused.load(SeqCst), last_words(&found));
    stage.load.end();
    found
}

#[test]
fn judge_live_versions_that_pause_now_and_then_stay() {
    let (count, most, every) = match runs() {
        None => (1, 15, [2_000, 4_000]),
        // Half as many again as of the others.
        Some(runs) => (runs * 3 / 2, 120, [15_000, 30_000]),
    };
    let mut turned_back = 0;
    for first in (0..count).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let (told, found) = mpsc::channel();
        for seed in first..count.min(first + AT_ONCE) {
            let told = told.clone();
            thread::spawn(move || told.send(with_pauses(SEED + seed, Duration::from_secs(most), every)));
        }
        drop(told);
        let found: Vec<_> = found.iter().collect();
        assert_eq!(found.len() as u64, AT_ONCE.min(count - first), "one of them panicked");
        turned_back += found.iter().filter(|rollout| rollout["ending"] == "rolled_back").count();
    }
    println!("{turned_back} of {count} were turned back");
    assert_eq!(turned_back, 0, "of {count}");
}
