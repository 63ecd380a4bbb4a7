//! `PUT /v1/services/{service}/versions/{version}/endpoints/{address}`: take an endpoint out, or back in.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use utoipa::ToSchema;

use crate::control::change::Change;
use crate::control::fault::{Fault, FaultKind};
use crate::table::Name;

use super::Admin;
use super::answer::{ChangeAnswer, Tagged};
use super::call::{Call, Segments, service};
use super::fields::Fields;
use super::openapi::{Refusals, WriteTerms};
use super::problem::Problem;

/// What an endpoint is to be.
#[derive(Debug, ToSchema)]
pub struct EndpointBody {
    /// `drain`: it finishes what it has and gets nothing new. `ready`: it gets requests again.
    #[schema(example = "drain")]
    pub state: String,
    /// Why.
    pub reason: Option<String>,
}

/// Drains an endpoint, or makes it ready.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    put,
    operation_id = "set_endpoint_state",
    path = "/v1/services/{service}/versions/{version}/endpoints/{address}",
    tag = "traffic",
    params(
        ("service" = String, Path, description = "The service"),
        ("version" = String, Path, description = "The version"),
        ("address" = String, Path, description = "The endpoint, such as 10.0.0.1:8080"),
        WriteTerms
    ),
    request_body(content = EndpointBody, content_type = "application/json", example = r#"{"state": "drain"}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeAnswer), Refusals)
)]
pub async fn put(
    State(admin): State<Arc<Admin>>,
    Segments((service_text, version, address)): Segments<(String, String, String)>,
    mut call: Call,
) -> Result<Tagged<ChangeAnswer>, Problem> {
    let table = admin.table();
    let body = std::mem::take(&mut call.body);
    let mut fields = call.fields(&body, Some(&["state", "reason"]));
    let reason = fields.reason();
    let drained = drained(&mut fields);
    let mut faults = fields.faults;
    let name = service(&table, "service", &service_text, &mut faults);
    let found = name.as_ref().and_then(|name| table.service_named(name));
    let version = found.and_then(|service| {
        let found = service.version_named(&version).map(|version| version.name.clone());
        let known = || service.versions.iter().map(|version| version.name.as_str());
        found.or_else(|| miss(&mut faults, Fault::no_version(FaultKind::Unknown, "version", &version, known())))
    });
    let address = address.parse::<SocketAddr>().ok().or_else(|| {
        let wanted = "an address with a port, such as 10.0.0.1:8080";
        let mut fault = Fault::invalid("address", format!("{address:?}"), wanted, "take it from status");
        fault.kind = FaultKind::Unknown;
        miss(&mut faults, fault)
    });
    let change = change(name.zip(version), address, drained);
    call.apply(&admin, (change, reason), faults).await
}

fn change(of: Option<(Name, Name)>, address: Option<SocketAddr>, drained: Option<bool>) -> Option<Change> {
    let (service, version) = of?;
    Some(Change::Endpoint { service, version, address: address?, drained: drained? })
}

fn drained(fields: &mut Fields<'_>) -> Option<bool> {
    match fields.text("state")? {
        "drain" | "drained" => Some(true),
        "ready" => Some(false),
        other => {
            fields.wrong("state", format!("{other:?}"), "drain or ready", "write one of the two");
            None
        }
    }
}

fn miss<T>(faults: &mut Vec<Fault>, fault: Fault) -> Option<T> {
    faults.push(fault);
    None
}
