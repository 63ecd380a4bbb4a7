//! Tells the forge what has become of commits, if it is to be told.
//!
//! A caller never waits: what it says is noted, and one task sends it. Of each commit only the newest word is kept, and
//! nothing is sent twice in a row. A forge that does not take it is asked again some times, and then it is given up:
//! the state is in the API, the metrics and the log anyway.
//!
//! In a fleet the leader tells; the others note the same. One that comes to lead tells what it has noted lately, for
//! the one before may not have come to it: of that, and of nothing older, the forge may hear twice.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::forge_request::{CommitState, CommitStatus};
use crate::config::{Forge, StatusConfig};
use crate::files::watcher::in_background;
use crate::fleet::fleet_facts::FleetState;
use crate::fleet::fleet_handle::FleetHandle;
use crate::outbound::secret::Secret;
use crate::outbound::webhook::{WebhookClient, WebhookError};
use crate::problem::chain;

/// Commits whose statuses wait to be sent, or are known to have been told: the forge is away for an hour at most.
const COMMITS_MAX: usize = 64;

/// How often a status is sent at the most.
const ATTEMPTS: u32 = 5;

/// The pause before the second attempt; each later one is four times as long.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What GitLab says when a commit has a state already: then it is as it should be.
const SAME_STATE: &str = "Cannot transition status";

/// What a leader may not have told before it was gone: what was noted since, until the end of its lease is found.
const UNTOLD: Duration = Duration::from_secs(20);

/// How often it is looked who leads.
const LOOK: Duration = Duration::from_secs(2);

/// Takes what is to be told; does nothing where no forge is to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommitStatuses(Option<Arc<StatusQueue>>);

/// Sends it.
#[derive(Debug)]
pub(crate) struct StatusReporter {
    queue: Arc<StatusQueue>,
    config: StatusConfig,
    branch: String,
    client: WebhookClient,
    /// The replicas that note the same, if there are any.
    fleet: Option<FleetHandle>,
    /// What was last logged of a failure; none: the last one was taken.
    trouble: Option<String>,
}

#[derive(Debug, Default)]
struct StatusQueue {
    notes: Mutex<StatusNotes>,
    news: Notify,
    sent: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct StatusNotes {
    /// What is to be sent, the oldest first, one a commit.
    waiting: VecDeque<NotedStatus>,
    /// What was told last of each commit.
    last: VecDeque<CommitStatus>,
}

#[derive(Debug)]
struct NotedStatus {
    status: CommitStatus,
    at: Instant,
}

impl CommitStatuses {
    /// Has a forge told, by the reporter.
    pub(crate) fn of(
        config: &StatusConfig,
        branch: &str,
        client: WebhookClient,
        fleet: Option<FleetHandle>,
    ) -> (Self, StatusReporter) {
        let queue = Arc::<StatusQueue>::default();
        let (config, branch) = (config.clone(), branch.to_owned());
        let reporter = StatusReporter { queue: Arc::clone(&queue), config, branch, client, fleet, trouble: None };
        (Self(Some(queue)), reporter)
    }

    /// Notes what has become of a commit, with a sentence that says why.
    pub(crate) fn tell(&self, commit: &str, state: CommitState, sentence: &str) {
        let Some(queue) = &self.0 else { return };
        let status = CommitStatus::new(commit, state, sentence);
        let mut notes = queue.notes();
        if notes.last.contains(&status) {
            return;
        }
        notes.last.retain(|known| known.commit != commit);
        notes.waiting.retain(|known| known.status.commit != commit);
        if notes.last.len() == COMMITS_MAX {
            notes.last.pop_front();
        }
        if notes.waiting.len() == COMMITS_MAX {
            notes.waiting.pop_front();
            queue.failed.fetch_add(1, Relaxed);
        }
        notes.last.push_back(status.clone());
        notes.waiting.push_back(NotedStatus { status, at: Instant::now() });
        drop(notes);
        queue.news.notify_one();
    }

    /// How many statuses the forge has taken, and how many not, each with its word; none if no forge is to be told.
    pub(crate) fn counts(&self) -> Option<[(&'static str, u64); 2]> {
        let queue = self.0.as_ref()?;
        Some([("sent", queue.sent.load(Relaxed)), ("failed", queue.failed.load(Relaxed))])
    }
}

impl StatusQueue {
    fn notes(&self) -> MutexGuard<'_, StatusNotes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> CommitStatus {
        loop {
            let next = self.notes().waiting.pop_front();
            match next {
                Some(noted) => return noted.status,
                None => self.news.notified().await,
            }
        }
    }

    /// Forgets what another replica has told that has led until `led`.
    fn forget_what_is_told(&self, led: Instant) {
        self.notes().waiting.retain(|noted| led.saturating_duration_since(noted.at) < UNTOLD);
    }

    /// Whether there is something newer to tell of its commit.
    fn is_outdated(&self, status: &CommitStatus) -> bool {
        self.notes().waiting.iter().any(|newer| newer.status.commit == status.commit)
    }
}

/// Why a status was not taken.
struct StatusFault {
    text: String,
    may_pass: bool,
}

impl StatusReporter {
    /// Sends what is to be told until `shutdown` ends.
    pub(crate) async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.send_all() => {}
        }
    }

    async fn send_all(&mut self) {
        let queue = Arc::clone(&self.queue);
        loop {
            self.until_it_tells().await;
            let lost = async {
                match self.fleet.clone() {
                    Some(fleet) => fleet.while_it_leads().await,
                    None => std::future::pending().await,
                }
            };
            let status = tokio::select! {
                () = lost => continue,
                status = queue.next() => status,
            };
            self.send(&status).await;
        }
    }

    /// Waits until it is for this replica to tell, and forgets what others have told meanwhile.
    async fn until_it_tells(&self) {
        let Some(fleet) = self.fleet.as_ref().filter(|fleet| !fleet.leads()) else { return };
        let elected = fleet.until_it_leads();
        tokio::pin!(elected);
        // What was noted while none led was told by none.
        let mut led = None;
        while timeout(LOOK, &mut elected).await.is_err() {
            let is_together = fleet.facts.borrow().standing == FleetState::Together;
            if is_together && fleet.leader().is_some() {
                led = Some(Instant::now());
            }
            if let Some(led) = led {
                self.queue.forget_what_is_told(led);
            }
        }
    }

    async fn send(&mut self, status: &CommitStatus) {
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let fault = match self.attempt(status).await {
                Ok(()) => return self.taken(),
                Err(fault) => fault,
            };
            if !fault.may_pass || attempt == ATTEMPTS {
                return self.given_up(status, fault.text);
            }
            sleep(pause).await;
            pause = pause.saturating_mul(4);
            if self.queue.is_outdated(status) {
                return;
            }
        }
    }

    async fn attempt(&self, status: &CommitStatus) -> Result<(), StatusFault> {
        let lasts = |text: String| StatusFault { text, may_pass: false };
        let file = self.config.token_file.clone();
        let token = in_background(move || Secret::read(&file).map_err(|fault| chain(&fault))).await;
        let token = token.unwrap_or_else(|| Err("the token was not read".to_owned())).map_err(lasts)?;
        let post = status.post(&self.config, &self.branch, &token.bytes).map_err(|error| lasts(chain(&error)))?;
        match self.client.post_json(&post.url, post.headers, post.body, TIMEOUT).await {
            Ok(_) => Ok(()),
            Err(WebhookError::Status { status, said, .. })
                if self.config.forge == Forge::Gitlab && status.as_u16() == 400 && said.contains(SAME_STATE) =>
            {
                Ok(())
            }
            Err(error) => Err(StatusFault { may_pass: error.may_pass(), text: chain(&error) }),
        }
    }

    fn taken(&mut self) {
        self.queue.sent.fetch_add(1, Relaxed);
        if self.trouble.take().is_some() {
            tracing::info!("the forge takes statuses of commits again");
        }
    }

    /// Counts it, and says why in the log, once until another reason comes or one is taken.
    fn given_up(&mut self, status: &CommitStatus, text: String) {
        self.queue.failed.fetch_add(1, Relaxed);
        if self.trouble.as_ref() != Some(&text) {
            let commit = status.commit.get(..8).unwrap_or(&status.commit);
            tracing::warn!(commit, problem = text, "the forge was not told of the commit");
            self.trouble = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses() -> (CommitStatuses, Arc<StatusQueue>) {
        let queue = Arc::<StatusQueue>::default();
        (CommitStatuses(Some(Arc::clone(&queue))), queue)
    }

    fn waiting(queue: &StatusQueue) -> Vec<(String, String)> {
        let notes = queue.notes();
        let pair = |NotedStatus { status, .. }: &NotedStatus| (status.commit.clone(), status.description.clone());
        notes.waiting.iter().map(pair).collect()
    }

    fn pair(commit: &str, text: &str) -> (String, String) {
        (commit.to_owned(), text.to_owned())
    }

    #[tokio::test]
    async fn of_each_commit_the_newest_word_is_kept_and_none_is_repeated() {
        let (statuses, queue) = statuses();
        statuses.tell("a", CommitState::Pending, "wait");
        statuses.tell("b", CommitState::Success, "fine");
        statuses.tell("a", CommitState::Failure, "line 1");
        assert_eq!(waiting(&queue), [pair("b", "fine"), pair("a", "line 1")]);
        let taken = queue.next().await;
        statuses.tell("b", CommitState::Success, "fine");
        statuses.tell("a", CommitState::Failure, "line 1");
        assert_eq!(waiting(&queue), [pair("a", "line 1")]);
        assert!(!queue.is_outdated(&taken));
        statuses.tell("b", CommitState::Failure, "worse");
        assert!(queue.is_outdated(&taken));
    }

    #[test]
    fn a_new_leader_tells_what_the_one_before_may_not_have() {
        let (statuses, queue) = statuses();
        statuses.tell("a", CommitState::Success, "told by another");
        queue.forget_what_is_told(Instant::now() + UNTOLD);
        statuses.tell("b", CommitState::Failure, "not told, perhaps");
        queue.forget_what_is_told(Instant::now());
        assert_eq!(waiting(&queue), [pair("b", "not told, perhaps")]);
        statuses.tell("a", CommitState::Success, "told by another");
        assert_eq!(waiting(&queue), [pair("b", "not told, perhaps")], "it is not told again");
    }

    #[test]
    fn a_forge_that_is_away_costs_no_memory() {
        let (statuses, queue) = statuses();
        for commit in 0..1000 {
            statuses.tell(&commit.to_string(), CommitState::Success, "fine");
        }
        let notes = queue.notes();
        assert_eq!((notes.waiting.len(), notes.last.len()), (COMMITS_MAX, COMMITS_MAX));
        assert_eq!(notes.waiting.back().map(|known| &*known.status.commit), Some("999"));
        drop(notes);
        assert_eq!(statuses.counts(), Some([("sent", 0), ("failed", 1000 - COMMITS_MAX as u64)]));
        CommitStatuses::default().tell("a", CommitState::Success, "to no forge");
        assert_eq!(CommitStatuses::default().counts(), None);
    }
}
