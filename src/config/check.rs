//! Checks of values that occur in several sections: numbers within a range, names, sockets, networks.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::reader::config_path::ConfigPath;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::Setting;
use crate::problem::{Mismatch, listed};
use crate::table::Name;

/// All of `results`, or that one of them was refused; unlike `collect` it looks at every one, so that each is reported.
pub(crate) fn every<T>(
    results: impl IntoIterator<Item = Result<T, ErrorGuaranteed>>,
) -> Result<Vec<T>, ErrorGuaranteed> {
    let mut refused = None;
    let mut good = Vec::new();
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(reported) => refused = Some(reported),
        }
    }
    refused.map_or(Ok(good), Err)
}

/// What stands beside the names of versions and services in the calls of the admin API that move traffic:
/// `{"v1": 90, "v2": 10, "reason": "..."}`. A version or service of such a name could not be moved.
pub const RESERVED_NAMES: [&str; 4] = ["reason", "hold", "force", "ttl"];

/// A name of a service or a version.
pub(crate) fn free_name(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Name, ErrorGuaranteed> {
    match RESERVED_NAMES.contains(&text) {
        true => {
            let text = Mismatch::new(
                format!("{text:?}"),
                format!("another name: {} stand beside the names in calls of the admin API", listed(RESERVED_NAMES)),
                "rename it",
            );
            Err(report.problem(at, text))
        }
        false => name(text, at, report),
    }
}

/// A name.
pub(crate) fn name(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Name, ErrorGuaranteed> {
    Name::new(text).map_err(|bad| report.problem(at, bad.mismatch()))
}

/// A setting that has a default and a range.
pub(crate) fn setting<T: Copy + PartialOrd + Display>(
    raw: Option<Setting<T>>,
    default: T,
    range: RangeInclusive<T>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<T, ErrorGuaranteed> {
    let value = raw.map_or(default, |read| read.0);
    let (low, high) = range.clone().into_inner();
    match range.contains(&value) {
        true => Ok(value),
        false => {
            let remedy = if value < low { format!("raise it to {low}") } else { format!("lower it to {high}") };
            Err(report.problem(
                at,
                Mismatch::new(format!("{value}"), format!("{low} to {high}"), format!("{remedy} or leave it out")),
            ))
        }
    }
}

/// A path of a file, below the folder of the config unless it is absolute.
pub(crate) fn file(
    text: &str,
    base: &Path,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<PathBuf, ErrorGuaranteed> {
    match text.is_empty() || text.contains('\0') {
        true => Err(report.problem(at, Mismatch::new(format!("{text:?}"), "the path of a file", "name one"))),
        false => Ok(base.join(text)),
    }
}

/// The same of a file that another program reads later; that it can be is looked at with the config.
pub(crate) fn read_file(
    text: &str,
    base: &Path,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<PathBuf, ErrorGuaranteed> {
    let file = file(text, base, at, report)?;
    report.files.read.push((report.key(at), file.clone()));
    Ok(file)
}

/// The same of a file that the process makes if it is not there.
pub(crate) fn made_file(
    text: &str,
    base: &Path,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<PathBuf, ErrorGuaranteed> {
    let file = file(text, base, at, report)?;
    report.files.made.push((report.key(at), file.clone()));
    Ok(file)
}

/// The file of a secret, if one is named. It is read where it is used; that it can be is looked at with the config.
pub(crate) fn secret_file(
    text: Option<&str>,
    base: &Path,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Option<PathBuf>, ErrorGuaranteed> {
    let file = text.map(|text| file(text, base, at, report)).transpose()?;
    if let Some(file) = &file {
        let key = report.key(at);
        report.files.secrets.push((key, file.clone()));
    }
    Ok(file)
}

/// `IP:PORT`.
pub(crate) fn socket(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<SocketAddr, ErrorGuaranteed> {
    let Ok(address) = text.parse() else {
        let wanted = "IP:PORT such as \"10.0.0.1:8080\" or \"[::1]:8080\"";
        return Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, socket_remedy(text))));
    };
    Ok(address)
}

/// `IP:PORT` of an endpoint, whose text is no `NAME:PORT`.
pub(crate) fn endpoint(
    text: &str,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<SocketAddr, ErrorGuaranteed> {
    let Ok(address) = text.parse() else {
        let wanted = "IP:PORT such as \"10.0.0.1:8080\", or NAME:PORT such as \"backend.internal:8080\"";
        let remedy = match text.rsplit_once(':') {
            _ if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() => socket_remedy(text),
            None => "add a port".to_owned(),
            Some((host, _)) if !text.contains("://") && !host.is_empty() && host.parse::<IpAddr>().is_err() => {
                "a name has letters, digits, '-', '_' and '.', and a port is a number from 1 to 65535".to_owned()
            }
            Some(_) => socket_remedy(text),
        };
        return Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, remedy)));
    };
    Ok(address)
}

/// What to do about a text that is not `IP:PORT`.
fn socket_remedy(text: &str) -> String {
    if text.contains("://") {
        return "leave the scheme and the path out".to_owned();
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return format!("add a port: {:?}", SocketAddr::new(ip, 8080).to_string());
    }
    match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("write \"127.0.0.1:{port}\""),
        Some(("" | "*", _)) => "put an address before the port".to_owned(),
        Some((host, _)) if host.parse::<IpAddr>().is_ok() => "a port is a number from 1 to 65535".to_owned(),
        Some(_) | None => "names are not resolved, write the address".to_owned(),
    }
}

/// An address block, `10.0.0.0/8`, or a single address.
pub(crate) fn network(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<IpNet, ErrorGuaranteed> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let problem = match text.parse::<IpNet>() {
        Ok(block) if block.trunc() == block => return Ok(block),
        Ok(block) => {
            let (whole, one) = (block.trunc(), block.addr());
            Mismatch::new(
                format!("{text:?}, which goes beyond its prefix"),
                format!("{whole} or {one}"),
                "write the one that is meant",
            )
        }
        Err(_) => {
            let remedy = match text.split_once('/').map(|(address, _)| address.parse::<IpAddr>()) {
                Some(Ok(IpAddr::V4(_))) => "the prefix is a number from 0 to 32",
                Some(Ok(IpAddr::V6(_))) => "the prefix is a number from 0 to 128",
                Some(Err(_)) | None => "names are not resolved, write the address",
            };
            Mismatch::new(format!("{text:?}"), "an address block such as \"10.0.0.0/8\" or an address", remedy)
        }
    };
    Err(report.problem(at, problem))
}
