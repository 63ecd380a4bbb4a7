//! Changes of experiments: plans, the writer, and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use pointsman::config;
use pointsman::testing::control::change::Action;
use pointsman::testing::control::experiment_difference::{ExperimentDifference, RunEnd};
use pointsman::testing::control::publish::Published;
use pointsman::testing::control::store::{FORMAT, Header, Record};
use pointsman::testing::control::{
    Change, ChangeRequest, ExperimentChange, ExperimentStates, FileSpecs, FlagChange, Handle, OntoDead, RollbackScope,
    Store, Writer,
};
use pointsman::testing::problem::{Problem, ProblemKind};
use pointsman::testing::stats::Registry;
use pointsman::testing::table::{ExperimentRun, SlotRanges, Weight};
use proptest::prelude::*;
use rusqlite::Connection;
use tokio::sync::watch;

use super::change::{World, shift};
use crate::support::spec::name;

/// A shop with three experiments on its versions, and flags with one on their variants.
const FILE: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
[segments.beta]
header = { x-beta = "1" }
[services.shop]
sticky = ["header:x-user"]
split = { v1 = 90, v2 = 10, v3 = 0 }
versions.v1.endpoints = ["127.0.0.1:1"]
versions.v2.endpoints = ["127.0.0.1:2"]
versions.v3.endpoints = ["127.0.0.1:3"]
[flags.new]
rules = [{ name = "launch", serve = { on = 20, off = 80 } }]
[flags.some]
rules = [{ name = "beta", when = { segment = "beta" }, serve = "on" }]
[flags.theme]
variants = { classic = "a", new = "b" }
default = "classic"
follows = { service = "shop", v2 = "new" }
[experiments.button]
service = "shop"
layer = "checkout"
share = 40
arms = { control = "v1", treatment = "v2" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.banner]
service = "shop"
layer = "checkout"
share = 30
arms = { control = "v1", treatment = "v3" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.lone]
service = "shop"
arms = { control = "v1", treatment = "v2" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.look]
flag = "new"
layer = "checkout"
share = 20
arms = { control = "off", treatment = "on" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.few]
flag = "some"
arms = { control = "off", treatment = "on" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.follower]
flag = "theme"
arms = { control = "classic", treatment = "new" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
"#;

fn file(text: &str) -> FileSpecs {
    let config = config::parse(text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}"));
    FileSpecs {
        services: config.services,
        flags: Arc::new(config.flags),
        experiments: config.experiments.into(),
        ..FileSpecs::default()
    }
}

/// The file in which an experiment compares something else.
fn redefined(experiment: &str) -> String {
    let at = FILE.find(&format!("[experiments.{experiment}]")).expect("it is there");
    let (before, section) = FILE.split_at(at);
    format!("{before}{}", section.replacen("\"/orders\"", "\"/order\"", 1))
}

/// The file without it.
fn without(experiment: &str) -> String {
    let (before, section) = FILE.split_once(&format!("[experiments.{experiment}]")).expect("it is there");
    let rest = section.split_once("\n[").map_or(String::new(), |(_, rest)| format!("[{rest}"));
    format!("{before}{rest}")
}

fn start(name: &str, share: impl Into<Option<f64>>) -> Change {
    let share = share.into().map(|share| Weight::from_percent(share).expect("a share"));
    Change::Experiment(ExperimentChange::Start { name: name.to_owned(), share })
}

fn stop(name: &str) -> Change {
    Change::Experiment(ExperimentChange::Stop { name: name.to_owned() })
}

fn ship(name: &str, arm: &str) -> Change {
    Change::Experiment(ExperimentChange::Ship { name: name.to_owned(), arm: arm.to_owned() })
}

const UNDO: Change = Change::Rollback { to: None, scope: None };

fn rollback(to: Option<u64>, experiments: &[&str]) -> Change {
    let experiments = experiments.iter().map(|text| name(text)).collect();
    Change::Rollback { to, scope: Some(RollbackScope { experiments, ..RollbackScope::default() }) }
}

/// The runs, without the number of what they compare.
fn runs(states: &ExperimentStates) -> BTreeMap<String, String> {
    let text = |run: &ExperimentRun| {
        let text = run.to_string();
        let parts = text.split(';').filter(|part| !part.starts_with("of="));
        parts.collect::<Vec<_>>().join(";")
    };
    states.runs.iter().map(|(name, run)| (name.to_string(), text(run))).collect()
}

fn run(world: &World, experiment: &str) -> String {
    runs(&world.state.experiments)[experiment].clone()
}

fn world() -> World {
    World::new(file(FILE))
}

#[track_caller]
fn moved(world: &World, change: &Change) -> (String, f64) {
    let planned = world.plan(change).unwrap_or_else(|problems| panic!("{problems:?}"));
    let [difference] = planned.experiments.difference.as_slice() else { panic!("one: {planned:?}") };
    (difference.experiment.to_string(), difference.moved.expect("known").percent())
}

#[track_caller]
fn refused(world: &World, change: &Change) -> String {
    let problems = world.plan(change).expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].kind, ProblemKind::Conflict, "{problems:?}");
    problems[0].to_string()
}

fn outcome(outcome: Result<bool, Vec<Problem>>) -> bool {
    outcome.unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn a_run_begins_grows_and_ends() {
    let mut world = world();
    assert_eq!((world.state.revision, runs(&world.state.experiments).len()), (1, 0));
    assert_eq!(moved(&world, &start("button", None)), ("button".to_owned(), 20.0), "half of 40 % have an arm already");
    assert!(outcome(world.apply(&start("button", None))));
    assert_eq!(run(&world, "button"), "on;since=2;share=40;slots=0-40000");
    assert!(!outcome(world.apply(&start("button", None))), "it has that already");
    assert!(!outcome(world.apply(&start("button", 40.0))));
    assert!(outcome(world.apply(&start("banner", None))));
    assert_eq!(run(&world, "banner"), "on;since=3;share=30;slots=40000-70000");
    assert_eq!(moved(&world, &start("button", 60.0)), ("button".to_owned(), 10.0));
    assert!(outcome(world.apply(&start("button", 60.0))));
    assert_eq!(run(&world, "button"), "on;since=2;share=60;slots=0-40000,70000-90000", "it stays the run that it is");
    assert!(!outcome(world.apply(&start("button", None))), "the config says less than it has by hand");
    assert!(outcome(world.apply(&stop("banner"))));
    assert_eq!(run(&world, "banner"), "off;since=3;share=30");
    assert!(!outcome(world.apply(&stop("banner"))));
    assert!(!outcome(world.apply(&stop("look"))), "one that never ran");
    assert_eq!(run(&world, "button"), "on;since=2;share=60;slots=0-40000,70000-90000");
    assert!(outcome(world.apply(&start("banner", 35.0))));
    assert_eq!(run(&world, "banner"), "on;since=6;share=35;slots=40000-70000,90000-95000", "another run");
    assert_eq!(moved(&world, &stop("button")), ("button".to_owned(), 30.0));
}

#[test]
fn what_cannot_be_started_says_what_helps() {
    let mut world = world();
    assert!(outcome(world.apply(&start("button", 70.0))));
    let smaller = refused(&world, &start("button", 50.0));
    assert!(smaller.contains("50 %, and it runs with 70 %") && smaller.contains("experiment stop button"), "{smaller}");
    let full = refused(&world, &start("banner", 30.001));
    let wanted = "share: found 30.001 % of layer checkout, in which button has 70 %, want at most 30 %, which are free \
                  (start it with share 30, or stop another one)";
    assert_eq!(full, wanted);
    let other = refused(&world, &start("lone", 10.0));
    assert!(other.contains("button, which compares shop too and is in another layer"), "{other}");
    let follower = refused(&world, &start("follower", None));
    assert!(follower.contains("a flag that follows the service shop"), "{follower}");
    let unknown = world.plan(&start("buton", None)).expect_err("there is none");
    assert_eq!(unknown[0].kind, ProblemKind::Unknown);
    assert!(unknown[0].to_string().contains("did you mean \"button\"?"), "{unknown:?}");
    let nothing = world.plan(&start("banner", 0.0)).expect_err("nothing");
    assert_eq!((nothing.len(), &nothing[0].kind), (1, &ProblemKind::Invalid), "{nothing:?}");
    let disabled = FlagChange { enabled: Some(false), ..FlagChange::default() };
    assert!(outcome(world.apply(&Change::Flags([(name("new"), disabled)].into()))));
    let dark = refused(&world, &start("look", None));
    assert!(dark.contains("a disabled flag") && dark.contains("pointsman flag enable new"), "{dark}");
}

#[test]
fn an_arm_is_shipped_with_the_end_of_its_run() {
    let mut world = world();
    let never = refused(&world, &ship("button", "treatment"));
    assert!(never.contains("never ran") && never.contains("pointsman flip shop v2"), "{never}");
    assert!(outcome(world.apply(&start("button", 40.0))));
    let unknown = world.plan(&ship("button", "v3")).expect_err("no arm");
    assert_eq!((unknown.len(), &unknown[0].kind), (1, &ProblemKind::Invalid));
    assert!(unknown[0].to_string().contains("unknown arm \"v3\""), "{unknown:?}");
    // Of those outside 90 % had v1, of those inside a half.
    assert_eq!(moved(&world, &ship("button", "v2")), ("button".to_owned(), 60.0 * 0.9 + 40.0 * 0.5));
    let before = Arc::clone(&world.state.traffic["shop"]);
    assert!(outcome(world.apply(&ship("button", "treatment"))));
    assert_eq!(world.state.revision, 3, "one revision");
    assert_eq!(world.state.traffic["shop"].slots.weights().of("v2"), Weight::FULL);
    assert_eq!(run(&world, "button"), "off;since=2;share=40");
    assert!(!outcome(world.apply(&ship("button", "treatment"))), "all have it");
    assert_eq!(moved(&world, &UNDO), ("button".to_owned(), 60.0 * 0.9 + 40.0 * 0.5), "all who moved move back");
    assert!(outcome(world.apply(&UNDO)));
    assert_eq!(run(&world, "button"), "on;since=2;share=40;slots=0-40000", "the run goes on");
    assert_eq!(world.state.traffic["shop"].slots, before.slots);
    // A flag: its last rule.
    assert!(outcome(world.apply(&start("look", None))));
    assert_eq!(moved(&world, &ship("look", "on")).1, 80.0 * 0.8 + 20.0 * 0.5);
    assert!(outcome(world.apply(&ship("look", "on"))));
    assert_eq!(world.state.flags.states["new"].to_string(), "on;launch=on*100000");
    assert_eq!(moved(&world, &UNDO).1, 80.0 * 0.8 + 20.0 * 0.5);
    assert!(outcome(world.apply(&start("few", None))));
    let some = refused(&world, &ship("few", "on"));
    assert!(some.contains("the last rule, beta, which is for some users only"), "{some}");
}

#[test]
fn who_moves_by_the_end_of_a_run_is_counted_with_those_whom_its_subject_moves() {
    let mut world = world();
    assert!(outcome(world.apply(&start("button", 40.0))));
    let shifted = |text: &str| file(&text.replacen("v1 = 90, v2 = 10, v3 = 0", "v1 = 0, v2 = 100, v3 = 0", 1));
    for text in [redefined("button"), without("button")] {
        assert_eq!(moved(&world, &Change::File(shifted(&text))).1, 60.0 * 0.9 + 40.0 * 0.5);
        assert_eq!(moved(&world, &Change::File(file(&text))).1, 40.0 * 0.5, "the split stays");
    }
    // While the flag is disabled all have its default, in a run and out of it.
    assert!(outcome(world.apply(&start("look", None))));
    let (before, disabled) = (world.state.revision - 1, FlagChange { enabled: Some(false), ..FlagChange::default() });
    assert!(outcome(world.apply(&Change::Flags([(name("new"), disabled)].into()))));
    assert_eq!(moved(&world, &stop("look")).1, 0.0);
    assert_eq!(moved(&world, &Change::Rollback { to: Some(before), scope: None }), ("look".to_owned(), 20.0));
    assert_eq!(moved(&world, &rollback(Some(before), &["look"])).1, 0.0, "it stays disabled");
}

#[test]
fn a_file_ends_what_it_does_not_compare_any_more() {
    let ended = |world: &mut World, text: &str| {
        let change = Change::File(file(text));
        let planned = world.plan(&change).expect("a file");
        world.apply(&change).expect("a file");
        let end = |difference: &ExperimentDifference| (difference.experiment.to_string(), difference.end);
        planned.experiments.difference.iter().map(end).collect::<Vec<_>>()
    };
    let mut world = world();
    for experiment in ["button", "look"] {
        assert!(outcome(world.apply(&start(experiment, None))));
    }
    let same = FILE
        .replace("share = 40", "share = 45")
        .replace("layer = \"checkout\"\nshare", "alpha = 0.01\nlayer = \"checkout\"\nshare");
    assert_eq!(ended(&mut world, &same), [], "neither the share nor the level is compared");
    assert_eq!(run(&world, "button"), "on;since=2;share=40;slots=0-40000", "the file's share is for a start");
    assert!(outcome(world.apply(&start("button", None))), "which takes it");
    assert_eq!(run(&world, "button"), "on;since=2;share=45;slots=0-40000,60000-65000");
    assert_eq!(ended(&mut world, &redefined("button")), [("button".to_owned(), Some(RunEnd::Redefined))]);
    assert_eq!(run(&world, "button"), "off;since=2;share=45");
    assert_eq!(ended(&mut world, &without("look")), [("look".to_owned(), Some(RunEnd::Removed))]);
    assert_eq!(ended(&mut world, FILE), [], "what is stopped has ended already");
    assert!(outcome(world.apply(&start("look", None))));
    let rules = "rules = [{ name = \"launch\", serve = { on = 20, off = 80 } }]";
    let follows = FILE.replacen(rules, "follows = { service = \"shop\", v2 = \"on\" }", 1);
    assert_eq!(
        ended(&mut world, &follows),
        [("look".to_owned(), Some(RunEnd::Redefined))],
        "others decide on the flag"
    );
    assert!(outcome(world.apply(&start("button", None))), "and can begin anew");
}

#[test]
fn a_rollback_lets_a_run_go_on_and_takes_no_users_of_others() {
    let mut world = world();
    for (change, revision) in [(start("button", 40.0), 2), (start("button", 60.0), 3), (stop("button"), 4)] {
        assert!(outcome(world.apply(&change)));
        assert_eq!(world.state.revision, revision);
    }
    assert!(outcome(world.apply(&UNDO)));
    assert_eq!(run(&world, "button"), "on;since=2;share=60;slots=0-60000", "the same run");
    assert!(outcome(world.apply(&UNDO)));
    assert_eq!(run(&world, "button"), "on;since=2;share=40;slots=0-40000");
    assert!(outcome(world.apply(&UNDO)), "its start as well");
    assert_eq!(run(&world, "button"), "off;since=2;share=40");
    assert!(world.apply(&UNDO).is_err(), "there is nothing before it");
    // Another run has begun since: its predecessor begins anew, for its users are not known any more.
    assert!(outcome(world.apply(&start("button", 10.0))));
    assert_eq!(run(&world, "button"), "on;since=8;share=10;slots=0-10000");
    assert!(outcome(world.apply(&Change::Rollback { to: Some(3), scope: None })));
    assert_eq!(run(&world, "button"), "on;since=9;share=60;slots=0-60000");
    // Another experiment has the users by now.
    assert!(outcome(world.apply(&stop("button"))));
    assert!(outcome(world.apply(&start("banner", 50.0))));
    let taken = refused(&world, &rollback(Some(9), &["button"]));
    assert!(taken.contains("users that banner has by now"), "{taken}");
    assert!(outcome(world.apply(&Change::Rollback { to: Some(9), scope: None })), "all together fit");
    assert_eq!(run(&world, "button"), "on;since=9;share=60;slots=0-60000");
    assert_eq!(run(&world, "banner"), "off;since=11;share=50");
    // What compares something else stays stopped, and who names it is told.
    world.shift("shop", "v1=50 v2=50 v3=0");
    assert!(outcome(world.apply(&Change::File(file(&redefined("button"))))));
    let told = refused(&world, &rollback(Some(9), &["button"]));
    assert!(told.contains("compared something else"), "{told}");
    assert!(outcome(world.apply(&Change::Rollback { to: Some(9), scope: None })), "the split goes back all the same");
    assert_eq!(run(&world, "button"), "off;since=9;share=60");
    let unknown = world.plan(&rollback(None, &["buton"])).expect_err("there is none");
    assert!(unknown[0].to_string().contains("unknown experiment \"buton\""), "{unknown:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Start(usize, f64),
    Stop(usize),
    Ship(usize, bool),
    Redefine(usize),
    Shift(u32),
    Undo,
    Back(u64),
}

const NAMES: [&str; 4] = ["button", "banner", "lone", "look"];

fn step() -> impl Strategy<Value = Step> {
    let index = 0..NAMES.len();
    prop_oneof![
        5 => (index.clone(), 1..=60_u32).prop_map(|(index, share)| Step::Start(index, f64::from(share))),
        3 => index.clone().prop_map(Step::Stop),
        1 => (index.clone(), any::<bool>()).prop_map(|(index, control)| Step::Ship(index, control)),
        1 => index.prop_map(Step::Redefine),
        1 => (0..=100_u32).prop_map(Step::Shift),
        2 => Just(Step::Undo),
        1 => (0..=30_u64).prop_map(Step::Back),
    ]
}

fn change(step: &Step, revision: u64, redefine: &mut BTreeSet<usize>) -> Change {
    match step {
        Step::Start(index, share) => start(NAMES[*index], *share),
        Step::Stop(index) => stop(NAMES[*index]),
        Step::Ship(index, control) => ship(NAMES[*index], if *control { "control" } else { "treatment" }),
        Step::Redefine(index) => {
            if !redefine.remove(index) {
                redefine.insert(*index);
            }
            // One at a time says something else.
            let text = redefine.iter().next().map_or_else(|| FILE.to_owned(), |index| redefined(NAMES[*index]));
            Change::File(file(&text))
        }
        Step::Shift(v2) => shift("shop", &format!("v1={} v2={v2} v3=0", 100 - v2)),
        Step::Undo => UNDO,
        Step::Back(to) => Change::Rollback { to: Some((*to).clamp(1, revision)), scope: None },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn runs_of_a_layer_share_no_user_and_move_none_of_each_other(steps in prop::collection::vec(step(), 1..30)) {
        let (mut world, mut redefine) = (world(), BTreeSet::new());
        for step in &steps {
            let before = world.state.experiments.runs.clone();
            let change = change(step, world.state.revision, &mut redefine);
            let revision = world.state.revision;
            let applied = world.apply(&change);
            let after = &world.state.experiments.runs;
            let (layer, mut owned) = (["button", "banner", "look"], SlotRanges::default());
            for run in layer.iter().filter_map(|name| after.get(*name)) {
                prop_assert!(!owned.overlaps(&run.slots), "{:?} after {:?}", runs(&world.state.experiments), step);
                owned = owned.with(&run.slots);
            }
            for (name, run) in after {
                prop_assert_eq!(run.slots.count(), if run.running { run.share.slots() } else { 0 });
                prop_assert_eq!(ExperimentRun::parse(&run.to_string()), Ok(ExperimentRun::clone(run)));
                let old = before.get(name);
                prop_assert!(old.is_none_or(|old| old.since <= run.since), "a number of a run never comes again");
                prop_assert!(run.since <= world.state.revision);
                let own = match step {
                    Step::Start(index, _) | Step::Stop(index) | Step::Ship(index, _) => name.as_str() == NAMES[*index],
                    Step::Redefine(_) | Step::Undo | Step::Back(_) => true,
                    Step::Shift(_) => false,
                };
                prop_assert!(own || old == Some(run), "{} is moved by {:?}", name, step);
                if let (Step::Start(..), Some(old)) = (step, old.filter(|old| own && old.running)) {
                    prop_assert_eq!(run.slots.with(&old.slots), run.slots.clone(), "none of its users is let go");
                    prop_assert_eq!(run.since, old.since);
                }
            }
            if let (Step::Undo, Ok(true)) = (step, &applied) {
                prop_assert!(world.state.revision > revision);
            }
        }
    }

    #[test]
    fn undo_leads_back_through_all_runs_to_the_beginning(steps in prop::collection::vec(step(), 1..20)) {
        let (mut world, mut redefine) = (world(), BTreeSet::new());
        let slots = |world: &World| -> BTreeMap<String, String> {
            let running = world.state.experiments.runs.iter().filter(|(_, run)| run.running);
            running.map(|(name, run)| (name.to_string(), run.slots.to_string())).collect()
        };
        let splits = |world: &World| {
            (world.state.traffic["shop"].slots.clone(), world.state.flags.states["new"].to_string())
        };
        let mut past = vec![(splits(&world), slots(&world))];
        for step in steps.iter().filter(|step| matches!(step, Step::Start(..) | Step::Stop(_) | Step::Ship(..) | Step::Shift(_))) {
            if world.apply(&change(step, 0, &mut redefine)).unwrap_or(false) {
                past.push((splits(&world), slots(&world)));
            }
        }
        past.pop();
        while let Some(earlier) = past.pop() {
            prop_assert_eq!(world.apply(&UNDO), Ok(true));
            prop_assert_eq!((splits(&world), slots(&world)), earlier);
        }
        prop_assert!(world.apply(&UNDO).is_err());
    }
}

struct Running {
    handle: Handle,
    published: Published,
    told: watch::Receiver<Arc<ExperimentStates>>,
    thread: std::thread::JoinHandle<()>,
}

fn running(store: Store, text: &str) -> Running {
    let writer = Writer::new(store, Arc::new(Registry::new(1)), file(text)).expect("a good start");
    let (published, told) = (writer.published(), writer.experiments());
    let (handle, thread) = writer.start(pointsman::testing::supervise::Part::alone("writer")).expect("a thread");
    Running { handle, published, told, thread }
}

fn request(change: Change) -> ChangeRequest {
    let (author, onto_dead) = ("ada".to_owned(), OntoDead::Refuse);
    ChangeRequest { change, dry_run: false, if_match: None, onto_dead, author, reason: None, until_ms: None }
}

#[tokio::test]
async fn an_answer_means_that_the_run_is_in_force_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.db");
    let Running { handle, published, told, thread } = running(Store::open(&path).unwrap(), FILE);
    assert_eq!((told.borrow().specs.len(), told.borrow().runs.len()), (6, 0), "told from the start");
    let dry = handle.apply(ChangeRequest { dry_run: true, ..request(start("button", None)) }).await.unwrap();
    assert_eq!((dry.revision, dry.changed, told.borrow().runs.len()), (1, true, 0));
    let started = handle.apply(request(start("button", None))).await.unwrap();
    assert_eq!((started.revision, &started.experiments), (2, &dry.experiments), "as the dry run said");
    assert_eq!(runs(&told.borrow())["button"], "on;since=2;share=40;slots=0-40000");
    assert_eq!(published.load().revision, 2, "the table is of that revision");
    let shipped = handle.apply(request(ship("button", "v2"))).await.unwrap();
    handle.apply(request(UNDO)).await.unwrap();
    let wrong = ChangeRequest { if_match: Some(1), ..request(stop("button")) };
    assert!(handle.apply(wrong).await.is_err());
    drop(handle);
    thread.join().unwrap();

    let Running { handle, told, thread, .. } = running(Store::open(&path).unwrap(), FILE);
    assert_eq!(runs(&told.borrow())["button"], "on;since=2;share=40;slots=0-40000", "a restart ends no run");
    let revisions = handle.revisions(None, 10).await.unwrap();
    let actions: Vec<_> = revisions.iter().map(|revision| revision.action.as_str()).collect();
    assert_eq!(actions, ["rollback", "ship", "start", "file"]);
    assert_eq!((&revisions[1].experiments, &revisions[1].difference), (&shipped.experiments, &shipped.difference));
    assert_eq!(revisions[1].experiments[0].end.map(RunEnd::word), Some("shipped_treatment"));
    assert_eq!(revisions[2].experiments, started.experiments);
    drop(handle);
    thread.join().unwrap();

    // What the file says at a restart ends a run too, in the revision of the file.
    let Running { handle, told, .. } = running(Store::open(&path).unwrap(), &redefined("button"));
    assert_eq!(runs(&told.borrow())["button"], "off;since=2;share=40");
    let last = handle.revisions(None, 1).await.unwrap().remove(0);
    assert_eq!((last.number, last.action.as_str(), last.author.as_str()), (5, "file", "file"));
    assert_eq!(last.experiments[0].end, Some(RunEnd::Redefined));
}

#[tokio::test]
async fn a_run_is_told_before_the_table_that_it_is_in() {
    let Running { handle, published, mut told, .. } = running(Store::in_memory().unwrap(), FILE);
    let seen = std::thread::spawn(move || {
        let mut last = 0;
        for _ in 0..2_000_000 {
            let revision = published.load().revision;
            let known = told.borrow_and_update().runs.values().map(|run| run.since).max().unwrap_or(0);
            // Each start names its run, and each stop is the revision after it.
            assert!(known + 1 >= revision, "table {revision}, and the last run known is {known}");
            last = last.max(revision);
            if last == 101 {
                break;
            }
        }
        last
    });
    for _ in 0..50 {
        handle.apply(request(start("button", None))).await.unwrap();
        handle.apply(request(stop("button"))).await.unwrap();
    }
    assert!(seen.join().expect("no table is before its run") > 1);
}

fn put(store: &mut Store, number: u64) {
    let after = ExperimentRun::parse("on;since=1;share=40;of=0000000000000007;slots=0-40000").expect("a run");
    let header =
        Header { number, at_ms: 1, author: "ada", reason: None, action: Action::Start, restores: None, forced: None };
    let difference = ExperimentDifference { experiment: name("button"), before: None, after, moved: None, end: None };
    let record = Record { revision: Some(header), experiments: &[difference], ..Record::default() };
    store.commit(&record).expect("a write");
}

#[test]
fn a_store_of_a_format_before_is_taken_over_with_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.db");
    put(&mut Store::open(&path).expect("a new store"), 1);
    // As the program before made it.
    let sql = Connection::open(&path).unwrap();
    sql.execute_batch("DROP TABLE chaos_runs; DROP TABLE slo_hours; ALTER TABLE traffic DROP COLUMN mirror").unwrap();
    sql.execute_batch("DROP TABLE experiment_runs; PRAGMA user_version = 3").unwrap();
    drop(sql);
    let mut store = Store::open(&path).expect("a good store");
    assert_eq!((store.load().unwrap().revision, store.load().unwrap().experiments.len()), (1, 0));
    put(&mut store, 2);
    drop(store);
    let store = Store::open(&path).expect("a good store");
    assert_eq!(store.load().unwrap().experiments["button"].slots.to_string(), "0-40000");
    let found: i32 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(found, FORMAT);
}

#[test]
fn a_run_that_cannot_be_read_is_told_and_nothing_goes_on_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.db");
    put(&mut Store::open(&path).expect("a new store"), 1);
    Connection::open(&path).unwrap().execute_batch("UPDATE experiment_runs SET run = 'on;since=1'").unwrap();
    let store = Store::open(&path).expect("SQLite finds it sound");
    let error = store.load().expect_err("no run");
    let cause = std::error::Error::source(&error).expect("it keeps what was wrong").to_string();
    assert!(cause.contains("found \"on;since=1\", want a run"), "{cause}");
    assert!(Writer::new(store, Arc::new(Registry::new(1)), file(FILE)).is_err());
}

#[test]
fn a_run_that_was_written_to_a_lost_file_is_taken_out_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (inside, away) = (folder.path().join("state"), folder.path().join("away"));
    std::fs::create_dir(&inside).unwrap();
    let mut store = Store::open(&inside.join("pointsman.db")).expect("a new store");
    put(&mut store, 1);
    std::fs::rename(&inside, &away).unwrap();
    let after = ExperimentRun::parse("off;since=1;share=40;of=0000000000000007").expect("a run");
    let header =
        Header { number: 2, at_ms: 1, author: "ada", reason: None, action: Action::Stop, restores: None, forced: None };
    let difference = ExperimentDifference { experiment: name("button"), before: None, after, moved: None, end: None };
    let lost = store.commit(&Record { revision: Some(header), experiments: &[difference], ..Record::default() });
    assert!(lost.is_err(), "it is not where the path leads to");
    let loaded = store.load().expect("a read");
    assert!(loaded.revision == 1 && loaded.experiments["button"].running, "{loaded:?}");
}
