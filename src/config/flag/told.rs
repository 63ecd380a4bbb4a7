//! `flags` of a service: which flags its requests carry to the upstream.

use std::collections::BTreeMap;

use super::FlagScope;
use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::{Mismatch, listed, suggest};
use crate::table::Name;
use crate::table::flag_table::TOLD_MAX;

/// The flags by service.
pub(crate) fn build(
    scope: &FlagScope<'_>,
    report: &mut Report<'_>,
) -> Result<BTreeMap<Name, Vec<Name>>, ErrorGuaranteed> {
    let all = ConfigPath::Root.key("services");
    let mut told = BTreeMap::new();
    let mut refused = Ok(());
    for (service, raw) in scope.services {
        if raw.flags().is_empty() {
            continue;
        }
        let at = all.key(service);
        match (Name::new(service), of_service(raw.flags(), scope, &at.key("flags"), report)) {
            (Ok(service), Ok(flags)) => drop(told.insert(service, flags)),
            (_, Err(reported)) => refused = Err(reported),
            // A bad name has been reported with the service.
            (Err(_), Ok(_)) => {}
        }
    }
    refused.map(|()| told)
}

fn of_service(
    raw: &List<String>,
    scope: &FlagScope<'_>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<Name>, ErrorGuaranteed> {
    let count = raw.iter().count();
    if count > TOLD_MAX {
        let mismatch = Mismatch::new(format!("{count} flags"), format!("at most {TOLD_MAX}"), "leave some out");
        return Err(report.problem(at, mismatch));
    }
    let mut headers: Vec<String> = Vec::new();
    every(raw.iter().map(|(index, text)| {
        let at = at.item(index);
        let known = || scope.names();
        let Some(name) = Name::new(text).ok().filter(|_| scope.has(text)) else {
            let remedy = match suggest(text, known()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("add [{}]", ConfigPath::Root.key("flags").key(text)),
            };
            let wanted = if known().next().is_none() { "none is defined".to_owned() } else { listed(known()) };
            let mismatch = Mismatch::new(format!("{text:?}"), format!("a flag: {wanted}"), remedy);
            return Err(report.unless(&ConfigPath::Root.key("flags").key(text), &at, mismatch));
        };
        // Programs behind gateways of the CGI kind cannot tell '_' and '.' from '-': a client could forge one header
        // by another.
        if text.bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'-') {
            let wanted = "a name of letters, digits and '-', for it becomes the name of a header";
            return Err(report.problem(&at, Mismatch::new(format!("{text:?}"), wanted, "rename the flag")));
        }
        let header = text.to_ascii_lowercase();
        if headers.contains(&header) {
            let mismatch = Mismatch::new("it for the second time", "each flag once, in one writing", "remove it");
            return Err(report.problem(&at, mismatch));
        }
        headers.push(header);
        Ok(name)
    }))
}
