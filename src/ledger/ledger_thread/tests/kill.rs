//! A process that counts and is killed in the middle of it, fifty times: what was answered is there, and the sums are
//! those of what was answered.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::super::ledger_handle::{TrialUser, UserEvent, UserEventKind};
use super::super::super::ledger_tests::{arm, name, run_key, spec_for, user};
use super::super::super::seen::SeenKind;
use super::*;
use crate::experiment::experiment_state::Recorded;
use crate::experiment::name_hash::NameHash;
use crate::shared::probability::Probability;
use crate::supervise::{Kind, Supervisor};

const KILLS: u32 = 50;

/// Events of a batch.
const BATCH: u32 = 20;

/// The process that is killed is this test alone, told so by the path of its ledger.
const CHILD: &str = "POINTSMAN_TEST_LEDGER";

const THIS: &str = "ledger::ledger_thread::tests::kill::the_process_that_is_killed";

struct OpenedLedger {
    running: RunningTrials,
    handle: LedgerHandle,
    thread: JoinHandle<()>,
}

fn opened(path: &Path) -> OpenedLedger {
    let running = RunningTrials::default();
    running.set_experiments([(run_key(7), spec_for(1_000_000))]);
    let ledger = Ledger::open(Some(path.to_owned()), running.clone());
    let handle = ledger.handle();
    let thread = ledger.start(Supervisor::default().part("ledger", Kind::Log)).expect("a thread");
    OpenedLedger { running, handle, thread }
}

fn seen(number: u32) -> Seen {
    let what = SeenKind::Exposed { arm: arm(number.is_multiple_of(2)), share: Probability::HALF };
    Seen { trial: Arc::new(run_key(7)), user: user(number), at_ms: 1, what }
}

/// The event with this number: a third has no exact sum, so that another order of additions is seen.
fn event(number: u32, users: u32) -> UserEvent {
    let (id, kind) = (NameHash::of(&format!("id-{number}")), UserEventKind::Happened);
    UserEvent { id, kind, event: "value".into(), user: user(number % users), value: value(number), at_ms: 2 }
}

fn value(number: u32) -> f64 {
    f64::from(number) / 3.0
}

fn batch(first: u32, users: u32) -> Vec<UserEvent> {
    (first..first + BATCH).map(|number| event(number, users)).collect()
}

/// Sees users and records events until it is killed, and says what it knows to be on disk.
#[test]
fn the_process_that_is_killed() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let mut parts = text.splitn(4, ' ');
    let mut number = || parts.next().and_then(|text| text.parse().ok()).expect("a number");
    let (mut users, known, mut first): (u32, u32, u32) = (number(), number(), number());
    let path = PathBuf::from(parts.next().expect("a path"));
    let OpenedLedger { handle, .. } = opened(&path);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    // In one piece, so that no line is cut.
    let say = |line: &str| std::io::stderr().write_all(line.as_bytes()).expect("it is read");
    runtime.block_on(async {
        loop {
            // Of users that the process before has left on disk, so that each event counts.
            if known > 0 {
                let receipt = handle.record(batch(first, known)).await.expect("it is on disk");
                assert!(receipt.events.iter().all(|event| matches!(event, Recorded::Counted | Recorded::Repeated)));
                say(&format!("answered {first}\n"));
                first += BATCH;
            }
            for _ in 0..5 {
                assert!(handle.seen().try_send(seen(users)));
                users += 1;
            }
            say(&format!("seen {users}\n"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// What a process has said before it was killed.
#[derive(Clone, Copy, Default)]
struct SaidByChild {
    /// The first event that was not answered.
    first: u32,
    /// Users that were seen.
    users: u32,
    /// Those of them that were seen a second before its end.
    old_users: u32,
}

fn run(mut child: Child, before: SaidByChild, life: Duration) -> SaidByChild {
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let reader = thread::spawn(move || {
        let (mut said, mut times) = (before, Vec::new());
        for line in lines.map_while(Result::ok) {
            match line.split_once(' ') {
                Some(("answered", first)) => said.first = first.parse::<u32>().expect("a number") + BATCH,
                Some(("seen", users)) => {
                    said.users = users.parse().expect("a number");
                    times.push((Instant::now(), said.users));
                }
                _ => {}
            }
        }
        (said, times)
    });
    thread::sleep(life);
    let killed = Instant::now();
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    let (mut said, times) = reader.join().expect("it reads");
    let old = times.iter().rfind(|(at, _)| *at + Duration::from_secs(1) < killed);
    said.old_users = old.map_or(before.old_users, |(_, users)| *users);
    said
}

async fn all_users(handle: &LedgerHandle) -> BTreeMap<NameHash, TrialUser> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let Some(page) = handle.users(&name("button"), after, 1000).await.expect("readable") else { return all };
        all.extend(page.users.into_iter().map(|user| (user.user, user)));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// How many of the users from the first one on are there without a gap.
fn without_gap(all: &BTreeMap<NameHash, TrialUser>) -> u32 {
    (0..u32::MAX).find(|number| !all.contains_key(&user(*number))).unwrap_or(u32::MAX)
}

#[tokio::test]
async fn the_sums_after_a_kill_are_those_of_what_was_answered() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let (mut said, mut known, mut wanted) = (SaidByChild::default(), 0, BTreeMap::<NameHash, f64>::new());
    for round in 0..KILLS {
        let first = said.first;
        let start = format!("{} {known} {first} {}", said.users, path.display());
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", THIS, "--nocapture"]).env(CHILD, start).stdout(Stdio::null()).stderr(Stdio::piped());
        let life = Duration::from_millis(random.random_range(150..850));
        said = run(command.spawn().expect("it starts"), said, life);
        // What was on its way and was not answered is sent again, by the same ids.
        let OpenedLedger { running, handle, thread } = opened(&path);
        if known > 0 {
            let receipt = handle.record(batch(said.first, known)).await.expect("it is on disk");
            assert!(receipt.events.iter().all(|event| matches!(event, Recorded::Counted | Recorded::Repeated)));
            said.first += BATCH;
            for number in first..said.first {
                *wanted.entry(user(number % known)).or_default() += value(number);
            }
        }
        let all = all_users(&handle).await;
        for (user, found) in &all {
            let revenue = found.values.get(1).map_or(0.0, |values| values.0);
            let wanted = wanted.get(user).copied().unwrap_or_default();
            assert_eq!(revenue.to_bits(), wanted.to_bits(), "seed {seed}, round {round}: {revenue}, want {wanted}");
        }
        assert!(
            wanted.keys().all(|user| all.contains_key(user)),
            "seed {seed}, round {round}: who has a value is there"
        );
        let there = without_gap(&all);
        assert!(there >= said.old_users, "seed {seed}, round {round}: {there} users, want {} and more", said.old_users);
        assert!(all.len() <= said.users as usize + 5, "seed {seed}, round {round}: more users than were seen");
        // Who was lost comes again.
        (said.users, known) = (there, there);
        let counts = handle.counts(&name("button")).await.expect("readable").expect("a run").counts;
        assert_eq!(counts.seen, all.len() as u64);
        drop((handle, running));
        thread.join().expect("it ends");
    }
    assert!(said.first > KILLS * BATCH && known > KILLS, "seed {seed}: the kills must fall into work");
}
