//! The thread with its queues.

mod kill;

use std::sync::Arc;

use super::super::ledger_handle::{UserEvent, UserEventKind};
use super::super::ledger_tests::{arm, name, run_key, spec, user};
use super::super::seen::SeenKind;
use super::*;
use crate::experiment::experiment_state::Recorded;
use crate::experiment::name_hash::NameHash;
use crate::shared::probability::Probability;
use crate::supervise::{Kind, PartState, Supervisor};

/// A ledger at work, and where it keeps what it counts.
struct Started {
    running: RunningTrials,
    handle: LedgerHandle,
    thread: JoinHandle<()>,
    part: Part,
}

fn started(path: Option<PathBuf>) -> Started {
    let running = RunningTrials::default();
    running.set_experiments([(run_key(7), spec())]);
    let ledger = Ledger::open(path, running.clone());
    let handle = ledger.handle();
    let part = Supervisor::default().part("ledger", Kind::Log);
    let thread = ledger.start(part.clone()).expect("a thread");
    Started { running, handle, thread, part }
}

fn exposed(since: u64, number: u32) -> Seen {
    let what = SeenKind::Exposed { arm: arm(number.is_multiple_of(2)), share: Probability::HALF };
    Seen { trial: Arc::new(run_key(since)), user: user(number), at_ms: 1, what }
}

fn event(number: u32) -> UserEvent {
    let (id, kind) = (NameHash::of(&format!("id-{number}")), UserEventKind::Happened);
    UserEvent { id, kind, event: "value".into(), user: user(number % 4), value: 1.0, at_ms: 2 }
}

#[test]
fn the_file_is_called_after_the_store() {
    for (store, wanted) in [
        ("/var/lib/pointsman/pointsman.db", "/var/lib/pointsman/pointsman-experiments.db"),
        ("state", "state-experiments"),
        ("a/b.c.db", "a/b.c-experiments.db"),
    ] {
        assert_eq!(Ledger::path_beside(Path::new(store)), Path::new(wanted));
    }
}

#[tokio::test]
async fn what_workers_saw_before_an_event_was_sent_counts_for_it_and_all_is_there_after_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let Started { running, handle, thread, .. } = started(Some(path.clone()));
    for number in 0..4 {
        assert!(handle.seen().try_send(exposed(7, number)));
    }
    let receipt = handle.record((0..10).map(event).collect()).await.expect("it is on disk");
    assert_eq!(receipt.events, [Recorded::Counted; 10]);
    assert_eq!((receipt.trials.len(), receipt.trials[0].1.counted), (1, 10));
    assert_eq!(handle.record(vec![event(3), event(77)]).await.expect("it is on disk").events[0], Recorded::Repeated);
    // A run that begins is told before its users are seen; that of before is not counted any more.
    running.set_experiments([(run_key(9), spec())]);
    handle.seen().try_send(exposed(9, 5));
    handle.seen().try_send(exposed(7, 6));
    let seen: Vec<_> =
        handle.runs(&name("button")).await.expect("readable").iter().map(|run| run.counts.seen).collect();
    assert_eq!(seen, [1, 4]);
    handle.seen().try_send(exposed(9, 8));
    assert_eq!(handle.facts().await.map(|facts| facts.lost), Ok(0));
    drop((handle, running));
    thread.join().expect("it ends with its last handle");
    let Started { handle, .. } = started(Some(path));
    let seen: Vec<_> =
        handle.runs(&name("button")).await.expect("readable").iter().map(|run| run.counts.seen).collect();
    // The config of this one has run 7 under way, which is none that can go on: its users are gone.
    assert_eq!(seen, [2, 4]);
    let facts = handle.facts().await.expect("it lives");
    assert!(facts.problem.is_some_and(|problem| problem.contains("which goes on")));
}

/// An event that finds its user unknown is lost for good.
#[tokio::test]
async fn a_user_who_was_seen_before_an_event_was_sent_is_known_to_it_however_many_were_seen_first() {
    let running = RunningTrials::default();
    running.set_experiments([(run_key(7), spec())]);
    let ledger = Ledger::open(None, running.clone());
    let handle = ledger.handle();
    for _ in 0..2 * SEEN_PER_TURN {
        assert!(handle.seen().try_send(exposed(7, 0)));
    }
    assert!(handle.seen().try_send(exposed(7, 1)));
    let sender = handle.clone();
    let sent = tokio::spawn(async move { sender.record(vec![event(1)]).await });
    // It is sent before there is a thread that takes anything in.
    tokio::task::yield_now().await;
    ledger.start(Supervisor::default().part("ledger", Kind::Log)).expect("a thread");
    let receipt = sent.await.expect("no panic").expect("it is kept");
    assert_eq!(receipt.events, [Recorded::Counted]);
}

#[tokio::test]
async fn what_was_seen_is_on_disk_without_any_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let Started { handle, .. } = started(Some(path.clone()));
    handle.seen().try_send(exposed(7, 1));
    let db = rusqlite::Connection::open(&path).expect("it is there");
    let users = || db.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0)).unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(30);
    while users() == 0 {
        assert!(Instant::now() < until, "nothing was committed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_ledger_that_has_ended_says_so() {
    let (running, ledger) = (RunningTrials::default(), Ledger::open(None, RunningTrials::default()));
    let handle = ledger.handle();
    drop((ledger, running));
    assert_eq!(handle.record(vec![event(1)]).await, Err(LedgerError::Gone));
    assert_eq!(handle.facts().await, Err(LedgerError::Gone));
    assert!(!handle.seen().try_send(exposed(7, 1)));
}

#[tokio::test]
async fn a_call_that_finds_too_many_others_is_refused() {
    let ledger = Ledger::open(None, RunningTrials::default());
    let handle = ledger.handle();
    let calls: Vec<_> = (0..300).map(|number| handle.record(vec![event(number)])).collect();
    let mut refused = 0;
    for mut call in calls.into_iter().map(Box::pin) {
        // There is no thread yet that answers.
        let answer = tokio::time::timeout(Duration::from_millis(1), &mut call).await;
        refused += u32::from(answer == Ok(Err(LedgerError::Busy)));
        std::mem::forget(call);
    }
    assert_eq!(refused, 300 - 256);
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_bug_costs_what_came_since_the_last_commit_and_no_more() {
    for folder in [Some(tempfile::tempdir().expect("a folder")), None] {
        let path = folder.as_ref().map(|folder| folder.path().join("ledger.db"));
        let Started { handle, part, .. } = started(path);
        handle.seen().try_send(exposed(7, 1));
        assert_eq!(handle.record(vec![event(1)]).await.expect("it is kept").events, [Recorded::Counted]);
        part.inject(crate::supervise::part::Fault::Panic);
        let until = Instant::now() + Duration::from_secs(30);
        while part.view().ends == 0 || part.view().state != PartState::Running {
            handle.facts().await.ok();
            assert!(Instant::now() < until, "it does not go on");
        }
        assert_eq!(handle.record(vec![event(1)]).await.expect("it is kept").events, [Recorded::Repeated]);
        let counts = handle.counts(&name("button")).await.expect("readable").expect("a run").counts;
        assert_eq!((counts.seen, counts.metrics[1].sums[0].arms.control.x), (1, 1.0));
    }
}
