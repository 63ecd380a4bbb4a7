//! TLS as the status shows it: the certificates in use, and why newer ones are not.

use serde::Serialize;
use utoipa::ToSchema;

use crate::tls::{Certificate, TlsFacts, TlsRegistry};

use super::revisions::timestamp;

/// TLS of a listener, the admin API or a version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TlsView {
    /// Where the config has it, such as `listeners.public.tls`.
    place: String,
    /// Whether the files as they are now are in use.
    good: bool,
    /// Why they are not.
    problems: Vec<String>,
    /// The certificates in use.
    certificates: Vec<CertificateView>,
    /// What the owner of its keys should know: that others can read them.
    warnings: Vec<String>,
}

/// A certificate.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CertificateView {
    /// Its common name, or else its first host.
    name: String,
    /// The hosts that it is for.
    hosts: Vec<String>,
    /// Its file.
    file: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires: String,
    /// What its owner should know: that it has expired, or soon will.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// All of a process.
pub(crate) fn all(registry: &TlsRegistry) -> Vec<TlsView> {
    registry.facts().into_iter().map(TlsView::of).collect()
}

impl TlsView {
    fn of(facts: TlsFacts) -> Self {
        let TlsFacts { place, certificates, problems, exposed } = facts;
        Self {
            place,
            good: problems.is_empty(),
            problems,
            certificates: certificates.into_iter().map(CertificateView::of).collect(),
            warnings: exposed,
        }
    }
}

impl CertificateView {
    fn of(certificate: Certificate) -> Self {
        let warning = certificate.warning(jiff::Timestamp::now().as_second());
        let Certificate { file, name, hosts, not_after, .. } = certificate;
        Self {
            name,
            hosts,
            file: file.display().to_string(),
            expires: timestamp(not_after.saturating_mul(1000)),
            warning,
        }
    }
}
