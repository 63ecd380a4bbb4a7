//! "You are the release engineer": a game in the console of the demo.
//!
//! v2 may have a bug, which is drawn and hidden. The player moves the traffic by hand or by a strategy and decides when
//! to go on or back; then the bug is told, and the same release, with the same bug and the same users, is made once
//! more by the proxy's own judge. What is compared is what the users saw.
//!
//! Nothing is faked: the users are clients of the real proxy, the shops are servers, the player's moves and the
//! judge's rollout are calls of the admin API. [`game_strategy`] is what can be played, [`game_course`] where a
//! game stands, [`game_tally`] what its users saw, all of them pure; [`game_traffic`] moves the traffic,
//! [`game_runner`] makes things happen on a thread of its own, [`game_view`] is what is told of it, and
//! [`game_api`] answers below `/v1/demo`.

pub(crate) mod game_api;
pub(crate) mod game_course;
pub(crate) mod game_runner;
pub(crate) mod game_strategy;
pub(crate) mod game_tally;
pub(crate) mod game_traffic;
pub(crate) mod game_view;

use std::time::Duration;

/// How many users there are: few enough to be seen one by one, enough for a tenth of them to say something.
pub(crate) const USERS: u32 = 400;

/// Requests a second of all of them: each asks every two seconds.
pub(crate) const RATE: u32 = 200;

/// An answer that takes longer has hurt its user: v1 takes 180 ms at the most, and a busy machine adds some. Where it
/// adds more, it is twice what v1 takes.
pub(crate) const SLOW: Duration = Duration::from_millis(320);

/// How long an answer usually takes.
pub(crate) const USUAL: Duration = Duration::from_millis(165);
