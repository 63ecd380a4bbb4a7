//! Certificates, keys and the admin API's tokens, read again when their files change, or on SIGHUP.
//!
//! Not the files are watched but the folders in which something can be renamed or swapped to make them other files:
//! their own, and that of every symlink on the way (Kubernetes swaps `..data`, certbot swaps `live/site/fullchain.pem`).
//! Where the way leads can change with each swap, so the folders are worked out again after every look. Network file
//! systems tell nobody that they changed, so there is a look a minute without being told, too.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::tls::sides::{News, Sides};

use super::admin::Access;

/// How long events may gather: a renewal writes the certificate and then the key, and both have to be there.
const SETTLE: Duration = Duration::from_millis(300);

/// How often files are read without an event.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// More symlinks than this on one way are a loop, as the kernel has it.
const SYMLINKS_MAX: usize = 40;

/// Watches the files of all sides, and those of tokens.
pub struct Renewal {
    sides: Arc<Sides>,
    access: Arc<Access>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<()>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Renewal {
    /// Begins to watch.
    #[must_use]
    pub fn new(sides: Arc<Sides>, access: Arc<Access>) -> Self {
        // One is enough: it says that something happened since the last look.
        let (changed, changes) = mpsc::channel(1);
        let on_event = move |event: notify::Result<notify::Event>| {
            let looked = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !looked {
                changed.try_send(()).ok();
            }
        };
        let watcher = notify::recommended_watcher(on_event);
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, every = ?LOOK_INTERVAL, "cannot watch certificates and tokens for changes; reading them now and then");
        });
        let mut renewal = Self { sides, access, watcher: watcher.ok(), watched: BTreeSet::new(), changes };
        renewal.watch();
        renewal
    }

    /// Reloads on changes, on `hangup` and now and then until `shutdown` ends.
    pub async fn run(mut self, mut hangup: Signal, shutdown: impl Future<Output = ()>) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = hangup.recv() => {}
                _ = looks.tick() => {}
                Some(()) = self.changes.recv() => {
                    sleep(SETTLE).await;
                    while self.changes.try_recv().is_ok() {}
                }
            }
            // Before the files are read: what changes after the read is an event then.
            self.watch();
            self.sides.reload().iter().for_each(tell);
            if let Some(outcome) = self.access.tokens().reload() {
                tell_tokens(&outcome);
            }
        }
    }

    /// Watches the folders that matter now.
    fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let sides = self.sides.files();
        let files = sides.iter().chain(self.access.tokens().files());
        let wanted: BTreeSet<PathBuf> = files.flat_map(|file| folders(file)).collect();
        for folder in self.watched.difference(&wanted) {
            // It may be gone, and its watch with it.
            watcher.unwatch(folder).ok();
        }
        let watch = |folder: &PathBuf| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok();
        // A folder that was replaced under the same name needs its watch anew, so all are watched again.
        self.watched = wanted.into_iter().filter(watch).collect();
    }
}

fn tell((place, outcome): &News) {
    match outcome {
        Ok(certificates) => {
            let now = jiff::Timestamp::now().as_second();
            let names: Vec<_> = certificates.iter().map(|certificate| certificate.name.as_str()).collect();
            tracing::info!(%place, certificates = ?names, "the TLS files are good and in use");
            for warning in certificates.iter().filter_map(|certificate| certificate.warning(now)) {
                tracing::warn!(%place, "{warning}");
            }
        }
        Err(problems) => {
            tracing::error!(%place, ?problems, "new TLS files are refused, the old ones stay in use");
        }
    }
}

fn tell_tokens(outcome: &Result<Vec<String>, Vec<String>>) {
    match outcome {
        Ok(tokens) => tracing::info!(new = ?tokens, "the tokens of the admin API are good and in use"),
        Err(problems) => tracing::error!(?problems, "new tokens are refused, the old ones stay in use"),
    }
}

/// The folder of `file`, and that of every symlink on the way to it.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut ways) = (BTreeSet::new(), vec![file.to_owned()]);
    for _ in 0..SYMLINKS_MAX {
        let Some(way) = ways.pop() else { break };
        found.insert(parent(&way));
        for part in way.ancestors() {
            if let Ok(target) = part.read_link() {
                let folder = parent(part);
                let rest = way.strip_prefix(part).unwrap_or(Path::new(""));
                let target = folder.join(target);
                ways.push(if rest.as_os_str().is_empty() { target } else { target.join(rest) });
                found.insert(folder);
            }
        }
    }
    found
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_folder_in_which_a_swap_matters_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("mount/..2024")).unwrap();
        std::fs::write(at("mount/..2024/tls.crt"), "").unwrap();
        symlink("..2024", at("mount/..data")).unwrap();
        symlink("..data/tls.crt", at("mount/tls.crt")).unwrap();
        symlink("mount", at("current")).unwrap();
        let found = folders(&at("current/tls.crt"));
        for folder in ["current", "", "mount", "current/..data", "mount/..2024"] {
            let there = found
                .iter()
                .any(|found| *found == at(folder) || found.canonicalize().ok() == at(folder).canonicalize().ok());
            assert!(there, "{folder:?} is missing in {found:?}");
        }
        symlink("loop", at("loop")).unwrap();
        assert!(!folders(&at("loop")).is_empty(), "a loop ends");
    }
}
