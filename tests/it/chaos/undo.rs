//! What a command of a run did is undone: at its end, again if that fails, and after a power cut.

use serde_json::json;

use super::bench::{Bench, begin, command, metric, post, until, until_file, until_restored};

#[test]
fn a_command_runs_after_its_baseline_and_is_undone_at_its_end() {
    let bench = Bench::new("");
    let (begun, undone) = (bench.file("begun"), bench.file("undone"));
    let script = format!("echo $POINTSMAN_HOST {{experiment}} {{run}} > {}.new; mv {0}.new {0}", begun.display());
    bench.write(&command(&script, &format!("echo {{service}} > {}", undone.display())));
    let process = bench.start();
    let run = begin(&process, "disk");
    assert_eq!((&run["state"], &run["undo"]), (&json!("baseline"), &json!(null)), "{run:#}");
    until_file(&begun);
    assert_eq!(std::fs::read_to_string(&begun).unwrap(), "db-1 disk 1\n");
    assert!(!undone.exists());
    let run = process.get("/v1/chaos/1");
    assert_eq!((&run["state"], &run["undo"]["state"]), (&json!("injecting"), &json!("waiting")), "{run:#}");
    post(&process, "/v1/chaos/1/stop", json!({})).unwrap();
    let run = until_restored(&process, 1);
    assert_eq!(run["undo"], json!({ "state": "done", "tries": 1, "error": null }), "{run:#}");
    assert_eq!(std::fs::read_to_string(&undone).unwrap(), "shop\n");
}

#[test]
fn a_command_that_fails_ends_its_run_and_is_undone() {
    let bench = Bench::new("");
    let undone = bench.file("undone");
    bench.write(&command("echo no such disk >&2; exit 3", &format!("touch {}", undone.display())));
    let process = bench.start();
    begin(&process, "disk");
    let run = until_restored(&process, 1);
    assert_eq!((&run["ended_by"], &run["undo"]["state"]), (&json!("command"), &json!("done")), "{run:#}");
    assert!(run["sentence"].as_str().unwrap().contains("no such disk"), "{run:#}");
    assert!(undone.exists());
}

#[test]
fn what_cannot_be_undone_is_tried_again_told_and_tried_again_when_an_operator_says_so() {
    let bench = Bench::new("");
    let (begun, mended) = (bench.file("begun"), bench.file("mended"));
    bench.write(&command(
        &format!("touch {}", begun.display()),
        &format!("test -e {} || {{ echo still full; exit 1; }}", mended.display()),
    ));
    let process = bench.start();
    begin(&process, "disk");
    until_file(&begun);
    post(&process, "/v1/chaos/stop", json!({})).unwrap();
    let run = until(&process, 1, "given up", |run| run["undo"]["state"] == "failed");
    assert_eq!((&run["undo"]["tries"], &run["restored_at"]), (&json!(5), &json!(null)), "{run:#}");
    assert!(run["undo"]["error"].as_str().unwrap().contains("still full"), "{run:#}");
    process.tells(&["has failed as often as it is tried"]);
    let gauge = || metric(&process, "pointsman_chaos_undo_failed{service=\"shop\"}");
    assert_eq!(gauge().as_deref(), Some("1"));
    let status = process.get("/v1/status")["services"][0]["chaos"].clone();
    assert_eq!((&status["id"], &status["undo"]["state"]), (&json!(1), &json!("failed")), "{status:#}");
    assert_eq!(process.get("/v1/services/shop")["chaos"], status);
    let refused = post(&process, "/v1/chaos", json!({ "experiment": "disk" })).unwrap_err().to_string();
    assert!(refused.contains("not undone"), "{refused}");
    std::fs::write(&mended, "").unwrap();
    post(&process, "/v1/chaos/1/stop", json!({})).unwrap();
    let run = until_restored(&process, 1);
    assert_eq!((&run["undo"]["state"], &run["undo"]["tries"]), (&json!("done"), &json!(6)), "{run:#}");
    assert_eq!(gauge().as_deref(), Some("0"));
    assert_eq!(process.get("/v1/services/shop")["chaos"], json!(null), "all is as before");
}

#[test]
fn a_power_cut_in_the_middle_leaves_nothing_behind() {
    let bench = Bench::new("");
    let (begun, undone) = (bench.file("begun"), bench.file("undone"));
    bench.write(&command(&format!("touch {}", begun.display()), &format!("touch {}", undone.display())));
    let process = bench.start();
    begin(&process, "disk");
    until_file(&begun);
    process.kill();
    // The config may say nothing of it any more.
    bench.write("enabled = false\n");
    let process = bench.start();
    until_file(&undone);
    let run = until_restored(&process, 1);
    assert_eq!((&run["state"], &run["ended_by"]), (&json!("ended"), &json!("restart")), "{run:#}");
    assert_eq!(run["undo"]["state"], "done", "{run:#}");
}

#[test]
fn the_end_of_the_process_ends_it_and_undoes_it() {
    let bench = Bench::new("");
    let (begun, undone) = (bench.file("begun"), bench.file("undone"));
    bench.write(&command(&format!("touch {}", begun.display()), &format!("touch {}", undone.display())));
    let mut process = bench.start();
    begin(&process, "disk");
    until_file(&begun);
    assert!(process.end().success());
    assert!(undone.exists(), "it was undone before the end");
}
