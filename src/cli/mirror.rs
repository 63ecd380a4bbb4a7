//! `pointsman mirror`: copies of requests to another version, and what they came to.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::change::{Terms, change, segment};
use super::client::Call;
use super::text::{TextTone, list, member, number, toned};
use super::{CommandError, Remote};

/// Copy a part of a service's requests to another version and compare the responses; without --share, show what came of
/// it
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  pointsman mirror shop --to v3 --share 10 --reason 'try v3 before anybody gets it'\n  pointsman mirror shop\n  pointsman mirror shop --off"
)]
pub struct MirrorArgs {
    /// The service
    service: String,
    /// The version that gets the copies [default: the one that does, or the one of the config file]
    #[arg(long, value_name = "VERSION", requires = "share")]
    to: Option<String>,
    /// The part of the requests that is copied, in per cent
    #[arg(long, value_name = "PER CENT")]
    share: Option<f64>,
    /// Copy nothing any more
    #[arg(long, conflicts_with_all = ["to", "share"])]
    off: bool,
    #[command(flatten)]
    terms: Terms,
}

/// Changes a mirror, or shows it.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: MirrorArgs) -> Result<(), CommandError> {
    let path = format!("/v1/services/{}/mirror", segment(&args.service)?);
    let Some(share) = args.share.or(args.off.then_some(0.0)) else {
        return remote.call(Call { method: Method::GET, path: &path, body: None, if_match: None }, shown);
    };
    let mut body = Map::from_iter([("share".to_owned(), json!(share))]);
    body.extend(args.to.map(|to| ("to".to_owned(), to.into())));
    change(remote, Method::PUT, &path, body, args.terms)
}

/// A mirror and what it has found, in words.
fn shown(mirror: &Value) -> String {
    let service = member(mirror, "service");
    let head = match mirror["to"].as_str() {
        Some(to) => format!("{service}: {} % of the requests are copied to {to}\n", number(&mirror["share"], 3)),
        None => format!("{service}: nothing is copied\n"),
    };
    let count = |key: &str| mirror[key].as_u64().unwrap_or_default();
    if mirror["to"].is_null() && count("pairs") == 0 {
        return head;
    }
    let alone = count("candidate_failed_alone");
    let failed = toned(&alone.to_string(), if alone > 0 { TextTone::Bad } else { TextTone::Plain });
    let pairs = format!(
        "  {} pairs, {} differ; failed: {failed} only the copy, {} only the user's, {} both\n",
        count("pairs"),
        count("differing"),
        count("baseline_failed_alone"),
        count("both_failed")
    );
    let slower = format!(
        "  slower by a tenth and more: {} copies, {} users' responses, of {} that were timed\n",
        count("candidate_slower"),
        count("baseline_slower"),
        count("timed")
    );
    let dropped = counted(&mirror["dropped"]).map_or_else(String::new, |list| format!("  not compared: {list}\n"));
    let places = list(mirror, "places").map(|place| {
        let (kind, at) = (member(place, "kind"), member(place, "place"));
        format!("  differs: {kind} {at} in {} pairs\n", number(&place["pairs"], 0))
    });
    let last = list(mirror, "last").take(LAST_SHOWN).map(last_line);
    [head, pairs, slower, dropped].into_iter().chain(places).chain(last).collect()
}

/// More is in the JSON.
const LAST_SHOWN: usize = 5;

/// One difference, on a line.
fn last_line(found: &Value) -> String {
    let side =
        |side: &Value| side["sample"].as_str().map_or_else(|| format!("#{}", member(side, "hash")), str::to_owned);
    format!(
        "  {} {} {}: {} {} is {} for the user ({}) and {} for the copy\n",
        member(found, "at"),
        member(found, "method"),
        member(found, "path"),
        member(found, "kind"),
        member(found, "place"),
        side(&found["user"]),
        member(found, "version"),
        side(&found["mirror"])
    )
}

/// `3 in_flight, 1 bytes`; none if all are 0.
fn counted(counts: &Value) -> Option<String> {
    let counts = counts.as_object().into_iter().flatten();
    let some = counts.filter(|(_, count)| count.as_u64() > Some(0)).map(|(why, count)| format!("{count} {why}"));
    let some: Vec<_> = some.collect();
    (!some.is_empty()).then(|| some.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_told_in_a_few_lines() {
        let none = json!({ "service": "shop", "to": null, "share": 0, "pairs": 0 });
        assert_eq!(shown(&none), "shop: nothing is copied\n");
        let value = |hash: &str, sample: Value| json!({ "hash": hash, "sample": sample });
        let mirror = json!({
            "service": "shop", "to": "v3", "share": 10.0, "pairs": 40, "differing": 2, "candidate_failed_alone": 0,
            "baseline_failed_alone": 1, "both_failed": 0, "timed": 39, "candidate_slower": 3, "baseline_slower": 4,
            "dropped": { "in_flight": 2, "bytes": 0 }, "places": [{ "kind": "body", "place": "/price", "pairs": 2 }],
            "last": [{ "kind": "body", "place": "/price", "at": "2026-01-01T00:00:00Z", "method": "GET", "path": "/a",
                "version": "v1", "user": value("00ff", Value::Null), "mirror": value("0a", json!("7")) }],
        });
        let told = shown(&mirror);
        for line in [
            "shop: 10 % of the requests are copied to v3",
            "40 pairs, 2 differ; failed: 0 only the copy, 1 only the user's, 0 both",
            "not compared: 2 in_flight",
            "differs: body /price in 2 pairs",
            "GET /a: body /price is #00ff for the user (v1) and 7 for the copy",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }
}
