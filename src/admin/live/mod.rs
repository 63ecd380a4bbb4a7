//! `GET /v1/events`: the state of the proxy, and then every change of it, as events (SSE).
//!
//! A console, `status --watch` and a script that waits for something all want the same: what is now, and at once what
//! is otherwise. Each of them could ask for the status twice a second; a hundred of them would have it built two
//! hundred times a second, and 1,000 services are a megabyte. So it is built once, at most twice a second and only
//! while there is a reader ([`live_sampler`]); what changed is worked out once, as a
//! [merge patch](crate::document::merge_patch) of a [document](crate::document::live_document), and put on the
//! [board](live_board), from which every stream takes it ([`live_stream`]).
//!
//! - **A slow reader loses intermediate states, never the last.** A stream has no queue: when its connection takes
//!   bytes again, it gets the difference between what it knows and what is now. The last editions of the document are
//!   kept for that; a reader that is behind all of them gets the whole document again. So a reader that takes nothing
//!   costs no memory.
//! - **An event's id says what its reader knows then** ([`live_edition::EditionId`]): the revision, for people, and the
//!   number of the edition of this process. A reader that comes back with it goes on from there; with an id of another
//!   process, or of an edition that is not kept, or with something that is no id, it gets the whole document.
//! - **Nothing is said twice.** A proxy without traffic says nothing but that it is there, every few seconds, so that a
//!   reader can tell silence from a broken connection.

pub(crate) mod live_board;
pub(crate) mod live_edition;
pub(crate) mod live_sampler;
pub(crate) mod live_stream;
