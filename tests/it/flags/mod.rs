//! Attributes and segments of users, through a whole proxy.

mod attributes;
