//! `sticky`: where the key of a user comes from.

use http::HeaderName;

use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::table::spec::KeySource;

/// The sources, in order.
pub(crate) fn sources(
    raw: &List<String>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<KeySource>, ErrorGuaranteed> {
    let sources = every(raw.iter().map(|(index, text)| source(text, &at.item(index), report)))?;
    for (index, found) in sources.iter().enumerate() {
        let text = match found {
            _ if sources[..index].contains(found) => {
                Mismatch::new("it for the second time", "each source once", "remove one of the two")
            }
            // Both yield a key for every request.
            KeySource::OwnCookie | KeySource::Ip if index + 1 < sources.len() => Mismatch::new(
                "it before other sources",
                "it last, for nothing after it is ever reached",
                "move it to the end",
            ),
            KeySource::OwnCookie
            | KeySource::NamedOwnCookie(_)
            | KeySource::Ip
            | KeySource::Header(_)
            | KeySource::Cookie(_)
            | KeySource::Query(_)
            | KeySource::Jwt(_) => continue,
        };
        return Err(report.problem(&at.item(index), text));
    }
    Ok(sources)
}

/// One source.
fn source(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<KeySource, ErrorGuaranteed> {
    parse(text).ok_or_else(|| {
        let wanted = "\"header:NAME\", \"cookie:NAME\", \"query:NAME\", \"jwt:CLAIM\", \"ip\" or \"cookie\"";
        report.problem(at, Mismatch::new(format!("{text:?}"), wanted, remedy(text)))
    })
}

/// A source from its text.
pub(crate) fn parse(text: &str) -> Option<KeySource> {
    match kind_and_name(text) {
        ("ip", None) => Some(KeySource::Ip),
        ("cookie", None) => Some(KeySource::OwnCookie),
        ("header", Some(name)) => HeaderName::from_bytes(name.as_bytes()).ok().map(KeySource::Header),
        ("cookie", Some(name)) => is_token(name).then(|| KeySource::Cookie(name.into())),
        ("query", Some(name)) => is_query_name(name).then(|| KeySource::Query(name.into())),
        ("jwt", Some(name)) => (!name.is_empty()).then(|| KeySource::Jwt(name.into())),
        _ => None,
    }
}

/// What to do about a text that is no source.
pub(crate) fn remedy(text: &str) -> String {
    match kind_and_name(text) {
        (kind @ ("header" | "query" | "jwt"), None) => format!("write \"{kind}:NAME\""),
        ("ip", Some(_)) => "write \"ip\"".to_owned(),
        (kind @ ("header" | "cookie" | "query" | "jwt"), Some(name)) => {
            format!("{name:?} cannot be the name of a {kind}")
        }
        _ => "choose one of them".to_owned(),
    }
}

fn kind_and_name(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)))
}

/// A token of HTTP, which names of cookies are too.
pub(crate) fn is_token(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(good)
}

/// What can stand before `=` in a query.
pub(crate) fn is_query_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'=' | b'&' | b'#'))
}
