//! `proxy_protocol` of a listener: whose word on the client's address is taken.

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use crate::config::check::{self, every, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::problem::Mismatch;

/// The header is the first packet of a connection. Time for it to be lost twice (Linux sends it again after 1 and 3 s)
/// would be 4 s; what HAProxy's manual advises is 3 s.
const TIMEOUT: TimeSpan = TimeSpan::secs(3);

/// From whom a listener takes the PROXY protocol, and how long it waits for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyProtocol {
    /// Who may connect, at least one block.
    pub from: Vec<IpNet>,
    /// Longest wait for the whole header.
    pub timeout: Duration,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { from = [\"10.0.0.0/8\"] }")]
pub(crate) struct RawProxyProtocol {
    from: List<String>,
    timeout: Option<Setting<TimeSpan>>,
}

/// The PROXY protocol of a listener, if it has it.
pub(crate) fn build(
    raw: Option<&RawProxyProtocol>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Option<ProxyProtocol>, ErrorGuaranteed> {
    let Some(raw) = raw else { return Ok(None) };
    let list = at.key("from");
    let from = if raw.from.is_empty() {
        let text = Mismatch::new("none", "the load balancers that send the header", "add from = [\"10.0.0.0/8\"]");
        Err(report.missing(&list, text))
    } else {
        every(raw.from.iter().map(|(i, text)| check::network(text, &list.item(i), report)))
    };
    let range = TimeSpan::millis(10)..=TimeSpan::secs(60);
    let timeout = setting(raw.timeout, TIMEOUT, range, &at.key("timeout"), report);
    Ok(Some(ProxyProtocol { from: from?, timeout: timeout?.0 }))
}
