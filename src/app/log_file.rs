//! The access log's file: opened at the start, and again on SIGHUP, which is how a log is rotated.
//!
//! It is opened here, and the log's own thread goes over to it between two lines: a file that cannot be opened costs
//! nothing but a line in the process's log, and the old one stays. Opening may wait (a pipe without a reader, a server
//! of files that does not answer), so it is not done on the control plane's thread.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::signal::unix::Signal;

use super::{RunError, StartError};
use crate::config::{AccessLog, LogFormat};
use crate::files::watcher::in_background;
use crate::log::Losses;
use crate::proxy::access_log::{self, LogSender, LogTarget, NextFile};
use crate::supervise::{Kind, Supervisor};

/// What the access log is written to.
pub(crate) struct LogOut {
    target: LogTarget,
    path: Option<PathBuf>,
}

impl LogOut {
    /// Opens it, if there is a log.
    pub(crate) fn open(log: &AccessLog, supervisor: &Supervisor) -> Result<Option<Self>, StartError> {
        if log.format == LogFormat::Off {
            return Ok(None);
        }
        let path = log.path.clone();
        let opened = match &path {
            // Not the stream of the standard library: it has a lock, and keeps bytes that it would write when the
            // process ends.
            None => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Some(path) => open(path),
        };
        let name = || path.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
        let file = opened.map_err(|source| StartError::AccessLog { path: name(), source })?;
        let part = supervisor.part("access log", Kind::Log);
        let target = LogTarget { out: Box::new(file), next: NextFile::default(), losses: Arc::default(), part };
        Ok(Some(Self { target, path }))
    }

    /// How it is opened again; standard output is not.
    pub(crate) fn rotation(&self) -> Option<LogRotation> {
        self.path.clone().map(|path| LogRotation { path, next: self.target.next.clone() })
    }

    /// What could not be written to it.
    pub(crate) fn losses(&self) -> Arc<Losses> {
        Arc::clone(&self.target.losses)
    }

    /// Starts the thread that writes to it.
    pub(crate) fn start(self, log: &AccessLog) -> Result<Option<(LogSender, JoinHandle<()>)>, RunError> {
        let format = match log.format {
            LogFormat::Off => return Ok(None),
            LogFormat::Json => access_log::AccessLogFormat::Json,
            LogFormat::Text => access_log::AccessLogFormat::Text,
        };
        let started = access_log::start(format, log.sample, self.target);
        started.map(Some).map_err(|source| RunError::Part { part: "access log", source })
    }
}

/// Opens the file again when it is asked to.
#[derive(Debug)]
pub(crate) struct LogRotation {
    path: PathBuf,
    next: NextFile,
}

impl LogRotation {
    /// Opens the file again on each `hangup` until `shutdown` ends.
    pub(crate) async fn run(&self, hangup: &mut Signal, shutdown: impl Future<Output = ()>) {
        let reopening = async {
            loop {
                hangup.recv().await;
                self.reopen().await;
            }
        };
        // A pipe that is not read must not keep the process from ending.
        tokio::select! {
            () = shutdown => {}
            () = reopening => {}
        }
    }

    async fn reopen(&self) {
        let file = self.path.clone();
        let Some(opened) = in_background(move || open(&file)).await else { return };
        let path = self.path.display();
        match opened {
            Ok(file) => {
                self.next.put(file);
                tracing::info!(%path, "the access log is opened again");
            }
            Err(error) => {
                tracing::error!(%path, %error, "cannot open the access log again, the lines go on to the old file");
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
