//! `[services.X.cookie]`: the cookie of `sticky = [..., "cookie"]`.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::config::service::route;
use crate::config::service::sticky::is_token;
use crate::problem::Mismatch;
use crate::table::key::OWN_COOKIE;
use crate::table::spec::own_cookie::{CookieAttributes, OwnCookieSpec, SameSite};
use crate::table::spec::{HostPattern, KeySource};

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawCookie {
    name: Option<String>,
    domain: Option<String>,
    path: Option<String>,
    same_site: Option<RawSameSite>,
    max_age: Option<Setting<TimeSpan>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawSameSite {
    Strict,
    Lax,
    None,
}

/// What browsers cap it at: 400 days.
const AGE_MAX: TimeSpan = TimeSpan::secs(400 * 86_400);

impl RawCookie {
    /// The cookie, and the sources of keys with its name.
    pub(crate) fn build(
        &self,
        sticky: Vec<KeySource>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<(Arc<OwnCookieSpec>, Vec<KeySource>), ErrorGuaranteed> {
        if !sticky.contains(&KeySource::OwnCookie) {
            let mismatch = Mismatch::new(
                "it without the source \"cookie\" in sticky",
                "a cookie that is set",
                "add sticky = [\"cookie\"], or remove the section",
            );
            return Err(report.problem(at, mismatch));
        }
        let name = self.name(&at.key("name"), report);
        let domain = self.domain(&at.key("domain"), report);
        let path = self.path(&at.key("path"), report);
        let default = CookieAttributes::default();
        let range = TimeSpan::secs(1)..=AGE_MAX;
        let age = TimeSpan::secs(default.max_age);
        let max_age = check::setting(self.max_age, age, range, &at.key("max_age"), report);
        let same_site = self.same_site.map_or(default.same_site, |raw| match raw {
            RawSameSite::Strict => SameSite::Strict,
            RawSameSite::Lax => SameSite::Lax,
            RawSameSite::None => SameSite::None,
        });
        let (name, domain, path, max_age) = (name?, domain?, path?, max_age?.0.as_secs());
        if name.starts_with("__Host-") && (domain.is_some() || path != "/") {
            let mismatch = Mismatch::new(
                format!("{name:?} with a domain or a path"),
                "neither, for browsers refuse such a cookie",
                "remove domain and path, or rename it",
            );
            return Err(report.problem(&at.key("name"), mismatch));
        }
        let attributes = CookieAttributes { domain: domain.as_deref(), path, same_site, max_age };
        let named = |source: KeySource| match source.is_own_cookie() && name != OWN_COOKIE {
            true => KeySource::NamedOwnCookie(name.into()),
            false => source,
        };
        let spec = OwnCookieSpec::new(name, attributes);
        Ok((Arc::new(spec), sticky.into_iter().map(named).collect()))
    }

    fn name(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<&str, ErrorGuaranteed> {
        let name = self.name.as_deref().unwrap_or(OWN_COOKIE);
        if is_token(name) && name.len() <= 64 {
            return Ok(name);
        }
        let wanted = "a name of at most 64 letters, digits, '-' and '_'";
        Err(report.problem(at, Mismatch::new(format!("{name:?}"), wanted, "rename it")))
    }

    fn domain(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Option<Box<str>>, ErrorGuaranteed> {
        let Some(text) = self.domain.as_deref() else { return Ok(None) };
        match route::host(text, at, report)? {
            HostPattern::Exact(host) if !host.starts_with('[') => Ok(Some(host)),
            HostPattern::Exact(_) | HostPattern::Below(_) => {
                let remedy = "write the domain itself: all hosts below it get the cookie";
                Err(report.problem(at, Mismatch::new(format!("{text:?}"), "a domain", remedy)))
            }
        }
    }

    fn path(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<&str, ErrorGuaranteed> {
        let path = self.path.as_deref().unwrap_or("/");
        let good = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        match good {
            true => Ok(path),
            false => {
                let wanted = "a path that begins with / and has visible ASCII without ;";
                Err(report.problem(at, Mismatch::new(format!("{path:?}"), wanted, "correct it")))
            }
        }
    }
}
