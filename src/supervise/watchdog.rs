//! Looks whether parts make progress.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Supervisor;

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Looks for ever.
    pub async fn watch(&self) -> Infallible {
        let mut looks = interval(LOOK);
        // After a suspension one look is late, and not many at once.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        let parts = self.parts().clone();
        #[cfg(debug_assertions)]
        super::inject::look(&parts);
        parts.iter().for_each(super::Part::look);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, PartState, Supervisor};

    #[test]
    fn a_stall_is_shown_and_makes_unready_unless_it_is_a_log() {
        let supervisor = Supervisor::default();
        let (worker, log) = (supervisor.part("worker-0", Kind::Thread), supervisor.part("log", Kind::Log));
        let looks = |count| (0..count).for_each(|_| supervisor.look());
        worker.beat();
        looks(10);
        assert_eq!((supervisor.problem(), supervisor.turns()), (None, true));
        looks(1);
        assert_eq!(supervisor.problem().as_deref(), Some("worker-0 makes no progress"));
        assert!(!supervisor.turns());
        worker.beat();
        looks(1);
        assert_eq!((supervisor.problem(), log.view().state), (None, PartState::Stalled));
        log.idle();
        looks(1);
        assert_eq!(log.view().state, PartState::Running, "it waits for something to say");
    }

    #[test]
    fn files_on_a_server_that_does_not_answer_make_nobody_unready() {
        let supervisor = Supervisor::default();
        let watch = supervisor.part("config watch", Kind::Files);
        watch.beat();
        (0..100).for_each(|_| supervisor.look());
        assert_eq!((supervisor.problem(), watch.view().state), (None, PartState::Stalled));
        assert!(watch.ended("a reason").is_some());
        assert_eq!(supervisor.problem().as_deref(), Some("config watch is down: a reason"));
    }

    #[test]
    fn a_slow_disk_is_no_stall() {
        let supervisor = Supervisor::default();
        let writer = supervisor.part("writer", Kind::Steady);
        writer.beat();
        (0..60).for_each(|_| supervisor.look());
        assert_eq!(supervisor.problem(), None);
        supervisor.look();
        assert_eq!(supervisor.problem().as_deref(), Some("writer makes no progress"));
        assert!(supervisor.turns(), "no watchdog outside may end the process for it");
    }
}
