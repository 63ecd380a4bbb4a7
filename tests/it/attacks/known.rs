//! Attacks as they are known from elsewhere, on the real binary: each is ended or bounded, memory stays where it was,
//! and others are answered all the while. What the attackers do is in `tests/clients/floods.py` and `slow.py`.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::attack_target::Victim;
use crate::support::external_tools::{installed, python, run};
use crate::support::{eventually, get};

const MIB: u64 = 1024 * 1024;

/// Connections of an attacker: more than there are workers.
const ATTACKERS: &str = "4";

/// How long an attack goes on unless it is ended, in seconds.
const SECONDS: &str = "2";

/// Patience of the proxy that is shorter than an attack.
const IMPATIENT: &str = "body_idle_timeout = \"500ms\"";

/// What the codec says to one that breaks the protocol (RFC 9113, 7).
const PROTOCOL_ERROR: u64 = 1;

/// What it says to one that does too much.
const ENHANCE_YOUR_CALM: u64 = 11;

fn victim() -> Victim {
    Victim::start("h2c = true\nidle_timeout = \"500ms\"", IMPATIENT)
}

/// Runs an attack of `floods.py`.
fn flood(victim: &Victim, python: &Path, attack: &str) -> Value {
    let address = victim.address();
    // A part of what the windows of the attackers' streams allow.
    victim.endure(attack, 32 * MIB, || run(python, "floods.py", &[attack, &address, SECONDS, ATTACKERS]).remove(0))
}

/// Runs attacks after which every connection must be closed, with one of these codes if GOAWAY came through.
fn ended(attacks: &[&str], codes: &[u64]) {
    let Some(python) = python(&attacks.join(", ")) else { return };
    let victim = victim();
    for attack in attacks {
        let outcome = flood(&victim, &python, attack);
        assert_eq!(outcome["ended"], 4, "{attack}: {outcome}");
        let said = outcome["goaway"].as_array().unwrap();
        assert!(said.iter().all(|code| codes.contains(&code.as_u64().unwrap())), "{attack}: {outcome}");
    }
    quiet(&victim);
}

/// Runs attacks that are only work, which others must not notice.
fn bounded(attacks: &[&str]) {
    let Some(python) = python(&attacks.join(", ")) else { return };
    let victim = victim();
    for attack in attacks {
        flood(&victim, &python, attack);
    }
    quiet(&victim);
}

/// Nothing of the attacks is left.
fn quiet(victim: &Victim) {
    // The one that asks is on the admin API.
    eventually("nobody is connected", || victim.clients() < 0.5);
    assert_eq!(crate::support::client::send(victim.process.listener, get("/")).status, 200);
}

#[test]
fn streams_that_are_taken_back_end_the_connection() {
    ended(&["rapid_reset", "slow_reset"], &[ENHANCE_YOUR_CALM, 0]);
}

#[test]
fn streams_that_we_are_made_to_reset_end_the_connection() {
    ended(&["window_of_nothing", "window_overflow", "data_after_end"], &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR]);
}

#[test]
fn heads_without_an_end_end_the_connection() {
    ended(&["continuation", "empty_continuation"], &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR]);
}

#[test]
fn heads_that_unfold_are_not_unfolded() {
    bounded(&["hpack_bomb"]);
}

#[test]
fn frames_that_want_an_answer_are_no_more_than_work() {
    bounded(&["settings", "ping"]);
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    bounded(&["deaf_settings", "deaf_ping", "zero_window"]);
}

#[test]
fn frames_that_carry_nothing_are_no_more_than_work() {
    bounded(&["empty_data", "small_data", "unknown", "window_updates"]);
}

/// Runs 500 slow clients for up to this many seconds. How they ended, and whether the proxy was rid of them while they
/// were still there.
fn slow(kind: &str, seconds: &str, (listener, service): (&str, &str), growth_max: u64) -> Option<(Value, bool)> {
    let python = python(&format!("500 slow clients: {kind}"))?;
    let victim = Victim::start(listener, service);
    let address = victim.address();
    let (said, rid) = victim.endure(kind, growth_max, || {
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| run(&python, "slow.py", &[kind, &address, "500", seconds]));
            let (mut most, mut rid) = (0.0_f64, false);
            while !attack.is_finished() {
                let clients = victim.clients();
                most = most.max(clients);
                // The probe is a client too.
                rid |= most > 450.0 && clients < 10.0;
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            (attack.join().unwrap(), rid)
        })
    });
    quiet(&victim);
    Some((said[0]["ends"].clone(), rid))
}

#[test]
fn five_hundred_slow_heads_are_given_up() {
    let Some((ends, _)) = slow("head", "12", ("idle_timeout = \"2s\"", ""), 64 * MIB) else { return };
    assert_eq!(ends["408"], 500, "{ends}");
}

#[test]
fn five_hundred_slow_bodies_are_given_up() {
    let rate = "body_rate_min = \"1KiB\"\nbody_rate_grace = \"2s\"";
    let Some((ends, _)) = slow("body", "12", ("", rate), 64 * MIB) else { return };
    assert_eq!(ends["408"], 500, "{ends}");
}

#[test]
fn five_hundred_bodies_that_stop_are_given_up() {
    let Some((ends, _)) = slow("silent_body", "12", ("", "body_idle_timeout = \"2s\""), 64 * MIB) else { return };
    assert_eq!(ends["408"], 500, "{ends}");
}

#[test]
fn five_hundred_slow_readers_are_given_up() {
    let Some((ends, rid)) = slow("read", "9", ("idle_timeout = \"2s\"", ""), 256 * MIB) else { return };
    // What they have been sent by then is in their kernels, which they go on to read.
    assert_eq!(ends["200"].as_u64().unwrap_or(0) + ends["open"].as_u64().unwrap_or(0), 500, "{ends}");
    assert!(rid, "the proxy still has them");
}

#[test]
fn slowhttptest_finds_the_service_available() {
    if !installed("slowhttptest", "slowhttptest") {
        return;
    }
    let victim = Victim::start("idle_timeout = \"2s\"", "body_idle_timeout = \"2s\"");
    let small = format!("http://{}/sink", victim.address());
    let big = format!("http://{}/big", victim.address());
    for attack in [
        &["-H", "-i", "1", "-u", &small][..],
        &["-B", "-i", "3", "-s", "8192", "-u", &small],
        &["-X", "-w", "16", "-y", "32", "-n", "1", "-z", "8", "-u", &big],
    ] {
        let more = ["-c", "500", "-r", "500", "-l", "5", "-p", "1"];
        let outcome = victim.endure(attack[0], 256 * MIB, || {
            Command::new("slowhttptest").args(more).args(attack).stdin(Stdio::null()).output().unwrap()
        });
        let text = String::from_utf8_lossy(&outcome.stdout);
        assert!(text.contains("YES") && !text.contains("NO\n"), "{attack:?}: {text}");
    }
}
