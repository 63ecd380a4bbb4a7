//! `pointsman mirror`: copies of requests to another version, and what they came to.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::bad_argument::BadArgument;
use super::change::{Terms, change, segment};
use super::client::Call;
use super::text::{TextTone, list, member, number, toned};
use super::{CommandError, Remote};
use crate::table::Weight;

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
    #[arg(long, value_name = "PER CENT", value_parser = share)]
    share: Option<f64>,
    /// Copy nothing any more
    #[arg(long, conflicts_with_all = ["to", "share"])]
    off: bool,
    #[command(flatten)]
    terms: Terms,
}

fn share(text: &str) -> Result<f64, BadArgument> {
    let percent: Option<f64> = text.trim().trim_end_matches('%').trim_end().parse().ok();
    let known = percent.filter(|percent| Weight::from_percent(*percent).is_some());
    known.ok_or(BadArgument("per cent from 0 to 100, three decimals at most"))
}

/// Changes a mirror, or shows it.
///
/// # Errors
/// [`CommandError`] when the call fails, or says how to change something and not what.
pub fn run(remote: &Remote, args: MirrorArgs) -> Result<(), CommandError> {
    let path = format!("/v1/services/{}/mirror", segment(&args.service)?);
    let Some(share) = args.share.or(args.off.then_some(0.0)) else {
        if let Some(term) = args.terms.given() {
            let wanted = "a change to go with it: --to VERSION --share 10, or --off";
            return Err(CommandError::Usage(format!("found {term} and nothing that is to change, want {wanted}")));
        }
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
    let dropped = counted(&mirror["dropped"]).map_or_else(String::new, |list| format!("  not compared: {list}\n"));
    if count("pairs") == 0 {
        let none = if mirror["to"].is_null() { "" } else { "  no pair of responses yet\n" };
        return format!("{head}{none}{dropped}");
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
        "  slower by a tenth or more: {} copies, {} users' responses, of {} timed\n",
        count("candidate_slower"),
        count("baseline_slower"),
        count("timed")
    );
    let unread = match count("bodies_not_compared") {
        0 => String::new(),
        some => format!("  bodies not compared: {some} (too long, endless, or of an unknown coding)\n"),
    };
    let places = list(mirror, "places").map(|place| {
        let pairs = number(&place["pairs"], 0);
        format!("  differs: {} in {pairs} pairs\n", what(place))
    });
    let places: String = places.collect();
    let ended = match mirror["found_of"].as_str().filter(|_| mirror["to"].is_null()) {
        Some(version) => format!("  what was found of {version}, until its copies ended:\n"),
        None => String::new(),
    };
    [head, ended, pairs, slower, dropped, unread, places, last(mirror)].concat()
}

/// More is in the JSON.
const LAST_SHOWN: usize = 5;

/// Of a hash; more digits tell nothing more to people.
const HASH_SHOWN: usize = 8;

/// What differs: `body /price`, `status`.
fn what(found: &Value) -> String {
    format!("{} {}", member(found, "kind"), member(found, "place")).trim_end().to_owned()
}

/// The last differences: each request once, and what differed below it. That copies are slow is told if nothing else
/// is.
fn last(mirror: &Value) -> String {
    let mut text = String::new();
    let mut request = String::new();
    let is_late = |found: &Value| found["kind"] == "latency";
    let all_late = list(mirror, "last").all(is_late);
    for found in list(mirror, "last").filter(|found| all_late || !is_late(found)).take(LAST_SHOWN) {
        let of = |key| member(found, key);
        let line = format!("  {} {} {}, answered by {}\n", of("at"), of("method"), of("path"), of("version"));
        if line != request {
            text.push_str(&line);
            request = line;
        }
        let [user, copy] = [&found["user"], &found["mirror"]].map(side);
        text.push_str(&format!("    {}: {user} for the user, {copy} for the copy\n", what(found)));
    }
    text
}

/// A value, or its hash.
fn side(side: &Value) -> String {
    let hash = || format!("#{}", member(side, "hash").chars().take(HASH_SHOWN).collect::<String>());
    side["sample"].as_str().map_or_else(hash, str::to_owned)
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
        let new = json!({ "service": "shop", "to": "v3", "share": 1.0, "pairs": 0, "dropped": { "bytes": 1 } });
        let text = "shop: 1 % of the requests are copied to v3\n  no pair of responses yet\n  not compared: 1 bytes\n";
        assert_eq!(shown(&new), text);
        let value = |hash: &str, sample: Value| json!({ "hash": hash, "sample": sample });
        let difference = |kind: &str, place: &str, user: Value, mirror: Value| {
            json!({ "kind": kind, "place": place, "at": "2026-01-01T00:00:00Z", "method": "GET", "path": "/a",
                "version": "v1", "user": user, "mirror": mirror })
        };
        let mirror = json!({
            "service": "shop", "to": "v3", "share": 10.0, "pairs": 40, "differing": 2, "candidate_failed_alone": 0,
            "baseline_failed_alone": 1, "both_failed": 0, "timed": 39, "candidate_slower": 3, "baseline_slower": 4,
            "bodies_not_compared": 6, "dropped": { "in_flight": 2, "bytes": 0 }, "places": [{ "kind": "body", "place": "/price", "pairs": 2 }],
            "last": [difference("body", "/price", value("00ff00ff00ff", Value::Null), value("0a", json!("7"))),
                difference("status", "", value("1", json!("200")), value("2", json!("404")))],
        });
        let told = shown(&mirror);
        for line in [
            "shop: 10 % of the requests are copied to v3",
            "40 pairs, 2 differ; failed: 0 only the copy, 1 only the user's, 0 both",
            "not compared: 2 in_flight",
            "bodies not compared: 6 (",
            "differs: body /price in 2 pairs",
            "  2026-01-01T00:00:00Z GET /a, answered by v1\n    body /price: #00ff00ff for the user, 7 for the copy\n    \
            status: 200 for the user, 404 for the copy\n",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }

    #[test]
    fn what_was_found_is_told_when_the_copies_have_ended() {
        let ended = json!({ "service": "shop", "to": null, "share": 0, "pairs": 3, "found_of": "v3" });
        let told = shown(&ended);
        assert!(
            told.starts_with("shop: nothing is copied\n  what was found of v3, until its copies ended:\n"),
            "{told}"
        );
    }

    #[test]
    fn a_share_is_a_number_or_per_cent() {
        assert_eq!((share("10"), share("7.5%"), share("100 %")), (Ok(10.0), Ok(7.5), Ok(100.0)));
        for bad in ["abc", "101", "-1", "0.0001", "", "NaN"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
