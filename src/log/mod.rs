//! The logs of the process, which never wait for their reader.
//!
//! A line goes into a bounded queue ([`queue`]) and a thread of its own writes it ([`sink`]). A reader that is gone, a
//! full disk, a pipe that is not read: the line is lost and counted, and the loss is told as soon as a line can be
//! written again. [`subscriber`] makes `tracing` and panics speak through it.
//!
//! Why not `tracing-subscriber`'s own writer: it writes in the thread that has something to say, so a full pipe stops a
//! worker, and it reports a write that fails with `eprintln!`, which panics. Why not `tracing-appender`: it forgets
//! what could not be written, tears lines at `EAGAIN`, bounds lines but not bytes, and its guard prints to the standard
//! streams when the process ends.
//!
//! What must stay true: nothing in here blocks or panics in a thread that says something; the thread that writes says
//! nothing itself, so that it cannot feed itself.

pub(crate) mod losses;
pub(crate) mod queue;
pub(crate) mod sink;
pub(crate) mod subscriber;

pub(crate) use losses::Losses;
pub(crate) use queue::{Format, Log};
pub(crate) use sink::Sink;
pub(crate) use subscriber::start;
