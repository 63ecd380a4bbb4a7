//! The admin API over real sockets: who gets in, what it can do, and what it does under pressure.

mod access;
mod api;
mod pressure;
mod reach;
mod words;
