//! Experiments: who gets which arm, what their intervals hold, by simulation, the command that computes them, and
//! events of users.

mod assigned;
mod command;
mod end_to_end;
mod events;
mod killed;
mod replay;
mod runs;
mod simulated;
mod takes_effect;
