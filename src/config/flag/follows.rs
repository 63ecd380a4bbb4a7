//! `follows`: a flag whose variant is the version that a user gets of a service, or the variant of another flag.

use std::collections::{BTreeMap, HashMap};

use super::{FlagScope, RawFlag, service, variant};
use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::{Mismatch, listed, suggest};
use crate::table::Name;
use crate::table::spec::flag::FlagSource;

/// The key that says which service is followed.
const SERVICE: &str = "service";

/// The key that says which flag is followed.
const FLAG: &str = "flag";

/// What the flag at `flag` follows.
pub(crate) fn build(
    raw: &BTreeMap<String, String>,
    variants: &[Name],
    scope: &FlagScope<'_>,
    flag: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<FlagSource, ErrorGuaranteed> {
    let at = flag.key("follows");
    let (followed, known) = match (raw.get(SERVICE), raw.get(FLAG)) {
        (Some(text), None) => {
            let name = service(text, scope, &at.key(SERVICE), report)?;
            let versions = scope.services.get(text).map(|raw| raw.version_names()).unwrap_or_default();
            (FlagSource::Service(name, Vec::new()), versions)
        }
        (None, Some(text)) => {
            let name = other_flag(text, scope, &at.key(FLAG), report)?;
            let variants = scope.variants_of(text);
            (FlagSource::Flag(name, Vec::new()), variants)
        }
        (None, None) => {
            let mismatch = Mismatch::new("neither", "service or flag", "add service = \"NAME\"");
            return Err(report.missing(&at, mismatch));
        }
        (Some(_), Some(_)) => {
            let mismatch = Mismatch::new("both service and flag", "one of them", "remove the other");
            return Err(report.problem(&at, mismatch));
        }
    };
    let pairs = raw.iter().filter(|(key, _)| ![SERVICE, FLAG].contains(&key.as_str()));
    let pairs = every(pairs.map(|(key, text)| {
        let at = at.key(key);
        let index = variant(text, variants, flag, &at, report);
        match known.iter().find(|name| name.as_str() == key) {
            Some(name) => Ok((name.clone(), index?)),
            None => {
                let names = || known.iter().map(Name::as_str);
                let remedy = suggest(key, names());
                let remedy = remedy.map_or("remove it".to_owned(), |meant| format!("did you mean {meant:?}?"));
                let wanted = format!("one of what is followed: {}", listed(names()));
                Err(report.problem(&at, Mismatch::new(format!("{key:?}"), wanted, remedy)))
            }
        }
    }))?;
    if pairs.is_empty() {
        let remedy = "add VERSION = \"VARIANT\" for each version that is not the default";
        return Err(report.problem(&at, Mismatch::new("no variant for anything", "at least one", remedy)));
    }
    Ok(match followed {
        FlagSource::Flag(name, _) => FlagSource::Flag(name, pairs),
        FlagSource::Service(name, _) => FlagSource::Service(name, pairs),
        others @ (FlagSource::Rules { .. } | FlagSource::Imported(_)) => others,
    })
}

/// The flag that `text` names at `at`.
fn other_flag(
    text: &str,
    scope: &FlagScope<'_>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Name, ErrorGuaranteed> {
    if let Some(name) = Name::new(text).ok().filter(|_| scope.has(text)) {
        return Ok(name);
    }
    let known = || scope.names();
    let remedy =
        suggest(text, known()).map_or("name one of them".to_owned(), |meant| format!("did you mean {meant:?}?"));
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), format!("a flag: {}", listed(known())), remedy)))
}

/// The most flags that follow each other one after another: all of them are asked where the first one is.
const CHAIN_MAX: usize = 16;

/// Reports each circle of flags that follow each other, once, and each chain of them that is too long, where it is.
pub(crate) fn check_chains(flags: &BTreeMap<String, RawFlag>, report: &mut Report<'_>) -> Result<(), ErrorGuaranteed> {
    let next = |name: &str| {
        let followed = flags.get(name)?.follows()?.get(FLAG)?;
        flags.get_key_value(followed).map(|(name, _)| name.as_str())
    };
    // The flags of the chain that begins with a flag, for those that were walked.
    let mut lengths = HashMap::<&str, usize>::new();
    let mut refused = Ok(());
    for first in flags.keys() {
        let (mut way, mut place) = (Vec::new(), HashMap::new());
        let mut at = Some(first.as_str());
        while let Some(name) = at.filter(|name| !lengths.contains_key(name) && !place.contains_key(name)) {
            place.insert(name, way.len());
            way.push(name);
            at = next(name);
        }
        let circle = way.split_off(at.and_then(|name| place.get(name)).map_or(way.len(), |start| *start));
        if !circle.is_empty() {
            refused = Err(report_circle(&circle, report));
            lengths.extend(circle.iter().map(|name| (*name, 0)));
        }
        let mut length = at.and_then(|name| lengths.get(name)).map_or(0, |length| *length);
        for name in way.into_iter().rev() {
            length += 1;
            lengths.insert(name, length);
            if length == CHAIN_MAX + 1 {
                refused = Err(report_chain(name, report));
            }
        }
    }
    refused
}

/// A circle is told at the first of its names.
fn report_circle(circle: &[&str], report: &mut Report<'_>) -> ErrorGuaranteed {
    let start = circle.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(start, _)| start);
    let names: Vec<&str> = circle.iter().cycle().skip(start).take(circle.len() + 1).copied().collect();
    let mismatch = Mismatch::new(format!("a circle: {}", names.join(" -> ")), "an end", "have one of them not follow");
    report.problem(&ConfigPath::Root.key("flags").key(names[0]).key("follows").key(FLAG), mismatch)
}

fn report_chain(name: &str, report: &mut Report<'_>) -> ErrorGuaranteed {
    let mismatch = Mismatch::new(
        format!("more than {CHAIN_MAX} flags that follow each other"),
        format!("at most {CHAIN_MAX}"),
        "have it follow one that is nearer to the end",
    );
    report.problem(&ConfigPath::Root.key("flags").key(name).key("follows").key(FLAG), mismatch)
}
