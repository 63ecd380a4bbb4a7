//! Flags, pure: which variant of a flag a user has, and why.
//!
//! In reading order: [`user`] is what is known of the user who asks, [`evaluate`](mod@evaluate) decides,
//! [`reason`](mod@reason) says why in words, and [`asked_attributes`] what could have decided.
//!
//! A flag is decided by the same parts as a request: conditions over the same facts, slots under the same hash, runs
//! that move as few users as can be. So a flag drawn `as` a service draws (`salt = "service:shop"`) at 10 % reaches the
//! very users of the version at 10 %, and one that `follows` a service has the variant of the version that the user
//! gets. The obvious other way, a flag library inside the proxy with a bucketing of its own, would draw anew: a front
//! end released to a tenth and a back end released to another tenth meet in a hundredth.
//!
//! Who asks is behind a trait. A [request](user::RequestUser) knows its headers, and what the router has decided
//! already; [who sends a key and attributes](user::KnownUser) has no request at all. Both get the same answer from the
//! same function, or the promise above would hold on one side only. A closure for each question would do without the
//! trait, but three of them travel together everywhere.
//!
//! A user without a key is not drawn by chance: the variant would change from request to request, where a version at
//! least lasts for a page. Such a user gets the default, with a reason of its own. A request that the split itself drew
//! by chance keeps that draw, for flags that are drawn as its service draws: there the variant has to match the
//! version.
//!
//! An experiment on a flag comes after the rules with a condition, whose users are meant by name, and before the first
//! that holds for all. Its users are drawn by the key alone, under salts of its own.
//!
//! What is compiled ([`crate::table::flag_table`]) is part of the table, because a request keeps one snapshot: a
//! release that moves a service and a flag together is seen whole or not at all. Nothing here waits, reads a clock or
//! draws a random number; nothing allocates but the rules of imported flags ([`crate::flagd`]), which see a user
//! through a [context](user_context) of their own.

pub(crate) mod asked_attributes;
pub(crate) mod evaluate;
pub(crate) mod reason;
pub(crate) mod user;
pub(crate) mod user_context;

pub(crate) use evaluate::{DrawnVariant, Evaluation, FlagCause, drawn, evaluate, of_version};
pub(crate) use reason::reason;
pub(crate) use user::{KnownUser, RequestUser};
