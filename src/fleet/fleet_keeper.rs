//! The task that follows the fleet: news, this replica's lease and report, and the election of a leader.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until};

use super::config_print::config_print;
use super::etcd_client::{EtcdClient, EtcdError};
use super::etcd_port::LeaderMark;
use super::etcd_watch::{EtcdWatch, WatchNews};
use super::etcd_words::{self, EtcdEvent, EtcdNews};
use super::fleet_facts::FleetFacts;
use super::fleet_handle::FleetHandle;
use super::fleet_keys::{BadPair, FleetKey, FleetKeys, FleetMember};
use super::fleet_start::{FleetJoined, gone};
use crate::config::FleetConfig;
use crate::control::Handle;
use crate::control::fleet::fleet_link::{FleetRefusal, FleetStanding};
use crate::control::fleet::fleet_port::FleetUpdate;
use crate::control::handle::WriterGone;
use crate::control::publish::Published;
use crate::control::watch::ConfigFacts;
use crate::problem::chain;

/// How long a replica that says nothing is counted among the live ones.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// How often it says something.
const BEAT: Duration = Duration::from_secs(3);

/// So much sooner than etcd a leader takes itself for none: clocks run differently, and threads wait.
pub(super) const MARGIN: Duration = Duration::from_secs(3);

/// How often everything is read again although nothing was missed, as far as is known.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// The pauses between two tries to come back: of chance, up to these, so that a fleet does not come all at once.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct FleetKeeper {
    config: Arc<FleetConfig>,
    pub(super) keys: FleetKeys,
    pub(super) client: EtcdClient,
    handle: Handle,
    pub(super) leader: LeaderMark,
    pub(super) facts: watch::Sender<FleetFacts>,
    /// What this replica says of itself.
    pub(super) own: FleetMember,
    published: Published,
    config_facts: watch::Receiver<ConfigFacts>,
    /// Told when there is reason to try again at once.
    again: Arc<Notify>,
    pub(super) lease: Option<u64>,
    /// The last revision of etcd of which everything is known.
    seen: u64,
    /// When to stand for election; none while one leads.
    pub(super) campaign_at: Option<Instant>,
    failures: u32,
    /// Whether what was told of last, of a fleet that is not followed, was a refusal and not a silence.
    pub(super) told_refusal: Option<bool>,
}

/// What a keeper works with.
#[derive(Debug)]
pub(crate) struct FleetDeps {
    /// The writer.
    pub(crate) handle: Handle,
    /// The table in force.
    pub(crate) published: Published,
    /// Told when another config is in force.
    pub(crate) config: watch::Receiver<ConfigFacts>,
    /// Where the admin API is, if others may reach it there.
    pub(crate) address: Option<String>,
}

/// Why a replica is apart.
pub(super) enum Apart {
    /// etcd.
    Etcd(EtcdError),
    /// What is there must not be followed, or cannot be read.
    Refused(String),
    /// The writer has ended: the process ends, or the writer begins again.
    Writer(WriterGone),
}

impl From<EtcdError> for Apart {
    fn from(error: EtcdError) -> Self {
        Self::Etcd(error)
    }
}

impl From<WriterGone> for Apart {
    fn from(gone: WriterGone) -> Self {
        Self::Writer(gone)
    }
}

impl FleetKeeper {
    /// Goes on from what was found at the start, and how it is asked.
    pub(crate) fn new(joined: FleetJoined, deps: FleetDeps) -> (Self, FleetHandle) {
        let FleetDeps { handle, published, config: mut config_facts, address } = deps;
        config_facts.mark_changed();
        let FleetJoined { config, name, replica, leader } = joined;
        let facts = watch::Sender::new(FleetFacts::first(name.clone(), "etcd was not asked yet"));
        let advertised = config.advertise.as_ref().map(|url| url.to_string().trim_end_matches('/').to_owned());
        let own = FleetMember {
            name,
            replica,
            address: advertised.or(address),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: jiff::Timestamp::now().as_millisecond(),
            ..FleetMember::default()
        };
        let again = Arc::new(Notify::new());
        let asked = FleetHandle {
            config: Arc::clone(&config),
            facts: facts.subscribe(),
            replica: own.replica.as_str().into(),
            writer: handle.clone(),
            again: Arc::clone(&again),
        };
        let keeper = Self {
            keys: FleetKeys::below(&config.prefix),
            client: EtcdClient::new(&config),
            config,
            handle,
            leader,
            facts,
            own,
            published,
            config_facts,
            again,
            lease: None,
            seen: 0,
            campaign_at: None,
            failures: 0,
            told_refusal: None,
        };
        (keeper, asked)
    }

    /// Follows the fleet until `shutdown` ends, and then leaves it.
    pub(crate) async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.keep() => {}
        }
        self.lead_no_more();
        if let Some(lease) = self.lease.take() {
            // If etcd does not answer, the lease ends by itself.
            self.client.revoke(lease).await.ok();
        }
    }

    async fn keep(&mut self) {
        loop {
            let Err(apart) = self.attend().await;
            let (why, is_refusal) = match apart {
                Apart::Etcd(error) => (error.to_string(), false),
                Apart::Refused(why) => (why, true),
                Apart::Writer(gone) => (gone.to_string(), true),
            };
            // The writer may have ended; it begins with what it is told then.
            self.handle.fleet_apart(why.clone()).await.ok();
            self.tell_apart(why, is_refusal);
            self.failures = self.failures.saturating_add(1);
            let most = PAUSE_FIRST.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
            let pause = sleep(most.mul_f64(rand::rng().random_range(0.1..1.0)));
            tokio::select! {
                () = pause => {}
                () = self.again.notified() => {}
            }
        }
    }

    /// Joins the others, and follows them until something fails.
    async fn attend(&mut self) -> Result<std::convert::Infallible, Apart> {
        self.read_all().await?;
        self.hold_lease().await?;
        self.report(true).await?;
        self.tell_together();
        let mut watch = EtcdWatch::begin(&self.client, &self.keys, self.seen);
        let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read_again = Instant::now() + jittered(READ_AGAIN);
        loop {
            let campaign = self.campaign_at.unwrap_or(read_again);
            let is_whole = tokio::select! {
                news = watch.next() => match news {
                    WatchNews::News(news) => self.take_news(news).await?,
                    WatchNews::Ended(why) => {
                        tracing::debug!(why, "the watch on the fleet has ended, everything is read again");
                        false
                    }
                },
                _ = beat.tick() => self.hold_lease().await? <= self.seen || self.is_known().await?,
                () = sleep_until(campaign) => {
                    self.campaign().await?;
                    true
                }
                () = sleep_until(read_again) => false,
            };
            if !is_whole {
                self.read_all().await?;
                watch = EtcdWatch::begin(&self.client, &self.keys, self.seen);
                read_again = Instant::now() + jittered(READ_AGAIN);
            }
            self.report(false).await?;
            self.failures = 0;
        }
    }

    /// Reads everything that everybody follows.
    async fn read_all(&mut self) -> Result<(), Apart> {
        let live = self.client.range(&etcd_words::all(&self.keys.live())).await?;
        let FleetStanding { mark, revision, .. } = self.handle.fleet_standing().await?;
        let known = if mark.fleet.is_empty() { 0 } else { revision };
        let missed = etcd_words::from(&self.keys.revision(known + 1), &self.keys.revisions());
        let missed = self.client.range(&missed).await?;
        let update = self.keys.update(live.kvs.iter().chain(&missed.kvs)).map_err(|bad| refused(&bad))?;
        let found = update.as_ref().and_then(|update| update.state.as_ref());
        if mark.fleet.is_empty() || found.is_none_or(|state| state.fleet == mark.fleet) {
            // Also who does not follow what is there knows who else there is.
            let members = self.keys.members(&live.kvs);
            self.facts.send_modify(|facts| facts.members = members);
        }
        match update.filter(|update| update.state.is_some()) {
            Some(mut update) => {
                let last = update.state.as_ref().map_or(0, |state| state.revision);
                update.revisions.retain(|revision| revision.number <= last);
                self.put_in_force(update).await?;
            }
            None if mark.fleet.is_empty() => self.seed().await?,
            None => {
                self.report_apart().await?;
                return Err(Apart::Refused(gone(&self.config.prefix)));
            }
        }
        let leader = live.kvs.iter().find(|pair| self.keys.read(&pair.key) == Some(FleetKey::Leader));
        self.note_leader(leader);
        self.seen = live.header.revision;
        Ok(())
    }

    /// Begins the fleet with what this replica has.
    async fn seed(&mut self) -> Result<(), Apart> {
        // Another one may have been faster: what it has is read at the next try.
        let standing = self.handle.fleet_seed(false).await.map_err(|error| Apart::Refused(chain(&error)))?;
        self.note_standing(&standing);
        Ok(())
    }

    async fn put_in_force(&mut self, update: FleetUpdate) -> Result<(), Apart> {
        let news = self.handle.fleet_news(Box::new(update)).await?;
        if let Err(FleetRefusal::Back { .. }) = news {
            self.report_apart().await?;
        }
        self.note_standing(&news.map_err(|refusal| Apart::Refused(refusal.to_string()))?);
        Ok(())
    }

    /// Says what this replica has although it does not follow what is there: one that has less learns who has more.
    async fn report_apart(&mut self) -> Result<(), Apart> {
        let standing = self.handle.fleet_standing().await?;
        self.note_standing(&standing);
        self.hold_lease().await?;
        self.report(true).await
    }

    fn note_standing(&mut self, standing: &FleetStanding) {
        (self.own.revision, self.own.generation) = (standing.revision, standing.mark.generation);
        self.own.misfits.clone_from(&standing.misfits);
    }

    /// Takes what a watch tells. Whether it was all of it: a replica that has missed revisions reads everything.
    async fn take_news(&mut self, news: EtcdNews) -> Result<bool, Apart> {
        let EtcdNews { header, events, .. } = news;
        let (mut pairs, mut leader) = (Vec::new(), None);
        for EtcdEvent { kv, .. } in events.iter().filter(|event| !event.is_gone()) {
            match self.keys.read(&kv.key) {
                Some(FleetKey::Member(name)) => self.note_member(name, serde_json::from_str(&kv.value).ok()),
                Some(FleetKey::Leader) => leader = Some(kv),
                Some(FleetKey::State | FleetKey::Rollout(_) | FleetKey::Revision) => pairs.push(kv),
                None => {}
            }
        }
        if let Some(leader) = leader {
            self.note_leader(Some(leader));
        }
        for event in events.iter().filter(|event| event.is_gone()) {
            match self.keys.read(&event.kv.key) {
                Some(FleetKey::Member(name)) => self.note_member(name, None),
                Some(FleetKey::Leader) => self.note_leader(None),
                Some(FleetKey::State) => return Ok(false),
                Some(FleetKey::Rollout(_) | FleetKey::Revision) | None => {}
            }
        }
        if let Some(update) = self.keys.update(pairs).map_err(|bad| refused(&bad))? {
            let first = update.revisions.first().map(|revision| revision.number);
            let next = update.state.as_ref().map_or(0, |state| state.revision);
            let has_hole = next > self.own.revision && first.is_none_or(|first| first > self.own.revision + 1);
            if has_hole {
                return Ok(false);
            }
            self.put_in_force(update).await?;
        }
        self.seen = self.seen.max(header.revision);
        self.facts.send_modify(|facts| facts.heard_ms = Some(now_ms()));
        Ok(true)
    }

    /// Whether what is below the prefix is as it was when everything was known: others may use this etcd as well.
    async fn is_known(&mut self) -> Result<bool, Apart> {
        let live = self.client.range(&etcd_words::all_keys(&self.keys.live())).await?;
        // A watch that is alive tells of it before the next beat.
        let newest = live.kvs.iter().map(|pair| pair.mod_revision).max().unwrap_or_default();
        let is_known = newest <= self.seen;
        if is_known {
            self.seen = live.header.revision;
        }
        Ok(is_known)
    }

    fn note_member(&self, name: &str, member: Option<FleetMember>) {
        self.facts.send_modify(|facts| {
            match member {
                Some(member) => facts.members.insert(name.to_owned(), member),
                None => facts.members.remove(name),
            };
        });
    }

    /// Lets the lease begin again, or gets one. Returns how far etcd is.
    async fn hold_lease(&mut self) -> Result<u64, Apart> {
        let asked = Instant::now();
        if let Some(lease) = self.lease {
            let kept = self.client.keep_alive(lease).await?;
            if kept.ttl > 0 {
                if self.facts.borrow().leads_until.is_some() {
                    self.facts.send_modify(|facts| facts.leads_until = Some(asked + LEASE - MARGIN));
                }
                self.facts.send_modify(|facts| facts.heard_ms = Some(now_ms()));
                return Ok(kept.header.revision);
            }
            self.lead_no_more();
        }
        self.lease = Some(self.client.grant(LEASE).await?);
        self.report(true).await?;
        Ok(self.seen)
    }

    /// Says what this replica has, if that is new; `anew` with a lease that knows nothing of it.
    async fn report(&mut self, anew: bool) -> Result<(), Apart> {
        let Some(lease) = self.lease else { return Ok(()) };
        if self.config_facts.has_changed().unwrap_or(false) {
            self.config_facts.mark_unchanged();
            self.own.config = config_print(&self.published.load());
        }
        let own = self.own.clone();
        let told = self.facts.borrow().members.get(&own.name).cloned();
        if let Some(other) = told.as_ref().filter(|told| told.replica != own.replica) {
            let address = other.address.as_deref().unwrap_or("it does not say where");
            return Err(Apart::Refused(format!(
                "found another replica named {} in the fleet (its admin API: {address}), want one of each name; set \
                 fleet.name on one of the two",
                own.name
            )));
        }
        if !anew && told.as_ref() == Some(&own) {
            return Ok(());
        }
        let text = serde_json::to_string(&own).map_err(|error| Apart::Refused(error.to_string()))?;
        let put = etcd_words::put(&self.keys.member(&own.name), &text, lease);
        self.client.txn(Vec::new(), vec![put], Vec::new()).await?;
        self.note_member(&own.name.clone(), Some(own));
        Ok(())
    }
}

pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// What is there cannot be read.
fn refused(bad: &BadPair) -> Apart {
    Apart::Refused(bad.to_string())
}

/// A time that is not the same on all replicas.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.8..1.2))
}
