//! The power is cut at random moments of runs with commands: no run goes on after it, and whatever a command did is
//! undone. `CHAOS_KILLS=200` makes it a long one.

use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::bench::{Bench, begin, command, until_restored};
use crate::support::eventually;

/// Power cuts unless `CHAOS_KILLS` says otherwise: two seconds each.
const KILLS: u64 = 4;

/// Whether a program runs that was told of this folder.
fn is_at_work_in(folder: &Path) -> bool {
    let folder = folder.to_str().unwrap();
    let programs = std::fs::read_dir("/proc").unwrap().flatten();
    programs.into_iter().any(|program| {
        let line = std::fs::read(program.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder)
    })
}

#[test]
fn no_fault_outlives_a_power_cut_and_every_command_is_undone() {
    let kills = std::env::var("CHAOS_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let bench = Bench::new("");
    let (done, undone) = (bench.file("done"), bench.file("undone"));
    // Each leaves a file by the number of its run, and the undo takes it away and says so.
    bench.write(&command(
        &format!("touch {}-$POINTSMAN_RUN", done.display()),
        &format!("rm -f {}-$POINTSMAN_RUN; touch {}-$POINTSMAN_RUN", done.display(), undone.display()),
    ));
    let (mut commands, mut process) = (0, bench.start());
    for id in 1..=kills {
        // What is left of the run before is undone before another one may begin.
        assert_eq!(begin(&process, "disk")["id"], id);
        // A second of baseline, then the command; a quarter of the cuts is in the baseline.
        std::thread::sleep(Duration::from_millis(random.random_range(700..1_900)));
        process.kill();
        // A command that had begun at this moment outlives the proxy.
        eventually("it has ended", || !is_at_work_in(bench.folder.path()));
        let file = |path: &Path| path.with_file_name(format!("{}-{id}", path.file_name().unwrap().display()));
        let has_run = file(&done).exists();
        process = bench.start();
        let run: Value = until_restored(&process, id);
        assert_eq!(run["state"], "ended", "run {id}: {run:#}");
        assert_eq!(run["ended_by"], "restart", "run {id}: {run:#}");
        assert!(!file(&done).exists(), "run {id} left something behind: {run:#}");
        assert!(!has_run || file(&undone).exists(), "run {id} was not undone: {run:#}");
        assert!(!has_run || run["undo"]["state"] == "done", "run {id}: {run:#}");
        let list = process.get("/v1/chaos");
        let live = |run: &&Value| run["state"] != "ended";
        assert_eq!(list["runs"].as_array().unwrap().iter().filter(live).count(), 0, "{list:#}");
        commands += u64::from(has_run);
    }
    println!("{kills} power cuts, {commands} of them after a command: all undone");
}
