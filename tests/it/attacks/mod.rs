//! What hostile and crowded networks do.

mod crowded;
mod known;
