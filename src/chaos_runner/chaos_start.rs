//! A run begins: everything that speaks against it is said at once, and nothing has changed then.

use std::sync::Arc;

use super::chaos_controller::{ActiveChaos, ChaosController};
use super::chaos_handle::{ChaosAsked, ChaosBy, ChaosError, ChaosStart, ChaosStarted};
use super::chaos_preview::ChaosPreview;
use super::chaos_tasks::WebhookAsking;
use super::saved_chaos::SavedCommand;
use crate::chaos::chaos_definition::ChaosDefinition;
use crate::chaos::chaos_ending::ChaosState;
use crate::chaos::chaos_run::{ChaosBegun, ChaosRun};
use crate::config::ChaosConfig;
use crate::control::handle::{ApplyError, Upgrading};
use crate::problem::{Mismatch, Problem, ProblemKind, one_of, suggest};
use crate::table::Table;

impl ChaosController {
    /// Begins a run, or says what it would be.
    pub(super) async fn start(&mut self, request: ChaosStart) -> Result<ChaosStarted, ChaosError> {
        if self.lent {
            return Err(ApplyError::from(Upgrading).into());
        }
        self.led()?;
        let (config, table, now) = (self.config(), self.deps.published.load_full(), self.now());
        let mut problems = request.problems;
        let definition = defined(&request.asked, &config, &table).unwrap_or_else(|found| {
            problems.extend(found);
            None
        });
        let Some(definition) = definition else {
            self.note_disabled(&config, &mut problems);
            let service = meant_service(&request.asked).and_then(|service| table.service_named(service));
            problems.extend(service.iter().flat_map(|service| self.occupied(&service.spec.name)));
            return Err(ChaosError::Problems(problems));
        };
        problems.extend(self.speaks_against(&definition, &config, (!request.dry_run).then_some(now.at)));
        if !problems.is_empty() {
            return Err(ChaosError::Problems(problems));
        }
        if request.dry_run {
            let preview = ChaosPreview::of(&definition, &table, &self.deps.live, now.at);
            return Ok(ChaosStarted::Dry(Box::new(preview)));
        }
        // On the heap: a run with its counts is large.
        Box::pin(self.begin(definition, request.by, &table)).await
    }

    /// Stores a run that nothing speaks against, then puts it in force.
    async fn begin(
        &mut self,
        definition: Arc<ChaosDefinition>,
        by: ChaosBy,
        table: &Table,
    ) -> Result<ChaosStarted, ChaosError> {
        let (now, id) = (self.now(), self.last_id.unwrap_or(0) + 1);
        let service = table.service_named(definition.target.service.as_str());
        let per_key = service.is_some_and(|service| !service.spec.sticky.is_empty());
        let command = definition.command().map(SavedCommand::of);
        let begun = ChaosBegun {
            id,
            definition,
            per_key,
            workers: self.deps.registry.workers(),
            author: Some(by.author),
            reason: by.reason,
        };
        let run = ChaosRun::start(begun, now);
        let injects = run.state() == ChaosState::Injecting;
        let asking = WebhookAsking::default();
        let active = ActiveChaos { run, command, undo: None, task: None, failed: None, asking, kept_ms: now.ms };
        self.running.insert(id, active);
        self.last_id = Some(id);
        if let Err(error) = self.keep_one(id).await {
            self.running.remove(&id);
            return Err(error.into());
        }
        if let Err(error) = self.put_in_force().await {
            self.running.remove(&id);
            // Nothing has begun. If the record cannot be taken out, the next start says that the process ended.
            self.deps.handle.keep_chaos_run(id, None).await.ok();
            return Err(error.into());
        }
        if injects {
            self.begin_command(id).await;
        }
        let running = self.running.get(&id).map(|active| Arc::new(active.saved()));
        let saved = running.or_else(|| self.over.get(&id).map(Arc::clone)).ok_or(ChaosError::Unknown(id))?;
        let (name, service, author) = (&saved.record.name, &saved.record.service, saved.record.author.as_deref());
        tracing::info!(run = id, experiment = name, service, author, "a chaos run has begun");
        self.tell_start(&saved);
        self.show();
        Ok(ChaosStarted::Begun(saved))
    }
}

/// The experiment that a call asks for; none where the call says itself what is wrong.
fn defined(
    asked: &ChaosAsked,
    config: &ChaosConfig,
    table: &Table,
) -> Result<Option<Arc<ChaosDefinition>>, Vec<Problem>> {
    match asked {
        ChaosAsked::Unreadable => Ok(None),
        ChaosAsked::Named(name) => {
            let found = config.experiments.iter().find(|(known, _)| known.as_str() == name);
            found.map(|(_, definition)| Some(Arc::clone(definition))).ok_or_else(|| vec![unknown(name, config)])
        }
        ChaosAsked::Sent { name, definition } => {
            let services: Vec<_> = table.services().map(|service| Arc::clone(&service.spec)).collect();
            let read = config.read(name, definition, &services);
            read.map(|definition| Some(Arc::new(definition))).map_err(Vec::from)
        }
    }
}

/// The service that a definition means, whatever else is wrong with it.
fn meant_service(asked: &ChaosAsked) -> Option<&str> {
    match asked {
        ChaosAsked::Sent { definition, .. } => definition["target"]["service"].as_str(),
        ChaosAsked::Named(_) | ChaosAsked::Unreadable => None,
    }
}

fn unknown(name: &str, config: &ChaosConfig) -> Problem {
    let known = || config.experiments.keys().map(|name| name.as_str());
    let remedy = match suggest(name, known()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "name one of chaos.experiments, or send a definition".to_owned(),
    };
    let mismatch = Mismatch::new(format!("unknown chaos experiment {name:?}"), one_of(known()), remedy);
    mismatch.at("experiment", ProblemKind::Unknown)
}
