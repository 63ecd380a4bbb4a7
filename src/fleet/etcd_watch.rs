//! A watch on all keys of a fleet, as a task of its own.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::etcd_client::{EtcdClient, EtcdError};
use super::etcd_words::{self, EtcdLine, EtcdNews};
use super::fleet_keys::FleetKeys;

/// So much news may wait. Who is further behind reads everything again, which is less.
const NEWS_MAX: usize = 1_024;

/// The longest line of an answer: a document with the revision that made it.
const LINE_BYTES_MAX: usize = 16 << 20;

/// etcd says something every ten minutes when there is no news. A watch that has died without a word is found sooner,
/// by the beat of the lease.
const SILENCE: Duration = Duration::from_secs(11 * 60);

/// What a watch brings.
#[derive(Debug)]
pub(crate) enum WatchNews {
    /// News.
    News(EtcdNews),
    /// It has ended; why is for the log.
    Ended(String),
}

/// A watch; ended when it is dropped.
#[derive(Debug)]
pub(crate) struct EtcdWatch {
    news: mpsc::Receiver<WatchNews>,
    task: AbortHandle,
}

impl Drop for EtcdWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EtcdWatch {
    /// Begins with the revision of etcd after `seen`.
    pub(crate) fn begin(client: &EtcdClient, keys: &FleetKeys, seen: u64) -> Self {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let (mut client, what) = (client.clone(), etcd_words::watch(&keys.all(), seen + 1));
        let task = tokio::task::spawn_local(async move {
            let mut lines = NewsLines::default();
            let take = |bytes: &[u8]| lines.take(bytes, &sender);
            let ended = client.watch(&what, SILENCE, take).await;
            let why =
                lines.why.take().unwrap_or_else(|| ended.err().as_ref().map_or_else(closed, EtcdError::to_string));
            // Who has let go of it wants to hear nothing.
            sender.send(WatchNews::Ended(why)).await.ok();
        });
        Self { news, task: task.abort_handle() }
    }

    /// The next news.
    pub(crate) async fn next(&mut self) -> WatchNews {
        self.news.recv().await.unwrap_or_else(|| WatchNews::Ended(closed()))
    }
}

fn closed() -> String {
    "etcd has closed the watch".to_owned()
}

/// The answer of a watch: a JSON object a line, in pieces.
#[derive(Debug, Default)]
struct NewsLines {
    rest: Vec<u8>,
    /// Why it was let go of.
    why: Option<String>,
}

impl NewsLines {
    fn take(&mut self, bytes: &[u8], sender: &mpsc::Sender<WatchNews>) -> ControlFlow<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if let Err(end) = told(&line, sender) {
                self.why = Some(end.to_string());
                return ControlFlow::Break(());
            }
        }
        if self.rest.len() > LINE_BYTES_MAX {
            self.why = Some(format!("found a line of more than {LINE_BYTES_MAX} bytes"));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Why a watch is let go of.
#[derive(Debug, thiserror::Error)]
enum WatchEnd {
    /// What came is no line of a watch.
    #[error("no line of a watch: {0}")]
    NoLine(#[from] serde_json::Error),
    /// etcd has said so.
    #[error("{0}")]
    Said(String),
    /// etcd does not go on with it.
    #[error("etcd has canceled the watch: {0:?}")]
    Canceled(String),
    /// What was asked for is forgotten.
    #[error("etcd has forgotten what was before its revision {0}")]
    Compacted(u64),
    /// Too much has come at once.
    #[error("more than {NEWS_MAX} news wait")]
    Behind,
}

/// Passes a line on, unless it is the last one: after a watch was canceled etcd leaves its answer open.
fn told(line: &[u8], sender: &mpsc::Sender<WatchNews>) -> Result<(), WatchEnd> {
    let line: EtcdLine<EtcdNews> = serde_json::from_slice(line)?;
    let Some(news) = line.result else { return Err(WatchEnd::Said(line.error.unwrap_or_default().to_string())) };
    if news.canceled {
        return Err(match news.compact_revision {
            0 => WatchEnd::Canceled(news.cancel_reason),
            compact => WatchEnd::Compacted(compact),
        });
    }
    sender.try_send(WatchNews::News(news)).map_err(|_full| WatchEnd::Behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_pieces_and_a_canceled_watch_ends() {
        let (sender, mut news) = mpsc::channel(2);
        let mut lines = NewsLines::default();
        let text = "{\"result\":{\"header\":{\"revision\":\"4\"},\"created\":true}}\n{\"result\":{\"header\":{\"revi";
        assert_eq!(lines.take(text.as_bytes(), &sender), ControlFlow::Continue(()));
        assert_eq!(lines.take(b"sion\":\"5\"}}}\n".get(..12).expect("bytes"), &sender), ControlFlow::Continue(()));
        assert_eq!(lines.take(b"\n", &sender), ControlFlow::Continue(()));
        let revisions: Vec<u64> = std::iter::from_fn(|| match news.try_recv().ok()? {
            WatchNews::News(news) => Some(news.header.revision),
            WatchNews::Ended(_) => None,
        })
        .collect();
        assert_eq!(revisions, [4, 5]);
        let gone = b"{\"result\":{\"canceled\":true,\"compact_revision\":\"3\"}}\n";
        assert_eq!(lines.take(gone, &sender), ControlFlow::Break(()));
        assert_eq!(lines.why.as_deref(), Some("etcd has forgotten what was before its revision 3"));
    }

    #[test]
    fn an_error_and_what_is_no_json_end_it_too() {
        let (sender, _news) = mpsc::channel(1);
        for (line, why) in [("{\"error\":{\"message\":\"x\"}}\n", "\"x\""), ("<html>\n", "no line of a watch")] {
            let mut lines = NewsLines::default();
            assert_eq!(lines.take(line.as_bytes(), &sender), ControlFlow::Break(()));
            assert!(lines.why.as_ref().is_some_and(|found| found.contains(why)), "{:?}", lines.why);
        }
        let mut lines = NewsLines::default();
        let many = "{\"result\":{}}\n".repeat(2);
        assert_eq!(lines.take(many.as_bytes(), &sender), ControlFlow::Break(()), "there is room for one");
    }
}
