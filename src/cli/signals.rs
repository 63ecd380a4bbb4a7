//! SIGTERM and SIGINT: the first one asks for an orderly end, the second one ends the process.
//!
//! They have a thread of their own, because the second one has to count whatever the rest of the process is waiting
//! for.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::EXIT_FAILED;
use crate::log::Log;

/// How long the process stays at its end for lines that are not written yet: a pipe without a reader must not keep it.
pub(crate) const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// What a shell makes of a command that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Listens from now on; the result ends with the first signal.
///
/// # Errors
/// When the system has no thread or no descriptors left.
pub(crate) fn listen(log: &Log) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let (end, told) = oneshot::channel();
    let log = log.clone();
    let listening = async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("draining: open requests may end, a second signal ends at once");
        // The receiver is gone when the process ends by itself.
        end.send(()).ok();
        either(&mut terminate, &mut interrupt).await;
        // Not 0: the one who waited for an orderly end has to know that there was none. Revisions are on disk already.
        tracing::warn!("second signal: ending now, open requests are cut");
        log.finish(LAST_LINES_MAX);
        std::process::exit(i32::from(EXIT_FAILED));
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listening))?;
    Ok(async {
        told.await.ok();
    })
}

/// Says something at Ctrl-C, and ends the process as a shell has it: what it looks at goes on.
///
/// # Errors
/// When the system has no thread or no descriptors left.
pub(crate) fn say_at_interrupt(say: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut interrupt = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let listening = async move {
        interrupt.recv().await;
        say();
        std::process::exit(EXIT_INTERRUPTED);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listening))?;
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
