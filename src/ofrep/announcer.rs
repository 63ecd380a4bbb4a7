//! Looks after each change of the table whether flags have changed, and tells those who wait for it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use super::change_event::FlagEdition;
use super::change_feed::{CHANNELS, ChangeFeed};
use super::flag_fingerprint::fingerprint;
use crate::table::Table;

/// How often a client hears something: below the 30 s after which the most impatient of common proxies hang up.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);

/// The pause between two channels that are told of a change: all of them have it after an eighth of a second.
const CHANNEL_PAUSE: Duration = Duration::from_millis(2);

/// What tells of changes.
#[derive(Debug)]
pub(crate) struct Announcer {
    /// Where they are told.
    pub(crate) feed: Arc<ChangeFeed>,
    /// The table.
    pub(crate) published: Arc<ArcSwap<Table>>,
    /// Told after each table that is put in force.
    pub(crate) changes: watch::Receiver<()>,
    /// The revision of the table that was looked at last.
    pub(crate) looked_at: u64,
}

/// The flags of a table, as clients are told of them.
#[must_use]
pub(crate) fn edition_of(table: &Table) -> FlagEdition {
    FlagEdition { revision: table.revision, fingerprint: fingerprint(table) }
}

impl Announcer {
    /// Tells of changes until `shutdown` ends.
    pub(crate) async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let channels = u32::try_from(CHANNELS).unwrap_or(u32::MAX);
        let (mut beats, mut pauses) = (interval(HEARTBEAT_INTERVAL / channels), interval(CHANNEL_PAUSE));
        let (mut beaten, mut told, mut left) = (0, 0, 0);
        // What changed before this ran.
        self.changes.mark_changed();
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = beats.tick() => {
                    self.feed.beat(beaten);
                    beaten = (beaten + 1) % CHANNELS;
                }
                // An error says that no table will follow.
                changed = self.changes.changed() => match changed {
                    Ok(()) if self.look() => {
                        left = CHANNELS;
                        pauses.reset_immediately();
                    }
                    Ok(()) => {}
                    Err(_gone) => return shutdown.await,
                },
                // Not a sleep each: a timer is up to a millisecond late, and all clients would wait for the sum.
                _ = pauses.tick(), if left > 0 => {
                    self.feed.tell(told);
                    told = (told + 1) % CHANNELS;
                    left -= 1;
                }
            }
        }
    }

    /// Notes the flags that are in force; whether all channels are to be told of them. It is looked at each table at
    /// once, and not when the channels know of the one before; one that was replaced before it was seen may have had
    /// other flags, and a client may have them.
    fn look(&mut self) -> bool {
        let edition = edition_of(&self.published.load_full());
        let passed_over = edition.revision > self.looked_at + 1;
        self.looked_at = edition.revision;
        let changed = passed_over || edition.fingerprint != self.feed.edition().fingerprint;
        if changed {
            self.feed.change(edition, jiff::Timestamp::now().as_second(), Instant::now());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::table::fixture::{name, spec, weights};
    use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FlagSpecs, Variant};

    fn table(revision: u64, serve: &str) -> Table {
        let variants = ["off", "on"].map(|variant| Variant { name: name(variant), json: "1".into() }).to_vec();
        let rule = FlagRuleSpec { name: name("launch"), when: None, serve: weights(serve) };
        let source = FlagSource::Rules { draw: DrawSpec::Salt("f".into()), rules: vec![rule] };
        let flag = FlagSpec { name: name("f"), variants, default: 0, enabled: true, source };
        let specs = FlagSpecs { flags: vec![Arc::new(flag)], told: BTreeMap::new() };
        crate::table::fixture::table([spec("shop", "v1=100")]).with_flags(revision, &specs, &BTreeMap::new())
    }

    #[tokio::test]
    async fn a_swap_that_changes_no_flag_tells_nobody_anything() {
        let published = Arc::new(ArcSwap::from_pointee(table(1, "on=10 off=90")));
        let feed = ChangeFeed::new(edition_of(&published.load_full()), 0, 10);
        let (_sender, changes) = watch::channel(());
        let mut announcer =
            Announcer { feed: Arc::clone(&feed), published: Arc::clone(&published), changes, looked_at: 1 };
        let mut client = feed.subscribe(None, Instant::now()).expect("a place");
        client.next().await.expect("a greeting");
        published.store(Arc::new(table(2, "on=10 off=90")));
        assert!(!announcer.look());
        assert_eq!(feed.edition().revision, 1);
        published.store(Arc::new(table(3, "on=20 off=80")));
        assert!(announcer.look());
        (0..CHANNELS).for_each(|channel| feed.tell(channel));
        let told = client.next().await.expect("an event");
        assert!(told.starts_with(b"id: 3-") && told.ends_with(b"\n\n"), "{told:?}");
        // What was in force in between was not seen here, but a client may have asked for it.
        published.store(Arc::new(table(5, "on=20 off=80")));
        assert!(announcer.look());
        assert_eq!(feed.edition().revision, 5);
    }

    #[tokio::test]
    async fn a_change_before_it_runs_is_told_and_every_client_hears_something() {
        let published = Arc::new(ArcSwap::from_pointee(table(1, "on=10 off=90")));
        let feed = ChangeFeed::new(edition_of(&published.load_full()), 0, 10);
        published.store(Arc::new(table(2, "on=20 off=80")));
        let (_sender, changes) = watch::channel(());
        let mut announcer = Announcer { feed: Arc::clone(&feed), published, changes, looked_at: 1 };
        let mut client = feed.subscribe(None, Instant::now()).expect("a place");
        client.next().await.expect("a greeting");
        let running = tokio::spawn(async move { announcer.run(std::future::pending()).await });
        let mut said = Vec::new();
        while said.last().is_none_or(|part: &bytes::Bytes| !part.starts_with(b"id: 2-")) {
            said.push(client.next().await.expect("an open feed"));
        }
        assert!(said[..said.len() - 1].iter().all(|part| **part == *b":\n\n"), "{said:?}");
        running.abort();
    }
}
