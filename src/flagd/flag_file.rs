//! From the text of a file in flagd's format to its flags, or everything that is wrong with it.

use serde_json::{Map, Value};

use super::compile_rule::{RuleCompiler, kind_of};
use super::file_report::{FileReport, Reported};
use super::flag_reader::{FlagReader, check_names, metadata_of, object_member};
use super::fractional_version::FractionalVersion;
use super::imported_flag::ImportedFlag;
use super::json_document;
use super::json_pointer::JsonPointer;
use crate::problem::{Mismatch, Problems};

/// The largest file, in bytes.
pub(crate) const FLAG_FILE_BYTES_MAX: usize = 4 << 20;

const FILE_MEMBERS: [&str; 4] = ["flags", "$evaluators", "metadata", "$schema"];

/// What a file in flagd's format holds.
#[derive(Debug, Default)]
pub struct FlagFile {
    /// The flags, in order of their names.
    pub flags: Vec<ImportedFlag>,
}

/// Reads a file.
///
/// # Errors
/// Everything that is wrong with it, each at its JSON pointer.
pub fn parse(text: &str, version: FractionalVersion) -> Result<FlagFile, Problems> {
    let mut report = FileReport::default();
    match document(text, &mut report) {
        Ok(members) => {
            let flags = flags_of(&members, version, &mut report);
            report.finish(flags.map(|flags| FlagFile { flags }))
        }
        Err(reported) => report.finish(Err(reported)),
    }
}

/// The members of the file.
fn document(text: &str, report: &mut FileReport) -> Result<Map<String, Value>, Reported> {
    let root = JsonPointer::Root;
    if text.len() > FLAG_FILE_BYTES_MAX {
        let (found, wanted) = (format!("{} bytes", text.len()), format!("at most {FLAG_FILE_BYTES_MAX}"));
        return Err(report.problem(&root, found, wanted, "split the file"));
    }
    let (document, twice) = json_document::read(text)
        .map_err(|error| report.problem(&root, format!("no JSON: {error}"), "JSON", "mend what stands there"))?;
    for at in twice {
        report.add(at, Mismatch::new("this name for the second time", "each name once", "remove one of the two"));
    }
    if let Value::Object(members) = document {
        return Ok(members);
    }
    Err(report.problem(&root, kind_of(&document), "an object with `flags`", "write {\"flags\": {}}"))
}

/// The flags of a file with these members. What is wrong beside them is reported as well.
fn flags_of(
    members: &Map<String, Value>,
    version: FractionalVersion,
    report: &mut FileReport,
) -> Result<Vec<ImportedFlag>, Reported> {
    let root = JsonPointer::Root;
    check_names(members, &FILE_MEMBERS, &root, report);
    let metadata = metadata_of(members, &root, report);
    let none = Map::new();
    let evaluators = object_member(members, "$evaluators", &root, report)?.unwrap_or(&none);
    let mut rules = RuleCompiler::new(evaluators, version, std::mem::take(report));
    let evaluators_good = rules.all_evaluators().is_ok();
    let mut reader = FlagReader::new(rules, metadata.unwrap_or_default(), evaluators_good);
    let flags = reader.flags(members);
    *report = reader.into_report();
    flags
}

#[cfg(test)]
mod tests;
