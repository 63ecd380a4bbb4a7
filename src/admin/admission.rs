//! Whether the caller of a call that takes long is still let in: a token may be replaced meanwhile.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::AdminApi;
use super::access::Access;
use super::guard::Caller;
use super::problem::ProblemDetails;
use super::serve::ClientCertificate;

/// With what a caller was let in, to be looked at again.
pub(crate) struct Admission {
    access: Arc<Access>,
    caller: Caller,
    authorization: Option<Box<[u8]>>,
    certificate: Option<ClientCertificate>,
}

impl FromRequestParts<Arc<AdminApi>> for Admission {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<AdminApi>) -> Result<Self, ProblemDetails> {
        let caller = parts.extensions.get::<Caller>().cloned();
        Ok(Self {
            access: Arc::clone(&admin.access),
            caller: caller.expect("the guard notes the caller of every request that it lets in"),
            authorization: parts.headers.get(AUTHORIZATION).map(|value| value.as_bytes().into()),
            certificate: parts.extensions.get().cloned(),
        })
    }
}

impl Admission {
    /// Whether the same credentials still stand for the same caller, who may do as much as then.
    pub(crate) fn holds(&self) -> bool {
        let certificate = self.certificate.as_ref().map(|ClientCertificate(name)| &**name);
        let known = self.access.caller(self.authorization.as_deref(), certificate);
        known.is_some_and(|(name, role)| name == self.caller.name && role == self.caller.role)
    }
}
