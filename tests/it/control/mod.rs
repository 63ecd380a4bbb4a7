//! Changes of traffic: plans, the writer, the store on disk, holds, and flips under load.

mod change;
mod durable;
mod experiments;
mod flags;
mod hold;
mod mirror;
mod store;
mod store_lost;
mod switch;
mod writer;
