//! `[services.S.mirror]`: which requests are copied to another version, and what of the two responses is compared.

use http::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::{HeaderName, Method};
use serde::Deserialize;
use std::sync::Arc;

use super::{mirror_target, split};
use crate::config::build::Build;
use crate::config::check::{every, setting};
use crate::config::listener::ListenerConfig;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{ByteSize, Quantity, Setting};
use crate::problem::{Mismatch, one_of, suggest};
use crate::table::spec::VersionSpec;
use crate::table::spec::mirror::{MirrorBody, MirrorCompare, MirrorPointer, MirrorSpec};
use crate::table::{Name, ServiceSpec, Weight, Weights};

/// Headers whose values are secrets: a comparison would keep what hashes of them say, and with `samples` the values.
const SECRET_HEADERS: [&HeaderName; 6] =
    [&AUTHORIZATION, &COOKIE, &PROXY_AUTHENTICATE, &PROXY_AUTHORIZATION, &SET_COOKIE, &WWW_AUTHENTICATE];

/// What names of headers with secrets have in them, whatever a company calls them.
const SECRET_PARTS: [&str; 6] = ["api-key", "apikey", "csrf", "secret", "session", "token"];

/// As it is written.
#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawMirror {
    to: Option<String>,
    share: Option<Setting<Weight>>,
    methods: Option<List<String>>,
    compare: RawMirrorCompare,
    in_flight_max: Option<Setting<Quantity>>,
    body_bytes_max: Option<Setting<ByteSize>>,
    samples: bool,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawMirrorCompare {
    status: Option<bool>,
    headers: Option<List<String>>,
    body: Option<String>,
    ignore: List<String>,
    latency: Option<bool>,
}

/// The service of a mirror: what it has besides.
pub(crate) struct MirroredService<'s> {
    /// Where it is in the config.
    pub(crate) at: &'s ConfigPath<'s>,
    /// The names of its versions.
    pub(crate) names: &'s [Name],
    /// Its split, if that is good.
    pub(crate) split: Option<&'s Weights>,
    /// Its versions, if those are good.
    pub(crate) versions: Option<&'s [VersionSpec]>,
}

impl RawMirror {
    pub(crate) fn build(
        &self,
        service: &MirroredService<'_>,
        report: &mut Report<'_>,
    ) -> Result<Arc<MirrorSpec>, ErrorGuaranteed> {
        let at = service.at.key("mirror");
        let share = self.share.map_or(Weight::ZERO, |read| read.0);
        let to = self.to(service, share, &at, report);
        let methods = self.methods.as_ref().map(|raw| methods(raw, &at.key("methods"), report)).transpose();
        let compare = self.compare.build(&at.key("compare"), report);
        let range = Quantity(1)..=Quantity(100_000);
        let most = setting(self.in_flight_max, Quantity(100), range, &at.key("in_flight_max"), report);
        // Each copy under way may hold this of the request, and as much of each response.
        let range = ByteSize(0)..=ByteSize::kib(1024);
        let bytes = setting(self.body_bytes_max, ByteSize::kib(64), range, &at.key("body_bytes_max"), report);
        let (to, methods, most) = (to?, methods?, most?.0);
        Ok(Arc::new(MirrorSpec {
            to,
            share,
            methods: methods.unwrap_or_else(|| MirrorSpec::DEFAULT_METHODS.into()),
            compare: compare?,
            in_flight_max: u32::try_from(most).unwrap_or(u32::MAX),
            body_bytes_max: bytes?.0,
            samples: self.samples,
        }))
    }

    /// The version that gets copies. Without a share none has to be named: the API or a plan of a release does it.
    fn to(
        &self,
        service: &MirroredService<'_>,
        share: Weight,
        mirror: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Name, ErrorGuaranteed> {
        let at = mirror.key("to");
        if let [_] = service.names {
            let wanted = "a second version to compare it with";
            return Err(report.problem(mirror, Mismatch::new("it on a service with one version", wanted, "remove it")));
        }
        let Some(text) = &self.to else {
            if share > Weight::ZERO {
                let mismatch = Mismatch::new("none", "the version that gets the copies", "add to = \"v2\"");
                return Err(report.missing(&at, mismatch));
            }
            let last = service.names.last().cloned();
            return last.ok_or_else(|| report.missing(&service.at.key("versions"), super::version::none()));
        };
        let to = split::version(text, service.names, service.at, &at, report)?;
        let unfit = service.split.and_then(|split| {
            let shares = || mirror_target::shares_endpoint(service.versions?, split, &to);
            mirror_target::has_all_users(split, &to).or_else(|| shares().filter(|_| share > Weight::ZERO))
        });
        match unfit {
            None => Ok(to),
            Some(mismatch) => Err(report.problem(&at, mismatch)),
        }
    }
}

fn methods(raw: &List<String>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Box<[Method]>, ErrorGuaranteed> {
    if raw.is_empty() {
        let mismatch = Mismatch::new("none", "at least one method", "leave it out for GET and HEAD");
        return Err(report.problem(at, mismatch));
    }
    let each = raw.iter().map(|(index, text)| {
        let good = text.parse::<Method>().ok().filter(|method| *method != Method::CONNECT);
        good.filter(|method| method.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')).ok_or_else(
            || {
                let remedy = match text.to_ascii_uppercase() {
                    upper if upper != *text => format!("write {upper:?}"),
                    _ => "leave it out: tunnels are not copied".to_owned(),
                };
                report.problem(&at.item(index), Mismatch::new(format!("{text:?}"), "a method such as \"GET\"", remedy))
            },
        )
    });
    every(each).map(Into::into)
}

impl RawMirrorCompare {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<MirrorCompare, ErrorGuaranteed> {
        let headers = match &self.headers {
            None => Ok(Box::from([CONTENT_TYPE])),
            Some(raw) => {
                let at = at.key("headers");
                every(raw.iter().map(|(index, text)| header(text, &at.item(index), report))).map(Into::into)
            }
        };
        let body = match self.body.as_deref() {
            None => Ok(MirrorBody::Json),
            Some(word) => MirrorBody::from_word(word).ok_or_else(|| {
                let words = || MirrorBody::ALL.into_iter().map(MirrorBody::word);
                let remedy = suggest(word, words())
                    .map_or("choose one of them".to_owned(), |meant| format!("did you mean {meant:?}?"));
                report.problem(&at.key("body"), Mismatch::new(format!("{word:?}"), one_of(words()), remedy))
            }),
        };
        let list = at.key("ignore");
        let ignore = every(self.ignore.iter().map(|(index, text)| {
            MirrorPointer::new(text).ok_or_else(|| {
                let wanted = "a JSON pointer such as \"/generated_at\" or \"/items/*/at\"";
                let remedy = match text.as_str() {
                    "" => "to leave the body out, write body = \"off\"".to_owned(),
                    _ if !text.starts_with('/') => {
                        format!("write {:?}", format!("/{}", text.trim_start_matches(['$', '.']).replace('.', "/")))
                    }
                    _ => "write ~0 for ~ and ~1 for / in names".to_owned(),
                };
                report.problem(&list.item(index), Mismatch::new(format!("{text:?}"), wanted, remedy))
            })
        }));
        if !self.ignore.is_empty() && matches!(body, Ok(MirrorBody::Exact)) {
            let found = "places to ignore in bodies that are compared byte by byte";
            report.problem(&list, Mismatch::new(found, "body = \"json\"", "change body, or remove it"));
        }
        let unread = report.touched(&list);
        let (headers, body, ignore) = (headers?, body?, ignore?);
        if let Some(reported) = unread {
            return Err(reported);
        }
        let (status, latency) = (self.status.unwrap_or(true), self.latency.unwrap_or(true));
        Ok(MirrorCompare { status, headers, body, ignore: ignore.into(), latency })
    }
}

/// A header that may be compared.
fn header(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<HeaderName, ErrorGuaranteed> {
    let Ok(name) = HeaderName::try_from(text) else {
        let mismatch = Mismatch::new(format!("{text:?}"), "the name of a header", "write one such as \"content-type\"");
        return Err(report.problem(at, mismatch));
    };
    let secret = SECRET_HEADERS.contains(&&name) || SECRET_PARTS.iter().any(|part| name.as_str().contains(part));
    if secret {
        let found = format!("{text:?}, whose values are secrets");
        let wanted = "headers without secrets: what differs is kept and shown";
        return Err(report.problem(at, Mismatch::new(found, wanted, "remove it")));
    }
    Ok(name)
}

/// The services, with a note where they lead back into this process, unless a mirror of one does: each copy would be
/// mirrored again.
pub(crate) fn without_circles(
    services: Vec<Arc<ServiceSpec>>,
    listeners: &[ListenerConfig],
    build: &mut Build<'_>,
) -> Result<Vec<Arc<ServiceSpec>>, ErrorGuaranteed> {
    let at = ConfigPath::Root.key("services");
    let noted = services.into_iter().map(|service| mirror_target::with_own_listeners(service, listeners));
    let services: Vec<_> = noted.collect();
    let mut refused = None;
    for service in &services {
        let Some(mirror) = service.mirror.as_ref().filter(|mirror| mirror.share > Weight::ZERO) else { continue };
        if let Some(mismatch) = mirror_target::leads_back(&service.versions, &mirror.to) {
            refused = Some(build.report.problem(&at.key(&service.name).key("mirror").key("to"), mismatch));
        }
    }
    refused.map_or(Ok(services), Err)
}
