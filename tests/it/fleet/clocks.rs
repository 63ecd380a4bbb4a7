//! The clock of a replica that leads steps, by libfaketime: terms and leases do not depend on it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::place::{Place, fleet, know_each_other, leads, revision, shift};
use crate::support::external_tools::installed;
use crate::support::process::Process;
use crate::support::{eventually, eventually_within};

/// A lease and what comes after it, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A replica whose clock is as far from the machine's as a file says; monotonic clocks are those of the machine.
fn start(place: &Place, name: &str, clock: &Path) -> Process {
    let text = place.config(name, &Place::at(&place.etcd.url()), "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.arg("run").arg("--config").arg(place.write(name, &text));
    // The loader knows what $LIB is.
    command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_TIMESTAMP_FILE", clock).env("FAKETIME_NO_CACHE", "1");
    Process::start_command(command)
}

/// When a replica has last heard of etcd, by its own clock, in seconds since 1970.
fn heard(replica: &Process) -> i64 {
    fleet(replica)["heard_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

#[test]
fn a_leader_whose_clock_steps_leads_on() {
    if !installed("faketime", "clocks that step") {
        return;
    }
    let place = Place::new();
    let clock = place.folder.path().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    let first = start(&place, "edge-1", &clock);
    eventually_within(LONG, "it leads", || leads(&first));
    let second = place.start("edge-2");
    know_each_other(&[&first, &second]);
    for (number, step) in [(0_u32, 7_200), (1, -7_200), (2, 0)] {
        std::fs::write(&clock, format!("{step:+}")).unwrap();
        let machine = || jiff::Timestamp::now().as_second() + step;
        eventually("its clock has stepped", || (heard(&first) - machine()).abs() < 60);
        // Longer than its term and its lease.
        let since = heard(&first);
        eventually_within(LONG, "it is heard of again and again", || heard(&first) > since + 12);
        assert!(leads(&first) && !leads(&second), "{}", fleet(&first));
        for replica in [&first, &second] {
            let answer = shift(replica, 10 * number + u32::from(replica.id() == first.id()) + 1).unwrap();
            assert_eq!(answer["fleet"]["lagging"], json!([]), "{answer}");
        }
        assert_eq!(revision(&first), revision(&second));
    }
    assert_eq!((first.count(&["leads the fleet name"]), first.count(&["does not lead the fleet any more"])), (1, 0));
    assert_eq!(second.count(&["the fleet has another leader", "edge-1"]), 1, "the other saw no other leader");
}
