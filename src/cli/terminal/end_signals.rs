//! Signals to end, as events.

use std::io;
use std::sync::mpsc::Sender;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Turns the signals to end into the event that `end` makes. The thread lives as long as the process.
///
/// # Errors
/// When the system has no thread or no descriptors left.
pub(crate) fn watch<E: Send + 'static>(events: Sender<E>, end: fn() -> E) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let registered = runtime.block_on(async {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()
    });
    let mut signals = registered?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        // It is not heard only if the process is ending anyway.
        while runtime.block_on(any(&mut signals)).is_some() && events.send(end()).is_ok() {}
    })?;
    Ok(())
}

async fn any(signals: &mut [Signal]) -> Option<()> {
    let [interrupt, terminate, hangup] = signals else { return None };
    tokio::select! {
        got = interrupt.recv() => got,
        got = terminate.recv() => got,
        got = hangup.recv() => got,
    }
}
