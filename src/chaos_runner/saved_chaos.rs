//! A run as the store has it: its record, and what undoes its command. The config may say something else by then, or
//! nothing; what was begun is undone by what was meant when it began.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chaos::chaos_definition::ChaosCommand;
use crate::chaos::chaos_ending::ChaosState;
use crate::chaos::chaos_record::{ChaosRecord, ChaosUndoState};
use crate::outbound::hook::CommandSubject;

/// A run, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedChaos {
    /// What is shown of it.
    pub record: ChaosRecord,
    /// What undoes its command, if it has one.
    pub command: Option<SavedCommand>,
}

/// What undoes a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedCommand {
    /// The program with its arguments.
    pub undo: Vec<String>,
    /// It has failed when it takes longer, in milliseconds.
    pub timeout_ms: u64,
    /// The host that it happens on.
    pub host: Option<String>,
    /// The endpoint that is meant.
    pub endpoint: Option<SocketAddr>,
}

impl SavedCommand {
    /// Of a command of the config.
    pub(crate) fn of(command: &ChaosCommand) -> Self {
        let ChaosCommand { run: _, undo, host, endpoint, timeout } = command;
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { undo: undo.clone(), timeout_ms, host: host.clone(), endpoint: *endpoint }
    }

    /// How long it may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl SavedChaos {
    /// Whether nothing is left to be done for it.
    pub(crate) fn is_over(&self) -> bool {
        self.record.state == ChaosState::Ended && self.record.restored_at.is_some()
    }

    /// Whether what its command did is not undone.
    pub(crate) fn is_to_undo(&self) -> bool {
        self.record.undo.as_ref().is_some_and(|undo| undo.state != ChaosUndoState::Done)
    }

    /// What its commands are about.
    pub(crate) fn subject(&self) -> ChaosSubject {
        let ChaosRecord { id, name, service, .. } = &self.record;
        let command = self.command.as_ref();
        ChaosSubject {
            run: *id,
            experiment: name.clone(),
            service: service.clone(),
            host: command.and_then(|command| command.host.clone()),
            endpoint: command.and_then(|command| command.endpoint),
        }
    }
}

/// What a command of a run is about.
#[derive(Clone, Debug)]
pub(crate) struct ChaosSubject {
    run: u64,
    experiment: String,
    service: String,
    host: Option<String>,
    endpoint: Option<SocketAddr>,
}

impl CommandSubject for ChaosSubject {
    fn words(&self) -> Vec<(&'static str, String)> {
        let text = |part: Option<String>| part.unwrap_or_default();
        let host = self.host.clone().or(self.endpoint.map(|endpoint| endpoint.ip().to_string()));
        vec![
            ("service", self.service.clone()),
            ("experiment", self.experiment.clone()),
            ("run", self.run.to_string()),
            ("host", text(host)),
            ("endpoint", text(self.endpoint.map(|endpoint| endpoint.to_string()))),
            ("port", text(self.endpoint.map(|endpoint| endpoint.port().to_string()))),
        ]
    }
}
