//! Copies of requests for a version that no user waits for.
//!
//! 1. [`request_copy`] makes the copy when a request is about to be forwarded, and is told what its user got.
//! 2. [`user_watch`] looks at the user's response as it passes.
//! 3. [`mirror_task`] is a task of its own for each copy ([`mirror_job`]): it waits for what the user got, and has both
//!    compared.
//! 4. [`mirror_exchange`] sends the copy, over a connection of [`mirror_dial`], and reads the response.
//! 5. [`response_facts`] is what of a response is compared.
//!
//! Why not hold the request until its copy is on its way, or send both by one task: then a target that hangs is felt by
//! users. A copy without a body leaves with the request; one with a body leaves when the user's response begins,
//! because its body is copied while it passes.
//!
//! What must stay true:
//! - A user's request waits for nothing here, and nothing here changes what it sends or gets.
//! - A copy counts in nothing but its mirror: no version's metrics, no outliers, no pauses of endpoints, no samples, no
//!   requests in flight. A connection for it is opened only where permits are left over.
//! - Copies under way and the bytes that are kept for them are bounded; beyond that they are dropped and counted.
//! - A service without a mirror pays one look.

pub(crate) mod mirror_dial;
pub(crate) mod mirror_exchange;
pub(crate) mod mirror_job;
pub(crate) mod mirror_task;
pub(crate) mod request_copy;
pub(crate) mod response_facts;
pub(crate) mod user_watch;
