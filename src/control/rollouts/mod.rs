//! What a rollout does to the world: runs hooks, asks webhooks, sends smoke requests, tells people.
//!
//! Each is one async function that ends within a time that its caller knows, whatever the other side does: a hook that
//! hangs or prints for ever must not be a rollout that hangs. What they answer is told in words for people.

pub mod excerpt;
#[cfg(test)]
mod fixture;
pub mod hook;
pub mod notify;
pub mod sign;
pub mod smoke;
pub mod webhook;
