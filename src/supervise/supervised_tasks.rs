//! Tasks of a thread that must live: begun again when they end.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Part, panic_text};

/// Runs what `begin` makes, again whenever it ends, until `stop` turns true; then it may end in order. A poll is a
/// beat: a task that looks at something now and then has no other way to be polled than to come to its next look.
pub(crate) async fn keep<F: Future<Output = ()>>(
    part: Part,
    mut stop: watch::Receiver<bool>,
    mut begin: impl FnMut() -> F,
) {
    loop {
        let why = match caught(&part, begin()).await {
            Ok(()) => "it ended, which is a bug".to_owned(),
            Err(TaskPanicked(why)) => why,
        };
        if is_over(&stop) {
            return;
        }
        let Some(pause) = part.ended(&why) else { return };
        tokio::select! {
            () = sleep(pause) => part.runs_again(),
            // An error says that the sender is gone.
            _told = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn is_over(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// A task has panicked, and said so much.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct TaskPanicked(String);

/// What `task` comes to; what it said if it panics.
async fn caught<F: Future<Output = ()>>(part: &Part, task: F) -> Result<(), TaskPanicked> {
    let (mut task, mut killed) = (pin!(task), pin!(part.until_killed()));
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            part.beat();
            if cfg!(debug_assertions) {
                let _never = killed.as_mut().poll(cx);
            }
            task.as_mut().poll(cx)
        }));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(TaskPanicked(panic_text(&*panic)))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::{Kind, PartState, Supervisor};
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_begun_again_and_may_end_with_the_process() {
        let supervisor = Supervisor::default();
        let part = supervisor.part("health", Kind::Steady);
        let (stop, stopped) = watch::channel(false);
        let begun = Cell::new(0);
        let told = stopped.clone();
        keep(part.clone(), stopped, || {
            begun.set(begun.get() + 1);
            let (count, part, stop, mut told) = (begun.get(), &part, &stop, told.clone());
            async move {
                assert!(count > 1, "number {count}");
                if count == 3 {
                    assert_eq!((part.view().state, part.view().ends), (PartState::Running, 2));
                    stop.send_replace(true);
                    told.wait_for(|stop| *stop).await.expect("it was told");
                }
            }
        })
        .await;
        assert_eq!((begun.get(), part.view().ends), (3, 2));
    }

    #[tokio::test]
    async fn why_a_task_has_ended_is_told() {
        let supervisor = Supervisor::default();
        let part = supervisor.part("health", Kind::Steady);
        let (_stop, stopped) = watch::channel(false);
        tokio::select! {
            () = keep(part.clone(), stopped, || async { panic!("a reason") }) => {}
            () = async {
                while part.view().state == PartState::Running {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        assert_eq!(supervisor.problem().as_deref(), Some("health is down: it panicked: a reason"));
    }
}
