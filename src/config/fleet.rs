//! `[fleet]`: the etcd whose one key has the traffic of all replicas, and what this replica is called in it.
//!
//! It is of one machine: beside a config that is in a repository it stands in the local file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::build::Build;
use super::check::{self, every, setting};
use super::reader::config_path::ConfigPath;
use super::reader::list::List;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::{Setting, TimeSpan};
use super::tls::RawClientTls;
use super::url::{UrlWords, url};
use crate::problem::Mismatch;
use crate::tls::{Alpn, ClientSettings};

/// How long a change waits for the other replicas by default: a stop of the world that a user of an admin API takes.
const WAIT: TimeSpan = TimeSpan::secs(2);

/// What is said of a member of etcd that is no URL.
const MEMBER: UrlWords = UrlWords {
    wanted: "the URL of a member of etcd such as \"https://10.0.0.1:2379\"",
    user: "leave it out; fleet.user and fleet.password_file say who asks",
};

/// What is said of an address that is no URL.
const ADVERTISED: UrlWords =
    UrlWords { wanted: "the URL of this replica's admin API such as \"https://10.0.0.11:9900\"", user: "leave it out" };

/// A fleet, as one replica of it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetConfig {
    /// The members of etcd, at least one.
    pub etcd: Vec<Uri>,
    /// What all keys of the fleet begin with, without a slash at its end.
    pub prefix: String,
    /// What this replica is called; none: as the host.
    pub name: Option<String>,
    /// Where the other replicas reach its admin API.
    pub advertise: Option<Uri>,
    /// How TLS is spoken with etcd, if its URLs are https.
    pub tls: Option<Arc<ClientSettings>>,
    /// The file with the token that lets this replica into the admin APIs of the others; none: they want none.
    pub token_file: Option<PathBuf>,
    /// How TLS is spoken with those, if it is not by the authorities of the system.
    pub replica_tls: Option<Arc<ClientSettings>>,
    /// Who asks etcd, if it has users.
    pub user: Option<FleetUser>,
    /// How long a change waits for the other replicas.
    pub wait: Duration,
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetUser {
    /// Its name.
    pub name: String,
    /// The file with its password.
    pub password_file: PathBuf,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawFleet {
    etcd: Option<List<String>>,
    prefix: Option<String>,
    name: Option<String>,
    advertise: Option<String>,
    tls: Option<RawClientTls>,
    token_file: Option<String>,
    replica_tls: Option<RawClientTls>,
    user: Option<String>,
    password_file: Option<String>,
    wait: Option<Setting<TimeSpan>>,
}

impl RawFleet {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<FleetConfig, ErrorGuaranteed> {
        let etcd = self.etcd(at, build);
        let (base, report) = (build.base, &mut build.report);
        let prefix = prefix(self.prefix.as_deref().unwrap_or("/pointsman"), &at.key("prefix"), report);
        let name = self.name.as_deref().map(|text| name(text, &at.key("name"), report)).transpose();
        let advertise = self.advertise.as_deref();
        let advertise = advertise.map(|text| url(Some(text), ADVERTISED, &at.key("advertise"), report)).transpose();
        let tls = self.tls.as_ref().map(|raw| raw.build(&[Alpn::Http11], base, &at.key("tls"), report)).transpose();
        let token_file = self.token_file.as_deref().map(|file| secret(file, &at.key("token_file"), base, report));
        let replica_tls = self.replica_tls.as_ref();
        let replica_tls =
            replica_tls.map(|raw| raw.build(&[Alpn::Http11], base, &at.key("replica_tls"), report)).transpose();
        let user = self.user(at, build);
        let range = TimeSpan::millis(0)..=TimeSpan::secs(60);
        let wait = setting(self.wait, WAIT, range, &at.key("wait"), &mut build.report);
        let (etcd, tls) = (etcd?, tls?);
        if etcd.iter().any(|member| member.scheme_str() == Some("https")) && tls.is_none() {
            let text = Mismatch::new(
                "https and no tls",
                "whose certificates are believed",
                "add tls = { ca = \"etcd-ca.pem\" }, or { ca = \"system\" } for the public authorities",
            );
            return Err(build.report.unless(&at.key("tls"), &at.key("etcd"), text));
        }
        Ok(FleetConfig {
            etcd,
            prefix: prefix?,
            name: name?,
            advertise: advertise?,
            tls,
            token_file: token_file.transpose()?,
            replica_tls: replica_tls?,
            user: user?,
            wait: wait?.0,
        })
    }

    fn etcd(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Vec<Uri>, ErrorGuaranteed> {
        let at = at.key("etcd");
        let members = self
            .etcd
            .as_ref()
            .map(|list| every(list.iter().map(|(i, text)| url(Some(text), MEMBER, &at.item(i), &mut build.report))));
        match members.transpose()? {
            Some(members) if !members.is_empty() => Ok(members),
            Some(_) | None => {
                let text = Mismatch::new("none", MEMBER.wanted, "add etcd = [\"https://10.0.0.1:2379\"]");
                Err(build.report.missing(&at, text))
            }
        }
    }

    fn user(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Option<FleetUser>, ErrorGuaranteed> {
        let password_at = at.key("password_file");
        match (&self.user, &self.password_file) {
            (None, None) => Ok(None),
            (Some(name), Some(file)) => {
                let password_file = secret(file, &password_at, build.base, &mut build.report)?;
                Ok(Some(FleetUser { name: name.clone(), password_file }))
            }
            (Some(_), None) => {
                let text = Mismatch::new("a user without a password", "both", "add password_file = \"etcd.password\"");
                Err(build.report.unless(&password_at, &at.key("user"), text))
            }
            (None, Some(_)) => {
                let text = Mismatch::new("a password without a user", "both", "add user = \"pointsman\"");
                Err(build.report.unless(&at.key("user"), &password_at, text))
            }
        }
    }
}

/// A file with a secret.
fn secret(file: &str, at: &ConfigPath<'_>, base: &Path, report: &mut Report<'_>) -> Result<PathBuf, ErrorGuaranteed> {
    let file = check::file(file, base, at, report)?;
    let key = report.key(at);
    report.files.secrets.push((key, file.clone()));
    Ok(file)
}

/// What keys begin with.
fn prefix(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<String, ErrorGuaranteed> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let parts = text.strip_prefix('/').map(|rest| rest.split('/'));
    if parts.is_some_and(|mut parts| parts.all(|part| !part.is_empty() && part.chars().all(known))) {
        return Ok(text.to_owned());
    }
    let wanted = "what keys begin with, such as \"/pointsman/prod\": letters, digits and any of ._- between slashes";
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "correct it")))
}

/// What a replica is called.
fn name(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<String, ErrorGuaranteed> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !text.is_empty() && text.len() <= 253 && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    let wanted = "a name such as \"edge-1\": letters, digits and any of ._-";
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "correct it")))
}
