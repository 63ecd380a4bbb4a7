//! `pointsman drain` and `ready`: an endpoint, or all behind a name, out of the traffic and back.

use clap::Args;
use http::Method;
use serde_json::{Map, Value};

use super::change::{ForceArgs, Terms, change, segment};
use super::{CommandError, Remote};

/// An endpoint of a version.
#[derive(Args, Debug)]
struct EndpointPlace {
    /// The service
    service: String,
    /// The version
    version: String,
    /// The endpoint's address, or a name of the config: all that it stands for, now and later
    #[arg(value_name = "IP:PORT|NAME:PORT")]
    address: String,
}

/// Give an endpoint no new requests; those that it has may end
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman drain shop v1 10.0.0.1:8080 --wait 30s --reason 'new kernel'\n  \
    pointsman drain shop v1 backend.internal:8080")]
pub struct DrainArgs {
    #[command(flatten)]
    place: EndpointPlace,
    /// Come back when nothing is in flight any more, or after this time at the latest
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    terms: Terms,
}

/// Give a drained endpoint requests again
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman ready shop v1 10.0.0.1:8080")]
pub struct ReadyArgs {
    #[command(flatten)]
    place: EndpointPlace,
    #[command(flatten)]
    terms: Terms,
}

/// Drains.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn drain(remote: &Remote, args: DrainArgs) -> Result<(), CommandError> {
    let mut body = Map::from_iter([("state".to_owned(), Value::from("drain"))]);
    body.extend(args.wait.map(|wait| ("wait".to_owned(), Value::from(wait))));
    args.force.into_body(&mut body);
    set(remote, &args.place, args.terms, body)
}

/// Makes ready.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn ready(remote: &Remote, args: ReadyArgs) -> Result<(), CommandError> {
    set(remote, &args.place, args.terms, Map::from_iter([("state".to_owned(), Value::from("ready"))]))
}

fn set(remote: &Remote, place: &EndpointPlace, terms: Terms, body: Map<String, Value>) -> Result<(), CommandError> {
    let (service, version) = (segment(&place.service)?, segment(&place.version)?);
    let address = segment(&place.address)?.replace('[', "%5B").replace(']', "%5D");
    let path = format!("/v1/services/{service}/versions/{version}/endpoints/{address}");
    change(remote, Method::PUT, &path, body, terms)
}
