//! The look at what the other replicas of a fleet have counted, before each tick of the judges.

use super::active::ActiveRollout;
use super::controller::RolloutController;
use super::replica_evidence::{EvidenceAnswer, EvidenceQuestion};

impl RolloutController {
    /// Takes what the other replicas have counted, and notes which of them are silent.
    pub(super) fn hear_others(&mut self) {
        let Some(others) = &mut self.others else { return };
        let rollouts = self.running.values().map(ActiveRollout::asks).collect();
        for heard in others.hear(EvidenceQuestion { rollouts }) {
            if let Some(run) = self.running.get_mut(&heard.counted.id) {
                run.hear(heard);
            }
        }
        let silent = others.silent();
        self.running.values_mut().for_each(|run| run.note_silent(silent.as_ref()));
    }

    /// What this replica has counted, for one who looks.
    pub(super) fn counted(&self) -> EvidenceAnswer {
        let running = self.running.values().map(|run| run.counted(None));
        let beside = self.beside.values().map(|seen| seen.run.counted(Some(&seen.telling)));
        EvidenceAnswer { rollouts: running.chain(beside).collect(), ..self.answer() }
    }

    /// Who answers.
    pub(super) fn answer(&self) -> EvidenceAnswer {
        let replica = self.deps.fleet.as_ref().map_or_else(String::new, |fleet| fleet.replica.to_string());
        EvidenceAnswer { replica, ..EvidenceAnswer::default() }
    }
}
