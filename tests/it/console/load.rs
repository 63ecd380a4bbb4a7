//! What the console costs: a browser with 1,000 services that change twice a second, and a proxy whose state a hundred
//! consoles follow. By `make console-load`, for CONSOLE_MINUTES; otherwise it says that it was not asked to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::http::mixed_traffic::resident_kib;
use crate::support::browser::Browser;
use crate::support::event_stream::EventStream;
use crate::support::load::{Load, User, connect};
use crate::support::process::Process;
use crate::support::{Client, Origin};

const SERVICES: usize = 1_000;

const CONSOLES: usize = 100;

/// A task in the browser that a person notices.
const TASK_MS_MAX: f64 = 50.0;

/// What the browser's memory may grow by from the first third to the last one; it moves by as much when nothing
/// happens.
const HEAP_GROWTH_MAX: f64 = 1.1;

/// For how many minutes to go on.
fn minutes(untested: &str) -> Option<f64> {
    let minutes = std::env::var("CONSOLE_MINUTES").ok().map(|text| text.parse().expect("a number of minutes"));
    if minutes.is_none() {
        println!("skipped: {untested}: CONSOLE_MINUTES is not set (make console-load)");
    }
    minutes
}

/// A proxy before one origin, with this many services below paths of their own.
fn proxy(services: usize) -> (Process, Origin, TempDir) {
    let origin = Origin::forgetful(|_| crate::support::Reply::ok("well"));
    let folder = tempfile::tempdir().unwrap();
    let address = origin.address();
    let mut text = "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n".to_owned();
    writeln!(text, "[state]\npath = \"{}\"", folder.path().join("state.db").display()).unwrap();
    for number in 0..services {
        writeln!(
            text,
            "[services.shop-{number}]\npaths = [\"/{number}/\"]\nsplit = {{ v1 = 60, v2 = 40 }}\n\
             versions.v1.endpoints = [\"{address}\"]\nversions.v2.endpoints = [\"{address}\"]"
        )
        .unwrap();
    }
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, text).unwrap();
    (start(&path), origin, folder)
}

/// The binary of the tests, or the one that BINARY names: what is measured is better what is shipped.
fn start(config: &Path) -> Process {
    let binary = std::env::var("BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned());
    let mut command = Command::new(binary);
    command.arg("run").arg("--config").arg(config);
    Process::start_command(command)
}

/// Asks the services one after the other, at a pace, and notes how long each answer takes.
struct Rounds {
    proxy: SocketAddr,
    services: usize,
    period: Duration,
    next: Instant,
    client: Option<Client>,
    took: Arc<Mutex<Vec<Duration>>>,
}

impl User for Rounds {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = (self.next + self.period).max(Instant::now());
        let mut client = match self.client.take().filter(|client| !client.is_over()) {
            Some(client) => client,
            None => Client::over(connect(self.proxy)?),
        };
        let service = usize::try_from(number).expect("a number") % self.services;
        let asked = Instant::now();
        let answer = client.write(format!("GET /{service}/ HTTP/1.1\r\nHost: a\r\n\r\n")).read(false);
        let answer = answer.map_err(|(end, _)| format!("no answer: {end:?}"))?;
        self.took.lock().expect("not poisoned").push(asked.elapsed());
        self.client = Some(client);
        (answer.status == 200).then_some(()).ok_or_else(|| format!("status {}", answer.status))
    }
}

/// This many requests a second to all services in turn.
fn rounds(proxy: SocketAddr, services: usize, per_second: u32) -> (Load, Arc<Mutex<Vec<Duration>>>) {
    const USERS: u32 = 8;
    let took = Arc::<Mutex<Vec<Duration>>>::default();
    let user = |_| -> Box<dyn User> {
        let period = Duration::from_secs(1) * USERS / per_second;
        let (next, took) = (Instant::now(), Arc::clone(&took));
        Box::new(Rounds { proxy, services, period, next, client: None, took })
    };
    let load = Load::start((0..USERS).map(user).collect());
    (load, took)
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key}: {value}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn console_load_of_1000_services_leaves_the_browser_smooth_and_its_memory_flat() {
    const UNTESTED: &str = "1,000 services in a browser";
    let Some(minutes) = minutes(UNTESTED) else { return };
    let Some(browser) = Browser::shared(UNTESTED) else { return };
    let (process, _origin, _folder) = proxy(SERVICES);
    let (load, _) = rounds(process.listener, SERVICES, 1_000);
    load.await_more(2 * SERVICES as u64);
    let began = Instant::now();
    let tab = browser.console(process.admin_address, "");
    tab.reads("main", "shop-1");
    println!(
        "the first content of {SERVICES} services after {:?}; {}",
        began.elapsed(),
        tab.ask("load", json!({}))["painted"]
    );
    let count = "window.changes = 0; import(new URL('console/live.js', document.baseURI))
        .then(({ live }) => live.addEventListener('change', () => window.changes++)); 0";
    tab.js(count);
    thread::sleep(Duration::from_secs(5));
    println!("while it loaded: {}", tab.ask("burden", json!({}))["longest"]);
    let (mut heaps, mut longest) = (Vec::new(), 0.0_f64);
    println!(
        "| after | longest task, ms | heap, MiB | nodes | listeners | CPU, s | changes |\n|---|---|---|---|---|---|---|"
    );
    let (began, end) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    while began.elapsed() < end {
        thread::sleep(end.div_f64(24.0).max(Duration::from_secs(1)));
        // A person scrolls and looks for something meanwhile.
        tab.js("scrollTo(0, Math.random() * document.body.scrollHeight); 0");
        let burden = tab.ask("burden", json!({}));
        let heap = number(&burden, "heap") / 1_048_576.0;
        longest = longest.max(number(&burden, "longest"));
        heaps.push(heap);
        let (after, changes) = (began.elapsed().as_secs(), tab.js("window.changes"));
        println!(
            "| {after} s | {:.0} | {heap:.1} | {} | {} | {:.1} | {changes} |",
            number(&burden, "longest"),
            burden["nodes"],
            burden["listeners"],
            number(&burden, "busy")
        );
    }
    let changes = tab.js("window.changes").as_f64().expect("a number");
    let per_second = changes / began.elapsed().as_secs_f64();
    let third = heaps.len() / 3;
    let (first, last) = (median(heaps[..third].to_vec()), median(heaps[heaps.len() - third..].to_vec()));
    println!(
        "{per_second:.1} changes a second; the longest task {longest:.0} ms; heap {first:.1} MiB, then {last:.1} MiB"
    );
    assert!(per_second > 1.0, "{per_second} changes a second are not what was to be tried");
    assert!(longest < TASK_MS_MAX, "a task of {longest} ms");
    assert!(last < first * HEAP_GROWTH_MAX, "the memory grows from {first} to {last} MiB");
    tab.end();
    load.end_well();
}

/// The time on a CPU of each kind of thread of a process, in seconds.
fn cpu(process: &Process) -> BTreeMap<String, f64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.id())).expect("it runs");
    let mut times = BTreeMap::new();
    for task in tasks.filter_map(Result::ok) {
        // It may have ended.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")) else { continue };
        let ticks: Vec<f64> = rest.split(' ').skip(11).take(2).filter_map(|text| text.parse().ok()).collect();
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == ' ');
        *times.entry(kind.to_owned()).or_default() += ticks.iter().sum::<f64>() / 100.0;
    }
    times
}

/// What a while costs: CPU of each kind of thread in per cent of a core, memory, and how long users waited.
fn measure(process: &Process, took: &Mutex<Vec<Duration>>, time: Duration) -> (BTreeMap<String, f64>, Duration) {
    let before = cpu(process);
    took.lock().expect("not poisoned").clear();
    thread::sleep(time);
    let after = cpu(process);
    let mut took = std::mem::take(&mut *took.lock().expect("not poisoned"));
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    let share = |(kind, seconds): (&String, &f64)| {
        (kind.clone(), 100.0 * (seconds - before.get(kind).unwrap_or(&0.0)) / time.as_secs_f64())
    };
    (after.iter().map(share).filter(|(_, share)| *share >= 0.1).collect(), p99)
}

#[test]
fn console_load_of_100_consoles_leaves_users_alone() {
    let Some(minutes) = minutes("100 open consoles") else { return };
    let time = Duration::from_secs_f64((minutes * 20.0).max(5.0));
    println!(
        "| services | consoles | CPU of a core, % | KiB resident | p99 of users | events a console |\n|---|---|---|---|---|---|"
    );
    for services in [20, SERVICES] {
        let (process, _origin, _folder) = proxy(services);
        let (load, took) = rounds(process.listener, services, 1_000);
        load.await_more(2_000);
        let mut waited = Vec::new();
        for consoles in [0, 1, CONSOLES] {
            let (stop, events) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let reader = |_| {
                let (stop, events, admin) = (Arc::clone(&stop), Arc::clone(&events), process.admin_address);
                thread::spawn(move || {
                    let mut stream = EventStream::open(admin, "/v1/events", &[]);
                    while !stop.load(Ordering::Relaxed) && stream.part().is_some() {
                        events.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            let readers: Vec<_> = (0..consoles).map(reader).collect();
            thread::sleep(Duration::from_secs(3));
            let heard = events.load(Ordering::Relaxed);
            let (share, p99) = measure(&process, &took, time);
            let heard = (events.load(Ordering::Relaxed) - heard) / (consoles as u64).max(1);
            println!("| {services} | {consoles} | {share:.1?} | {} | {p99:.1?} | {heard} |", resident_kib(&process));
            assert!(consoles == 0 || heard > time.as_secs(), "a console heard only {heard} changes in {time:?}");
            waited.push(p99);
            stop.store(true, Ordering::Relaxed);
            readers.into_iter().for_each(|reader| reader.join().expect("it reads to the end"));
        }
        // A machine that does more things at once is slower by what they take; more than this is another kind of thing.
        assert!(waited[2] < waited[0] * 3 + Duration::from_millis(5), "{waited:?}");
        load.end_well();
    }
}
