//! Files that people and programs change while we run: when they are looked at, and when what they hold is believed.
//!
//! In reading order: [`way`] is how a path leads to a file, over folders and links; [`identity`] tells a file from the
//! one that was there before; [`settle`] decides when to look and when to read, and [`doubt`] whether what was read is
//! all of it, both pure; [`watcher`] is how the kernel tells of changes, and [`reload`] the loop around all of them.
//!
//! Three sources, because none of them is enough. *Events* come at once and tell when a writer has closed its file;
//! they do not come from network file systems or from memory maps, and the kernel may have no watches left. A *glance*
//! at the file's numbers twice a second sees those. A look at the *contents* now and then sees what keeps its numbers.

pub(crate) mod doubt;
pub(crate) mod identity;
pub(crate) mod reload;
pub(crate) mod settle;
pub(crate) mod watcher;
pub(crate) mod way;
