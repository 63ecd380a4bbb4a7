//! `POST /v1/simulate`: what a plan will do, also with the traffic of a service at this moment.
//!
//! It is `pointsman simulate`, with its words and its sentences, for who has a token that may only look: so it must
//! cost the proxy nothing that others need.
//!
//! - **It is bounded** in releases, in users, in the time of each release and in its own time: when that is up, the
//!   figures are of what was simulated by then, and it says so.
//! - **It takes no time of others**: [`simulations`] run on a thread each, which the machine runs when it has nothing
//!   else to do, and there are two at the most.
//! - **A client that leaves ends it**: [`simulation_stream`] says how far it is, four times a second, and then the
//!   result; when it is dropped, the thread ends in the middle of a release.
//!
//! [`simulate_body`] is what is asked, in numbers and parts as [`simulate_values`] have them. What of it is wrong is
//! told at once.

pub(crate) mod simulate_body;
mod simulate_values;
pub(crate) mod simulation_stream;
pub(crate) mod simulations;
