//! Checks that several sections share.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::reader::config_path::Place;
use super::reader::report::{Report, Reported};
use super::reader::suggest::listed;
use super::reader::units::Read;
use crate::table::Name;

/// All of `results`, or that one of them was refused; unlike `collect` it looks at every one, so that each is reported.
pub(crate) fn every<T>(results: impl IntoIterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
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
/// `{"v1": 90, "v2": 10, "reason": "..."}`. Somebody who is called so could not be moved.
pub const RESERVED_NAMES: [&str; 3] = ["reason", "hold", "force"];

/// A name of a service or a version.
pub(crate) fn free_name(text: &str, at: &Place<'_>, report: &mut Report<'_>) -> Result<Name, Reported> {
    match RESERVED_NAMES.contains(&text) {
        true => {
            let text = format!(
                "found {text:?}, want another name: {} stand beside the names in calls of the admin API (rename it)",
                listed(RESERVED_NAMES)
            );
            Err(report.problem(at, text))
        }
        false => name(text, at, report),
    }
}

/// A name.
pub(crate) fn name(text: &str, at: &Place<'_>, report: &mut Report<'_>) -> Result<Name, Reported> {
    Name::new(text).map_err(|bad| report.problem(at, format!("{bad} (rename it)")))
}

/// A setting that has a default and a range.
pub(crate) fn setting<T: Copy + PartialOrd + Display>(
    raw: Option<Read<T>>,
    default: T,
    range: RangeInclusive<T>,
    at: &Place<'_>,
    report: &mut Report<'_>,
) -> Result<T, Reported> {
    let value = raw.map_or(default, |read| read.0);
    let (low, high) = range.clone().into_inner();
    match range.contains(&value) {
        true => Ok(value),
        false => {
            let remedy = if value < low { format!("raise it to {low}") } else { format!("lower it to {high}") };
            Err(report.problem(at, format!("found {value}, want {low} to {high} ({remedy} or leave it out)")))
        }
    }
}

/// A path of a file, below the folder of the config unless it is absolute.
pub(crate) fn file(text: &str, base: &Path, at: &Place<'_>, report: &mut Report<'_>) -> Result<PathBuf, Reported> {
    match text.is_empty() || text.contains('\0') {
        true => Err(report.problem(at, format!("found {text:?}, want the path of a file (name one)"))),
        false => Ok(base.join(text)),
    }
}

/// `IP:PORT`.
pub(crate) fn socket(text: &str, at: &Place<'_>, report: &mut Report<'_>) -> Result<SocketAddr, Reported> {
    let Ok(address) = text.parse() else {
        let wanted = "IP:PORT such as \"10.0.0.1:8080\" or \"[::1]:8080\"";
        return Err(report.problem(at, format!("found {text:?}, want {wanted} ({})", socket_remedy(text))));
    };
    Ok(address)
}

/// `IP:PORT` of an endpoint, whose text is no `NAME:PORT`.
pub(crate) fn endpoint(text: &str, at: &Place<'_>, report: &mut Report<'_>) -> Result<SocketAddr, Reported> {
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
        return Err(report.problem(at, format!("found {text:?}, want {wanted} ({remedy})")));
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
pub(crate) fn network(text: &str, at: &Place<'_>, report: &mut Report<'_>) -> Result<IpNet, Reported> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let problem = match text.parse::<IpNet>() {
        Ok(block) if block.trunc() == block => return Ok(block),
        Ok(block) => {
            let (whole, one) = (block.trunc(), block.addr());
            format!("found {text:?}, which goes beyond its prefix, want {whole} or {one} (write the one that is meant)")
        }
        Err(_) => {
            let remedy = match text.split_once('/').map(|(address, _)| address.parse::<IpAddr>()) {
                Some(Ok(IpAddr::V4(_))) => "the prefix is a number from 0 to 32",
                Some(Ok(IpAddr::V6(_))) => "the prefix is a number from 0 to 128",
                Some(Err(_)) | None => "names are not resolved, write the address",
            };
            format!("found {text:?}, want an address block such as \"10.0.0.0/8\" or an address ({remedy})")
        }
    };
    Err(report.problem(at, problem))
}
