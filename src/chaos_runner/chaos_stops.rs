//! What ends a run before its time, besides what its state machine finds by itself.

use bytes::Bytes;
use serde_json::json;

use super::chaos_controller::ChaosController;
use super::chaos_tasks::{ChaosTaskEnd, OwnTask};
use crate::chaos::chaos_definition::ChaosDefinition;
use crate::chaos::chaos_ending::ChaosEndedBy;
use crate::outbound::webhook::Delivery;
use crate::problem::chain;

/// How often a webhook is asked.
const ASK_EVERY_MS: u64 = 5_000;

/// The word that a webhook is asked with.
const CHECK: &str = "chaos_check";

impl ChaosController {
    /// What ends a run now, and why.
    pub(super) fn ends_now(&self, id: u64) -> Option<(ChaosEndedBy, String)> {
        let active = self.running.get(&id)?;
        if let Some(failed) = &active.failed {
            return Some(failed.clone());
        }
        if let Err(elsewhere) = self.led() {
            return Some((ChaosEndedBy::Leader, elsewhere.to_string()));
        }
        let definition = active.run.definition();
        let service = definition.target.service.as_str();
        if let Some(why) = self.out_of_config(definition) {
            return Some((ChaosEndedBy::Config, why));
        }
        let stop_when = &definition.stop_when;
        let left = stop_when.budget_left_below.and_then(|_| (self.deps.vitals.budget_left)(service));
        if let Some((left, least)) = left.zip(stop_when.budget_left_below).filter(|(left, least)| left < least) {
            return Some((ChaosEndedBy::Budget, format!("{left:.1} % left, want {least} %")));
        }
        let unsteady = stop_when.steady.then(|| (self.deps.vitals.unsteady)(service)).flatten();
        unsteady.map(|why| (ChaosEndedBy::Steady, why))
    }

    /// Why the config that is in force now does not let a run go on.
    fn out_of_config(&self, definition: &ChaosDefinition) -> Option<String> {
        let (config, target) = (self.config(), &definition.target);
        if !config.enabled {
            return Some("chaos.enabled is false".to_owned());
        }
        if definition.command().is_none() && target.share > config.share_max {
            return Some(format!("chaos.share_max is {} % now", config.share_max));
        }
        let table = self.deps.published.load();
        let Some(service) = table.service_named(target.service.as_str()) else {
            return Some(format!("the service {} has left it", target.service));
        };
        let version = target.version.as_ref().filter(|version| service.version_named(version).is_none());
        version.map(|version| format!("{} has no version {version} any more", target.service))
    }

    /// Asks the webhook of a run, if it is time.
    pub(super) fn ask_webhook(&mut self, id: u64, now_ms: u64) {
        let Some(active) = self.running.get_mut(&id) else { return };
        let Some(webhook) = active.run.definition().stop_when.webhook.clone() else { return };
        let asking = &mut active.asking;
        if now_ms < asking.next_ms || asking.task.as_ref().is_some_and(OwnTask::is_at_work) {
            return;
        }
        (asking.next_ms, asking.asked) = (now_ms.saturating_add(ASK_EVERY_MS), asking.asked + 1);
        let number = format!("chaos-{id}-check-{}", asking.asked);
        let record = active.run.record();
        let body = Bytes::from(json!({ "event": CHECK, "chaos": record }).to_string());
        let (client, answers) = (self.deps.webhook_client.clone(), self.answers.0.clone());
        active.asking.task = Some(OwnTask::begin(async move {
            let delivery = Delivery { event: CHECK, id: &number, body, secret: None };
            if let Err(error) = client.post(&webhook, &delivery).await {
                answers.send(ChaosTaskEnd::Refused { id, why: chain(&error) }).await.ok();
            }
        }));
    }
}
