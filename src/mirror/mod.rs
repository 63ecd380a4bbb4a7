//! In what the responses to a request and to its copy differ, pure: from what was seen of both to a pair that is
//! counted.
//!
//! [`compare`](mod@compare) goes from the coarse to the fine and stops where a finding explains what is below it: a
//! response that failed is not compared any further, and bodies are compared only under equal statuses.
//! [`mirror_response`] is one side, [`seen_body`] its body as far as it is kept ([`body_coding`]: and how it is read),
//! [`json_difference`] finds the places in which two documents differ.
//!
//! What must stay true: what differs is told by places and salted hashes; a value is shown only where its mirror
//! allows it.

pub(crate) mod body_coding;
pub(crate) mod compare;
pub(crate) mod json_difference;
pub(crate) mod mirror_response;
pub(crate) mod seen_body;

pub(crate) use compare::{MirroredCall, compare};
pub(crate) use mirror_response::MirrorResponse;
pub(crate) use seen_body::SeenBody;
