//! `pointsman flag import`: what the flags of a file in flagd's format become, before a config names it.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{CommandError, Remote, text};
use crate::flagd::flag_file;
use crate::flagd::fractional_version::FractionalVersion;
use crate::flagd::imported_flag::ImportedFlag;
use crate::problem::{listed, utf8};

/// Check a file of flags in flagd's format, and say what it becomes with `[flags] import = "FILE"`; nothing is called
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman flag import flags.json --fractional v2")]
pub(crate) struct FlagImportArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What `fractional` hashes
    #[arg(long, value_enum, default_value_t = Fractional::V3)]
    fractional: Fractional,
}

/// What `fractional` hashes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fractional {
    /// texts as they are, as flagd did until autumn 2026
    V2,
    /// the encoding of any value
    V3,
}

impl From<Fractional> for FractionalVersion {
    fn from(fractional: Fractional) -> Self {
        match fractional {
            Fractional::V2 => Self::V2,
            Fractional::V3 => Self::V3,
        }
    }
}

/// Reads the file, and says what is in it.
///
/// # Errors
/// [`CommandError::Usage`] with everything that is wrong with the file.
pub(crate) fn run(remote: &Remote, args: &FlagImportArgs) -> Result<(), CommandError> {
    let path = args.file.display();
    let wrong = |error: String| CommandError::Usage(format!("{path}: {error}"));
    let bytes = std::fs::read(&args.file).map_err(|error| wrong(error.to_string()))?;
    let content = utf8::text(bytes).map_err(|error| wrong(error.to_string()))?;
    let file = flag_file::parse(&content, args.fractional.into()).map_err(|problems| {
        let lines: Vec<String> = problems.as_slice().iter().map(|problem| format!("{path}: {problem}")).collect();
        CommandError::Usage(lines.join("\n"))
    })?;
    let flags = file.flags.iter();
    text::print(&match remote.json {
        true => text::json(&json!({ "flags": flags.map(shown).collect::<Vec<_>>() })),
        false => {
            let plural = if file.flags.len() == 1 { "flag" } else { "flags" };
            let mut said = format!("{path}: good: {} {plural}\n", file.flags.len());
            flags.for_each(|flag| said.push_str(&line(flag)));
            said
        }
    });
    Ok(())
}

/// `new-checkout: enabled, on or off, by default off, by a rule that looks at email`
fn line(flag: &ImportedFlag) -> String {
    let variants: Vec<&str> = flag.variants.iter().map(|variant| variant.name.as_str()).collect();
    let default = flag.default.and_then(|index| variants.get(usize::from(index)));
    let default = default.map_or("with the default of the code".to_owned(), |name| format!("by default {name}"));
    let mut said = format!("  {}: {}, {}, {default}", flag.key, state(flag), variants.join(" or "));
    // Writing to a text cannot fail.
    if flag.has_rule() {
        let asked = listed(flag.asked.attributes());
        let looks = if asked.is_empty() { String::new() } else { format!(" that looks at {asked}") };
        write!(said, ", by a rule{looks}").unwrap_or(());
    }
    let services = listed(flag.asked.services.keys().map(|name| name.as_str()));
    if !services.is_empty() {
        write!(said, ", by the version of {services}").unwrap_or(());
    }
    said + "\n"
}

fn shown(flag: &ImportedFlag) -> Value {
    let variants = flag.variants.iter().map(|variant| (variant.name.to_string(), variant.value.clone()));
    let default = flag.default.and_then(|index| flag.variants.get(usize::from(index)));
    json!({
        "name": flag.key.as_str(),
        "enabled": flag.enabled,
        "variants": variants.collect::<serde_json::Map<_, _>>(),
        "default": default.map(|variant| variant.name.as_str()),
        "metadata": flag.metadata,
        "rule": flag.has_rule(),
        "fractional": flag.version().to_string(),
        "attributes": flag.asked.attributes().collect::<Vec<_>>(),
        "services": flag.asked.services.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
    })
}

fn state(flag: &ImportedFlag) -> &'static str {
    if flag.enabled { "enabled" } else { "disabled" }
}
