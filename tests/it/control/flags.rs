//! Changes of flags: plans, the writer, and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use pointsman::testing::control::change::Action;
use pointsman::testing::control::publish::Published;
use pointsman::testing::control::store::{FORMAT, FlagRecord, Header, Record};
use pointsman::testing::control::{Change, ChangeRequest, FlagChange, Handle, OntoDead, RollbackScope, Store, Writer};
use pointsman::testing::problem::Problem;
use pointsman::testing::stats::Registry;
use pointsman::testing::table::spec::flag::{FlagRuleSpec, FlagSource, FlagSpec};
use pointsman::testing::table::{FlagState, SLOTS, Slots, Weight};
use proptest::prelude::*;
use rusqlite::Connection;

use super::change::{World, in_proportion, shift};
use crate::support::spec::{file, flag, name, weights};

fn serve(flag: &str, rule: &str, serve: &str) -> Change {
    let rules = [(name(rule), weights(serve))].into();
    Change::Flags([(name(flag), FlagChange { enabled: None, rules })].into())
}

fn switch(flag: &str, enabled: bool) -> Change {
    Change::Flags([(name(flag), FlagChange { enabled: Some(enabled), ..FlagChange::default() })].into())
}

fn rollback(to: Option<u64>, services: &[&str], flags: &[&str]) -> Change {
    let names = |list: &[&str]| list.iter().map(|text| name(text)).collect::<BTreeSet<_>>();
    let (services, flags) = (names(services), names(flags));
    Change::Rollback { to, scope: Some(RollbackScope { services, flags, ..RollbackScope::default() }) }
}

const UNDO: Change = Change::Rollback { to: None, scope: None };

fn states(world: &World) -> BTreeMap<String, String> {
    world.state.flags.states.iter().map(|(name, state)| (name.to_string(), state.to_string())).collect()
}

fn state(world: &World, flag: &str) -> String {
    states(world)[flag].clone()
}

fn problems(outcome: Result<impl std::fmt::Debug, Vec<Problem>>) -> Vec<String> {
    outcome.expect_err("it is wrong").iter().map(Problem::to_string).collect()
}

/// A shop, and a flag that is launched to a tenth.
fn world() -> World {
    World::new(file(&[("shop", "v1=90 v2=10")], vec![flag("new", "off=90 on=10")]))
}

const FIRST: &str = "on;launch=on*10000 off*90000;staff=on*100000";

#[test]
fn a_launch_is_a_revision_and_says_who_moves() {
    let mut world = world();
    assert_eq!((world.state.revision, state(&world, "new").as_str()), (1, FIRST));
    let planned = world.plan(&serve("new", "launch", "off=50 on=50")).expect("a good change");
    let difference = &planned.flags.difference[0];
    assert_eq!((difference.was_enabled, difference.enabled, difference.rules.len()), (Some(true), true, 1));
    assert_eq!((difference.rules[0].moved, difference.rules[0].minimum), (0.4, 0.4));
    assert_eq!(state(&world, "new"), FIRST, "a plan changes nothing");
    assert_eq!(world.apply(&serve("new", "launch", "off=50 on=50")), Ok(true));
    assert_eq!(state(&world, "new"), "on;launch=on*50000 off*50000;staff=on*100000");
    assert_eq!(world.apply(&serve("new", "launch", "on=50 off=50")), Ok(false), "it serves that already");
    assert_eq!(world.state.revision, 2);
    assert_eq!(world.apply(&switch("new", false)), Ok(true));
    assert_eq!(world.apply(&switch("new", false)), Ok(false));
    let back = world.plan(&switch("new", true)).expect("a good change").flags.difference;
    let moved: Vec<_> = back[0].rules.iter().map(|rule| (rule.rule.as_str(), rule.moved)).collect();
    assert_eq!(moved, [("launch", 0.5), ("staff", 1.0)], "those who do not have the default");
}

#[tokio::test]
async fn the_switch_of_a_flag_that_follows_says_how_many_have_no_default() {
    let mut theme = flag("theme", "off=90 on=10");
    theme.source = FlagSource::Service(name("shop"), vec![(name("v1"), 0), (name("v2"), 1)]);
    let (handle, _published, _thread) = start(Store::in_memory().unwrap(), vec![theme]);
    for (revision, enabled) in [(2, false), (3, true)] {
        let applied = handle.apply(request(switch("theme", enabled))).await.unwrap();
        assert_eq!(applied.flags[0].followers.map(Weight::slots), Some(5_000), "v2 has 5 %");
        let stored = handle.revision(revision).await.unwrap().expect("it is there");
        assert_eq!(stored.flags, applied.flags, "and the audit trail knows it later");
    }
}

#[test]
fn several_flags_are_one_revision_or_none() {
    let flags = vec![flag("a", "off=90 on=10"), flag("b", "off=90 on=10")];
    let mut world = World::new(file(&[("shop", "v1=90 v2=10")], flags));
    let change = |second: &str| {
        let one = FlagChange { enabled: Some(false), rules: [(name("launch"), weights("off=50 on=50"))].into() };
        let two = FlagChange { enabled: None, rules: [(name(second), weights("on=100"))].into() };
        Change::Flags([(name("a"), one), (name("b"), two)].into())
    };
    assert_eq!(problems(world.apply(&change("lunch"))).len(), 1);
    assert_eq!(world.state.revision, 1, "nothing of it");
    assert_eq!(world.apply(&change("launch")), Ok(true));
    assert_eq!(state(&world, "a"), "off;launch=on*50000 off*50000;staff=on*100000");
    assert_eq!(state(&world, "b"), "on;launch=on*100000;staff=on*100000");
    assert_eq!(world.state.revision, 2);
}

#[test]
fn every_problem_of_flags_is_named_at_once() {
    let mut follower = flag("theme", "off=90 on=10");
    follower.source = FlagSource::Service(name("shop"), vec![(name("v2"), 1)]);
    let world = World::new(file(&[("shop", "v1=90 v2=10")], vec![flag("new", "off=90 on=10"), follower]));
    let change = |rule: &str, serve: &str| FlagChange { enabled: None, rules: [(name(rule), weights(serve))].into() };
    let flags = [
        (
            name("new"),
            FlagChange {
                rules: [("launch", "onn=100"), ("luanch", "on=100")].map(|(r, s)| (name(r), weights(s))).into(),
                enabled: None,
            },
        ),
        (name("nwe"), change("launch", "on=100")),
        (name("theme"), change("launch", "on=100")),
    ];
    let texts = problems(world.plan(&Change::Flags(flags.into())));
    assert_eq!(texts.len(), 4, "{texts:#?}");
    for (text, begins, ends) in [
        (&texts[0], "flags.new.rules.launch.serve.onn: found unknown variant \"onn\", want one of off, on", ""),
        (&texts[1], "flags.new.rules: found unknown rule \"luanch\"", "(did you mean \"launch\"?)"),
        (&texts[2], "flags.nwe: found unknown flag \"nwe\", want one of new, theme", "(did you mean \"new\"?)"),
        (&texts[3], "flags.theme.rules: found a flag that follows the service shop, and has no rules", ""),
    ] {
        assert!(text.starts_with(begins) && text.ends_with(ends), "{texts:#?}");
    }
    let off = Change::Flags([(name("theme"), FlagChange { enabled: Some(false), ..FlagChange::default() })].into());
    assert!(world.plan(&off).is_ok(), "the kill switch works for all");
}

#[test]
fn the_file_counts_for_flags_when_it_changes_there() {
    let mut world = world();
    world.apply(&serve("new", "launch", "off=50 on=50")).expect("good");
    world.apply(&switch("new", false)).expect("good");
    let moved = "off;launch=on*50000 off*50000;staff=on*100000";
    let mut reload = |flags: Vec<FlagSpec>| {
        let changed = world.apply(&Change::File(file(&[("shop", "v1=90 v2=10")], flags))).expect("a good file");
        (changed, state(&world, "new"))
    };
    assert_eq!(reload(vec![flag("new", "off=90 on=10")]), (false, moved.to_owned()), "nothing new in the file");
    assert_eq!(reload(vec![flag("new", "off=90 on=10 other=0")]).1.split(';').nth(1), moved.split(';').nth(1));
    assert_eq!(reload(vec![flag("new", "off=90 on=10")]).1, moved);
    assert_eq!(reload(Vec::new()), (false, moved.to_owned()), "its history stays");
    assert_eq!(reload(vec![flag("new", "off=90 on=10")]), (false, moved.to_owned()), "and is resumed");
    let said = "off;launch=on*20000 off*80000;staff=on*100000";
    assert_eq!(reload(vec![flag("new", "off=80 on=20")]), (true, said.to_owned()), "the weights, not the switch");
    let disabled = FlagSpec { enabled: false, ..flag("new", "off=80 on=20") };
    assert_eq!(reload(vec![disabled]), (false, said.to_owned()), "as it is");
    assert_eq!(reload(vec![flag("new", "off=80 on=20")]), (true, said.replace("off;", "on;")));
    let intent = world.state.flags.intent["new"].to_string();
    assert_eq!(intent, said.replace("off;", "on;"));
}

#[test]
fn a_rollback_restores_services_and_flags_or_what_is_named() {
    let mut world = world();
    world.apply(&serve("new", "launch", "off=50 on=50")).expect("good");
    world.shift("shop", "v1=50 v2=50");
    world.apply(&switch("new", false)).expect("good");
    let (splits, flags) = (world.splits(), states(&world));
    // The last change of what is named, not the last of all.
    assert_eq!(world.apply(&rollback(None, &["shop"], &[])), Ok(true));
    assert_ne!(world.splits(), splits);
    assert_eq!(states(&world), flags);
    assert_eq!(world.apply(&rollback(Some(4), &["shop"], &["new"])), Ok(true));
    assert_eq!((world.splits(), states(&world)), (splits, flags));
    assert_eq!(world.apply(&rollback(Some(1), &[], &["new"])), Ok(true));
    assert_eq!(state(&world, "new"), FIRST);
    assert_eq!(world.state.traffic["shop"].slots.count("v2"), 50_000, "who is not named is left alone");
    // Undone one by one, from the youngest change on, whatever it was of.
    let mut undone = Vec::new();
    while world.apply(&UNDO).is_ok() {
        undone.push((world.state.traffic["shop"].slots.count("v2"), state(&world, "new") == FIRST));
    }
    assert_eq!(undone, [(10_000, true)], "the flag is at its first state already");
    let texts = problems(world.apply(&rollback(None, &[], &["nwe"])));
    assert!(texts[0].contains("did you mean \"new\"?"), "{texts:?}");
}

#[test]
fn undo_passes_over_a_file_that_only_adds_or_removes_rules() {
    let mut world = world();
    world.apply(&serve("new", "launch", "off=50 on=50")).expect("good");
    let launched = state(&world, "new");
    let mut more = flag("new", "off=90 on=10");
    if let FlagSource::Rules { rules, .. } = &mut more.source {
        let late = FlagRuleSpec { name: name("late"), ..rules[0].clone() };
        rules.push(late);
    }
    let shop = [("shop", "v1=90 v2=10")];
    assert_eq!(world.apply(&Change::File(file(&shop, vec![more.clone()]))), Ok(true));
    assert_eq!(world.apply(&UNDO), Ok(true), "the launch, for there is nothing to restore of the new rule");
    assert_eq!(state(&world, "new"), FIRST.replace(";launch", ";late=on*100000;launch"));
    assert!(world.apply(&UNDO).is_err());

    // The same where the file takes the rule away again, also if only the flag is named.
    assert_eq!(world.apply(&Change::Rollback { to: Some(2), scope: None }), Ok(true));
    assert_eq!(world.apply(&Change::File(file(&shop, vec![flag("new", "off=90 on=10")]))), Ok(true));
    assert_eq!(state(&world, "new"), launched);
    assert_eq!(world.apply(&rollback(None, &[], &["new"])), Ok(true));
    assert_eq!(state(&world, "new"), FIRST);
}

#[test]
fn a_definition_that_has_changed_is_fitted_or_told() {
    let mut world = world();
    world.apply(&serve("new", "launch", "on=100")).expect("good");
    // The rule `staff` is gone, `late` has come, and of the variants `on` is called `yes`.
    let mut changed = flag("new", "off=90 yes=10");
    if let FlagSource::Rules { rules, .. } = &mut changed.source {
        rules[0].name = name("late");
    }
    let shop = [("shop", "v1=90 v2=10")];
    world.apply(&Change::File(file(&shop, vec![changed.clone()]))).expect("a good file");
    assert_eq!(state(&world, "new"), "on;late=yes*100000;launch=yes*10000 off*90000");
    let texts = problems(world.apply(&Change::Rollback { to: Some(2), scope: None }));
    let wanted = "flags.new.rules.launch: found revision 2 gives 100 % to on, which the config does not have any more, \
                  want one of off, yes (add on to the config again, or go back to another revision)";
    assert_eq!(texts, [wanted]);
    let mut back = flag("new", "off=90 on=10");
    if let FlagSource::Rules { rules, .. } = &mut back.source {
        rules[0].name = name("late");
    }
    world.apply(&Change::File(file(&shop, vec![back]))).expect("a good file");
    assert_eq!(world.apply(&Change::Rollback { to: Some(2), scope: None }), Ok(true));
    assert_eq!(state(&world, "new"), "on;late=on*100000;launch=on*100000", "a rule that has come since stays");
    let texts = problems(World::new(file(&shop, Vec::new())).apply(&rollback(Some(1), &[], &["new"])));
    assert!(texts[0].starts_with("flags: found unknown flag \"new\", want none"), "{texts:?}");
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Serve(usize, bool, [u32; 3]),
    Switch(usize, bool),
    Shift([u32; 3]),
    Undo,
    Back(prop::sample::Index),
}

const FLAGS: [&str; 2] = ["a", "b"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, any::<bool>(), any::<[u8; 3]>()).prop_map(|(flag, last, parts)| Step::Serve(flag, last, parts.map(u32::from))),
        2 => (0..2_usize, any::<bool>()).prop_map(|(flag, enabled)| Step::Switch(flag, enabled)),
        1 => any::<[u8; 3]>().prop_map(|parts| Step::Shift(parts.map(u32::from))),
        1 => Just(Step::Undo),
        2 => any::<prop::sample::Index>().prop_map(Step::Back),
    ]
}

fn change(step: &Step, revisions: u64) -> Change {
    match step {
        Step::Serve(index, last, parts) => {
            let rules = [(name(if *last { "launch" } else { "staff" }), in_proportion(parts))].into();
            Change::Flags([(name(FLAGS[*index]), FlagChange { enabled: None, rules })].into())
        }
        Step::Switch(index, enabled) => switch(FLAGS[*index], *enabled),
        Step::Shift(parts) => Change::Splits([(name("shop"), in_proportion(parts))].into()),
        Step::Undo => UNDO,
        Step::Back(index) => {
            let to = 1 + index.index(usize::try_from(revisions).unwrap()) as u64;
            Change::Rollback { to: Some(to), scope: None }
        }
    }
}

/// Who has which variant by a rule, in a flag with the default `v1`.
fn acting(state: &FlagState, rule: &str) -> Slots {
    if state.enabled { state.rules[&name(rule)].clone() } else { Slots::fresh(&weights("v1=100")) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_life_of_flags(steps in prop::collection::vec(step(), 1..25)) {
        let three = "v1=90 v2=10 v3=0";
        let flags = FLAGS.map(|text| flag(text, three)).to_vec();
        let mut world = World::new(file(&[("shop", "v1=100 v2=0 v3=0")], flags));
        let mut past = vec![(world.splits(), states(&world))];
        for step in &steps {
            let change = change(step, world.state.revision);
            let before = world.state.clone();
            let Ok(planned) = world.plan(&change) else {
                prop_assert!(matches!(step, Step::Undo), "{step:?}");
                continue;
            };
            // A plan is pure: it says the same twice, and changes nothing.
            let again = world.plan(&change).expect("it was planned");
            prop_assert_eq!(&again.flags.next, &planned.flags.next);
            prop_assert_eq!(&again.flags.difference, &planned.flags.difference);
            prop_assert_eq!(&world.state.flags.states, &before.flags.states);
            let changed = world.apply(&change).expect("it was planned");
            prop_assert_eq!(changed, world.state.revision == before.revision + 1);
            // What the dry run said is what happened.
            let mut wanted = before.flags.states.clone();
            wanted.extend(planned.flags.next.clone());
            prop_assert_eq!(&world.state.flags.states, &wanted);
            for difference in &planned.flags.difference {
                let (old, new) = (&before.flags.states[&difference.flag], &world.state.flags.states[&difference.flag]);
                for rule in &difference.rules {
                    let moved = acting(old, &rule.rule).moved(&acting(new, &rule.rule));
                    prop_assert_eq!(rule.moved, f64::from(moved) / f64::from(SLOTS));
                    let least = matches!(step, Step::Serve(..) | Step::Switch(..));
                    prop_assert!(!least || (rule.moved - rule.minimum).abs() < 1e-12, "{difference:?}");
                }
            }
            // A rollback restores splits and flags byte for byte.
            if let Change::Rollback { to: Some(to), .. } = change {
                prop_assert_eq!(&(world.splits(), states(&world)), &past[usize::try_from(to).unwrap() - 1]);
            }
            if changed {
                past.push((world.splits(), states(&world)));
            }
        }
    }

    #[test]
    fn undo_walks_all_the_way_back_over_services_and_flags(steps in prop::collection::vec(step(), 1..12)) {
        let flags = FLAGS.map(|text| flag(text, "v1=90 v2=10 v3=0")).to_vec();
        let mut world = World::new(file(&[("shop", "v1=100 v2=0 v3=0")], flags));
        let mut past = vec![(world.splits(), states(&world))];
        for step in steps.iter().filter(|step| !matches!(step, Step::Undo | Step::Back(_))) {
            if world.apply(&change(step, 0)).expect("a good change") {
                past.push((world.splits(), states(&world)));
            }
        }
        past.pop();
        while let Some(earlier) = past.pop() {
            prop_assert_eq!(world.apply(&UNDO), Ok(true));
            prop_assert_eq!((world.splits(), states(&world)), earlier);
        }
        prop_assert!(world.apply(&UNDO).is_err());
    }
}

fn start(store: Store, flags: Vec<FlagSpec>) -> (Handle, Published, std::thread::JoinHandle<()>) {
    let specs = file(&[("shop", "v1=95 v2=5")], flags);
    let writer = Writer::new(store, Arc::new(Registry::new(1)), specs).expect("a good start");
    let published = writer.published();
    let (handle, thread) = writer.start(pointsman::testing::supervise::Part::alone("writer")).expect("a thread");
    (handle, published, thread)
}

fn request(change: Change) -> ChangeRequest {
    let (author, onto_dead) = ("ada".to_owned(), OntoDead::Refuse);
    ChangeRequest { change, dry_run: false, if_match: None, onto_dead, author, reason: None, until_ms: None }
}

fn in_force(published: &Published, flag: &str) -> String {
    published.load().flags().named(flag).expect("it is there").state.to_string()
}

#[tokio::test]
async fn an_answer_means_that_the_flag_is_in_force_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.db");
    let flags = || vec![flag("new", "off=90 on=10")];
    let (handle, published, thread) = start(Store::open(&path).unwrap(), flags());
    assert_eq!((published.load().revision, in_force(&published, "new").as_str()), (1, FIRST));
    let dry = handle.apply(ChangeRequest { dry_run: true, ..request(serve("new", "launch", "on=50 off=50")) });
    let dry = dry.await.unwrap();
    assert_eq!((dry.revision, dry.changed, in_force(&published, "new").as_str()), (1, true, FIRST));
    let applied = handle.apply(request(serve("new", "launch", "on=50 off=50"))).await.unwrap();
    assert_eq!((applied.revision, &applied.flags), (2, &dry.flags), "as the dry run said");
    assert_eq!(in_force(&published, "new"), "on;launch=on*50000 off*50000;staff=on*100000");
    let disabled = handle.apply(request(switch("new", false))).await.unwrap();
    handle.apply(request(shift("shop", "v2=100"))).await.unwrap();
    assert_eq!(in_force(&published, "new"), "off;launch=on*50000 off*50000;staff=on*100000", "a shift keeps flags");
    drop(handle);
    thread.join().unwrap();

    let (handle, published, _thread) = start(Store::open(&path).unwrap(), flags());
    assert_eq!(published.load().revision, 4, "a restart makes no revision");
    assert_eq!(in_force(&published, "new"), "off;launch=on*50000 off*50000;staff=on*100000");
    let revisions = handle.revisions(None, 10).await.unwrap();
    let actions: Vec<_> = revisions.iter().map(|revision| revision.action.as_str()).collect();
    assert_eq!(actions, ["shift", "flag", "flag", "file"]);
    assert_eq!((&revisions[1].flags, &revisions[2].flags), (&disabled.flags, &applied.flags));
    assert_eq!(revisions[3].flags[0].was_enabled, None, "the file is the first revision");
    let back = handle.apply(request(Change::Rollback { to: Some(1), scope: None })).await.unwrap();
    assert_eq!((back.restores, back.flags.len(), back.difference.len()), (Some(1), 1, 1));
    assert_eq!(in_force(&published, "new"), FIRST);
}

#[tokio::test]
async fn a_change_of_a_service_and_a_flag_is_never_half_seen() {
    let (handle, published, _thread) = start(Store::in_memory().unwrap(), vec![flag("new", "off=95 on=5")]);
    let done = Arc::new(AtomicBool::new(false));
    // Readers that have seen two tables: until both have, changes go on, however late a busy machine lets them begin.
    let watching = Arc::new(AtomicUsize::new(0));
    let readers = (0..2).map(|_| {
        let (published, done, watching) = (Arc::clone(&published), Arc::clone(&done), Arc::clone(&watching));
        std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !done.load(Relaxed) {
                let table = published.load();
                let state = &table.flags().named("new").expect("it is there").state;
                let version = table.service_named("shop").expect("it is there").weights().of("v2").slots();
                assert_eq!(state.rules["launch"].count("on"), version, "revision {}", table.revision);
                if seen.insert(table.revision) && seen.len() == 2 {
                    watching.fetch_add(1, Relaxed);
                }
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for round in 1..=20_000_u32 {
        let percent = round % 90 + 5;
        let (split, serve) =
            (format!("v1={} v2={percent}", 100 - percent), format!("off={} on={percent}", 100 - percent));
        let change = match round % 5 {
            0 => Change::Rollback { to: Some(u64::from(round / 2 + 1)), scope: None },
            _ => Change::File(file(&[("shop", &split)], vec![flag("new", &serve)])),
        };
        handle.apply(request(change)).await.unwrap();
        if round >= 200 && watching.load(Relaxed) == readers.len() {
            break;
        }
    }
    done.store(true, Relaxed);
    readers.into_iter().for_each(|reader| reader.join().expect("whole tables"));
    assert_eq!(watching.load(Relaxed), 2, "readers that saw more than one table");
}

fn put(store: &mut Store, number: u64, flag: &str, text: &str) {
    let (flag, state) = (name(flag), FlagState::parse(text).expect("a state"));
    let default = name("off");
    let header =
        Header { number, at_ms: 1, author: "ada", reason: None, action: Action::Flag, restores: None, forced: None };
    let record = Record {
        revision: Some(header),
        flags: vec![FlagRecord { flag: &flag, state: &state, default: Some(&default), followers: None }],
        flag_intent: vec![(&flag, &state)],
        ..Record::default()
    };
    store.commit(&record).expect("a write");
}

#[test]
fn a_store_of_an_earlier_format_opens_and_takes_flags() {
    for format in [1, 2, 3, 4] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pointsman.db");
        put(&mut Store::open(&path).expect("a new store"), 1, "new", FIRST);
        let sql = |text: &str| Connection::open(&path).unwrap().execute_batch(text).unwrap();
        // As an earlier program made it.
        sql("DROP TABLE chaos_runs; DROP TABLE slo_hours; ALTER TABLE traffic DROP COLUMN mirror");
        sql(if format < 4 { "DROP TABLE experiment_runs" } else { "SELECT 1" });
        sql(if format == 1 { "DROP TABLE rollouts" } else { "SELECT 1" });
        sql(if format >= 3 {
            "DELETE FROM flag_states; DELETE FROM flag_intent"
        } else {
            "DROP TABLE flag_states; DROP TABLE flag_intent"
        });
        sql(&format!("PRAGMA user_version = {format}"));
        let mut store = Store::open(&path).expect("a good store");
        let loaded = store.load().expect("a read");
        assert_eq!((loaded.revision, loaded.flags.len()), (1, 0));
        assert_eq!(store.revision(1).expect("a read").expect("it is there").flags, []);
        put(&mut store, 2, "new", FIRST);
        drop(store);
        let store = Store::open(&path).expect("a good store");
        let loaded = store.load().expect("a read");
        assert_eq!(
            (loaded.flags["new"].to_string(), loaded.flag_intent["new"].to_string()),
            (FIRST.to_owned(), FIRST.to_owned())
        );
        assert_eq!(store.rollouts(1).expect("a read"), []);
        let found: i32 =
            Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(found, FORMAT);
    }
}

#[test]
fn a_flag_that_cannot_be_read_is_told_and_nothing_goes_on_without_it() {
    for (table, column) in [("flag_states", "state"), ("flag_intent", "state")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pointsman.db");
        put(&mut Store::open(&path).expect("a new store"), 1, "new", FIRST);
        Connection::open(&path)
            .unwrap()
            .execute_batch(&format!("UPDATE {table} SET {column} = 'on;launch=on*5'"))
            .unwrap();
        let store = Store::open(&path).expect("SQLite finds it sound");
        let error = store.load().expect_err("no state");
        let cause = std::error::Error::source(&error).expect("it keeps what was wrong").to_string();
        assert!(error.to_string().contains("cannot read the revisions"), "{error}");
        assert!(cause.contains("found \"on*5\" in a list of slot runs"), "{cause}");
        drop(store);
        let specs = file(&[("shop", "v1=95 v2=5")], vec![flag("new", "off=90 on=10")]);
        let store = Store::open(&path).expect("SQLite finds it sound");
        assert!(
            Writer::new(store, Arc::new(Registry::new(1)), specs).is_err(),
            "{table}: no start with the file's flags"
        );
    }
}

#[test]
fn a_flag_that_was_written_to_a_lost_file_is_taken_out_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (inside, away) = (folder.path().join("state"), folder.path().join("away"));
    std::fs::create_dir(&inside).unwrap();
    let mut store = Store::open(&inside.join("pointsman.db")).expect("a new store");
    put(&mut store, 1, "new", FIRST);
    std::fs::rename(&inside, &away).unwrap();
    let (flag, other) = (name("new"), name("other"));
    let off = FlagState::parse("off").expect("a state");
    let header =
        Header { number: 2, at_ms: 1, author: "ada", reason: None, action: Action::Flag, restores: None, forced: None };
    let lost = store.commit(&Record {
        revision: Some(header),
        flags: [&flag, &other]
            .map(|flag| FlagRecord { flag, state: &off, default: Some(&other), followers: None })
            .to_vec(),
        flag_intent: vec![(&flag, &off), (&other, &off)],
        ..Record::default()
    });
    assert!(lost.is_err(), "it is not where the path leads to");
    let loaded = store.load().expect("a read");
    assert_eq!((loaded.revision, loaded.flags.len(), loaded.flag_intent.len()), (1, 1, 1));
    assert_eq!(
        (loaded.flags["new"].to_string(), loaded.flag_intent["new"].to_string()),
        (FIRST.to_owned(), FIRST.to_owned())
    );
    std::fs::rename(&away, &inside).unwrap();
    put(&mut store, 2, "new", "off");
    assert_eq!(store.load().expect("a read").flags["new"].to_string(), "off");
}

#[tokio::test]
async fn flags_that_another_program_has_changed_are_not_taken_for_those_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.db");
    let (handle, published, _thread) = start(Store::open(&path).unwrap(), vec![flag("new", "off=90 on=10")]);
    handle.apply(request(serve("new", "launch", "on=50 off=50"))).await.unwrap();
    // In a process of its own: closing a descriptor here would drop the locks of the store.
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
    let sql = "UPDATE flag_states SET state = 'off' WHERE revision = 2";
    let done = std::process::Command::new("python3").args(["-c", script]).arg(&path).arg(sql).status().unwrap();
    assert!(done.success());
    let error = handle.apply(request(switch("new", false))).await.expect_err("it would be built on something else");
    assert!(error.to_string().contains("other revisions than those in force"), "{error}");
    assert_eq!(in_force(&published, "new"), "on;launch=on*50000 off*50000;staff=on*100000", "it stays in force");
}
