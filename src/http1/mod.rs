//! HTTP/1.1 as bytes: heads from and to them, and where a body ends. Both sides of the proxy speak it with these parts;
//! what is polled, and what is refused, is theirs.
//!
//! hyper's codec did this once, and half of what a request cost was spent between it and us: a task, two channels and
//! five wake-ups for each exchange with an endpoint, and on the client's side a second parser, because hyper's heads no
//! longer show what smuggling looks like (a length beside a coding, several lengths, a fragment). Here a head is parsed
//! once, all of its lines stay, and the task that waits polls the socket itself. The parser of lines is still
//! [`httparse`], the one that hyper uses; what is ours is [which body follows](head), [the chunked coding](chunks) and
//! the order of writes.
//!
//! - [`head`]: bytes to heads. [`body`]: bytes to bodies, with [`chunks`] for the chunked coding.
//! - [`encode`]: heads to bytes. [`write_buf`]: what waits to be written, small parts joined and large ones not copied.
//! - [`trailers`]: which of them may be sent.
//! - [`coop`]: how long a task that always has something to read keeps others waiting.
//! - [`read_buf`]: what was read and not used yet. Its memory, and that of the write buffer, is [lent](buffer_pool)
//!   from one connection to the next.

pub(crate) mod body;
pub(crate) mod broken;
mod buffer_pool;
pub(crate) mod chunks;
pub(crate) mod coop;
pub(crate) mod encode;
pub(crate) mod head;
pub(crate) mod read_buf;
pub(crate) mod trailers;
pub(crate) mod write_buf;

pub(crate) use body::{BodyDecoder, Piece};
pub(crate) use broken::Broken;
pub(crate) use encode::{BodyEncoder, write_interim, write_request, write_response};
pub(crate) use head::{BodyLength, HeadError, HeadLimits, Request, ResponseHead};
pub(crate) use read_buf::ReadBuf;
pub(crate) use trailers::Announced;
pub(crate) use write_buf::WriteBuf;

#[cfg(test)]
mod tests;
