//! `pointsman explain`: which version a request would get, and why.

use clap::Args;
use http::{Method, Uri};
use serde_json::{Map, Value, json};

use super::client::Call;
use super::text::{TextTone, member, number, toned};
use super::{CommandError, Remote};

/// Say which version a request would get, and why
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman explain http://shop.example.com/cart -H 'x-user-id: 42'")]
pub struct ExplainArgs {
    /// The URL as a user would ask for it
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
    if let Some(client) = &args.client {
        body["client"] = client.as_str().into();
    }
    let call = Call { method: Method::POST, path: "/v1/explain", body: Some(body), if_match: None };
    remote.call(call, show)
}

/// Of a URL that a user could ask for: the scheme is written out, for without it `nope` would be a host, and
/// `shop/cart` none.
fn host_and_path(url: &str) -> Result<(String, String), CommandError> {
    let uri: Option<Uri> = url.parse().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let found = uri.and_then(|uri| {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some((uri.authority()?.to_string(), path.to_owned()))
    });
    found.ok_or_else(|| {
        CommandError::Usage(format!(
            "found {url:?}, want a URL with http:// or https://, such as http://shop.example.com/cart"
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
        (Some(service), Some(version), None) => toned(&format!("{service} {version}"), TextTone::Strong),
        (service, _, None) => format!("{}: by chance", service.unwrap_or_default()),
    };
    let mut text = format!("{head}\n  {}\n", member(answer, "why"));
    for (version, chance) in answer["chances"].as_object().into_iter().flatten() {
        text.push_str(&format!("  {version}: {} %\n", number(chance, 3)));
    }
    for (attribute, value) in answer["attributes"].as_object().into_iter().flatten() {
        text.push_str(&format!("  attribute {attribute}: {}\n", value.as_str().unwrap_or_default()));
    }
    for (segment, holds) in answer["segments"].as_object().into_iter().flatten() {
        let holds = if holds == &Value::Bool(true) { "holds" } else { "does not hold" };
        text.push_str(&format!("  segment {segment}: {holds}\n"));
    }
    text + &format!("  revision {}\n", member(answer, "revision"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_user_could_ask_for_is_refused() {
        for bad in ["nope", "/cart", "shop/cart", "ftp://shop/", "shop.example.com:80", "http://", "//shop/cart", ""] {
            assert!(matches!(host_and_path(bad), Err(CommandError::Usage(_))), "{bad:?}");
        }
        let found = |url: &str| host_and_path(url).ok();
        let both = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(found("http://shop.example.com/cart?x=1"), both("shop.example.com", "/cart?x=1"));
        assert_eq!(found("HTTPS://shop:8443"), both("shop:8443", "/"));
    }
}
