//! `pointsman fleet`: the replicas that share the traffic.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::client::Call;
use super::text::{Columns, TextTone, list, member, toned};
use super::{CommandError, Remote};

/// Show the replicas that share the traffic, and where this one stands with them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman fleet\n  pointsman fleet restore")]
pub struct FleetArgs {
    #[command(subcommand)]
    command: Option<FleetCommand>,
}

#[derive(Subcommand, Debug)]
enum FleetCommand {
    /// Put the state of this replica into etcd, where the shared one was lost or comes from an old copy; the other
    /// replicas follow it then
    Restore,
}

/// Shows or restores.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: &FleetArgs) -> Result<(), CommandError> {
    let (method, path, body) = match args.command {
        None => (Method::GET, "/v1/fleet", None),
        Some(FleetCommand::Restore) => (Method::POST, "/v1/fleet/restore", Some(Value::Object(Map::new()))),
    };
    remote.call(Call { method, path, body, if_match: None }, show)
}

/// The fleet on a line, and a line for each replica.
fn show(fleet: &Value) -> String {
    let lagging: Vec<_> = list(fleet, "lagging").collect();
    let differing: Vec<_> = list(fleet, "differing").collect();
    let mut columns = Columns::with_heading(&["replica", "revision", "config", "version", "admin API"]);
    for replica in list(fleet, "replicas") {
        let tone = |among: &[&Value]| {
            let is_among = among.iter().any(|name| **name == replica["name"]);
            if is_among { TextTone::Warn } else { TextTone::Plain }
        };
        let leads = fleet["leader"] == replica["name"];
        columns.row(vec![
            (member(replica, "name") + if leads { " (leads)" } else { "" }, TextTone::Strong),
            (member(replica, "revision"), tone(&lagging)),
            (member(replica, "config"), tone(&differing)),
            (member(replica, "version"), TextTone::Plain),
            (replica["address"].as_str().unwrap_or("-").to_owned(), TextTone::Plain),
        ]);
    }
    let misfits = list(fleet, "replicas").flat_map(|replica| {
        let name = member(replica, "name");
        let misfits = list(replica, "misfits").filter_map(Value::as_str);
        misfits.map(move |why| format!("  {}: {why}\n", toned(&name, TextTone::Bad))).collect::<Vec<_>>()
    });
    let differ = match differing.len() {
        0 => String::new(),
        count => format!("  {} not the config of this one\n", toned(&format!("{count} have"), TextTone::Warn)),
    };
    status_lines(fleet) + &columns.render() + &differ + &misfits.collect::<String>()
}

/// The fleet in `status`, on a line or two; empty without one.
pub(super) fn status_lines(fleet: &Value) -> String {
    let Some(state) = fleet["state"].as_str() else { return String::new() };
    let tone = if state == "together" { TextTone::Good } else { TextTone::Bad };
    let count = list(fleet, "replicas").count();
    let (name, leader) = (member(fleet, "name"), fleet["leader"].as_str().unwrap_or("being elected"));
    let heard = fleet["heard_seconds"].as_u64().map_or("never".to_owned(), |seconds| format!("{seconds} s ago"));
    let head = format!("fleet {}: this is {name}, etcd heard {heard}", toned(state, tone));
    match fleet["why"].as_str() {
        Some(why) => format!("{head}\n  {}: {why}\n", toned("changes are refused", TextTone::Bad)),
        None => format!("{head}, {count} replicas, leader {leader}\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fleet_is_a_line_and_a_table_within_80_columns() {
        let replica = |name: &str, revision: u64, config: &str| {
            json!({"name": name, "revision": revision, "config": config, "version": "0.1.0",
                "address": "https://10.0.0.11:9900", "misfits": []})
        };
        let mut fleet = json!({
            "state": "together", "why": null, "heard_seconds": 1, "name": "edge-1", "leader": "edge-2",
            "lagging": ["edge-3"], "differing": ["edge-3"], "revision": 57,
            "replicas": [replica("edge-1", 57, "0011223344556677"), replica("edge-2", 57, "0011223344556677"),
                replica("edge-3", 56, "8899aabbccddeeff")],
        });
        let text = show(&fleet);
        assert!(
            text.starts_with("fleet together: this is edge-1, etcd heard 1 s ago, 3 replicas, leader edge-2\n"),
            "{text}"
        );
        assert!(text.contains("edge-2 (leads)") && text.contains("1 have not the config of this one"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        fleet["why"] = json!("etcd does not answer");
        assert!(status_lines(&fleet).contains("changes are refused: etcd does not answer"));
        assert_eq!(status_lines(&Value::Null), "");
    }
}
