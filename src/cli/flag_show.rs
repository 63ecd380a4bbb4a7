//! Flags, and what changes of them, as text.

use serde_json::{Value, json};

use super::text::{Columns, TextTone, in_short, list, member, number, toned};

/// All flags, a row each.
pub(crate) fn table(answer: &Value) -> String {
    let mut columns = Columns::with_heading(&["flag", "state", "serves"]);
    let mut any = false;
    for flag in list(answer, "flags") {
        any = true;
        let (state, tone) = state(flag);
        columns.row(vec![
            (member(flag, "name"), TextTone::Strong),
            (state.to_owned(), tone),
            (summary(flag), TextTone::Plain),
        ]);
    }
    if any { columns.render() } else { "no flags: the config has none (see docs/flags.md)\n".to_owned() }
}

/// One flag on a line, for the status.
pub(crate) fn line(flag: &Value) -> String {
    let (state, tone) = state(flag);
    let differs = match flag["differs_from_file"] == true {
        true => format!(" ({})", toned("differs from the config file", TextTone::Warn)),
        false => String::new(),
    };
    format!("  {}: {}, {}{differs}\n", member(flag, "name"), toned(state, tone), summary(flag))
}

/// All that is known of one flag.
pub(crate) fn page(flag: &Value) -> String {
    let (state, tone) = state(flag);
    let mut text = format!("{}  {}\n", toned(&member(flag, "name"), TextTone::Strong), toned(state, tone));
    let default = member(flag, "default");
    let variants = list(flag, "variants").map(|variant| {
        let name = member(variant, "name");
        let note = if name == default { ", the default" } else { "" };
        format!("  variant {name}: {}{note}\n", in_short(&variant["value"].to_string()))
    });
    text.extend(variants);
    if let Some(salt) = flag["salt"].as_str() {
        text.push_str(&match salt.strip_prefix("service:") {
            Some(service) => format!("  users are drawn as {service} draws them\n"),
            None => format!("  users are drawn with the salt {salt:?}\n"),
        });
    }
    if flag["follows"].is_object() {
        let pairs = flag["follows"]["variants"].as_object().into_iter().flatten();
        let pairs: Vec<String> =
            pairs.map(|(of, gets)| format!("{of} gets {}", gets.as_str().unwrap_or("-"))).collect();
        text.push_str(&format!("  follows {}: {}\n", followed(flag), pairs.join(", ")));
    }
    if let Some(version) = flag["imported"].as_str() {
        text.push_str(&format!("  imported, with the rule of its file (fractional {version})\n"));
    }
    list(flag, "rules").for_each(|rule| text.push_str(&rule_lines(rule)));
    if flag["file_enabled"] != flag["enabled"] {
        let note = toned("differs from the config file", TextTone::Warn);
        let said = if flag["file_enabled"] == true { "enabled" } else { "disabled" };
        text.push_str(&format!("  {note}, which has it {said}\n"));
    }
    let services: Vec<&str> = list(flag, "services").filter_map(Value::as_str).collect();
    if !services.is_empty() {
        text.push_str(&format!("  carried by the requests of {}\n", services.join(", ")));
    }
    text
}

/// What a user gets.
pub(crate) fn evaluation(answer: &Value) -> String {
    let head = toned(&format!("{} {}", member(answer, "flag"), member(answer, "variant")), TextTone::Strong);
    let (value, why, revision) =
        (in_short(&answer["value"].to_string()), member(answer, "why"), member(answer, "revision"));
    let text = format!("{head}\n  value {value}\n  {why}\n  revision {revision}\n");
    text + &warning_lines(answer)
}

/// What an answer warns of, a line each.
pub(crate) fn warning_lines(answer: &Value) -> String {
    let line = |warning: &str| format!("  {}: {warning}\n", toned("warning", TextTone::Warn));
    list(answer, "warnings").filter_map(Value::as_str).map(line).collect()
}

/// One flag's difference, on a line.
pub(crate) fn difference_line(difference: &Value) -> String {
    let enabled = difference["enabled"] == true;
    let switched = match (difference["was_enabled"].as_bool(), enabled) {
        (None, true) => Some("new"),
        (None, false) => Some("new, disabled"),
        (Some(false), true) => Some("enabled"),
        (Some(true), false) => Some("disabled"),
        (Some(_), _) => None,
    };
    let rules = list(difference, "rules").map(|rule| rule_difference(rule, &member(difference, "default"), enabled));
    let followers = difference["followers_moved_ratio"].as_f64().map(|moved| {
        let to = if enabled { String::new() } else { format!(" to {}", member(difference, "default")) };
        format!("{} % of the users move{to}", number(&json!(moved * 100.0), 3))
    });
    let parts: Vec<String> = switched.map(str::to_owned).into_iter().chain(rules).chain(followers).collect();
    format!("  flag {}: {}\n", member(difference, "flag"), parts.join("; "))
}

/// What changes for the users of a rule.
fn rule_difference(difference: &Value, default: &str, enabled: bool) -> String {
    let mut parts: Vec<String> = list(difference, "weights").filter_map(weight_change).collect();
    let moved = difference["moved_ratio"].as_f64().filter(|moved| *moved > 0.0);
    parts.extend(moved.map(|moved| {
        let to = if enabled { String::new() } else { format!(" to {default}") };
        format!("{} % of its users move{to}", number(&json!(moved * 100.0), 3))
    }));
    format!("{} {}", member(difference, "rule"), parts.join(", "))
}

/// The weight of a variant, if it changes.
fn weight_change(weight: &Value) -> Option<String> {
    let variant = member(weight, "variant");
    let (from, to) = (number(&weight["from"], 3), number(&weight["to"], 3));
    match (weight["from"].is_number(), weight["to"].is_number()) {
        (true, true) if from == to => None,
        (true, true) => Some(format!("{variant} {from} -> {to} %")),
        (false, _) => Some(format!("{variant} {to} %")),
        (true, false) => Some(format!("{variant} {from} % -> no rule")),
    }
}

fn state(flag: &Value) -> (&'static str, TextTone) {
    if flag["enabled"] == true { ("enabled", TextTone::Good) } else { ("disabled", TextTone::Warn) }
}

/// What a flag serves, in a few words.
fn summary(flag: &Value) -> String {
    let rules = list(flag, "rules").count();
    let served = if flag["follows"].is_object() {
        format!("follows {}", followed(flag))
    } else if let Some(last) = list(flag, "rules").last() {
        let more = match rules {
            1 => String::new(),
            2 => ", 1 rule before".to_owned(),
            more => format!(", {} rules before", more - 1),
        };
        format!("{} {}{more}", member(last, "name"), weights(&last["serve"]))
    } else if flag["imported"].is_string() {
        "imported".to_owned()
    } else {
        "no rules".to_owned()
    };
    match flag["enabled"] == true {
        true => served,
        false if flag["imported"].is_string() => "the default of the code to all".to_owned(),
        false => format!("{} to all", member(flag, "default")),
    }
}

fn followed(flag: &Value) -> String {
    match flag["follows"]["service"].as_str() {
        Some(service) => service.to_owned(),
        None => format!("the flag {}", member(&flag["follows"], "flag")),
    }
}

/// A rule, and what the file says if that is something else.
fn rule_lines(rule: &Value) -> String {
    let on_condition = match (rule["conditional"] == true, rule["when"].as_str()) {
        (false, _) => String::new(),
        (true, Some(_)) => format!(" (if {})", member(rule, "when")),
        (true, None) => " (if it holds)".to_owned(),
    };
    let line = format!("  rule {}{on_condition}: {}\n", member(rule, "name"), weights(&rule["serve"]));
    match rule["serve"] == rule["file_serve"] {
        true => line,
        false => {
            let note = toned("differs from the config file", TextTone::Warn);
            format!("{line}    {note}, which says {}\n", weights(&rule["file_serve"]))
        }
    }
}

/// Weights by variant; those with none are left out.
fn weights(serve: &Value) -> String {
    let shares = serve.as_object().into_iter().flatten().filter(|(_, share)| share.as_f64() != Some(0.0));
    let shares: Vec<String> = shares.map(|(variant, share)| format!("{variant} {} %", number(share, 3))).collect();
    shares.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::layout;

    fn launch(enabled: bool, on: f64) -> Value {
        json!({
            "name": "new-checkout", "enabled": enabled, "default": "off", "salt": "service:shop",
            "variants": [{ "name": "off", "value": false }, { "name": "on", "value": true }],
            "rules": [
                { "name": "dogfood", "conditional": true, "when": "header x-staff is \"yes\"", "serve": { "off": 0.0, "on": 100.0 }, "file_serve": { "off": 0.0, "on": 100.0 } },
                { "name": "launch", "conditional": false, "serve": { "off": 100.0 - on, "on": on }, "file_serve": { "off": 90.0, "on": 10.0 } },
            ],
            "file_enabled": true, "differs_from_file": !enabled || on != 10.0, "services": ["shop"],
        })
    }

    #[test]
    fn flags_are_a_table_that_fits() {
        let theme = json!({
            "name": "checkout-theme", "enabled": true, "default": "classic", "rules": [],
            "follows": { "service": "shop", "variants": { "v1": "classic", "v2": "new" } },
        });
        let text = table(&json!({ "flags": [theme, launch(false, 10.0)] }));
        let wanted = "  flag            state     serves\n  \
             checkout-theme  enabled   follows shop\n  \
             new-checkout    disabled  off to all\n";
        assert_eq!(text, wanted);
        assert_eq!(layout::fit(&text, Some(80)), text, "80 columns are enough");
        assert_eq!(table(&json!({ "flags": [] })), "no flags: the config has none (see docs/flags.md)\n");
    }

    #[test]
    fn a_page_says_what_differs_from_the_file() {
        let wanted = "new-checkout  disabled\n  variant off: false, the default\n  variant on: true\n  \
             users are drawn as shop draws them\n  rule dogfood (if header x-staff is \"yes\"): on 100 %\n  \
             rule launch: off 50 %, on 50 %\n    differs from the config file, which says off 90 %, on 10 %\n  \
             differs from the config file, which has it enabled\n  carried by the requests of shop\n";
        assert_eq!(page(&launch(false, 50.0)), wanted);
        assert!(!page(&launch(true, 10.0)).contains("differs"));
        assert_eq!(
            line(&launch(true, 50.0)),
            "  new-checkout: enabled, launch off 50 %, on 50 %, 1 rule before (differs from the config file)\n"
        );
    }

    #[test]
    fn a_long_value_is_cut_and_says_how_long_it_is() {
        let long = "lorem ipsum ".repeat(1_365);
        let value = json!({ "flag": "f", "variant": "page", "value": long, "why": "so", "revision": 7 });
        let flag =
            json!({ "name": "f", "enabled": true, "default": "page", "variants": [{ "name": "page", "value": long }] });
        for text in [evaluation(&value), page(&flag)] {
            assert!(
                text.contains("\"lorem ipsum lorem") && text.contains("… (16,382 bytes in all; --json has them)"),
                "{text}"
            );
            assert!(text.len() < 400 && text.ends_with('\n'), "{text}");
        }
        let wide = "部".repeat(10_000);
        assert!(layout::visible_width(&page(&json!({ "variants": [{ "name": "a", "value": wide }] }))) < 400);
    }

    #[test]
    fn what_a_question_got_wrong_is_told_behind_the_answer() {
        let answer =
            json!({ "flag": "f", "variant": "on", "value": true, "why": "so", "revision": 7, "warnings": ["odd"] });
        assert_eq!(evaluation(&answer), "f on\n  value true\n  so\n  revision 7\n  warning: odd\n");
    }

    #[test]
    fn a_difference_is_a_line() {
        let rule = |from: Value, to: Value, moved: f64| {
            let weight = |variant: &str, at: usize| json!({ "variant": variant, "from": from[at], "to": to[at] });
            json!({ "rule": "launch", "weights": [weight("off", 0), weight("on", 1)], "moved_ratio": moved })
        };
        for (was, is, rule, wanted) in [
            (
                json!(true),
                true,
                rule(json!([90.0, 10.0]), json!([50.0, 50.0]), 0.4),
                "launch off 90 -> 50 %, on 10 -> 50 %, 40 % of its users move",
            ),
            (
                json!(true),
                false,
                rule(json!([50.0, 50.0]), json!([50.0, 50.0]), 0.5),
                "disabled; launch 50 % of its users move to off",
            ),
            (
                json!(false),
                true,
                rule(json!([50.0, 50.0]), json!([50.0, 50.0]), 0.5),
                "enabled; launch 50 % of its users move",
            ),
            (Value::Null, true, rule(Value::Null, json!([95.0, 5.0]), 0.0), "new; launch off 95 %, on 5 %"),
            (
                json!(true),
                true,
                rule(json!([95.0, 5.0]), Value::Null, 0.0),
                "launch off 95 % -> no rule, on 5 % -> no rule",
            ),
        ] {
            let difference =
                json!({ "flag": "f", "default": "off", "was_enabled": was, "enabled": is, "rules": [rule] });
            assert_eq!(difference_line(&difference), format!("  flag f: {wanted}\n"));
        }
        let alone = json!({ "flag": "f", "default": "off", "was_enabled": true, "enabled": false, "rules": [] });
        assert_eq!(difference_line(&alone), "  flag f: disabled\n");
        let follower = json!({ "flag": "f", "default": "off", "was_enabled": true, "enabled": false, "rules": [], "followers_moved_ratio": 0.1 });
        assert_eq!(difference_line(&follower), "  flag f: disabled; 10 % of the users move to off\n");
    }
}
