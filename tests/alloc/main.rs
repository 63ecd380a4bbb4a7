//! What is promised not to allocate. A binary of its own, because the counter replaces the global allocator; it counts
//! by thread, so the tests do not disturb each other.

mod decide;
mod judge;
