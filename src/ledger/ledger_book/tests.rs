//! The ledger beside a state that never ends, and what becomes of its file.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;

use super::super::ledger_handle::UsersCall;
use super::super::ledger_tests::{arm, name, run_key, spec, user};
use super::*;
use crate::experiment::name_hash::NameHash;
use crate::shared::probability::Probability;

fn runs(since: &[u64]) -> TrialSpecs {
    since.iter().map(|since| (run_key(*since), spec())).collect()
}

fn opened(path: &Path, since: &[u64]) -> LedgerBook {
    let mut book = LedgerBook::new(Some(path.to_owned()));
    book.run(runs(since), 1000);
    book
}

fn exposed(key: &TrialKey, number: u32, treatment: bool) -> Seen {
    let what = SeenKind::Exposed { arm: arm(treatment), share: Probability::HALF };
    Seen { trial: Arc::new(key.clone()), user: user(number), at_ms: 1, what }
}

fn event(id: u32, number: u32, value: f64) -> UserEvent {
    let (id, kind) = (NameHash::of(&format!("id-{id}")), UserEventKind::Happened);
    UserEvent { id, kind, event: "value".into(), user: user(number), value, at_ms: 2 }
}

fn recorded_one(book: &mut LedgerBook, event: UserEvent) -> Result<Recorded, LedgerError> {
    if let Some(refusal) = book.refusal() {
        return Err(refusal);
    }
    let receipt = book.record(&[event]);
    book.commit().map(|()| receipt.events[0])
}

fn latest(book: &mut LedgerBook) -> TrialCounts {
    book.latest(&name("button")).expect("it can be read").expect("there was a run")
}

/// Sums to the last bit.
fn bits(counts: &TrialCounts) -> String {
    format!("{:?} {:?}", counts.counts, counts.tally)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pointsman-experiments.db");
    (folder, path)
}

/// Something that the ledger is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    Exposed { user: u32, treatment: bool, uneven: bool },
    Requested { user: u32, metrics: u32 },
    Event { id: u32, user: u32, order: bool, value: f64 },
    Before { user: u32, value: f64 },
}

fn told() -> impl Strategy<Value = Told> {
    let user = 0..11_u32;
    let value = prop_oneof![Just(0.1), Just(1.0 / 3.0), -1e9..1e9];
    prop_oneof![
        (user.clone(), any::<bool>(), any::<bool>()).prop_map(|(user, treatment, uneven)| Told::Exposed {
            user,
            treatment,
            uneven
        }),
        (user.clone(), 0..16_u32).prop_map(|(user, metrics)| Told::Requested { user, metrics }),
        (0..30_u32, user.clone(), any::<bool>(), value.clone()).prop_map(|(id, user, order, value)| Told::Event {
            id,
            user,
            order,
            value
        }),
        (user, value).prop_map(|(user, value)| Told::Before { user, value }),
    ]
}

fn tell(book: &mut LedgerBook, told: Told) {
    match told {
        Told::Exposed { user, treatment, uneven } => {
            let share = if uneven { Probability::new(0.2).expect("a share") } else { Probability::HALF };
            let what = SeenKind::Exposed { arm: arm(treatment), share };
            book.see(&Seen { what, ..exposed(&run_key(7), user, treatment) });
        }
        Told::Requested { user, metrics } => {
            let what = SeenKind::Requested { metrics };
            book.see(&Seen { what, ..exposed(&run_key(7), user, false) });
        }
        Told::Event { id, user, order, value } => {
            let name = if order { "order" } else { "value" };
            book.record(&[UserEvent { event: name.into(), ..event(id, user, value) }]);
        }
        Told::Before { user, value } => {
            let kind = UserEventKind::KnownBefore;
            book.record(&[UserEvent { kind, event: "adjusted".into(), ..event(0, user, value) }]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The process ends without a word after a batch, where `ends` says so: what was committed is there, to the last
    /// bit, and goes on as if nothing was.
    #[test]
    fn the_sums_of_a_ledger_that_ends_are_those_of_its_last_commit(
        batches in prop::collection::vec((prop::collection::vec(told(), 0..12), any::<bool>(), any::<bool>()), 1..8),
    ) {
        let (_folder, path) = folder();
        let mut book = opened(&path, &[7]);
        book.commit().expect("a commit");
        let mut kept = Vec::new();
        for (batch, commits, ends) in batches {
            batch.iter().for_each(|one| tell(&mut book, *one));
            if commits {
                book.commit().expect("a commit");
                kept.extend(batch);
            }
            if ends || !commits {
                drop(book);
                book = opened(&path, &[7]);
            }
            let mut lives = LedgerBook::new(None);
            lives.run(runs(&[7]), 1000);
            kept.iter().for_each(|one| tell(&mut lives, *one));
            prop_assert_eq!(bits(&latest(&mut book)), bits(&latest(&mut lives)));
        }
    }
}

#[test]
fn a_run_that_has_ended_is_readable_until_the_next_begins_and_its_counts_are_for_ever() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    for number in 0..7 {
        book.see(&exposed(&run_key(7), number, number % 2 == 0));
        assert_eq!(recorded_one(&mut book, event(number, number, 0.1 * f64::from(number))), Ok(Recorded::Counted));
    }
    let while_running = latest(&mut book);
    let page = |book: &mut LedgerBook, after, limit| {
        let call = UsersCall { experiment: name("button"), after, limit };
        book.users(&call).expect("readable").expect("there was a run")
    };
    let all = page(&mut book, None, 100);
    assert_eq!((all.users.len(), all.next), (7, None));
    assert!(all.users.is_sorted_by_key(|user| user.user), "in the order of the hashes");
    assert_eq!(all.metrics, ["purchase", "revenue", "basket", "adjusted"]);
    book.run(runs(&[]), 2000);
    assert_eq!(recorded_one(&mut book, event(100, 1, 1.0)), Ok(Recorded::NoMetric), "nothing runs");
    let ended = latest(&mut book);
    assert_eq!(ended, TrialCounts { ended_ms: Some(2000), ..while_running.clone() });
    drop(book);
    let mut book = opened(&path, &[]);
    assert_eq!(bits(&latest(&mut book)), bits(&ended), "and after a restart");
    let first = page(&mut book, None, 3);
    let second = page(&mut book, first.next, 3);
    let third = page(&mut book, second.next, 3);
    assert_eq!(third.next, None);
    assert_eq!([first.users, second.users, third.users].concat(), all.users);
    book.run(runs(&[9]), 3000);
    book.see(&exposed(&run_key(9), 50, true));
    book.commit().expect("a commit");
    let found = book.runs(&name("button")).expect("readable");
    assert_eq!(found.iter().map(|run| run.counts.seen).collect::<Vec<_>>(), [1, 7]);
    assert_eq!(found[1], ended, "the counts are kept to the last bit");
    assert_eq!(page(&mut book, None, 100).users.len(), 1, "and no user of the run before");
    drop(book);
    let rows: i64 = Connection::open(&path)
        .and_then(|db| db.query_row("SELECT count(*) FROM users", [], |row| row.get(0)))
        .expect("a count");
    assert_eq!(rows, 1, "so that the file does not outgrow the users that are admitted");
}

#[test]
fn a_run_that_ended_goes_on_with_its_users_and_the_events_that_it_knows() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    assert_eq!(recorded_one(&mut book, event(1, 1, 2.5)), Ok(Recorded::Counted));
    book.run(runs(&[]), 2000);
    book.commit().expect("a commit");
    book.run(runs(&[7]), 3000);
    assert_eq!(recorded_one(&mut book, event(1, 1, 2.5)), Ok(Recorded::Repeated));
    assert_eq!(recorded_one(&mut book, event(2, 1, 1.0)), Ok(Recorded::Counted));
    drop(book);
    let mut book = opened(&path, &[7]);
    let found = latest(&mut book);
    assert_eq!((found.ended_ms, found.began_ms, found.counts.metrics[1].sums[0].arms.treatment.x), (None, 1000, 3.5));
    // Where it was stopped and goes on before its end was written, too.
    book.run(runs(&[]), 4000);
    book.run(runs(&[7]), 4001);
    assert_eq!(latest(&mut book).ended_ms, None);
}

#[test]
fn a_run_that_was_stopped_while_the_process_was_down_has_ended() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    book.commit().expect("a commit");
    drop(book);
    let mut book = opened(&path, &[]);
    let found = latest(&mut book);
    assert_eq!((found.ended_ms, found.counts.seen), (Some(1000), 1));
}

#[test]
fn a_run_does_not_go_on_with_other_metrics() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    book.commit().expect("a commit");
    drop(book);
    let mut other = ExperimentSpec::clone(&spec());
    other.metrics.swap(0, 1);
    let mut book = LedgerBook::new(Some(path));
    book.run([(run_key(7), Arc::new(other))].into(), 1000);
    book.see(&exposed(&run_key(7), 2, true));
    let facts = book.facts(0);
    assert!(facts.problem.is_some_and(|problem| problem.contains("other metrics of run 7")), "and says so");
    assert_eq!((facts.lost, facts.running), (1, 0), "it is counted as lost");
    assert_eq!(latest(&mut book).counts.seen, 1, "what it had is readable");
}

#[test]
fn what_is_not_ours_is_left_alone_and_its_way_out_is_told() {
    let (_folder, path) = folder();
    let foreign = Connection::open(&path).expect("a database");
    foreign.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").expect("a table");
    drop(foreign);
    let before = fs::read(&path).expect("a file");
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    let facts = book.facts(2);
    assert!(facts.problem.is_some_and(|problem| problem.contains("another application") && problem.contains("move")));
    assert_eq!((facts.lost, facts.running), (3, 0));
    assert!(matches!(recorded_one(&mut book, event(1, 1, 1.0)), Err(LedgerError::Unsaved(_))));
    assert!(matches!(book.latest(&name("button")), Err(LedgerError::Unsaved(_))));
    assert_eq!(fs::read(&path).expect("a file"), before);
    fs::rename(&path, path.with_extension("theirs")).expect("moved away");
    book.run(runs(&[7]), 2000);
    book.see(&exposed(&run_key(7), 1, true));
    assert_eq!(recorded_one(&mut book, event(1, 1, 1.0)), Ok(Recorded::Counted));
    assert_eq!(book.facts(0).problem, None);
}

#[test]
fn damaged_and_newer_files_are_refused() {
    for (break_it, wanted) in [("PRAGMA user_version = 9", "format 9"), ("PRAGMA user_version = 0", "never was one")] {
        let (_folder, path) = folder();
        drop(opened(&path, &[7]));
        Connection::open(&path).and_then(|db| db.execute_batch(break_it)).expect("a change");
        let book = opened(&path, &[7]);
        assert!(book.facts(0).problem.is_some_and(|problem| problem.contains(wanted)), "{wanted}");
    }
    let (_folder, path) = folder();
    fs::write(&path, "a file of notes, and no database").expect("a file");
    assert!(opened(&path, &[7]).facts(0).problem.is_some_and(|problem| problem.contains("not a database")));
}

#[test]
fn a_second_ledger_on_a_file_waits_until_the_first_has_ended() {
    let (_folder, path) = folder();
    let first = opened(&path, &[7]);
    let mut second = opened(&path, &[7]);
    assert!(second.facts(0).problem.is_some_and(|problem| problem.contains("in use by another process")));
    drop(first);
    second.run(runs(&[7]), 2000);
    assert_eq!(second.facts(0).problem, None);
    second.see(&exposed(&run_key(7), 1, true));
    assert_eq!(latest(&mut second).counts.seen, 1);
}

#[test]
fn without_experiments_there_is_no_file() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[]);
    assert_eq!(recorded_one(&mut book, event(1, 1, 1.0)), Ok(Recorded::NoMetric));
    assert_eq!(book.latest(&name("button")), Ok(None));
    let rollout = TrialKey::Rollout { id: 3, slots: 1000 };
    book.run([(rollout.clone(), spec())].into(), 1000);
    assert!(!path.exists() || fs::metadata(&path).is_ok_and(|found| found.len() == 0));
    drop(book);
    assert!(!path.exists());
}

#[test]
fn a_step_of_a_rollout_is_counted_in_memory_and_begins_anew() {
    let (_folder, path) = folder();
    let rollout = TrialKey::Rollout { id: 3, slots: 1000 };
    let both = || [(rollout.clone(), spec()), (run_key(7), spec())].into();
    let mut book = LedgerBook::new(Some(path.clone()));
    book.run(both(), 1000);
    book.see(&exposed(&rollout, 1, true));
    assert_eq!(recorded_one(&mut book, event(1, 1, 2.0)), Ok(Recorded::Counted));
    let seen = |book: &mut LedgerBook| book.counts_of(&rollout).expect("readable").map(|found| found.counts.seen);
    assert_eq!(seen(&mut book), Some(1));
    book.run(runs(&[7]), 2000);
    assert_eq!(seen(&mut book), None, "it is gone with its end");
    drop(book);
    let mut book = LedgerBook::new(Some(path));
    book.run(both(), 1000);
    assert_eq!(seen(&mut book), Some(0));
}

#[test]
fn a_file_that_is_gone_is_made_anew_with_everything() {
    for gone in [&["", "-wal", "-shm"][..], &["-wal"][..], &["-shm"], &[""]] {
        let (_folder, path) = folder();
        let mut book = opened(&path, &[5]);
        book.see(&exposed(&run_key(5), 40, true));
        book.commit().expect("a commit");
        book.run(runs(&[7]), 2000);
        book.see(&exposed(&run_key(7), 1, true));
        assert_eq!(recorded_one(&mut book, event(1, 1, 2.5)), Ok(Recorded::Counted));
        for suffix in gone {
            fs::remove_file(format!("{}{suffix}", path.display())).expect("it was there");
        }
        assert_eq!(recorded_one(&mut book, event(2, 1, 1.0)), Ok(Recorded::Counted), "{gone:?}");
        assert!(book.facts(0).note.is_some_and(|note| note.contains("made anew")), "{gone:?}");
        let before = book.runs(&name("button")).expect("readable");
        // Killed: nothing is closed.
        let copy = tempfile::tempdir().expect("a folder");
        let copied = copy.path().join("copy.db");
        for suffix in ["", "-wal"] {
            fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copied.display())).expect("a copy");
        }
        let mut after = opened(&copied, &[7]);
        assert_eq!(after.runs(&name("button")).expect("readable"), before, "{gone:?}");
        assert_eq!(before[0].counts.metrics[1].sums[0].arms.treatment.x, 3.5);
    }
}

#[test]
fn another_file_in_its_place_is_not_written_to_and_all_is_written_when_it_is_back() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    assert_eq!(recorded_one(&mut book, event(1, 1, 2.5)), Ok(Recorded::Counted));
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).expect("moved");
    fs::write(&path, "a backup, say").expect("a file");
    let refused = recorded_one(&mut book, event(2, 1, 1.0));
    assert!(matches!(&refused, Err(LedgerError::Unsaved(why)) if why.contains("another file")), "{refused:?}");
    book.see(&exposed(&run_key(7), 2, false));
    assert!(matches!(recorded_one(&mut book, event(3, 1, 1.0)), Err(LedgerError::Unsaved(_))));
    assert_eq!(fs::read(&path).expect("a file"), b"a backup, say");
    fs::rename(&aside, &path).expect("put back");
    // Its sender repeats what was not acknowledged.
    let again = [event(2, 1, 1.0), event(3, 1, 1.0)].map(|event| recorded_one(&mut book, event));
    assert_eq!(again, [Ok(Recorded::Repeated), Ok(Recorded::Counted)]);
    drop(book);
    let found = latest(&mut opened(&path, &[7]));
    assert_eq!((found.counts.seen, found.counts.metrics[1].sums[0].arms.treatment.x), (2, 4.5));
}

#[test]
fn what_others_have_changed_is_written_again() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    assert_eq!(recorded_one(&mut book, event(1, 1, 2.5)), Ok(Recorded::Counted));
    assert_eq!(recorded_one(&mut book, event(2, 1, 2.5)), Ok(Recorded::Counted));
    Connection::open(&path).and_then(|db| db.execute_batch("UPDATE users SET vals = zeroblob(64)")).expect("a change");
    book.see(&exposed(&run_key(7), 2, true));
    book.commit().expect("a commit");
    drop(book);
    assert_eq!(latest(&mut opened(&path, &[7])).counts.metrics[1].sums[0].arms.treatment.x, 5.0);
}

#[test]
fn a_full_disk_refuses_events_counts_exposures_and_room_helps() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    book.commit().expect("a commit");
    let pages = |book: &LedgerBook, most: u32| {
        let FileSlot::Open(file) = &book.slot else { panic!("it is open") };
        file.db.pragma_update(None, "max_page_count", most).expect("a limit");
    };
    // SQLite does not go below what it has.
    pages(&book, 1);
    let mut refused = 0;
    for number in 2..7 {
        book.see(&exposed(&run_key(7), number, true));
        for id in 0..200 {
            let found = recorded_one(&mut book, event(1000 * number + id, number, 1.0));
            refused += u32::from(matches!(&found, Err(LedgerError::Unsaved(why)) if why.contains("the disk is full")));
        }
    }
    assert!(refused > 0, "there was room for a thousand events");
    assert!(book.facts(0).problem.is_some_and(|problem| problem.contains("the disk is full")));
    assert_eq!(latest(&mut book).counts.seen, 6, "exposures go on to be counted");
    pages(&book, 100_000);
    book.commit().expect("there is room again");
    assert_eq!(book.facts(0).problem, None);
    for number in 2..7 {
        for id in 0..200 {
            recorded_one(&mut book, event(1000 * number + id, number, 1.0)).expect("there is room again");
        }
    }
    drop(book);
    let found = latest(&mut opened(&path, &[7]));
    assert_eq!((found.counts.seen, found.counts.metrics[1].sums[0].arms.treatment.x), (6, 1000.0), "each event once");
}

#[test]
fn a_ledger_that_is_handed_over_counts_nothing_and_goes_on_with_what_the_other_has_left() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    book.see(&exposed(&run_key(7), 1, true));
    book.hand_over().expect("all is written");
    let mut other = opened(&path, &[7]);
    assert_eq!(other.facts(0).problem, None);
    book.see(&exposed(&run_key(7), 2, true));
    assert_eq!(book.facts(0).lost, 1);
    assert_eq!(recorded_one(&mut book, event(1, 1, 1.0)), Err(LedgerError::Upgrading));
    assert_eq!(book.latest(&name("button")), Err(LedgerError::Upgrading));
    assert_eq!(recorded_one(&mut other, event(1, 1, 1.0)), Ok(Recorded::Counted));
    assert!(book.take_back(3000).is_err(), "the other one has it still");
    drop(other);
    book.run(runs(&[7]), 3000);
    assert_eq!(recorded_one(&mut book, event(1, 1, 1.0)), Ok(Recorded::Repeated));
    assert_eq!(latest(&mut book).counts.seen, 1);
    book.hand_over().expect("all is written");
    book.take_back(4000).expect("nobody has it");
    assert_eq!(latest(&mut book).counts.seen, 1);
}

#[test]
fn what_is_in_memory_only_is_counted_alike_and_outlives_a_bug() {
    let mut book = LedgerBook::new(None);
    book.run(runs(&[7]), 1000);
    book.see(&exposed(&run_key(7), 1, true));
    assert_eq!(recorded_one(&mut book, event(1, 1, 2.5)), Ok(Recorded::Counted));
    book.hand_over().expect("there is nothing to hand over");
    let before = latest(&mut book);
    book.begin_again(2000);
    assert_eq!(latest(&mut book), before);
    assert_eq!(book.facts(0).path, None);
}

#[test]
fn who_finds_no_room_is_turned_away_and_that_is_told_after_a_restart_too() {
    let (_folder, path) = folder();
    let mut book = opened(&path, &[7]);
    for number in 0..10 {
        book.see(&exposed(&run_key(7), number, true));
    }
    assert_eq!(book.facts(0).full, [run_key(7)]);
    book.commit().expect("a commit");
    drop(book);
    let mut book = opened(&path, &[7]);
    assert_eq!((book.facts(0).full, latest(&mut book).counts.turned_away), (vec![run_key(7)], 2));
    let more = ExperimentSpec { users_max: 100, ..ExperimentSpec::clone(&spec()) };
    book.run([(run_key(7), Arc::new(more))].into(), 1000);
    assert_eq!(book.facts(0).full, Vec::<TrialKey>::new(), "a config that admits more is followed");
}

#[test]
fn others_cannot_read_what_users_did() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = folder();
    let _book = opened(&path, &[7]);
    for suffix in ["", "-wal", "-shm"] {
        let found = fs::metadata(format!("{}{suffix}", path.display())).expect("a file");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}
