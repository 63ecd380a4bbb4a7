//! Looks at the repository again and again, and has the writer put a new commit in force.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::signal::unix::Signal;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::commit_statuses::CommitStatuses;
use super::forge_request::CommitState;
use super::git_clone::{GitClone, GitErrorText};
use super::git_commit::GitCommit;
use super::git_facts::{GitFacts, overridden};
use super::gitops_handle::{CALLS_MAX, GitopsHandle, SyncCall, SyncDone, SyncError, SyncTerms};
use super::hook_receiver::HookReceiver;
use super::rejections;
use super::write_back_state::WriteBack;
use crate::config::{FilesBeside, ReleaseSettings};
use crate::control::Handle;
use crate::control::file_origin::FileOrigin;
use crate::control::handle::{Applied, ApplyError, ChangeRequest};
use crate::control::publish::Published;
use crate::control::watch::{ConfigFacts, ConfigText, FileContent, Prepare, ReadConfig};
use crate::control::weight_marks::WeightFacts;
use crate::files::watcher::in_background;
use crate::fleet::fleet_handle::FleetHandle;
use crate::problem::chain;
use crate::stats::Registry;

/// The longest pause between two looks at a repository that does not answer, unless its interval is longer.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// When a commit is tried again that an upgrade in place kept from being put in force.
const AGAIN: Duration = Duration::from_secs(1);

/// The shortest time from one look to the next that hooks ask for, however many there are.
const HOOKED_AGAIN: Duration = Duration::from_secs(1);

/// What a commit is read and put in force with.
pub(crate) struct GitDeps {
    /// Reads its file.
    pub(crate) read: ReadConfig,
    /// What comes before its services are put in force.
    pub(crate) prepare: Prepare,
    /// The writer.
    pub(crate) handle: Handle,
    /// The table in force.
    pub(crate) published: Published,
    /// Who set the weights in force, and which commits were taken back.
    pub(crate) weights: watch::Receiver<Arc<WeightFacts>>,
    /// Which rollouts are under way.
    pub(crate) registry: Arc<Registry>,
    /// Where it is told what is known of the config.
    pub(crate) config_facts: watch::Sender<ConfigFacts>,
    /// Where it is told how services are released.
    pub(crate) releases: watch::Sender<Arc<ReleaseSettings>>,
    /// Where the forge is told what became of commits.
    pub(crate) statuses: CommitStatuses,
    /// The replicas that follow the same repository, if there are any.
    pub(crate) fleet: Option<FleetHandle>,
}

/// Keeps the traffic as the newest commit says.
pub(crate) struct GitKeeper {
    pub(super) clone: GitClone,
    pub(super) deps: GitDeps,
    pub(super) facts: watch::Sender<GitFacts>,
    /// What is written to the repository.
    pub(super) write_back: WriteBack,
    calls: mpsc::Receiver<SyncCall>,
    /// A hook has come since the last look.
    pub(super) wake: Arc<Notify>,
    /// When it was last looked at.
    last: Option<Instant>,
    /// When it is looked at again.
    next: Instant,
    /// How often in a row the repository has not answered.
    failures: u32,
    /// What was last told of a newest commit that is rejected.
    told_rejected: Option<String>,
}

impl std::fmt::Debug for GitKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitKeeper").field("clone", &self.clone).finish_non_exhaustive()
    }
}

/// A commit and what its file holds.
struct ReadCommit {
    commit: GitCommit,
    content: FileContent,
}

impl GitKeeper {
    /// Goes on from `in_force`, and how it is asked.
    pub(crate) fn new(clone: GitClone, in_force: GitCommit, deps: GitDeps) -> (Self, GitopsHandle) {
        let (calls, asked) = mpsc::channel(CALLS_MAX);
        let wake = Arc::new(Notify::new());
        let facts = watch::Sender::new(GitFacts::first(in_force));
        let hooks = HookReceiver::new(clone.source.hook_secret_file.clone(), Arc::clone(&wake));
        let (source, weights, statuses) = (clone.source.clone(), deps.weights.clone(), deps.statuses.clone());
        let registry = Arc::clone(&deps.registry);
        let handle = GitopsHandle { source, facts: facts.subscribe(), weights, registry, hooks, statuses, calls };
        let (last, next, failures, told_rejected) = (None, Instant::now(), 0, None);
        let write_back = WriteBack::new(deps.weights.clone(), deps.fleet.clone());
        (Self { clone, deps, facts, write_back, calls: asked, wake, last, next, failures, told_rejected }, handle)
    }

    /// Looks now and then, when it is asked to, and on `hangup`, until `shutdown` ends.
    pub(crate) async fn run(&mut self, hangup: &mut Signal, shutdown: impl Future<Output = ()>) {
        // A fetch must not keep the process from ending; git is ended with it.
        tokio::select! {
            () = shutdown => {}
            () = self.keep(hangup) => {}
        }
    }

    async fn keep(&mut self, hangup: &mut Signal) {
        // A process that this one has taken over from may have marked what it could not put in force.
        let in_force = self.facts.borrow().in_force.clone();
        self.mark(&in_force).await;
        self.tell_forge();
        loop {
            tokio::select! {
                Some(call) = self.calls.recv() => {
                    let done = match call.about {
                        Some(commit) => self.preview(&commit).await,
                        None => self.look(call.terms).await,
                    };
                    // Who does not wait any more needs no answer.
                    let _heard = call.answer.send(done);
                }
                // What comes of these is in the facts and in the log.
                _ = hangup.recv() => {
                    let _done = self.look(SyncTerms::default()).await;
                    // Also if nothing is new: who has sent it may wait for that.
                    self.deps.config_facts.send_modify(|facts| facts.read_at_ms = jiff::Timestamp::now().as_millisecond());
                }
                () = self.wake.notified() => self.next = self.next.min(self.hooked()),
                () = sleep_until(self.next) => self.poll().await,
                () = self.write_back.wanted() => {
                    self.tell_forge();
                    self.look_for_others();
                    self.write_back().await;
                }
            }
        }
    }

    /// When it is looked at for a hook.
    fn hooked(&self) -> Instant {
        self.last.map_or_else(Instant::now, |last| last + HOOKED_AGAIN)
    }

    /// Looks for a new commit. One that was refused is tried again: what it names may be good now.
    async fn poll(&mut self) {
        self.last = Some(Instant::now());
        match self.clone.fetch(false).await {
            Ok(commit) => {
                self.reached(&commit);
                self.next = Instant::now() + jittered(self.clone.source.interval);
                let is_known = {
                    let facts = self.facts.borrow();
                    facts.in_force.hash == commit.hash && facts.problems.is_empty()
                };
                if !is_known {
                    let _done = self.taken(commit, SyncTerms::default()).await;
                }
            }
            Err(error) => drop(self.unreachable(&error)),
        }
    }

    /// Fetches the newest commit and puts it in force, or says what would come of it.
    pub(super) async fn look(&mut self, terms: SyncTerms) -> Result<SyncDone, SyncError> {
        self.last = Some(Instant::now());
        let fetched = match self.clone.fetch(terms.rewritten).await {
            Ok(commit) => commit,
            Err(error) => return Err(self.unreachable(&error)),
        };
        self.reached(&fetched);
        if !terms.dry_run {
            // One that only asks what would happen does not take the place of the one that makes it happen.
            self.next = Instant::now() + jittered(self.clone.source.interval);
        }
        self.taken(fetched, terms).await
    }

    /// Takes the newest commit; one that has to wait is soon tried again.
    async fn taken(&mut self, commit: GitCommit, terms: SyncTerms) -> Result<SyncDone, SyncError> {
        let done = self.take(commit, terms).await;
        if matches!(done, Err(SyncError::Waits(_))) {
            self.next = Instant::now() + AGAIN;
        }
        done
    }

    /// The repository has answered.
    fn reached(&mut self, newest: &GitCommit) {
        self.failures = 0;
        let again = self.facts.borrow().unreachable.is_some();
        if again {
            tracing::info!(repository = self.clone.source.repository, "the repository answers again");
        }
        self.facts.send_modify(|facts| {
            facts.newest = newest.clone();
            facts.fetched_at_ms = Some(jiff::Timestamp::now().as_millisecond());
            facts.unreachable = None;
        });
    }

    /// It has not.
    fn unreachable(&mut self, error: &GitErrorText) -> SyncError {
        let text = error.to_string();
        self.failures = self.failures.saturating_add(1);
        let interval = self.clone.source.interval;
        let pause = interval.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX.max(interval));
        self.next = Instant::now() + jittered(pause);
        if self.facts.borrow().unreachable.as_ref() != Some(&text) {
            let branch = &*self.clone.source.branch;
            tracing::warn!(
                branch,
                problem = text,
                "the repository cannot be fetched, what was in force stays in force"
            );
        }
        self.facts.send_modify(|facts| facts.unreachable = Some(text.clone()));
        SyncError::Unreachable(text)
    }

    /// What is to be done about the newest commit.
    pub(super) async fn take(&mut self, commit: GitCommit, terms: SyncTerms) -> Result<SyncDone, SyncError> {
        if let Some(why) = self.rejection(&commit).filter(|_| !terms.rejected) {
            return Err(if terms.dry_run { SyncError::Rejected(why) } else { self.rejected(why) });
        }
        let read = match self.read(commit.clone(), terms).await {
            Ok(read) => read,
            Err(problems) if terms.dry_run => return Err(SyncError::Refused(problems)),
            Err(problems) => return Err(self.refused(&commit, problems)),
        };
        let in_force = self.facts.borrow().in_force.clone();
        let needs_restart = read.content.needs_restart.clone();
        let applied = self.apply(read, &in_force, terms.dry_run).await;
        match applied {
            Ok(applied) => {
                if !terms.dry_run {
                    self.tell_in_force(&commit, &applied, &needs_restart, in_force.hash != commit.hash);
                }
                Ok(SyncDone { commit, applied, needs_restart })
            }
            Err(error @ (ApplyError::Upgrading(_) | ApplyError::Fleet(_))) => {
                let why = chain(&error);
                self.facts.send_modify(|facts| facts.waits = Some(why.clone()));
                self.deps.statuses.tell(&commit.hash, CommitState::Pending, &why);
                Err(SyncError::Waits(why))
            }
            Err(error) => {
                let problems = if let ApplyError::Problems(problems) = &error {
                    problems.iter().map(ToString::to_string).collect()
                } else {
                    vec![chain(&error)]
                };
                let problems = self.placed(&commit, problems);
                Err(if terms.dry_run { SyncError::Refused(problems) } else { self.refused(&commit, problems) })
            }
        }
    }

    /// Why a commit is not taken: its weights were taken back.
    fn rejection(&self, commit: &GitCommit) -> Option<String> {
        let overridden = overridden(&self.deps.published.load());
        rejections::against(&self.deps.weights.borrow(), commit, &self.facts.borrow().in_force, &overridden)
    }

    /// Says that it is rejected; in the log only if that is new.
    fn rejected(&mut self, why: String) -> SyncError {
        if self.told_rejected.as_ref() != Some(&why) {
            tracing::warn!(rejected = why, "the newest commit is not taken: its weights were taken back");
            self.told_rejected = Some(why.clone());
        }
        self.facts.send_modify(|facts| {
            facts.problems.clear();
            facts.waits = None;
        });
        self.tell_forge();
        SyncError::Rejected(why)
    }

    /// Reads the file of a commit, or says everything that is wrong with it.
    async fn read(&self, commit: GitCommit, terms: SyncTerms) -> Result<ReadCommit, Vec<String>> {
        let in_force = self.facts.borrow().in_force.clone();
        if !terms.rewritten && !self.clone.has_gone_on(&in_force, &commit).await {
            let (found, was) = (commit.short(), in_force.short());
            let branch = &self.clone.source.branch;
            return Err(vec![format!(
                "found {found} on {branch}, which does not have {was} in its history, the commit in force; want a \
                 branch that goes on: it was rewritten, which moves no users by itself; put the history back, or take \
                 this one by `pointsman sync --rewritten`"
            )]);
        }
        // What is in force was signed well when it came; a key that counted then may be gone.
        if commit.hash != in_force.hash {
            let signer =
                self.clone.signer(&commit).await.map_err(|error| vec![format!("{}: {error}", commit.short())])?;
            tracing::debug!(commit = commit.short(), signer, "the commit is signed as it has to be");
        }
        let text = self.clone.text(&commit).await.map_err(|error| self.placed(&commit, vec![error.to_string()]))?;
        let read = Arc::clone(&self.deps.read);
        let content = in_background(move || read(&ConfigText { text, beside: FilesBeside::default() })).await;
        let content = content.unwrap_or_else(|| Err(vec!["the file could not be read; it is tried again".to_owned()]));
        let mut content = content.map_err(|problems| self.placed(&commit, problems))?;
        content.specs.origin = Some(FileOrigin { insists: terms.rejected, ..commit.origin() });
        Ok(ReadCommit { commit, content })
    }

    /// Puts a commit in force; it is marked first, so that no start goes back behind what is durable.
    async fn apply(&self, read: ReadCommit, before: &GitCommit, dry_run: bool) -> Result<Applied, ApplyError> {
        let ReadCommit { commit, content } = read;
        let FileContent { specs, needs_restart: _, releases } = content;
        let request = ChangeRequest { dry_run, ..ChangeRequest::of_file(specs.clone(), None) };
        if dry_run {
            return self.deps.handle.apply(request).await;
        }
        (self.deps.prepare)(specs.services).await;
        self.mark(&commit).await;
        let applied = self.deps.handle.apply(request).await;
        if applied.is_ok() {
            self.deps.releases.send_replace(releases);
        } else {
            self.mark(before).await;
        }
        applied
    }

    async fn mark(&self, commit: &GitCommit) {
        if let Err(error) = self.clone.mark(Some(commit)).await {
            tracing::warn!(%error, commit = commit.short(), "the commit in force cannot be marked in the clone");
        }
    }

    fn tell_in_force(&self, commit: &GitCommit, applied: &Applied, needs_restart: &[String], is_new: bool) {
        let was_refused = !self.facts.borrow().problems.is_empty();
        self.facts.send_modify(|facts| {
            facts.in_force = commit.clone();
            facts.problems.clear();
            facts.waits = None;
            facts.needs_restart = needs_restart.to_vec();
        });
        if is_new || was_refused {
            self.tell_forge();
            let (author, subject) = (&*commit.author, &*commit.subject);
            let Applied { revision, changed, .. } = applied;
            tracing::info!(
                commit = commit.short(),
                author,
                subject,
                revision,
                changed,
                ?needs_restart,
                "the commit is in force"
            );
            self.tell_config(commit, Vec::new(), needs_restart.to_vec());
        }
    }

    /// Says what is wrong with a commit; in the log only if that is new.
    fn refused(&self, commit: &GitCommit, problems: Vec<String>) -> SyncError {
        if self.facts.borrow().problems != problems {
            let (commit, author) = (commit.short(), &*commit.author);
            tracing::error!(commit, author, ?problems, "the commit is refused, nothing changed");
        }
        self.facts.send_modify(|facts| {
            facts.problems.clone_from(&problems);
            facts.waits = None;
        });
        self.tell_refused(commit, &problems);
        self.tell_config(commit, problems.clone(), self.facts.borrow().needs_restart.clone());
        SyncError::Refused(problems)
    }

    /// The same for those who look at the config, wherever it is from.
    fn tell_config(&self, commit: &GitCommit, problems: Vec<String>, needs_restart: Vec<String>) {
        let good = ConfigFacts::good(Some(self.clone.place(commit).into()));
        self.deps.config_facts.send_replace(ConfigFacts { problems, needs_restart, ..good });
    }

    /// Problems with where they are.
    fn placed(&self, commit: &GitCommit, problems: Vec<String>) -> Vec<String> {
        let place = self.clone.place(commit);
        problems.into_iter().map(|problem| format!("{place}: {problem}")).collect()
    }
}

/// A time that is not the same on all machines, so that they do not all come at once.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.9..1.1))
}
