//! Chaos experiments: what faults do to requests, and what they leave alone; what a run goes through, what ends it,
//! what is refused, and what is undone whatever happens; and another program that drives them.

mod bench;
mod faults;
mod kills;
mod refusals;
mod runs;
mod spared;
mod toolkit;
mod undo;
