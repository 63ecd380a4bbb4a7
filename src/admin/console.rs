//! The console: a page for browsers, as it is in the folder `console/`.
//!
//! The files are part of the program, so that one of its versions has one console, and the page needs nothing from
//! elsewhere. They tell nothing about the proxy: everything that the page shows it asks of the API, with a token of
//! its user. So they need no token, but a known host, as all but probes do. A path is looked up in a table; there is no
//! file system behind it that a path could lead through. They are asked for anew at each visit (`no-cache`) and
//! answered with 304 when they are still the same: after an upgrade of the proxy no browser shows the old page.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};

use super::problem::ProblemDetails;

/// Where the files are, but for the page itself, which is at `/`.
const FOLDER: &str = "/console/";

/// The page.
const INDEX: &str = "index.html";

/// Files of the folder `console/`, by their paths in it.
macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/console/", $path)))),*]
    };
}

/// All files of the folder `console/`.
const FILES: &[(&str, &[u8])] = &embedded![
    "index.html",
    "console.css",
    "icon.svg",
    "action.js",
    "api.js",
    "app.js",
    "change.js",
    "chaos.js",
    "chaos_alarm.js",
    "chart.js",
    "command.js",
    "demo.js",
    "dom.js",
    "experiment.js",
    "facts.js",
    "flag.js",
    "format.js",
    "interval_plot.js",
    "live.js",
    "login.js",
    "merge_patch.js",
    "notice.js",
    "rooms.js",
    "split_bar.js",
    "theme.js",
    "rooms/chaos.css",
    "rooms/chaos.js",
    "rooms/chaos_run.css",
    "rooms/chaos_run.js",
    "rooms/experiment.css",
    "rooms/experiment.js",
    "rooms/experiment_metric.js",
    "rooms/experiments.css",
    "rooms/experiments.js",
    "rooms/flag.css",
    "rooms/flag.js",
    "rooms/flag_evaluate.js",
    "rooms/flag_rule.js",
    "rooms/flags.css",
    "rooms/flags.js",
    "rooms/fleet.css",
    "rooms/fleet.js",
    "rooms/game.css",
    "rooms/game.js",
    "rooms/game_dots.js",
    "rooms/history.css",
    "rooms/history.js",
    "rooms/overview.css",
    "rooms/overview.js",
    "rooms/overview_row.js",
    "rooms/repository.css",
    "rooms/repository.js",
    "rooms/rollout.css",
    "rooms/rollout.js",
    "rooms/rollout_curves.js",
    "rooms/rollout_findings.js",
    "rooms/rollout_orders.js",
    "rooms/rollout_track.js",
    "rooms/rollout_words.js",
    "rooms/rollouts.css",
    "rooms/rollouts.js",
    "rooms/service.css",
    "rooms/service.js",
    "rooms/service_budget.js",
    "rooms/service_compared.js",
    "rooms/service_draft.js",
    "rooms/service_explain.js",
    "rooms/service_mirror.js",
    "rooms/service_rollout.js",
    "rooms/service_split.js",
    "rooms/service_versions.js",
    "rooms/service_words.js",
    "rooms/start.css",
    "rooms/start.js",
    "rooms/start_forecast.js",
    "rooms/start_words.js",
];

/// What a browser lets the page do: to load scripts, styles and pictures from here and to ask the API, nothing else.
/// Text that became markup by mistake could load and run nothing, and no page of another site can show this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file as it is sent.
struct EmbeddedFile {
    content: &'static [u8],
    kind: &'static str,
    tag: String,
    /// The same in the format of gzip, made when it is first asked for.
    packed: LazyLock<Option<Bytes>, Box<dyn FnOnce() -> Option<Bytes> + Send>>,
}

impl EmbeddedFile {
    fn new(path: &str, content: &'static [u8]) -> Self {
        let hash = digest(&SHA256, content);
        let tag = hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Self { content, kind: kind(path), tag, packed: LazyLock::new(Box::new(|| gzip(content))) }
    }

    /// The answer to a call with these headers.
    fn respond(&self, headers: &HeaderMap) -> Response {
        let packed = accepts_gzip(headers).then(|| self.packed.clone()).flatten();
        // Two forms of a file are two entities.
        let form = if packed.is_some() { "-gzip" } else { "" };
        let tag = format!("\"{}{form}\"", self.tag);
        let mut response = match packed {
            _ if is_known(headers, &self.tag) => StatusCode::NOT_MODIFIED.into_response(),
            Some(packed) => {
                let (kind, gzip) = (HeaderValue::from_static(self.kind), HeaderValue::from_static("gzip"));
                ([(CONTENT_TYPE, kind), (CONTENT_ENCODING, gzip)], packed).into_response()
            }
            None => ([(CONTENT_TYPE, self.kind)], self.content).into_response(),
        };
        let headers = response.headers_mut();
        headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
        headers.extend(fixed_headers());
        response
    }
}

/// What each file is sent with. That its kind is not to be guessed says the guard, of all responses.
fn fixed_headers() -> [(HeaderName, HeaderValue); 6] {
    [
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("accept-encoding")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ]
}

/// The routes of all files.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, (path, content)| {
        let file = Arc::new(EmbeddedFile::new(path, content));
        let respond = get(move |headers: HeaderMap| async move { file.respond(&headers) });
        // The addresses in the page are relative to `/`, so it is there only.
        let place = if *path == INDEX { "/".to_owned() } else { format!("{FOLDER}{path}") };
        router.route(&place, respond)
    })
}

/// Whether a path is one of the console, if there is a file or not.
pub(crate) fn is_below(path: &str) -> bool {
    path == "/" || path.starts_with(FOLDER)
}

/// The answer where there is no such file.
pub(crate) fn no_file(path: &str) -> ProblemDetails {
    let detail = format!("the console of this version has no file {path}; the console is at /");
    ProblemDetails::new(StatusCode::NOT_FOUND, "no_resource", detail)
}

/// The media type of a file, by its name.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A file in the format of gzip.
fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(content).and_then(|()| packer.finish()).ok().map(Bytes::from)
}

/// Whether a client takes gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut any = false;
    for coding in lines.flat_map(|line| line.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=');
        let wanted = weight.is_empty() || weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// Whether a client has the file already, in either form (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).any(|known| {
        let bare = known.strip_prefix("W/").unwrap_or(known).trim_matches('"');
        known == "*" || bare == tag || bare.strip_suffix("-gzip") == Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    /// The files below a folder, by their paths from `root`.
    fn walk(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_embedded_and_has_a_kind() {
        let (root, mut there) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("console"), BTreeSet::new());
        walk(&root, &root, &mut there);
        let embedded: BTreeSet<_> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, there, "want the files of console/ in FILES");
        assert_eq!(embedded.len(), FILES.len(), "each is listed once");
        for (path, _) in FILES {
            assert_ne!(kind(path), "application/octet-stream", "{path}");
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_ask_for_it() {
        for (lines, wanted) in [
            (&["gzip, deflate, br, zstd"][..], true),
            (&["br", "x-GZIP;q=0.5"], true),
            (&["*"], true),
            (&["gzip;q=0, *"], false),
            (&["*;q=0"], false),
            (&["gzip; q=0.000"], false),
            (&["gzip;q=much"], false),
            (&["br, deflate"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(accepts_gzip(&headers(&ACCEPT_ENCODING, lines)), wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_tag_is_known_in_both_forms() {
        for (lines, wanted) in [
            (&["\"ab\""][..], true),
            (&["W/\"ab-gzip\""], true),
            (&["\"x\", \"ab-gzip\""], true),
            (&["\"x\"", "\"ab\""], true),
            (&["*"], true),
            (&["\"abc\"", "\"a\"", "gzip"], false),
            (&[], false),
        ] {
            assert_eq!(is_known(&headers(&IF_NONE_MATCH, lines), "ab"), wanted, "{lines:?}");
        }
    }
}
