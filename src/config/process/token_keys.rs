//! `[jwt]`: the keys that tokens of users are verified by, and what a token has to be.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use crate::config::build::Build;
use crate::config::check::{self, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::{List, Texts};
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::config::url::{self, UrlWords};
use crate::jwt::{JwtAlgorithm, JwtPolicy, unverified};
use crate::problem::{Mismatch, listed};
use crate::table::ServiceSpec;
use crate::tls::Trust;

/// How far clocks may differ, if nothing is said: what RFC 7519, 4.1.4 calls a few minutes at the most.
const LEEWAY: TimeSpan = TimeSpan::secs(60);

/// How often keys are fetched, if nothing is said. Issuers publish a new key hours before they use it, and one that is
/// not known is fetched for at once.
const REFRESH: TimeSpan = TimeSpan::secs(600);

/// Of the URL of keys.
const KEYS_URL: UrlWords = UrlWords {
    wanted: "a file, or a URL such as \"https://id.example.com/.well-known/jwks.json\"",
    user: "leave it out: keys are public",
};

/// How tokens are verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtConfig {
    /// Where the keys come from.
    pub keys: JwtKeys,
    /// What a token has to be.
    pub policy: JwtPolicy,
}

/// Where the keys of tokens come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwtKeys {
    /// A file, which is watched.
    File(PathBuf),
    /// A server, which is asked again and again.
    Url {
        /// What is asked for.
        url: Uri,
        /// Whose certificates are believed.
        trust: Trust,
        /// How often.
        refresh: Duration,
    },
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawJwt {
    keys: Option<String>,
    ca: Option<String>,
    refresh: Option<Setting<TimeSpan>>,
    issuer: Option<String>,
    audience: Option<Texts>,
    algorithms: Option<List<String>>,
    leeway: Option<Setting<TimeSpan>>,
}

impl RawJwt {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<JwtConfig, ErrorGuaranteed> {
        let keys = self.keys(at, build);
        let report = &mut build.report;
        let algorithms = self.algorithms(&at.key("algorithms"), report);
        let leeway = setting(self.leeway, LEEWAY, TimeSpan::secs(0)..=TimeSpan::secs(600), &at.key("leeway"), report);
        let issuer = match self.issuer.as_deref() {
            Some("") => Err(empty(&at.key("issuer"), report)),
            issuer => Ok(issuer.map(str::to_owned)),
        };
        let audience_at = at.key("audience");
        let audience = self.audience.as_ref().map_or(Ok(Vec::new()), |audience| {
            if audience.is_empty() {
                return Err(empty(&audience_at, report));
            }
            check::every(audience.each(&audience_at, |at, text| match text {
                "" => Err(empty(at, report)),
                text => Ok(text.to_owned()),
            }))
        });
        let (keys, algorithms) = (keys?, algorithms?);
        let policy = JwtPolicy { algorithms, issuer: issuer?, audience: audience?, leeway: leeway?.0 };
        Ok(JwtConfig { keys, policy })
    }

    fn keys(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<JwtKeys, ErrorGuaranteed> {
        let (base, report, keys_at) = (build.base, &mut build.report, at.key("keys"));
        let Some(text) = self.keys.as_deref() else {
            let remedy = "add keys = \"keys.json\", or remove the section";
            return Err(report.missing(&keys_at, Mismatch::new("none", KEYS_URL.wanted, remedy)));
        };
        if text.contains("://") {
            return self.url(text, at, build);
        }
        let file = check::file(text, base, &keys_at, report)?;
        report.files.token_keys.push((report.key(&keys_at), file.clone()));
        for (key, written) in [("ca", self.ca.is_some()), ("refresh", self.refresh.is_some())] {
            if written {
                let wanted = "it with the URL of a server only: a file is watched";
                report.problem(&at.key(key), Mismatch::new("it with a file", wanted, "remove it"));
            }
        }
        report.touched(at).map_or(Ok(JwtKeys::File(file)), Err)
    }

    fn url(&self, text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<JwtKeys, ErrorGuaranteed> {
        let (base, report, keys_at) = (build.base, &mut build.report, at.key("keys"));
        let url = url::url(Some(text), KEYS_URL, &keys_at, report);
        // The system's authorities are the usual ones: most issuers are on the public network.
        let trust = match self.ca.as_deref() {
            None | Some("system") => Ok(Trust::System),
            Some(text) => check::file(text, base, &at.key("ca"), report).map(Trust::Ca),
        };
        let range = TimeSpan::secs(1)..=TimeSpan::secs(86_400);
        let refresh = setting(self.refresh, REFRESH, range, &at.key("refresh"), report);
        let url = url?;
        if url.scheme_str() == Some("http") && !url.host().is_some_and(is_loopback) {
            let remedy = "write https://: who can change keys on their way can make tokens that are believed";
            let text = Mismatch::new("http:// to another machine", "https://, or http:// to this machine", remedy);
            return Err(report.problem(&keys_at, text));
        }
        Ok(JwtKeys::Url { url, trust: trust?, refresh: refresh?.0 })
    }

    fn algorithms(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Vec<JwtAlgorithm>, ErrorGuaranteed> {
        let Some(words) = &self.algorithms else { return Ok(JwtAlgorithm::ALL.into()) };
        if words.is_empty() {
            return Err(empty(at, report));
        }
        check::every(words.iter().map(|(index, word)| {
            JwtAlgorithm::of(word).ok_or_else(|| {
                let wanted = format!("one of {}", listed(JwtAlgorithm::ALL.map(JwtAlgorithm::word)));
                let remedy = "ask the issuer for one of these: others are not known here, or not safe";
                report.problem(&at.item(index), Mismatch::new(format!("{word:?}"), wanted, remedy))
            })
        }))
    }
}

fn empty(at: &ConfigPath<'_>, report: &mut Report<'_>) -> ErrorGuaranteed {
    report.problem(at, Mismatch::new("nothing", "one at least", "leave the key out, or name one"))
}

/// Whether a host is this machine, so that nothing stands between.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Notes that these services look at tokens that nothing verifies: one remark, at the first of them.
pub(crate) fn remark_unverified(readers: &[&ServiceSpec], at: &ConfigPath<'_>, report: &mut Report<'_>) {
    let names = readers.iter().map(|service| service.name.as_str());
    if let Some((text, first)) = unverified(names).zip(readers.first()) {
        let key = report.key(&at.key(first.name.as_str()));
        report.files.remarks.push(key.remark(text));
    }
}
