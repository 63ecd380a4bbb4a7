//! Makes `tracing` and panics speak through the queue.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic::{PanicHookInfo, set_hook};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use super::queue::{Format, Log};
use super::sink::Sink;
use crate::supervise::Part;

/// Crates that say something for each look at the kernel or each event of a watched folder. If the log is a file in
/// such a folder, each of their lines would be the next event.
const FEEDING: [&str; 4] = ["mio", "inotify", "notify", "notify_types"];

/// Sends what `tracing` is told, and every panic, to standard error; `RUST_LOG` says how much. It is installed once a
/// process; a second start (tests) only has a queue of its own.
///
/// # Errors
/// When the system has no thread or no descriptor.
pub(crate) fn start(format: Format, part: Part) -> io::Result<Log> {
    let stderr = io::stderr();
    // A descriptor of its own: the stream of the standard library has a lock, and the thread that writes may hold it
    // for ever.
    let out = File::from(stderr.as_fd().try_clone_to_owned()?);
    let log = Log::start(Sink::new(Box::new(out)), format, part)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset_or_bad| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(log.clone()).with_target(false);
    // Otherwise an event that cannot be formatted is told by `eprintln!`.
    let builder = builder.with_ansi(stderr.is_terminal()).log_internal_errors(false);
    let calm = filter_fn(|event| !feeds_itself(event));
    let _started = match format {
        Format::Text => builder.finish().with(calm).try_init(),
        Format::Json => builder.json().finish().with(calm).try_init(),
    };
    set_hook(Box::new(tell_panic));
    Ok(log)
}

fn feeds_itself(event: &Metadata<'_>) -> bool {
    let krate = event.target().split("::").next().unwrap_or_default();
    *event.level() > Level::WARN && FEEDING.contains(&krate)
}

/// The standard library's own hook writes to standard error while it holds a lock, and waits there.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("?");
    let place = panic.location().map_or_else(String::new, ToString::to_string);
    let message = panic.payload_as_str().unwrap_or("without a message");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!("thread '{thread}' panicked at {place}: {message}\n{backtrace}");
    } else {
        tracing::error!("thread '{thread}' panicked at {place}: {message}");
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}
