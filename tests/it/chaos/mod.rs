//! Chaos experiments: what faults do to requests, and what they leave alone; what a run goes through, what ends it,
//! what is refused, and what is undone whatever happens; what is never moved by it; and another program that drives
//! them.

mod alerts;
mod bench;
mod fault_aims;
mod fault_told;
mod fault_waits;
mod faults;
mod full_disk;
mod injected;
mod interrupted;
mod kills;
mod refusals;
mod runs;
mod spared;
mod stops;
mod toolkit;
mod undo;
mod unmoved;
