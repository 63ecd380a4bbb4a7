//! Tells people, or their machines, what rollouts do.
//!
//! A caller that has something to tell never waits: its message goes into a queue, and from there into one for each
//! target, so that a target that is slow or gone delays no other. A target gets its messages in order, one at a time;
//! one that fails is sent again under the same number, after pauses that double, and at last given up. A queue that is
//! full drops what is new: what it holds is the beginning of a story that its reader has not heard yet, and a reader of
//! the rest sees in the admin API how it went on.
//!
//! Targets are followed as the config changes, by name: a target whose URL or secret was mended goes on at once with
//! what it holds. Secrets are read for each attempt, so that a file can be replaced at any time; a message that should
//! be signed is never sent without.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::timeout;

use super::secret::{Secret, SecretFault};
use super::webhook::{Delivery, WebhookClient, WebhookError};
use crate::problem::chain;
use crate::rollout::event::EventWord;
use crate::rollout::release::{Notify, Webhook};
use crate::stats::deliveries::{Deliveries, DeliveryOutcome, TargetDeliveries};
use crate::table::Name;

/// Messages that wait for one target, or for being handed out: a rollout has about ten to tell, an hour's outage of a
/// receiver is outlived by several rollouts.
const QUEUE_MAX: usize = 64;

/// What the last messages get before the process ends.
const GRACE: Duration = Duration::from_secs(3);

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The word for what happened.
    pub event: EventWord,
    /// The message's number: the same for all targets and each time that it is sent.
    pub id: String,
    /// What happened, for machines.
    pub json: Map<String, Value>,
    /// The same for people; it becomes the key `text`, which is what Slack and its like show.
    pub text: String,
}

/// Takes what is to be told; clones share the queue.
#[derive(Clone, Debug)]
pub struct Notifier {
    queue: mpsc::Sender<Arc<QueuedEvent>>,
    counters: Arc<Deliveries>,
}

/// A message as it is sent.
#[derive(Debug)]
struct QueuedEvent {
    event: EventWord,
    id: String,
    body: Bytes,
}

/// Brings messages to their targets; the caller has to [run](Dispatcher::run) it.
#[derive(Debug)]
pub struct Dispatcher {
    queue: mpsc::Receiver<Arc<QueuedEvent>>,
    targets: watch::Receiver<Vec<Arc<Notify>>>,
    webhook_client: WebhookClient,
    random: StdRng,
    backoff: Backoff,
    counters: Arc<Deliveries>,
    target_queues: HashMap<Name, TargetQueue>,
    running: JoinSet<()>,
}

/// The two ends: for those who tell, and for the task that brings it to `targets`. `random` spreads the retries.
#[must_use]
pub fn notifier(
    targets: watch::Receiver<Vec<Arc<Notify>>>,
    webhook_client: WebhookClient,
    random: StdRng,
) -> (Notifier, Dispatcher) {
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let counters = Arc::<Deliveries>::default();
    counters.set_present(targets.borrow().iter().map(|target| target.name.clone()));
    let notifier = Notifier { queue: sender, counters: Arc::clone(&counters) };
    let (target_queues, running) = (HashMap::new(), JoinSet::new());
    (
        notifier,
        Dispatcher {
            queue,
            targets,
            webhook_client,
            random,
            backoff: Backoff::USUAL,
            counters,
            target_queues,
            running,
        },
    )
}

impl Notifier {
    /// Tells all targets, some time. Never waits.
    pub fn tell(&self, message: Notification) {
        let Notification { event, id, mut json, text } = message;
        json.insert("text".to_owned(), Value::String(text));
        let body = Bytes::from(Value::Object(json).to_string());
        let name = event.word();
        if let Err(error) = self.queue.try_send(Arc::new(QueuedEvent { event, id, body })) {
            self.counters.drop_for_all();
            let (queued, why) = match error {
                TrySendError::Full(queued) => (queued, "too many wait already"),
                TrySendError::Closed(queued) => (queued, "the process is about to end"),
            };
            tracing::warn!(event = name, id = queued.id, why, "a notification is dropped");
        }
    }

    /// What became of messages so far, and will become of others.
    #[must_use]
    pub fn deliveries(&self) -> Arc<Deliveries> {
        Arc::clone(&self.counters)
    }
}

impl Dispatcher {
    /// Brings messages to their targets until `shutdown` ends or no sender is left; then what is left has a few
    /// seconds.
    pub async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        self.adapt();
        let mut followed = true;
        loop {
            tokio::select! {
                // First the targets, then a message: what is told after a reload goes where the reload says.
                biased;
                () = &mut shutdown => break,
                changed = self.targets.changed(), if followed => {
                    followed = changed.is_ok();
                    self.adapt();
                }
                queued = self.queue.recv() => match queued {
                    Some(queued) => self.hand_out(&queued),
                    None => break,
                },
            }
        }
        self.finish().await;
    }

    /// Makes queues for the targets that there are.
    fn adapt(&mut self) {
        let targets = self.targets.borrow_and_update().clone();
        let mut before = std::mem::take(&mut self.target_queues);
        for target in targets {
            // One that has ended did so by a bug, with the message that it had.
            let target_queue = before.remove(&target.name).filter(|target_queue| !target_queue.running.is_finished());
            let target_queue = target_queue.unwrap_or_else(|| self.begin(&target));
            target_queue.target.send_if_modified(|known| {
                let changed = **known != *target;
                known.clone_from(&target);
                changed
            });
            self.target_queues.insert(target.name.clone(), target_queue);
        }
        before.into_values().for_each(|target_queue| target_queue.running.abort());
        self.counters.set_present(self.target_queues.keys().cloned());
    }

    fn begin(&mut self, target: &Arc<Notify>) -> TargetQueue {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (settings, followed) = watch::channel(Arc::clone(target));
        let worker = TargetWorker {
            queue,
            target: followed,
            webhook_client: self.webhook_client.clone(),
            random: StdRng::from_rng(&mut self.random),
            backoff: self.backoff,
            counters: self.counters.of(&target.name),
        };
        TargetQueue { queue: sender, target: settings, running: self.running.spawn(worker.run()) }
    }

    fn hand_out(&mut self, queued: &Arc<QueuedEvent>) {
        // The results of workers that were ended are not kept.
        while self.running.try_join_next().is_some() {}
        if self.target_queues.values().any(|target_queue| target_queue.running.is_finished()) {
            self.adapt();
        }
        for (target, target_queue) in &self.target_queues {
            if !target_queue.target.borrow().events.contains(&queued.event) {
                continue;
            }
            if target_queue.queue.try_send(Arc::clone(queued)).is_err() {
                self.counters.of(target).count(DeliveryOutcome::Dropped);
                let (event, id, why) = (queued.event.word(), &queued.id, "too many wait for this target already");
                tracing::warn!(target_name = target.as_str(), event, id, why, "a notification is dropped");
            }
        }
    }

    async fn finish(&mut self) {
        while let Ok(queued) = self.queue.try_recv() {
            self.hand_out(&queued);
        }
        // Each worker ends after what it holds.
        self.target_queues.clear();
        let all = async { while self.running.join_next().await.is_some() {} };
        if timeout(GRACE, all).await.is_err() {
            tracing::warn!("the process ends before all notifications were delivered");
        }
    }
}

/// The way to one target.
#[derive(Debug)]
struct TargetQueue {
    queue: mpsc::Sender<Arc<QueuedEvent>>,
    target: watch::Sender<Arc<Notify>>,
    running: AbortHandle,
}

/// Walks that way.
struct TargetWorker {
    queue: mpsc::Receiver<Arc<QueuedEvent>>,
    target: watch::Receiver<Arc<Notify>>,
    webhook_client: WebhookClient,
    random: StdRng,
    backoff: Backoff,
    counters: Arc<TargetDeliveries>,
}

/// An attempt that failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("nothing is sent without its signature")]
    Secret(#[from] SecretFault),
    #[error("nothing is sent without its signature, and the secret was not read")]
    SecretLost(#[from] JoinError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
}

impl AttemptError {
    fn may_pass(&self) -> bool {
        match self {
            // An operator may be replacing the file at this moment.
            Self::Secret(_) | Self::SecretLost(_) => true,
            Self::Webhook(error) => error.may_pass(),
        }
    }
}

impl TargetWorker {
    async fn run(mut self) {
        while let Some(queued) = self.queue.recv().await {
            self.deliver(&queued).await;
        }
    }

    async fn deliver(&mut self, queued: &QueuedEvent) {
        let mut retries = 0;
        loop {
            let target = Arc::clone(&self.target.borrow_and_update());
            let Err(error) = self.attempt(&target, queued).await else {
                self.counters.count(DeliveryOutcome::Delivered);
                return;
            };
            let (target_name, event, id, line) = (target.name.as_str(), queued.event.word(), &queued.id, chain(&error));
            if retries >= target.retries || !error.may_pass() {
                self.counters.count(DeliveryOutcome::Failed);
                tracing::error!(target_name, event, id, error = line, "a notification is given up");
                return;
            }
            let pause = self.backoff.pause(retries, self.random.random());
            tracing::warn!(target_name, event, id, error = line, ?pause, "a notification will be sent again");
            retries += 1;
            self.wait(pause).await;
        }
    }

    /// Waits, but no longer once the target is another one.
    async fn wait(&mut self, pause: Duration) {
        let changed = async {
            if self.target.changed().await.is_err() {
                // It will not change any more.
                std::future::pending::<()>().await;
            }
        };
        let _changed_or_over = timeout(pause, changed).await;
    }

    async fn attempt(&self, target: &Notify, queued: &QueuedEvent) -> Result<(), AttemptError> {
        let secret = match &target.secret_file {
            Some(file) => Some(secret(file.clone()).await?),
            None => None,
        };
        let QueuedEvent { event, id, body } = queued;
        let delivery = Delivery {
            event: event.word(),
            id,
            body: body.clone(),
            secret: secret.as_ref().map(|secret| &*secret.bytes),
        };
        let webhook = Webhook { url: target.url.clone(), timeout: target.timeout };
        self.webhook_client.post(&webhook, &delivery).await?;
        Ok(())
    }
}

/// The secret in a file, read on a thread that may wait for it.
async fn secret(file: PathBuf) -> Result<Secret, AttemptError> {
    Ok(tokio::task::spawn_blocking(move || Secret::read(&file)).await??)
}

/// The pauses between attempts.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    shortest: Duration,
    longest: Duration,
}

impl Backoff {
    /// Short enough for a restart of the receiver, long enough to be no load on one that is ill.
    const USUAL: Self = Self { shortest: Duration::from_secs(1), longest: Duration::from_secs(60) };

    /// The pause before retry number `retry`, from 0: it doubles, and the upper half of it is by `chance`, 0 to 1, so
    /// that many senders do not come back at the same moment.
    fn pause(self, retry: u32, chance: f64) -> Duration {
        let doubled = 2u32.checked_pow(retry.saturating_add(1)).and_then(|factor| self.shortest.checked_mul(factor));
        let longest = doubled.unwrap_or(self.longest).min(self.longest);
        longest.mul_f64(0.5 + 0.5 * chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::super::fixture::{Seen, Server, ServerAct};
    use super::super::sign::{SIGNATURE, TIMESTAMP, signature};
    use super::super::webhook::{DELIVERY, EVENT};

    /// What became of all messages.
    #[derive(Debug, PartialEq, Eq)]
    struct DeliveryCounts {
        delivered: u64,
        failed: u64,
        dropped: u64,
    }

    impl DeliveryCounts {
        fn of(notifier: &Notifier) -> Self {
            let total = |outcome| notifier.deliveries().total(outcome);
            let (delivered, failed) = (total(DeliveryOutcome::Delivered), total(DeliveryOutcome::Failed));
            Self { delivered, failed, dropped: total(DeliveryOutcome::Dropped) }
        }
    }

    const LONG: Duration = Duration::from_secs(60);
    const QUICK: Backoff = Backoff { shortest: Duration::from_millis(5), longest: Duration::from_millis(20) };

    fn target(name: &str, server: &Server, retries: u32) -> Notify {
        let url = format!("http://{}/{name}", server.address).parse().unwrap();
        Notify {
            name: Name::new(name).unwrap(),
            url,
            secret_file: None,
            timeout: LONG,
            retries,
            events: EventWord::usual(),
        }
    }

    fn message(id: &str) -> Notification {
        let json = serde_json::json!({"service": "shop"});
        let Value::Object(json) = json else { unreachable!() };
        Notification { event: EventWord::Advanced, id: id.to_owned(), json, text: "shop: v2 gets 10 %".to_owned() }
    }

    /// A dispatcher at work.
    struct AtWork {
        notifier: Notifier,
        targets: watch::Sender<Vec<Arc<Notify>>>,
        shutdown: oneshot::Sender<()>,
        running: JoinHandle<()>,
    }

    impl AtWork {
        fn new(targets: impl IntoIterator<Item = Notify>, backoff: Backoff) -> Self {
            let (targets, followed) = watch::channel(targets.into_iter().map(Arc::new).collect());
            let (notifier, dispatcher) = notifier(followed, WebhookClient::default(), StdRng::seed_from_u64(7));
            let (shutdown, ended) = oneshot::channel::<()>();
            let mut dispatcher = Dispatcher { backoff, ..dispatcher };
            let running = tokio::spawn(async move { dispatcher.run(async { drop(ended.await) }).await });
            Self { notifier, targets, shutdown, running }
        }

        /// Ends it, and says what became of the messages.
        async fn end(self) -> DeliveryCounts {
            self.shutdown.send(()).unwrap();
            self.running.await.unwrap();
            DeliveryCounts::of(&self.notifier)
        }
    }

    fn id(seen: &Seen) -> &str {
        seen.header(DELIVERY).unwrap()
    }

    #[test]
    fn pauses_double_within_their_bounds() {
        let pause = |retry, chance| Backoff::USUAL.pause(retry, chance).as_millis();
        assert_eq!(
            [0, 1, 4, 5, 40, u32::MAX].map(|retry| pause(retry, 0.0)),
            [1000, 2000, 16_000, 30_000, 30_000, 30_000]
        );
        assert_eq!([0, 1, 4, 5, 40].map(|retry| pause(retry, 1.0)), [2000, 4000, 32_000, 60_000, 60_000]);
    }

    #[tokio::test]
    async fn a_message_is_sent_again_under_its_number_until_it_is_taken_and_then_the_next() {
        let busy = || ServerAct::answer("503 Busy", "");
        let ok = || ServerAct::answer("200 OK", "");
        let mut server =
            Server::new([busy(), ServerAct::raw("garbage\r\n\r\n"), ServerAct::answer("429 Many", ""), ok(), ok()])
                .await;
        let work = AtWork::new([target("chat", &server, 3)], QUICK);
        work.notifier.tell(message("m-1"));
        work.notifier.tell(message("m-2"));
        let mut ids = Vec::new();
        for _ in 0..5 {
            let seen = server.seen().await;
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            assert_eq!(body, serde_json::json!({"service": "shop", "text": "shop: v2 gets 10 %"}));
            assert_eq!((seen.line.as_str(), seen.header(EVENT)), ("POST /chat HTTP/1.1", Some("advanced")));
            ids.push(id(&seen).to_owned());
        }
        assert_eq!(ids, ["m-1", "m-1", "m-1", "m-1", "m-2"]);
        assert_eq!(work.end().await, DeliveryCounts { delivered: 2, failed: 0, dropped: 0 });
    }

    #[tokio::test]
    async fn it_is_given_up_after_its_retries_or_when_told_that_it_is_wrong() {
        let bad = || ServerAct::answer("500 Oh", "");
        let acts = [bad(), bad(), bad(), ServerAct::answer("404 No", ""), ServerAct::answer("200 OK", "")];
        let mut server = Server::new(acts).await;
        let work = AtWork::new([target("chat", &server, 2)], QUICK);
        ["m-1", "m-2", "m-3"].iter().for_each(|id| work.notifier.tell(message(id)));
        for wanted in ["m-1", "m-1", "m-1", "m-2", "m-3"] {
            assert_eq!(id(&server.seen().await), wanted);
        }
        assert_eq!(work.end().await, DeliveryCounts { delivered: 1, failed: 2, dropped: 0 });
    }

    #[tokio::test]
    async fn a_target_that_hangs_delays_no_other_and_drops_what_is_too_much() {
        let mut hung = Server::new([ServerAct::Hang]).await;
        let count = QUEUE_MAX + 3;
        let mut good = Server::new(vec![ServerAct::answer("200 OK", ""); count]).await;
        let work = AtWork::new([target("hung", &hung, 9), target("good", &good, 0)], QUICK);
        for number in 0..count {
            let id_sent = format!("m-{number}");
            work.notifier.tell(message(&id_sent));
            assert_eq!(id(&good.seen().await), id_sent);
            if number == 0 {
                // From here on, nothing leaves its queue.
                hung.seen().await;
            }
        }
        assert_eq!(work.notifier.deliveries().total(DeliveryOutcome::Dropped), 2);
        work.running.abort();
    }

    #[tokio::test]
    async fn the_sender_never_waits() {
        let server = Server::new([]).await;
        let (_targets, followed) = watch::channel(vec![Arc::new(target("chat", &server, 0))]);
        let (notifier, dispatcher) = notifier(followed, WebhookClient::default(), StdRng::seed_from_u64(7));
        (0..=QUEUE_MAX).for_each(|_| notifier.tell(message("m")));
        assert_eq!(notifier.deliveries().total(DeliveryOutcome::Dropped), 1);
        drop(dispatcher);
        // Nor when no dispatcher listens any more.
        notifier.tell(message("m"));
        assert_eq!(notifier.deliveries().total(DeliveryOutcome::Dropped), 2);
    }

    #[tokio::test]
    async fn secrets_are_read_each_time_and_nothing_is_sent_without() {
        fn signed_by(seen: &Seen, secret: &str) -> bool {
            let timestamp = seen.header(TIMESTAMP).unwrap().parse().unwrap();
            seen.header(SIGNATURE) == Some(signature(secret.as_bytes(), timestamp, seen.body.as_bytes()).as_str())
        }
        fn replace(file: &Path, text: &str) {
            std::fs::write(file.with_extension("new"), text).unwrap();
            std::fs::rename(file.with_extension("new"), file).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let ok = || ServerAct::answer("200 OK", "");
        let mut server = Server::new([ok(), ok(), ok()]).await;
        let without = Notify { secret_file: Some(file.clone()), ..target("chat", &server, 0) };
        let with_time = Notify { retries: u32::MAX, ..without.clone() };
        let work = AtWork::new([without], QUICK);
        work.notifier.tell(message("m-1"));
        while work.notifier.deliveries().total(DeliveryOutcome::Failed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        work.targets.send_replace(vec![Arc::new(with_time)]);
        work.notifier.tell(message("m-2"));
        replace(&file, "first\n");
        let seen = server.seen().await;
        assert!(id(&seen) == "m-2" && signed_by(&seen, "first"), "{seen:?}");
        replace(&file, "second");
        work.notifier.tell(message("m-3"));
        let seen = server.seen().await;
        assert!(id(&seen) == "m-3" && signed_by(&seen, "second"), "{seen:?}");
        assert_eq!(work.end().await, DeliveryCounts { delivered: 2, failed: 1, dropped: 0 });
    }

    #[tokio::test]
    async fn targets_follow_the_config_and_a_mended_one_goes_on_at_once() {
        let never = Backoff { shortest: LONG * 60, longest: LONG * 60 };
        let ok = || ServerAct::answer("200 OK", "");
        let mut ill = Server::new([ServerAct::answer("500 Oh", "")]).await;
        let (mut well, mut other) = (Server::new([ok(), ok()]).await, Server::new([ok()]).await);
        let work = AtWork::new([target("chat", &ill, 9)], never);
        work.notifier.tell(message("m-1"));
        assert_eq!(id(&ill.seen().await), "m-1");
        work.targets.send_replace(vec![Arc::new(target("chat", &well, 9))]);
        assert_eq!(id(&well.seen().await), "m-1");
        while work.notifier.deliveries().total(DeliveryOutcome::Delivered) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        work.targets.send_replace(vec![Arc::new(target("pager", &other, 9))]);
        work.notifier.tell(message("m-2"));
        assert_eq!(id(&other.seen().await), "m-2");
        assert_eq!(work.end().await, DeliveryCounts { delivered: 2, failed: 0, dropped: 0 });
    }

    #[tokio::test]
    async fn a_target_is_told_of_what_it_wants_to_know() {
        let ok = || ServerAct::answer("200 OK", "");
        let (mut pager, mut log) = (Server::new([ok()]).await, Server::new([ok(), ok(), ok()]).await);
        let urgent = Notify { events: vec![EventWord::Waiting], ..target("pager", &pager, 0) };
        let all = Notify { events: EventWord::ALL.into(), ..target("log", &log, 0) };
        let work = AtWork::new([urgent, all], QUICK);
        for (id, event) in [("m-1", EventWord::Progress), ("m-2", EventWord::Waiting), ("m-3", EventWord::Finished)] {
            work.notifier.tell(Notification { event, ..message(id) });
        }
        assert_eq!((id(&log.seen().await), id(&log.seen().await), id(&log.seen().await)), ("m-1", "m-2", "m-3"));
        assert_eq!(id(&pager.seen().await), "m-2");
        assert_eq!(
            work.end().await,
            DeliveryCounts { delivered: 4, failed: 0, dropped: 0 },
            "what it does not want is not dropped"
        );
    }

    #[tokio::test]
    async fn what_was_told_last_is_delivered_before_the_end() {
        let mut server = Server::new([ServerAct::answer("200 OK", ""), ServerAct::answer("200 OK", "")]).await;
        let work = AtWork::new([target("chat", &server, 0)], QUICK);
        ["m-1", "m-2"].iter().for_each(|id| work.notifier.tell(message(id)));
        assert_eq!(work.end().await, DeliveryCounts { delivered: 2, failed: 0, dropped: 0 });
        assert_eq!((id(&server.seen().await), id(&server.seen().await)), ("m-1", "m-2"));
    }
}
