//! The admin API over real sockets: who gets in, what it can do, and what it does under pressure.

mod access;
mod api;
mod console;
mod flags;
mod history;
mod live_events;
mod pressure;
mod reach;
mod rule_words;
mod simulate;
mod words;
