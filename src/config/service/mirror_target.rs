//! Versions that a mirror must not copy to, asked for by the file, by an operator or by a plan.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::listener::ListenerConfig;
use crate::problem::Mismatch;
use crate::table::spec::{OwnListener, VersionSpec};
use crate::table::{Name, ServiceSpec, Weight, Weights};

/// What speaks against copies of the requests of a service for its version `to`, while users are split as `split` says.
#[must_use]
pub(crate) fn unfit(service: &ServiceSpec, split: &Weights, to: &Name) -> Option<Mismatch> {
    let versions = &service.versions;
    has_all_users(split, to).or_else(|| shares_endpoint(versions, split, to)).or_else(|| leads_back(versions, to))
}

/// A version that answers all users would be compared with itself.
#[must_use]
pub(super) fn has_all_users(split: &Weights, to: &Name) -> Option<Mismatch> {
    (split.sole_holder() == Some(to)).then(|| {
        Mismatch::new(
            format!("{:?}, which answers all requests itself", to.as_str()),
            "another version than the one that users get",
            "name the version that is to be compared with it",
        )
    })
}

/// So would one with an endpoint that answers users, as one of another version.
#[must_use]
pub(super) fn shares_endpoint(versions: &[VersionSpec], split: &Weights, to: &Name) -> Option<Mismatch> {
    let own = versions.iter().find(|version| version.name == *to)?;
    let others = versions.iter().filter(|version| version.name != *to && split.of(&version.name) > Weight::ZERO);
    let mut shared = others.flat_map(|other| other.endpoints.iter().map(move |address| (*address, &other.name)));
    shared.find(|(address, _)| own.endpoints.contains(address)).map(|(address, version)| {
        Mismatch::new(
            format!("{:?}, whose endpoint {address} is one of {version} too", to.as_str()),
            "endpoints of its own: it would be compared with itself",
            "give it others, or mirror to another version",
        )
    })
}

/// Copies for one whose endpoint is this process would go round.
#[must_use]
pub(super) fn leads_back(versions: &[VersionSpec], to: &Name) -> Option<Mismatch> {
    let own = versions.iter().find(|version| version.name == *to)?;
    own.own_listener.as_ref().map(|OwnListener { endpoint, listener }| {
        Mismatch::new(
            format!("{:?}, whose endpoint {endpoint} is this process (listeners.{listener})", to.as_str()),
            "a version outside of this process: copies would go round in a circle",
            "mirror to another version",
        )
    })
}

/// The service, with a note at each of its versions that leads to a listener of this process.
#[must_use]
pub(super) fn with_own_listeners(mut service: Arc<ServiceSpec>, listeners: &[ListenerConfig]) -> Arc<ServiceSpec> {
    let own_listener = |version: &VersionSpec| {
        version.endpoints.iter().find_map(|endpoint| {
            let listener = listeners.iter().find(|listener| is_at(listener.address, *endpoint))?;
            Some(OwnListener { endpoint: *endpoint, listener: listener.name.clone() })
        })
    };
    let found: Vec<_> = service.versions.iter().map(own_listener).collect();
    if found.iter().any(Option::is_some) {
        let spec = Arc::make_mut(&mut service);
        spec.versions.iter_mut().zip(found).for_each(|(version, found)| version.own_listener = found);
    }
    service
}

/// Whether a connection to `address` of this machine comes to the listener.
fn is_at(listener: SocketAddr, address: SocketAddr) -> bool {
    let anywhere = listener.ip().is_unspecified() && address.ip().is_loopback();
    listener.port() != 0 && listener.port() == address.port() && (anywhere || listener.ip() == address.ip())
}
