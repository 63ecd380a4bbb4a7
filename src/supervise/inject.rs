//! Faults for tests of whole processes, in debug builds only: a file whose lines name parts that have to end in a
//! panic, or to make no progress for a while (`stall NAME`).

use std::path::PathBuf;
use std::sync::LazyLock;

use super::Part;
use super::part::Fault;

/// The environment variable that names the file. It is removed when it was read.
const VARIABLE: &str = "POINTSMAN_TEST_FAULTS";

pub(crate) fn look(parts: &[Part]) {
    static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let Some(file) = &*FILE else { return };
    let Ok(text) = std::fs::read_to_string(file) else { return };
    std::fs::remove_file(file).ok();
    for line in text.lines() {
        let (name, fault) = line.strip_prefix("stall ").map_or((line, Fault::Panic), |name| (name, Fault::Stall));
        parts.iter().filter(|part| part.name() == name).for_each(|part| part.inject(fault));
    }
}
