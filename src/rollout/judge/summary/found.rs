//! What was found of the responses, of a route, and of an endpoint.

use super::super::class_share::{ResponseFinding, class_text};
use super::super::endpoint_watch::EndpointFault;
use super::super::figures::percent;
use super::super::judge_settings::JudgeSettings;
use super::super::per_version::PerVersion;
use super::super::route_finding::{RouteFault, RouteFinding};
use super::super::verdict::{JudgeFindings, Names};
use super::{part, quantile_name, time};

/// `97 of 100 responses are 404 or 410 (97 %) against 3 of 900 (0.3 %) on v1`.
pub(super) fn responses_text(findings: &JudgeFindings, names: &Names) -> String {
    let Some(ResponseFinding { class, shares, lately, .. }) = findings.response else { return String::new() };
    let PerVersion { candidate, baseline } = shares;
    let lately = lately.map_or_else(String::new, |lately| format!(" in the last {}", time(lately)));
    let what = format!("responses are {}", class_text(class, names.baseline));
    format!(
        "{}{lately} against {} on {}",
        part(candidate.found, candidate.asked, &what),
        part(baseline.found, baseline.asked, ""),
        names.baseline
    )
}

/// `/checkout: 8 of 9 requests failed (89 %) against 0 of 81 (0 %) on v1`.
pub(super) fn route_text(findings: &JudgeFindings, settings: &JudgeSettings, names: &Names) -> String {
    let Some(RouteFinding { name, fault, shares, lately, .. }) = findings.route else { return String::new() };
    let PerVersion { candidate, baseline } = shares;
    let (what, of_baseline) = match fault {
        RouteFault::Failures => ("requests failed".to_owned(), ""),
        RouteFault::Latency { quantile } => {
            let times = settings.slower.map_or(1.0, |slower| slower.value());
            let quantile = quantile_name(quantile);
            (format!("requests took more than {times} times the {quantile} of {} there", names.baseline), "above it")
        }
    };
    let lately = lately.map_or_else(String::new, |lately| format!(" in the last {}", time(lately)));
    format!(
        "{}: {}{lately} against {} on {}",
        name.text(),
        part(candidate.found, candidate.asked, &what),
        part(baseline.found, baseline.asked, of_baseline),
        names.baseline
    )
}

/// `, all on 10.0.0.7:8080,`; nothing where no endpoint stands out.
pub(super) fn on_endpoint(findings: &JudgeFindings) -> String {
    on_endpoint_or("", findings)
}

/// The same, or `otherwise`.
pub(super) fn on_endpoint_or(otherwise: &str, findings: &JudgeFindings) -> String {
    let Some(EndpointFault { address, part }) = findings.endpoint else { return otherwise.to_owned() };
    let of_them = if part < 1.0 { format!("{} of them", percent(part)) } else { "all".to_owned() };
    format!(", {of_them} on {address},")
}
