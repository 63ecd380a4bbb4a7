//! URLs that are asked or told something, and the webhooks that they are part of.

use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::check::setting;
use super::reader::config_path::ConfigPath;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::{Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::rollout::release::Webhook;

/// A gate or a receiver of messages answers from what it knows; who cannot in ten seconds is gone.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait for a receiver.
pub(crate) const TIMEOUT_MAX: TimeSpan = TimeSpan::secs(86_400);

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawWebhook {
    url: Option<String>,
    timeout: Option<Setting<TimeSpan>>,
}

impl RawWebhook {
    /// `timeout` is the one that it has by default.
    pub(crate) fn build(
        &self,
        timeout: Duration,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Webhook, ErrorGuaranteed> {
        let url = url(self.url.as_deref(), RECEIVER, &at.key("url"), report);
        let range = TimeSpan::millis(1)..=TIMEOUT_MAX;
        let timeout = setting(self.timeout, TimeSpan(timeout), range, &at.key("timeout"), report);
        Ok(Webhook { url: url?, timeout: timeout?.0 })
    }
}

/// What is said of a URL that is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UrlWords {
    /// What it should be.
    pub(crate) wanted: &'static str,
    /// What to do with a user in it.
    pub(crate) user: &'static str,
}

/// Of the URL of a receiver of messages.
pub(crate) const RECEIVER: UrlWords = UrlWords {
    wanted: "a URL such as \"https://hooks.example.com/x\"",
    user: "leave it out; messages can be signed instead",
};

/// A URL of `http` or `https`, with a host and without a user.
pub(crate) fn url(
    text: Option<&str>,
    UrlWords { wanted, user }: UrlWords,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Uri, ErrorGuaranteed> {
    let Some(text) = text else {
        return Err(report.missing(at, Mismatch::new("none", wanted, "add url")));
    };
    let found = format!("{:?}", shown(text));
    let wrong = match text.parse::<Uri>() {
        Ok(url) => match (url.scheme_str(), url.authority()) {
            (Some("http" | "https"), Some(authority)) => {
                let port_is_bad = authority
                    .as_str()
                    .rsplit_once(':')
                    .is_some_and(|(_, port)| !port.ends_with(']') && !port.parse::<u16>().is_ok_and(|port| port > 0));
                if authority.as_str().contains('@') {
                    Mismatch::new("a user before the host", wanted, user)
                } else if authority.host().is_empty() {
                    Mismatch::new(found, wanted, "name a host")
                } else if port_is_bad {
                    Mismatch::new(found, wanted, "a port is a number from 1 to 65535")
                } else {
                    return Ok(url);
                }
            }
            _ => Mismatch::new(found, wanted, "begin with http:// or https:// and a host"),
        },
        Err(_) => Mismatch::new(found, wanted, "write it with its scheme and host, without spaces"),
    };
    Err(report.problem(at, wrong))
}

/// What may be repeated of a URL: paths and users are often secrets, and problems are logged.
fn shown(text: &str) -> String {
    let begin = text.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = text.split_at(begin);
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = if rest.len() > 1 { "/..." } else { rest };
    format!("{scheme}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_repeated() {
        for (text, wanted) in [
            ("ftp://a/x?y", "ftp://a/..."),
            ("https://me:secret@a:99999/", "https://a:99999/"),
            ("a.example/secret", "a.example/..."),
            ("https://a?secret", "https://a/..."),
            ("", ""),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }
}
