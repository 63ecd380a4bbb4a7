//! `pointsman hold`: new requests of services wait for a moment, while nothing of them runs.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::Call;
use super::text::{TextTone, list, member, toned};
use super::{CommandError, Remote};

/// Let new requests of services wait while nothing of them runs: for a migration, or a switch of what is behind them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman hold start shop cart --max 10s\n  pointsman hold list\n  \
    pointsman hold release 3\n\nA hold ends by itself after --max, 30s at the most; nobody is refused meanwhile.")]
pub struct HoldCommandArgs {
    #[command(subcommand)]
    what: HoldCommand,
}

#[derive(Subcommand, Debug)]
enum HoldCommand {
    /// Begin a hold; returns once nothing of the services is in flight
    Start(HoldStart),
    /// Show the holds that are open
    List,
    /// Let the requests of a hold go
    Release {
        /// Its number
        id: u64,
    },
}

/// Which requests wait, and how many of them at the most.
#[derive(Args, Debug)]
struct HoldStart {
    /// The services
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// How long it lasts at the most, with the wait for requests in flight; up to 30s [default: 2s]
    #[arg(long, value_name = "TIME")]
    max: Option<String>,
    /// How many requests may wait at a time [default: 1000]
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// How large their heads may be together [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    bytes: Option<String>,
}

/// Does what is asked.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: HoldCommandArgs) -> Result<(), CommandError> {
    match args.what {
        HoldCommand::Start(start) => {
            let mut body = json!({ "services": start.services });
            let terms = [("max", start.max.map(Value::from)), ("requests", start.requests.map(Value::from))];
            for (key, value) in terms.into_iter().chain([("bytes", start.bytes.map(Value::from))]) {
                if let Some(value) = value {
                    body[key] = value;
                }
            }
            remote.call(Call { method: Method::POST, path: "/v1/hold", body: Some(body), if_match: None }, begun)
        }
        HoldCommand::List => remote.call(Call::get("/v1/hold"), listed),
        HoldCommand::Release { id } => {
            let path = format!("/v1/hold/{id}");
            remote.call(Call { method: Method::DELETE, path: &path, body: None, if_match: None }, released)
        }
    }
}

fn services(hold: &Value) -> String {
    list(hold, "services").filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn begun(hold: &Value) -> String {
    let (id, until) = (member(hold, "id"), member(hold, "until"));
    format!(
        "{} {}: nothing of it runs, new requests wait until {until} at the latest\nto let them go: pointsman hold \
         release {id}\n",
        toned("held", TextTone::Warn),
        services(hold),
    )
}

fn released(hold: &Value) -> String {
    format!("{}: {} requests had waited, all are let go\n", services(hold), member(hold, "held"))
}

/// Those that are open, on a line each.
fn listed(holds: &Value) -> String {
    let lines: String = holds.as_array().into_iter().flatten().map(line).collect();
    if lines.is_empty() { "no hold is open\n".to_owned() } else { lines }
}

/// A hold that is open, on a line.
pub(crate) fn line(hold: &Value) -> String {
    let begins = if hold["in_force"] == false { ", not on all workers yet" } else { "" };
    format!(
        "{}: {} (number {}) since {}{begins}, {} requests wait, until {} at the latest\n",
        toned("held", TextTone::Warn),
        services(hold),
        member(hold, "id"),
        member(hold, "since"),
        member(hold, "requests"),
        member(hold, "until"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_told_with_what_ends_them() {
        let hold = json!({
            "id": 3, "services": ["cart", "shop"], "in_force": true, "requests": 2, "held": 7,
            "since": "2026-11-30T10:00:00Z", "until": "2026-11-30T10:00:10Z", "ends_in_ms": 9000,
        });
        let text = begun(&hold);
        assert!(text.starts_with("held cart, shop: ") && text.ends_with("pointsman hold release 3\n"), "{text}");
        assert_eq!(released(&hold), "cart, shop: 7 requests had waited, all are let go\n");
        assert_eq!(listed(&json!([hold])).lines().count(), 1);
        assert_eq!(listed(&json!([])), "no hold is open\n");
    }
}
