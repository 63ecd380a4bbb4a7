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
    let uri: Option<Uri> = args.url.parse().ok();
    let Some((uri, host)) = uri.as_ref().and_then(|uri| Some((uri, uri.authority()?.as_str()))) else {
        return Err(CommandError::Usage(format!(
            "found {:?}, want a URL such as http://shop.example.com/cart",
            args.url
        )));
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut body = json!({ "method": args.method, "host": host, "path": path, "headers": headers(&args.headers)? });
    if let Some(client) = &args.client {
        body["client"] = client.as_str().into();
    }
    let call = Call { method: Method::POST, path: "/v1/explain", body: Some(body), if_match: None };
    remote.call(call, show)
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
    text + &format!("  revision {}\n", member(answer, "revision"))
}
