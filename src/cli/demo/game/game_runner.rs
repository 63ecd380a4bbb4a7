//! Makes a game happen, on a thread of its own: it waits for the player, looks at the clock, and does what follows.
//!
//! The thread and not the API's handlers, because what it does are calls of the same API: a handler that waited for
//! them would wait for itself.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::game_course::{GameCourse, GameDecision, GameEnding, GameMove, GameRefusal, GameTurn};
use super::game_strategy::GameStrategy;
use super::game_tally::GameTally;
use super::game_traffic::GameTraffic;
use super::game_view::{GameScore, GameView};
use super::{RATE, SLOW, USERS, USUAL};
use crate::cli::chain;
use crate::cli::client::CallError;
use crate::cli::demo::bug::Bug;
use crate::cli::demo::shop_build::{ShopPace, ShopRecipe};
use crate::cli::demo::shop_version::ShopVersion;
use crate::cli::demo::users::{Crowd, Users};
use crate::cli::text::{list, member};

/// How often it is looked at the clock, and told what there is.
const TICK: Duration = Duration::from_millis(200);

/// How many looks at the judge's rollout in a row may fail: on a machine that is busy an answer may take its time.
const LOOKS_MISSED_MAX: u32 = 5;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GameOrder {
    /// A game.
    Start(GameStart),
    /// A decision of the player.
    Decide(GameDecision),
    /// The end of the game, whatever is under way.
    Quit,
    /// The end of the demo.
    Stop,
}

/// Which game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GameStart {
    /// How v2 comes to the users.
    pub(crate) strategy: GameStrategy,
    /// The bug, for practice; without it, one is drawn.
    pub(crate) bug: Option<Bug>,
    /// What decides on the bug, the users and chance.
    pub(crate) seed: u32,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GameError {
    /// It makes no sense now.
    #[error(transparent)]
    Refused(#[from] GameRefusal),
    /// The admin API did not do it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No thread or descriptor left for the users.
    #[error("cannot start the users")]
    Users(#[from] io::Error),
    /// The thread has ended.
    #[error("the demo is ending")]
    Gone,
}

/// An order, and where its result goes.
#[derive(Debug)]
pub(crate) struct GameAsk {
    /// What is asked for.
    pub(crate) order: GameOrder,
    /// Where it is told that it was done.
    pub(crate) done: oneshot::Sender<Result<(), GameError>>,
}

/// Where the game's thread hears and speaks.
#[derive(Debug)]
pub(crate) struct GameEnds {
    /// What is asked for.
    pub(crate) asks: Receiver<GameAsk>,
    /// What there is, as JSON.
    pub(crate) told: watch::Sender<Arc<str>>,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct GameThread {
    asks: Sender<GameAsk>,
    thread: JoinHandle<()>,
}

impl GameThread {
    /// Starts it; users will come to `target`.
    ///
    /// # Errors
    /// When there is no thread left.
    pub(crate) fn start(
        traffic: GameTraffic,
        target: SocketAddr,
        asks: Sender<GameAsk>,
        ends: GameEnds,
    ) -> io::Result<Self> {
        let runner = GameRunner::new(traffic, target, ends.told);
        let asked = ends.asks;
        let thread = thread::Builder::new().name("game".to_owned()).spawn(move || runner.run(&asked))?;
        Ok(Self { asks, thread })
    }

    /// Sends the users home and closes the shop.
    pub(crate) fn stop(self) {
        let (done, _) = oneshot::channel();
        // It has ended already if it does not hear this.
        let _asked = self.asks.send(GameAsk { order: GameOrder::Stop, done });
        let _ended = self.thread.join();
    }
}

/// The users of a release, and what they saw.
#[derive(Debug)]
struct GameUsers {
    users: Users,
    since: Duration,
}

/// What is known of a game.
#[derive(Debug)]
struct GameRunner {
    traffic: GameTraffic,
    target: SocketAddr,
    told: watch::Sender<Arc<str>>,
    clock: Instant,
    course: GameCourse,
    number: u64,
    bug: Bug,
    seed: u32,
    users: Option<GameUsers>,
    tally: Arc<Mutex<GameTally>>,
    rollout: Option<String>,
    looks_missed: u32,
    says: Option<String>,
    trouble: Option<String>,
    hand: Option<GameScore>,
    judge: Option<GameScore>,
}

impl GameRunner {
    fn new(traffic: GameTraffic, target: SocketAddr, told: watch::Sender<Arc<str>>) -> Self {
        Self {
            traffic,
            target,
            told,
            clock: Instant::now(),
            course: GameCourse::idle(),
            number: 0,
            bug: Bug::None,
            seed: 0,
            users: None,
            tally: Arc::new(Mutex::new(GameTally::new(0, SLOW))),
            rollout: None,
            looks_missed: 0,
            says: None,
            trouble: None,
            hand: None,
            judge: None,
        }
    }

    fn run(mut self, asks: &Receiver<GameAsk>) {
        self.tell();
        loop {
            let rests = self.course.is_at_rest();
            match asks.recv_timeout(TICK) {
                Ok(GameAsk { order: GameOrder::Stop, .. }) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(GameAsk { order, done }) => {
                    let result = self.obey(order);
                    self.tell();
                    // The caller may have gone; what was asked for is done all the same.
                    done.send(result).ok();
                }
                Err(RecvTimeoutError::Timeout) if rests => continue,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Err(error) = self.go_on() {
                self.fail(&error);
            }
            self.tell();
        }
        self.send_home();
        self.traffic.close();
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn seen(&self) -> MutexGuard<'_, GameTally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn obey(&mut self, order: GameOrder) -> Result<(), GameError> {
        match order {
            GameOrder::Start(start) => self.begin(start),
            GameOrder::Decide(decision) => self.decide(decision),
            GameOrder::Quit => self.quit(),
            GameOrder::Stop => Ok(()),
        }
    }

    fn begin(&mut self, start: GameStart) -> Result<(), GameError> {
        if !self.course.is_at_rest() {
            return Err(GameRefusal::UnderWay.into());
        }
        let GameStart { strategy, bug, seed } = start;
        self.bug = bug.unwrap_or_else(|| Bug::drawn(&mut StdRng::seed_from_u64(u64::from(seed))));
        (self.seed, self.number) = (seed, self.number + 1);
        (self.hand, self.judge, self.rollout, self.says, self.trouble) = (None, None, None, None, None);
        self.let_come(strategy)?;
        self.course = GameCourse::begin(strategy, self.now());
        Ok(())
    }

    fn decide(&mut self, decision: GameDecision) -> Result<(), GameError> {
        // What cannot be done leaves the game where it is.
        let mut course = self.course;
        let wanted = course.decide(decision, self.now())?;
        let strategy = course.strategy();
        match wanted {
            GameMove::To(share) => self.traffic.give(strategy, share)?,
            GameMove::Back => self.traffic.take_back(strategy)?,
        }
        if decision != GameDecision::On {
            course.restart_phase(self.now());
        }
        self.course = course;
        Ok(())
    }

    fn quit(&mut self) -> Result<(), GameError> {
        let strategy = self.course.strategy();
        self.send_home();
        (self.course, self.trouble) = (GameCourse::idle(), None);
        Ok(self.traffic.prepare(strategy)?)
    }

    /// New builds with the bug, everything on v1, and the users come.
    fn let_come(&mut self, strategy: GameStrategy) -> Result<(), GameError> {
        self.send_home();
        self.traffic.prepare(strategy)?;
        let (bug, seed) = (self.bug, u64::from(self.seed));
        let recipe = ShopRecipe { bug, pace: ShopPace::Steady, all_requests: f64::from(RATE), seed };
        self.traffic.rebuild(recipe);
        let host = Some(strategy.host());
        let crowd =
            Crowd { target: self.target, host, answer: USUAL, users: USERS, rate: RATE, pays: false, seed: self.seed };
        self.tally = Arc::new(Mutex::new(GameTally::new(crowd.count(), SLOW)));
        self.users = Some(GameUsers { users: Users::arrive(crowd, &self.tally)?, since: self.now() });
        Ok(())
    }

    fn send_home(&mut self) {
        if let Some(here) = self.users.take() {
            here.users.leave();
        }
    }

    /// Does what the clock and the judge's rollout ask for.
    fn go_on(&mut self) -> Result<(), GameError> {
        self.look_at_rollout()?;
        let now = self.now();
        let strategy = self.course.strategy();
        match self.course.tick(now) {
            None => {}
            Some(GameTurn::Replay(ending)) => {
                self.hand = Some(self.score(ending));
                self.let_come(strategy)?;
                self.course.restart_phase(self.now());
            }
            Some(GameTurn::Judge) => self.rollout = Some(self.traffic.release(strategy)?),
            Some(GameTurn::GiveUp) => self.traffic.abort(strategy)?,
            Some(GameTurn::Finish(ending)) => {
                self.judge = Some(self.score(ending));
                self.send_home();
                self.traffic.prepare(strategy)?;
            }
        }
        Ok(())
    }

    fn look_at_rollout(&mut self) -> Result<(), GameError> {
        let Some(id) = self.rollout.as_ref().filter(|_| !self.course.is_at_rest()) else { return Ok(()) };
        let rollout = match self.traffic.rollout(id) {
            Err(_) if self.looks_missed < LOOKS_MISSED_MAX => {
                self.looks_missed += 1;
                return Ok(());
            }
            looked => looked?,
        };
        self.looks_missed = 0;
        self.says = list(&rollout, "events").last().map(|event| member(event, "text"));
        if let Some(ending) = ending(&rollout) {
            self.course.judged(ending, self.now());
        }
        Ok(())
    }

    fn score(&self, ending: GameEnding) -> GameScore {
        let since = self.users.as_ref().map_or_else(|| self.now(), |here| here.since);
        GameScore::of(ending, &self.seen(), self.now().saturating_sub(since))
    }

    /// Ends a game that cannot go on.
    fn fail(&mut self, error: &GameError) {
        self.send_home();
        (self.course, self.trouble) = (GameCourse::idle(), Some(chain(error)));
    }

    fn tell(&self) {
        let now = Instant::now();
        let tally = self.seen();
        let view = GameView {
            game: self.number,
            seed: self.seed,
            counts: tally.counts(),
            recent: ShopVersion::ALL.map(|version| tally.recent(version, now)),
            dots: tally.dots(),
            rollout: self.rollout.clone(),
            says: self.says.clone(),
            trouble: self.trouble.clone(),
            hand: self.hand,
            judge: self.judge,
            ..GameView::of(&self.course, self.bug, self.now())
        };
        drop(tally);
        if let Ok(text) = serde_json::to_string(&view) {
            self.told.send_replace(text.into());
        }
    }
}

/// How a rollout ended, if it has.
fn ending(rollout: &Value) -> Option<GameEnding> {
    if rollout["phase"] != "finished" {
        return None;
    }
    Some(if rollout["ending"] == "completed" { GameEnding::Completed } else { GameEnding::RolledBack })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_that_has_not_ended_has_no_ending() {
        let ended = |phase: &str, word: &str| ending(&json!({ "phase": phase, "ending": word }));
        assert_eq!(ended("going", ""), None);
        assert_eq!(ended("finished", "completed"), Some(GameEnding::Completed));
        for word in ["rolled_back", "task_failed"] {
            assert_eq!(ended("finished", word), Some(GameEnding::RolledBack), "{word}");
        }
    }
}
