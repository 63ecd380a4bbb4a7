//! The invariants of the architecture that the compiler cannot see, checked on the sources themselves. Reading text is
//! enough for that and needs no dependency; each rule is also run on a small text that breaks it.
//!
//! - [`imports`]: which module may import which, and what the pure modules must not touch.
//! - [`cycles`]: files of a module import in one direction.
//! - [`names`]: a type name and a file stem stand for one thing.
//! - [`shape`]: values that travel together have a name, and an error is a type.
//! - [`sizes`]: files and functions are short.
//! - [`places`]: things of which there is exactly one.
//! - [`forbidden`]: prints that can panic, and unfinished work.
//! - [`console`]: its files are embedded, and text on the page is text.
//! - [`words`]: comments and documents are plain.
//! - [`dependencies`]: each dependency says why it is here.
//! - [`metrics`]: each metric is documented.
//! - [`report`]: what the sources come to, in numbers.
//! - [`source`]: the sources as text, and how a rule is run.

mod console;
mod cycles;
mod dependencies;
mod forbidden;
mod imports;
mod metrics;
mod names;
mod places;
mod report;
mod shape;
mod sizes;
mod source;
mod words;
