//! The facts of a certificate: its names and how long it holds.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::FileFault;

/// From this many days before its end on, a certificate is worth a warning: renewals begin at 30 days, so something has
/// failed for two weeks.
const WARN_DAYS: i64 = 14;

const DAY_SECONDS: i64 = 86_400;

/// The first certificate of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Its file.
    pub file: PathBuf,
    /// Its name for people: the common name, or else the first host.
    pub name: String,
    /// The hosts that it is for, lower case, `*.example.com` for a wildcard.
    pub hosts: Vec<String>,
    /// Whether it is for an IP address.
    pub has_address: bool,
    /// When it begins to hold, in seconds since 1970.
    pub not_before: i64,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// Reads a certificate that came from `file`.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(der: &CertificateDer<'_>, file: &Path) -> Result<Self, FileFault> {
        let broken = |error: x509_parser::nom::Err<_>| FileFault::Certificate(error.to_string());
        let (_, parsed) = X509Certificate::from_der(der).map_err(broken)?;
        let hosts = hosts(&parsed);
        let name = common_name(&parsed).or_else(|| hosts.first().cloned()).unwrap_or_else(|| "nameless".to_owned());
        let validity = parsed.validity();
        Ok(Self {
            file: file.to_owned(),
            name,
            hosts,
            has_address: has_address(&parsed),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// What its owner should know at `now`, in seconds since 1970.
    #[must_use]
    pub fn warning(&self, now: i64) -> Option<String> {
        let (file, name) = (self.file.display(), &self.name);
        let left = self.not_after - now;
        let text = if left < 0 {
            format!("the certificate of {name} expired on {}; renew it", date(self.not_after))
        } else if self.not_before > now {
            format!(
                "the certificate of {name} is not valid before {}; check the clock or issue it again",
                date(self.not_before)
            )
        } else if left < WARN_DAYS * DAY_SECONDS {
            format!(
                "the certificate of {name} expires on {}, in {} days; renew it",
                date(self.not_after),
                left / DAY_SECONDS
            )
        } else {
            return None;
        };
        Some(format!("{file}: {text}"))
    }
}

/// Who a client is, by its certificate: the common name, or else the first host of it.
#[must_use]
pub(crate) fn client_name(der: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    common_name(&parsed).or_else(|| hosts(&parsed).into_iter().next())
}

fn common_name(parsed: &X509Certificate<'_>) -> Option<String> {
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The names that clients compare with; the common name has not been one of them for ten years.
fn hosts(parsed: &X509Certificate<'_>) -> Vec<String> {
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let hosts = names.filter_map(|name| if let GeneralName::DNSName(host) = name { Some(*host) } else { None });
    hosts.map(|host| host.to_ascii_lowercase()).collect()
}

fn has_address(parsed: &X509Certificate<'_>) -> bool {
    let names = parsed.subject_alternative_name().ok().flatten();
    let mut names = names.iter().flat_map(|extension| &extension.value.general_names);
    names.any(|name| matches!(name, GeneralName::IPAddress(_)))
}

fn date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds);
    time.map_or_else(|_far| "a date beyond all calendars".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_before: i64, not_after: i64) -> Certificate {
        let (file, name) = ("a.pem".into(), "a.example".into());
        Certificate { file, name, hosts: Vec::new(), has_address: false, not_before, not_after }
    }

    #[test]
    fn warnings_have_the_date() {
        let now = 1_750_000_000;
        let day = DAY_SECONDS;
        assert_eq!(certificate(now - day, now + 14 * day).warning(now), None);
        for (not_before, not_after, wanted) in [
            (now - 2 * day, now - day, "a.pem: the certificate of a.example expired on 2025-06-14"),
            (now + day, now + 90 * day, "not valid before 2025-06-16"),
            (now - day, now + 13 * day, "expires on 2025-06-28, in 13 days"),
        ] {
            let warning = certificate(not_before, not_after).warning(now).expect("a warning");
            assert!(warning.contains(wanted), "{warning}");
        }
    }
}
