//! Releases of versions and flags together that go on by themselves while the power is cut again and again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::flag_groups::{Moods, Origins, sides, weights};
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::release::{Operator, visitors};

/// Power cuts.
const CUTS: u32 = 12;

/// A plan of many short steps, so that a cut is always near a move.
const SHORT_STEPS: &str = "rollout = { steps = [5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100], bake = \"200ms\", \
                           watch = \"200ms\", judge = { requests_min = 5, slower = false, warm_up = \"0s\" } }";

#[test]
fn a_group_that_goes_on_by_itself_is_never_half_moved_and_never_falls_behind_what_was_seen() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let origins = Origins::new(&Moods::default());
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path().join("pointsman.toml"), folder.path().join("pointsman.db"));
    let head = format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 2\n\
         [state]\npath = \"{}\"\n",
        state.display()
    );
    std::fs::write(&path, head + &origins.config(SHORT_STEPS)).unwrap();
    let mut process = Process::start(&path);
    Operator(process.admin.clone()).start(json!({"group": "launch", "to": "v2"}));
    let (mut seen, mut before) = (0.0, Vec::new());
    for cut in 0..CUTS {
        let load = Load::start(visitors(process.listener, &["/shop", "/web"], 400, false));
        std::thread::sleep(Duration::from_millis(random.random_range(1..700)));
        let last = Operator(process.admin.clone()).rollout(1)["weight"].as_f64().unwrap();
        process.kill();
        load.end();
        process = Process::start(&path);
        let view = Operator(process.admin.clone()).until(1, "known", |view| !view["phase"].is_null());
        let [version, variant] = weights(|path| process.get(path));
        assert_eq!(version.to_bits(), variant.to_bits(), "cut {cut}: half moved, {version} and {variant}: {view:#}");
        assert!(version >= last && last >= seen, "cut {cut}: {last} was seen, {version} is left: {view:#}");
        seen = last;
        let now = sides(process.listener);
        assert!(before.iter().zip(&now).all(|(was, is)| !was || *is), "cut {cut}: a user went back");
        before = now;
    }
    let load = Load::start(visitors(process.listener, &["/shop", "/web"], 400, false));
    let operator = Operator(process.admin.clone());
    operator.until_ended(1, "completed");
    assert_eq!(weights(|path| process.get(path)), [100.0, 100.0]);
    load.end();
    assert!(sides(process.listener).iter().all(|new| *new));
}
