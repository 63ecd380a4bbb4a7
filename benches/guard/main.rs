//! A bound on the instructions of a request and of a decision: `make bench-guard` counts them (with valgrind's
//! callgrind, in the binary that is shipped) and fails when one exceeds its budget by more than 3 %; `make test` does
//! the same with the binary of the tests, which is not optimised as well but grows in the same places. That of a plain
//! `cargo test` is optimised a little more than `.ci/cargo.toml` says, and stays below the same budgets.
//!
//! Budgets stand in `budget.toml` beside this file, for each of the two builds. Instructions are not time, but they are
//! the same on every machine of a kind, and what takes more of them has to be wanted. `GUARD_UPDATE=1` writes the file
//! anew.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops at the first surprise and prints what it measured"
)]

#[path = "../support/mod.rs"]
mod site;

#[path = "../support/callgrind.rs"]
mod callgrind;

#[path = "../support/round.rs"]
mod round;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use http::{HeaderValue, Method};
use pointsman::testing::message::Headers;
use pointsman::testing::stats::Registry;
use pointsman::testing::table::{BearerClaims, RequestView, decide};

use callgrind::{Counted, each};

/// How far above its budget a count may be: what another compiler of the same version, or another day's addresses,
/// change.
const TOLERANCE: f64 = 0.03;

const BUDGETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/guard/budget.toml");

/// Budgets by build and case.
type Budgets = BTreeMap<String, BTreeMap<String, u64>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, word, services, decisions] = &arguments[..]
        && word == "decide"
    {
        decisions_of(services.parse().unwrap(), decisions.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if asks_for_others(&arguments[1..]) {
        return ExitCode::SUCCESS;
    }
    if !callgrind::is_installed() {
        println!(
            "found no valgrind, want it to count instructions: install it (Debian, Ubuntu: apt-get install valgrind)"
        );
        return ExitCode::FAILURE;
    }
    let build = if cfg!(debug_assertions) { "test" } else { "dist" };
    let counts = counts();
    let mut budgets: Budgets = toml::from_str(&std::fs::read_to_string(BUDGETS).unwrap_or_default()).unwrap();
    if std::env::var_os("GUARD_UPDATE").is_some() {
        budgets.insert(build.to_owned(), counts);
        std::fs::write(BUDGETS, written(&budgets)).unwrap();
        println!("wrote {BUDGETS}");
        return ExitCode::SUCCESS;
    }
    judge(build, &counts, budgets.get(build).unwrap_or(&BTreeMap::new()))
}

/// Whether this is not asked for: `cargo test NAME` asks every target for its tests of that name, but for those that
/// `--skip` names.
fn asks_for_others(arguments: &[String]) -> bool {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--skip" => drop(words.next()),
            option if option.starts_with('-') => {}
            name if "guard".contains(name) => {}
            _ => return true,
        }
    }
    false
}

/// Instructions by case.
fn counts() -> BTreeMap<String, u64> {
    let origin = round::origin("127.0.0.1:0");
    let binary = std::env::var("POINTSMAN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned());
    let told = |of: [&str; 2], text: &str| {
        let config = |at: SocketAddr, folder: &Path| config(at, folder, origin, of);
        round::instructions(Path::new(&binary), &config, text, (300, 2))
    };
    let request = |text: &str| told(NO_FLAG, text);
    let cases = [
        ("get", request(round::GET)),
        ("get_with_flag", told(FLAG, round::GET)),
        ("post", request(&round::post())),
        ("decide", decision(1)),
        ("decide_of_1000_services", decision(1000)),
    ];
    cases.map(|(case, count)| (case.to_owned(), count)).into()
}

/// Lines of the service, and what follows it, without flags.
const NO_FLAG: [&str; 2] = ["", ""];

/// One flag that each request carries: a rule that does not hold, and one that draws a tenth of the users.
const FLAG: [&str; 2] = [
    "flags = [\"launch\"]\n",
    "[attributes]\nplan = \"header:x-plan\"\n[flags.launch]\nrules = [\n\
     { name = \"pros\", when = { attribute = { plan = \"pro\" } }, serve = \"on\" },\n\
     { name = \"launch\", serve = { on = 10, off = 90 } },\n]\n",
];

/// Two versions, sticky by a header, with a rule that does not hold: what a canary looks like.
fn config(listen: SocketAddr, folder: &Path, origin: SocketAddr, [of_service, more]: [&str; 2]) -> String {
    let folder = folder.display();
    format!(
        "[listeners.public]\naddress = \"{listen}\"\n[admin]\naddress = \"unix:{folder}/admin.sock\"\n\
         [state]\npath = \"{folder}/pointsman.db\"\n[proxy]\nworkers = 1\n\
         [services.shop]\nhosts = [\"shop.example\"]\nsticky = [\"header:x-user\"]\nsplit = {{ v1 = 90, v2 = 10 }}\n{of_service}\
         versions.v1.endpoints = [\"{origin}\"]\nversions.v2.endpoints = [\"{origin}\"]\n\
         [[services.shop.rules]]\nwhen = {{ header = {{ \"x-canary\" = \"always\" }} }}\nuse = \"v2\"\n{more}"
    )
}

/// Instructions of a decision among this many services.
fn decision(services: u32) -> u64 {
    const FEW: u64 = 1_000;
    const MANY: u64 = 11_000;
    let myself = std::env::current_exe().unwrap();
    let count =
        |decisions: u64| Counted::start(&myself, &["decide", &services.to_string(), &decisions.to_string()]).count();
    each((FEW, &count(FEW)), (MANY, &count(MANY)))
}

/// Decides so often among this many services.
fn decisions_of(services: u32, decisions: u64) {
    let registry = Registry::new(1);
    let table = site::Site::new(services).compile(&registry);
    let headers: Headers =
        [(http::HeaderName::from_static("x-user-id"), HeaderValue::from_static("user-7"))].into_iter().collect();
    let host = site::Host(services / 2).to_string();
    let request = RequestView {
        method: &Method::GET,
        host: &host,
        path: b"/api/v2/items/7",
        query: None,
        headers: &headers,
        client: [192, 0, 2, 1].into(),
        claims: BearerClaims::AS_THEY_STAND,
    };
    for _ in 0..decisions {
        black_box(decide(black_box(&table), black_box(&request), 7, |_| true).is_ok());
    }
}

fn judge(build: &str, counts: &BTreeMap<String, u64>, budgets: &BTreeMap<String, u64>) -> ExitCode {
    let mut good = true;
    println!("| case ({build} build) | instructions | budget | |\n|---|---|---|---|");
    for (case, count) in counts {
        let Some(budget) = budgets.get(case) else {
            good = false;
            println!("| {case} | {count} | none | write one: GUARD_UPDATE=1 |");
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let ratio = *count as f64 / *budget as f64;
        let within = ratio <= 1.0 + TOLERANCE;
        good &= within;
        let word = match (within, ratio < 1.0 - TOLERANCE) {
            (false, _) => {
                "over: take it away again, or raise the budget (GUARD_UPDATE=1) and say in the commit what it buys"
            }
            (true, true) if build == "test" => "under: if `make test` says so, lower the budget (GUARD_UPDATE=1)",
            (true, true) => "under: lower the budget (GUARD_UPDATE=1), so that the gain is kept",
            (true, false) => "good",
        };
        println!("| {case} | {count} | {budget} | {:+.1} %, {word} |", (ratio - 1.0) * 100.0);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn written(budgets: &Budgets) -> String {
    let comment = "# Instructions of one request or one decision, by build; see main.rs. Written by GUARD_UPDATE=1.\n";
    let sections = budgets.iter().map(|(build, cases)| {
        let lines: String = cases.iter().map(|(case, count)| format!("{case} = {count}\n")).collect();
        format!("\n[{build}]\n{lines}")
    });
    comment.to_owned() + &sections.collect::<String>()
}
