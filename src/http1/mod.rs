//! HTTP/1.1 as bytes: heads from and to them, and where a body ends. Both sides of the proxy speak it with these parts; what
//! is polled, and what is refused, is theirs.
//!
//! hyper's codec did this once, and half of what a request cost was spent between it and us: a task, two channels and five
//! wake-ups for each exchange with an endpoint, and on the client's side a second parser, because hyper's heads no longer
//! show what smuggling looks like (a length beside a coding, several lengths, a fragment). Here a head is parsed once, all
//! of its lines stay, and whoever waits polls the socket itself. The parser of lines is still
//! [`httparse`], the one that hyper uses; what is ours is [which body follows](head), [the chunked coding](chunks) and the
//! order of writes.
//!
//! - [`head`]: bytes to heads. [`body`]: bytes to bodies, with [`chunks`] for the chunked coding.
//! - [`encode`]: heads to bytes. [`outbox`]: what waits to be written, small parts joined and large ones not copied.
//! - [`trailers`]: which of them may be sent.
//! - [`turn`]: how long whoever always has something to read keeps others waiting.
//! - [`inbox`]: what was read and not used yet. Its memory, and that of the outbox, is [lent](spare) from one connection to the
//!   next.

pub(crate) mod body;
pub(crate) mod chunks;
pub(crate) mod encode;
pub(crate) mod head;
pub(crate) mod inbox;
pub(crate) mod outbox;
mod spare;
pub(crate) mod trailers;
pub(crate) mod turn;

pub(crate) use body::{BodyDecoder, Broken, Piece};
pub(crate) use encode::{BodyEncoder, write_interim, write_request, write_response};
pub(crate) use head::{BodyLength, HeadError, HeadLimits, Request, ResponseHead};
pub(crate) use inbox::Inbox;
pub(crate) use outbox::Outbox;
pub(crate) use trailers::Announced;

#[cfg(test)]
mod tests;
