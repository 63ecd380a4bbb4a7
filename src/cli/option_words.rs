//! What the admin API says of a call, in the words of the command line: options and commands in place of the keys of a
//! body and the parameters of a path that the caller never wrote.
//!
//! The API speaks to programs and names what stands in the call. Scripts that read `--json` get its document as it is.

use serde_json::Value;

/// Keys of bodies and parameters, and the options that write them.
const KEYS: [(&str, &str); 14] = [
    ("hold.max", "--hold"),
    ("hold.requests", "--hold-requests"),
    ("hold.otherwise", "--or-go-on"),
    ("?limit", "--limit"),
    ("?before", "--before"),
    ("?dry_run", "--dry-run"),
    ("If-Match", "--if-revision"),
    ("reason", "--reason"),
    ("force", "--force"),
    ("wait", "--wait"),
    ("share", "--share"),
    ("variants", "--variant"),
    ("plan.steps", "--steps"),
    ("plan.bake", "--bake"),
];

/// What the API tells to write, and what is written on the command line.
const PHRASES: [(&str, &str); 8] = [
    ("name one with \"to\"", "name one with --to"),
    ("by \"to\"", "by --to"),
    ("\"force\": true, on the command line --force", "--force"),
    ("\"otherwise\": \"go_on\" (--or-go-on)", "--or-go-on"),
    ("GET /v1/chaos lists them", "`pointsman chaos status` lists them"),
    ("GET /v1/hold lists those that are open", "`pointsman hold list` lists those that are open"),
    ("GET /v1/rollouts lists them", "`pointsman rollout status` lists them"),
    ("write {\"bake\": \"1m\"}", "write --set KEY=VALUE"),
];

/// The problem document of a call of this path.
pub(crate) fn of(path: &str, mut problem: Value) -> Value {
    for item in problem.get_mut("problems").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::String(place)) = item.get_mut("where") {
            *place = option(path, place);
        }
        ["found", "wanted", "remedy"].iter().for_each(|key| reword(item, key));
    }
    reword(&mut problem, "detail");
    problem
}

fn reword(item: &mut Value, key: &str) {
    if let Some(Value::String(text)) = item.get_mut(key) {
        for (said, written) in PHRASES {
            *text = text.replace(said, written);
        }
    }
}

/// What the caller wrote where the API found something.
fn option(path: &str, place: &str) -> String {
    // Deeper places keep the rest: `plan.steps[2]`.
    let beneath = |key: &str| place.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    if let Some((rest, option)) = KEYS.iter().find_map(|(key, option)| Some((beneath(key)?, option))) {
        return format!("{option}{rest}");
    }
    let path = path.split('?').next().unwrap_or_default();
    let starts = path == "/v1/rollouts";
    let of_a_flag = path.starts_with("/v1/flags/");
    match place {
        "max" | "requests" | "bytes" if path == "/v1/hold" => format!("--{place}"),
        _ if path == "/v1/hold" && beneath("services").is_some() => "SERVICE".to_owned(),
        "flag" if of_a_flag => "FLAG".to_owned(),
        "rule" if of_a_flag => "--rule".to_owned(),
        _ if of_a_flag && beneath("serve").is_some() => {
            place.strip_prefix("serve.").map_or("VARIANT=WEIGHT".to_owned(), str::to_owned)
        }
        "to" if path.ends_with("/flip") => "VERSION".to_owned(),
        "to" => "--to".to_owned(),
        "service" | "group" if starts => "SERVICE".to_owned(),
        "plan" => "--set".to_owned(),
        _ if beneath("services").is_some_and(|rest| !rest.starts_with('.')) => "--service".to_owned(),
        _ if beneath("flags").is_some_and(|rest| !rest.starts_with('.')) => "--flag".to_owned(),
        _ => beneath("plan")
            .and_then(|rest| rest.strip_prefix('.'))
            .map_or(place.to_owned(), |key| format!("--set {key}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_what_was_written() {
        for (path, place, wanted) in [
            ("/v1/services/shop/split", "hold.max", "--hold"),
            ("/v1/services/shop/split?dry_run=true", "reason", "--reason"),
            ("/v1/services/shop/split", "v3", "v3"),
            ("/v1/services/shop/flip", "to", "VERSION"),
            ("/v1/rollback", "to", "--to"),
            ("/v1/hold", "max", "--max"),
            ("/v1/hold", "services[1]", "SERVICE"),
            ("/v1/rollback", "services[1]", "--service"),
            ("/v1/rollback", "services", "--service"),
            ("/v1/rollback", "flags[2]", "--flag"),
            ("/v1/rollback", "flags.new.rules.launch", "flags.new.rules.launch"),
            ("/v1/flags/new?dry_run=true", "rule", "--rule"),
            ("/v1/flags/new", "serve", "VARIANT=WEIGHT"),
            ("/v1/flags/new", "serve.onn", "onn"),
            ("/v1/flags/nwe", "flag", "FLAG"),
            ("/v1/revisions?limit=0", "?limit", "--limit"),
            ("/v1/rollouts", "service", "SERVICE"),
            ("/v1/rollouts?dry_run=true", "group", "SERVICE"),
            ("/v1/rollouts", "plan.steps[2]", "--steps[2]"),
            ("/v1/rollouts", "plan.judge.alpha", "--set judge.alpha"),
            ("/v1/rollouts", "plan", "--set"),
            // Of the config or of the state of the proxy.
            ("/v1/rollouts", "services.shop.split", "services.shop.split"),
            ("/v1/rollouts", "planned", "planned"),
        ] {
            assert_eq!(option(path, place), wanted, "{path} {place}");
        }
    }

    #[test]
    fn what_the_api_tells_to_write_is_written_as_an_option() {
        let problem = json!({
            "detail": "there is no rollout \"7\"; GET /v1/rollouts lists them",
            "problems": [{"where": "to", "found": "no change", "wanted": "one", "remedy": "name one with \"to\""}],
        });
        let wanted = json!({
            "detail": "there is no rollout \"7\"; `pointsman rollout status` lists them",
            "problems": [{"where": "--to", "found": "no change", "wanted": "one", "remedy": "name one with --to"}],
        });
        assert_eq!(of("/v1/rollback", problem), wanted);
        assert_eq!(of("/", json!("not a document")), json!("not a document"));
    }
}
