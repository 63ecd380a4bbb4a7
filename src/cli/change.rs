//! `pointsman shift`, `flip` and `rollback`: changes of the traffic.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::bad_argument::{count, revision};
use super::client::Call;
use super::flag_show;
use super::text::{TextTone, list, member, number, toned};
use super::{CommandError, Remote};

/// On what terms a change is made.
#[derive(Args, Clone, Debug)]
pub struct Terms {
    /// Only say what would change, and how many users would move
    #[arg(long)]
    dry_run: bool,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only if this revision is in force
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    if_revision: Option<u64>,
}

impl Terms {
    /// The first option that is given and makes no sense without a change.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.dry_run, "--dry-run"),
            (self.reason.is_some(), "--reason"),
            (self.if_revision.is_some(), "--if-revision"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

/// Whether a change is made that nearly always is a slip
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ForceArgs {
    /// Do it also when a version would be left without a usable endpoint, or gets more and has none
    #[arg(long)]
    force: bool,
}

impl ForceArgs {
    /// Writes it into a body.
    pub(crate) fn into_body(self, body: &mut Map<String, Value>) {
        body.extend(self.force.then(|| ("force".to_owned(), true.into())));
    }
}

/// How long new weights last
#[derive(Args, Clone, Debug, Default)]
pub struct LastsArgs {
    /// Go back to what the config says after this time, such as 30m (1s to 720h), unless the weights are set again
    #[arg(long = "for", value_name = "DURATION")]
    lasts: Option<String>,
}

impl LastsArgs {
    /// Writes it into a body.
    pub(crate) fn into_body(self, body: &mut Map<String, Value>) {
        body.extend(self.lasts.map(|lasts| ("ttl".to_owned(), lasts.into())));
    }
}

/// Whether new requests wait for a change
#[derive(Args, Clone, Debug)]
pub struct HoldArgs {
    /// Let new requests wait until those in flight have ended (for this long at the most) and the change is in force,
    /// so that nothing of the old version runs beside the new one; if that fails, change nothing
    #[arg(long, value_name = "DURATION")]
    hold: Option<String>,
    /// How many requests may wait at a time [default: 1000]
    #[arg(long, value_name = "COUNT", requires = "hold", value_parser = count)]
    hold_requests: Option<u32>,
    /// Change the traffic also when requests are still in flight at the end of the hold
    #[arg(long, requires = "hold")]
    or_go_on: bool,
}

impl HoldArgs {
    /// Writes the terms of the hold into a body.
    pub(crate) fn into_body(self, body: &mut Map<String, Value>) {
        let Some(max) = self.hold else { return };
        let mut terms = Map::from_iter([("max".to_owned(), Value::from(max))]);
        terms.extend(self.hold_requests.map(|requests| ("requests".to_owned(), requests.into())));
        terms.extend(self.or_go_on.then(|| ("otherwise".to_owned(), "go_on".into())));
        body.insert("hold".to_owned(), terms.into());
    }
}

/// Change the split of a service
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman shift shop v1=90 v2=10 --reason 'canary of release 7'")]
pub struct ShiftArgs {
    /// The service
    service: String,
    /// Weights in per cent, 100 together, with spaces or commas between them; versions that are not named get 0
    #[arg(required = true, value_delimiter = ',', value_name = "VERSION=WEIGHT")]
    weights: Vec<String>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    hold: HoldArgs,
    #[command(flatten)]
    lasts: LastsArgs,
    #[command(flatten)]
    terms: Terms,
}

/// Give all traffic of a service to one version, in one swap
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman flip shop v2\n  pointsman flip shop v2 --hold 2s")]
pub struct FlipArgs {
    /// The service
    service: String,
    /// The version
    version: String,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    hold: HoldArgs,
    #[command(flatten)]
    lasts: LastsArgs,
    #[command(flatten)]
    terms: Terms,
}

/// Restore the splits, flags and experiments of an earlier revision; without --to, undo the last change
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  pointsman rollback\n  pointsman rollback --to 41 --service shop --flag new-checkout\n\n\
    A rollback counts as the revision that it restored: called twice without --to it goes two\n    changes back, never forth again. Drained endpoints stay drained."
)]
pub struct RollbackArgs {
    /// The revision that is restored
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    to: Option<u64>,
    /// Only this service, and what else is named; can be given several times
    #[arg(long = "service", value_name = "SERVICE")]
    services: Vec<String>,
    /// Only this flag, and what else is named; can be given several times
    #[arg(long = "flag", value_name = "FLAG")]
    flags: Vec<String>,
    /// Only this experiment, and what else is named; can be given several times
    #[arg(long = "experiment", value_name = "EXPERIMENT")]
    experiments: Vec<String>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    hold: HoldArgs,
    #[command(flatten)]
    terms: Terms,
}

/// Shifts.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn shift(remote: &Remote, args: ShiftArgs) -> Result<(), CommandError> {
    let mut body = weights(&args.weights, &VERSIONS)?;
    args.force.into_body(&mut body);
    args.hold.into_body(&mut body);
    args.lasts.into_body(&mut body);
    change(remote, Method::PUT, &format!("/v1/services/{}/split", segment(&args.service)?), body, args.terms)
}

/// Flips.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn flip(remote: &Remote, args: FlipArgs) -> Result<(), CommandError> {
    let mut body = Map::from_iter([("to".to_owned(), Value::from(args.version))]);
    args.force.into_body(&mut body);
    args.hold.into_body(&mut body);
    args.lasts.into_body(&mut body);
    change(remote, Method::POST, &format!("/v1/services/{}/flip", segment(&args.service)?), body, args.terms)
}

/// Rolls back.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn rollback(remote: &Remote, args: RollbackArgs) -> Result<(), CommandError> {
    let mut body = Map::new();
    if let Some(to) = args.to {
        body.insert("to".to_owned(), to.into());
    }
    if !args.services.is_empty() {
        body.insert("services".to_owned(), args.services.into());
    }
    if !args.flags.is_empty() {
        body.insert("flags".to_owned(), args.flags.into());
    }
    if !args.experiments.is_empty() {
        body.insert("experiments".to_owned(), args.experiments.into());
    }
    args.force.into_body(&mut body);
    args.hold.into_body(&mut body);
    change(remote, Method::POST, "/v1/rollback", body, args.terms)
}

/// A name as part of a path. The admin API says what is wrong with a name; here it only must not become another path.
///
/// # Errors
/// [`CommandError::Usage`] when the name has a character that no name has.
pub(crate) fn segment(name: &str) -> Result<&str, CommandError> {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b));
    good.then_some(name).ok_or_else(|| {
        CommandError::Usage(format!(
            "found {name:?}, want a name: letters, digits, '.', '_', '-' (see `pointsman status`)"
        ))
    })
}

/// Makes a change and shows what came of it.
pub(crate) fn change(
    remote: &Remote,
    method: Method,
    path: &str,
    mut body: Map<String, Value>,
    terms: Terms,
) -> Result<(), CommandError> {
    if let Some(reason) = terms.reason {
        body.insert("reason".to_owned(), reason.into());
    }
    let path = if terms.dry_run { format!("{path}?dry_run=true") } else { path.to_owned() };
    let call = Call { method, path: &path, body: Some(Value::Object(body)), if_match: terms.if_revision };
    remote.call(call, change_lines)
}

/// How weights are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WeightWords {
    /// Of what.
    pub(crate) of: &'static str,
    /// One that is written well.
    pub(crate) example: &'static str,
}

const VERSIONS: WeightWords = WeightWords { of: "version", example: "v1=90 v2=10" };

/// `v1=90 v2=10` as a body. What the numbers may be is the admin API's to say.
pub(crate) fn weights(words: &[String], form: &WeightWords) -> Result<Map<String, Value>, CommandError> {
    let mut read = Map::new();
    let wrong = |found: String, wanted: &str| {
        CommandError::Usage(format!("found {found}, want {wanted}, such as {}", form.example))
    };
    // `v1=90, v2=10` leaves nothing between a comma and a space.
    let empty = words.iter().all(String::is_empty);
    for word in words.iter().filter(|word| empty || !word.is_empty()) {
        let Some((name, weight)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(wrong(format!("{word:?}"), &format!("{}=WEIGHT", form.of.to_uppercase())));
        };
        let number = weight.trim_end_matches('%').parse::<f64>().ok().filter(|number| number.is_finite());
        let Some(number) = number else {
            return Err(wrong(format!("{weight:?} in {word:?}"), "a number in per cent"));
        };
        if read.insert(name.to_owned(), json!(number)).is_some() {
            return Err(wrong(format!("{name} twice"), &format!("each {} once", form.of)));
        }
    }
    Ok(read)
}

/// What a change answers, in words.
pub(crate) fn change_lines(answer: &Value) -> String {
    let revision = member(answer, "revision");
    let head = match (answer["changed"] == true, answer["dry_run"] == true) {
        (false, _) => format!("nothing to change: revision {revision} is in force\n"),
        (true, true) => format!("dry run, nothing was changed: revision {revision} is in force\n"),
        (true, false) => format!("{} is in force\n", toned(&format!("revision {revision}"), TextTone::Good)),
    };
    let head = match answer["restores"].as_u64().filter(|_| answer["changed"] == true) {
        Some(restored) => head + &restored_line(answer, restored),
        None => head,
    };
    let head = head + &hold_line(&answer["hold"]) + &reach_line(&answer["fleet"]);
    let head = match answer["in_flight"].as_u64() {
        Some(0) => head + "  nothing is in flight to it any more\n",
        Some(left) => head + &format!("  {} in flight to it still\n", toned(&left.to_string(), TextTone::Warn)),
        None => head,
    };
    head + &difference_lines(answer) + &flag_show::warning_lines(answer)
}

/// What a rollback restores, on a line.
fn restored_line(answer: &Value, revision: u64) -> String {
    let any = |name: &str| list(answer, name).next().is_some();
    let kinds = [("difference", "the split"), ("flags", "the flags"), ("experiments", "the experiments")];
    let restored: Vec<_> = kinds.into_iter().filter(|(key, _)| any(key)).map(|(_, kind)| kind).collect();
    match restored.as_slice() {
        [] | ["the split"] => format!("  the split of revision {revision} is restored\n"),
        several => format!("  {} of revision {revision} are restored\n", several.join(" and ")),
    }
}

/// How a hold went, on a line; empty if there was none.
fn hold_line(hold: &Value) -> String {
    if !hold.is_object() {
        return String::new();
    }
    let (held, lasted) = (member(hold, "held"), member(hold, "lasted_ms"));
    match hold["why"].as_str() {
        None => format!("  held {held} requests for up to {lasted} ms: nothing was in flight at the change\n"),
        Some(why) => format!("  {}: the hold was not kept: {why}\n", toned("warning", TextTone::Warn)),
    }
}

/// How far a change has come in a fleet, on a line; empty without one.
fn reach_line(reach: &Value) -> String {
    let Some(replicas) = reach["replicas"].as_u64() else { return String::new() };
    let waited = member(reach, "waited_ms");
    let lagging: Vec<_> = list(reach, "lagging").filter_map(Value::as_str).collect();
    match lagging.as_slice() {
        [] => format!("  in force on all {replicas} live replicas after {waited} ms\n"),
        behind => {
            let (not_yet, names) = (toned("not in force yet", TextTone::Warn), behind.join(", "));
            format!("  {not_yet} after {waited} ms on {} of {replicas} replicas: {names}\n", behind.len())
        }
    }
}

/// What a change or a revision does, a line for each service and flag.
pub(crate) fn difference_lines(change: &Value) -> String {
    let services = list(change, "difference").map(difference_line);
    let flags = list(change, "flags").map(flag_show::difference_line);
    services.chain(flags).chain(list(change, "experiments").map(run_line)).collect()
}

/// One experiment's difference, on a line.
fn run_line(difference: &Value) -> String {
    let (before, share) = (number(&difference["share_before"], 3), number(&difference["share"], 3));
    let what = match (difference["end"].as_str(), difference["running"] == true, difference["was_running"] == true) {
        (Some("shipped_control"), ..) => format!("ended, control is shipped; it had {before} % of the users"),
        (Some("shipped_treatment"), ..) => format!("ended, treatment is shipped; it had {before} % of the users"),
        (Some("redefined"), ..) => "ended, for the config says something else of what it compares".to_owned(),
        (Some("removed"), ..) => "ended, for the config does not have it any more".to_owned(),
        (Some("rolled_back"), ..) | (None, false, _) => {
            format!("ended by the rollback; it had {before} % of the users")
        }
        (Some(_), ..) => format!("stopped; it had {before} % of the users"),
        (None, true, false) => format!("runs with {share} % of the users"),
        (None, true, true) => format!("{before} -> {share} % of the users"),
    };
    let moved = difference["moved_ratio"].as_f64().filter(|moved| *moved > 0.0);
    let moved = moved.map(|moved| format!("; {} % of all users move", number(&json!(moved * 100.0), 3)));
    format!("  experiment {}: {what}{}\n", member(difference, "experiment"), moved.unwrap_or_default())
}

/// One service's difference, on a line.
fn difference_line(difference: &Value) -> String {
    let weights = list(difference, "weights").map(|weight| {
        let (version, from, to) = (member(weight, "version"), number(&weight["from"], 3), number(&weight["to"], 3));
        if from == to { format!("{version} {to} %") } else { format!("{version} {from} -> {to} %") }
    });
    let mut parts: Vec<String> = weights.collect();
    if let Some(moved) = difference["moved_ratio"].as_f64().filter(|moved| *moved > 0.0) {
        parts.push(format!("{} % of the users move", number(&json!(moved * 100.0), 3)));
    }
    parts.extend(difference.get("mirror").filter(|mirror| mirror.is_object()).map(mirrored));
    let endpoints = list(difference, "endpoints").map(|endpoint| {
        format!("{} {} {}", member(endpoint, "version"), member(endpoint, "address"), member(endpoint, "state"))
    });
    parts.extend(endpoints);
    format!("  {}: {}\n", member(difference, "service"), parts.join(", "))
}

/// What is mirrored after a change.
fn mirrored(moved: &Value) -> String {
    let told = |side: &Value| format!("{} % to {}", number(&side["share"], 3), member(side, "to"));
    match (&moved["from"], &moved["to"]) {
        (from, Value::Null) => format!("mirrors nothing any more ({} before)", told(from)),
        (Value::Null, to) => format!("mirrors {}", told(to)),
        (from, to) => format!("mirrors {} ({} before)", told(to), told(from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_words_with_numbers() {
        let read = |words: &[&str]| weights(&words.iter().map(ToString::to_string).collect::<Vec<_>>(), &VERSIONS).ok();
        assert_eq!(read(&["v1=90", "v2=9.5%"]).map(Value::Object), Some(json!({ "v1": 90.0, "v2": 9.5 })));
        for bad in [&["v1"][..], &["v1="], &["=5"], &["v1=ten"], &["v1=inf"], &["v1=50", "v1=50"]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        let wrong = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(ToString::to_string).collect();
            weights(&words, &VERSIONS).expect_err("want a problem").to_string()
        };
        assert_eq!(
            wrong(&["v1=abc", "v2=10"]),
            "found \"abc\" in \"v1=abc\", want a number in per cent, such as v1=90 v2=10"
        );
        assert_eq!(wrong(&["v1=50", "v1=50"]), "found v1 twice, want each version once, such as v1=90 v2=10");
        assert_eq!(wrong(&["v1=50", "v2"]), "found \"v2\", want VERSION=WEIGHT, such as v1=90 v2=10");
        assert_eq!(wrong(&["", ""]), "found \"\", want VERSION=WEIGHT, such as v1=90 v2=10");
    }

    #[test]
    fn weights_have_spaces_or_commas_between_them() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: ShiftArgs,
        }
        for line in ["shop v1=90 v2=10", "shop v1=90,v2=10", "shop v1=90, v2=10", "shop v1=90, v2=10, --force"] {
            let words = std::iter::once("shift").chain(line.split(' '));
            let Line { args } = clap::Parser::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
            let read = weights(&args.weights, &VERSIONS).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(Value::Object(read), json!({ "v1": 90.0, "v2": 10.0 }), "{line}");
        }
    }

    #[test]
    fn a_change_is_told_in_words() {
        let answer = json!({
            "revision": 7, "changed": true, "dry_run": false,
            "difference": [{ "service": "shop", "moved_ratio": 0.1, "weights": [
                { "version": "v1", "from": 100.0, "to": 90.0 }, { "version": "v2", "from": 0.0, "to": 10.0 },
            ]}],
        });
        assert_eq!(
            change_lines(&answer),
            "revision 7 is in force\n  shop: v1 100 -> 90 %, v2 0 -> 10 %, 10 % of the users move\n"
        );
        assert_eq!(
            change_lines(
                &json!({ "revision": 8, "changed": true, "hold": { "kept": true, "held": 37, "lasted_ms": 12 } })
            ),
            "revision 8 is in force\n  held 37 requests for up to 12 ms: nothing was in flight at the change\n"
        );
    }
}
