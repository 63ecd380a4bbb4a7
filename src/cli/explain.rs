//! `pointsman explain`: which version a request would get, and why.

use clap::Args;
use http::{Method, Uri};
use serde_json::{Map, Value, json};

use super::client::Call;
use super::text::{TextTone, in_short, member, number, toned};
use super::{CommandError, Remote};

/// Say which version a request would get, and why
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman explain http://shop.example.com/cart -H 'x-user-id: 42'")]
pub struct ExplainArgs {
    /// The URL as a user would ask for it; the scheme can be left out where a host with a dot or a port stands first
    url: String,
    /// The method
    #[arg(long, short = 'X', default_value = "GET")]
    method: String,
    /// A header; can be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    client: Option<String>,
}

/// Explains.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: &ExplainArgs) -> Result<(), CommandError> {
    let (host, path) = host_and_path(&args.url)?;
    let mut body = json!({ "method": args.method, "host": host, "path": path, "headers": headers(&args.headers)? });
    if args.url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        body["https"] = true.into();
    }
    if let Some(client) = &args.client {
        body["client"] = client.as_str().into();
    }
    let call = Call { method: Method::POST, path: "/v1/explain", body: Some(body), if_match: None };
    remote.call(call, show)
}

/// Of a URL that a user could ask for. The scheme can be left out as in a browser, but only where what stands first can
/// be nothing but a host: `shop/cart` may as well be a path without its host.
fn host_and_path(url: &str) -> Result<(String, String), CommandError> {
    let first = url.split(['/', '?']).next().unwrap_or_default();
    let is_host = first.contains(['.', ':']) && !url.contains("://");
    let full = if is_host { format!("http://{url}") } else { url.to_owned() };
    let uri: Option<Uri> = full.parse().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let found = uri.and_then(|uri| {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        // A query behind the host has no path of its own.
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        // `mailto:ann` has something else where a port stands.
        let host = uri.authority().filter(|host| host.port_u16().is_some() || host.as_str().ends_with(host.host()))?;
        Some((host.to_string(), path))
    });
    found.ok_or_else(|| {
        CommandError::Usage(format!(
            "found {url:?}, want a URL, such as http://shop.example.com/cart or localhost:8080/cart"
        ))
    })
}

/// Headers as the admin API takes them: a value, or a list of values.
fn headers(lines: &[String]) -> Result<Map<String, Value>, CommandError> {
    let mut map: Map<String, Value> = Map::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Err(CommandError::Usage(format!("found {line:?}, want a header such as 'x-user-id: 42'")));
        };
        let value = Value::from(value.trim());
        let values = map.entry(name.trim().to_ascii_lowercase()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(value);
        }
    }
    Ok(map)
}

fn show(answer: &Value) -> String {
    let place = |name: &str| answer[name].as_str().map(str::to_owned);
    let head = match (place("service"), place("version"), place("refused")) {
        (service, _, Some(refused)) => {
            let refused = toned(&format!("refused: {refused}"), TextTone::Bad);
            service.map_or(refused.clone(), |service| format!("{service}: {refused}"))
        }
        (Some(service), None, None) if answer["responds"].is_string() => {
            toned(&format!("{service}: {}", member(answer, "responds")), TextTone::Strong)
        }
        (Some(service), Some(version), None) => toned(&format!("{service} {version}"), TextTone::Strong),
        (service, _, None) => format!("{}: by chance", service.unwrap_or_default()),
    };
    let mut text = format!("{head}\n  {}\n", member(answer, "why"));
    for (version, chance) in answer["chances"].as_object().into_iter().flatten() {
        text.push_str(&format!("  {version}: {} %\n", number(chance, 3)));
    }
    for (attribute, value) in answer["attributes"].as_object().into_iter().flatten() {
        text.push_str(&format!("  attribute {attribute}: {}\n", in_short(value.as_str().unwrap_or_default())));
    }
    for (segment, holds) in answer["segments"].as_object().into_iter().flatten() {
        let holds = if holds == &Value::Bool(true) { "holds" } else { "does not hold" };
        text.push_str(&format!("  segment {segment}: {holds}\n"));
    }
    for (flag, decided) in answer["flags"].as_object().into_iter().flatten() {
        let variant = decided["variant"].as_str().unwrap_or("by chance");
        text.push_str(&format!("  flag {flag}: {variant} ({})\n", member(decided, "why")));
        for (variant, chance) in decided["chances"].as_object().into_iter().flatten() {
            text.push_str(&format!("    {variant}: {} %\n", number(chance, 3)));
        }
    }
    text.push_str(&in_edits(&answer["edits"]));
    text.push_str(&in_chaos(&answer["chaos"]));
    // What is copied is a part of the sentence.
    if answer["mirror"]["copied"] == Value::Bool(false) {
        text.push_str(&format!("  mirror: {}\n", member(&answer["mirror"], "why")));
    }
    for (endpoint, zone) in answer["zones"].as_object().into_iter().flatten() {
        text.push_str(&format!("  endpoint {endpoint}: zone {}\n", zone.as_str().unwrap_or_default()));
    }
    text + &format!("  revision {}\n", member(answer, "revision"))
}

/// What is edited of the request and of its response.
fn in_edits(edits: &Value) -> String {
    let mut text = String::new();
    for message in ["request", "response"] {
        for edit in edits[message].as_array().into_iter().flatten() {
            text.push_str(&format!("  {message}: {}\n", in_short(edit.as_str().unwrap_or_default())));
        }
    }
    if let Some(path) = edits["path"].as_str() {
        text.push_str(&format!("  path: {}\n", in_short(path)));
    }
    text
}

/// The chaos experiment on the service, if there is one, and whether this user is in it.
fn in_chaos(chaos: &Value) -> String {
    if !chaos.is_object() {
        return String::new();
    }
    let slice = chaos["slice"].as_str().unwrap_or("by chance");
    let does = if chaos["injecting"] == Value::Bool(true) { "is injected" } else { "is not injected yet" };
    let (experiment, run, fault) = (member(chaos, "experiment"), member(chaos, "run"), member(chaos, "fault"));
    format!("  chaos {experiment} (run {run}: {fault} {does}): slice {slice} ({})\n", member(chaos, "why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_with_why() {
        let launch = json!({ "variant": "on", "value": true, "why": "rule dogfood serves on" });
        let drawn = json!({ "variant": null, "why": "the request has no key", "chances": { "off": 90.0, "on": 10.0 } });
        let answer = json!({
            "service": "shop", "version": "v1", "why": "rule beta picks v1", "revision": 7,
            "flags": { "launch": launch, "theme": drawn },
            "chaos": {
                "experiment": "slow", "run": 4, "fault": "latency", "injecting": true, "slice": "fault", "why": "slot 7",
            },
            "mirror": { "to": "v2", "share": 10.0, "copied": false, "why": "not copied to v2: it is a POST" },
            "zones": { "10.0.0.1:80": "a" },
            "edits": { "request": ["set x-env: prod"], "response": ["remove server"], "path": "/x" },
        });
        let text = "shop v1\n  rule beta picks v1\n  flag launch: on (rule dogfood serves on)\n  \
            flag theme: by chance (the request has no key)\n    off: 90 %\n    on: 10 %\n  \
            request: set x-env: prod\n  response: remove server\n  path: /x\n  \
            chaos slow (run 4: latency is injected): slice fault (slot 7)\n  mirror: not copied to v2: it is a POST\n  \
            endpoint 10.0.0.1:80: zone a\n  revision 7\n";
        assert_eq!(show(&answer), text);
    }

    #[test]
    fn what_no_user_could_ask_for_is_refused() {
        let bad =
            ["nope", "/cart", "shop/cart", "ftp://shop/", "http://", "//shop/cart", "", "mailto:ann", "a:b:c/", "?a.b"];
        for bad in bad {
            assert!(matches!(host_and_path(bad), Err(CommandError::Usage(_))), "{bad:?}");
        }
        let found = |url: &str| host_and_path(url).ok();
        let both = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(found("http://shop.example.com/cart?x=1"), both("shop.example.com", "/cart?x=1"));
        assert_eq!(found("http://shop.example.com?x=1"), both("shop.example.com", "/?x=1"));
        assert_eq!(found("HTTPS://shop:8443"), both("shop:8443", "/"));
        assert_eq!(found("localhost:8080/"), both("localhost:8080", "/"));
        assert_eq!(found("shop.example.com"), both("shop.example.com", "/"));
        assert_eq!(found("shop.example.com:80?x=http"), both("shop.example.com:80", "/?x=http"));
        assert_eq!(found("[::1]:8080/cart"), both("[::1]:8080", "/cart"));
    }
}
