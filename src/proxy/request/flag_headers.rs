//! The step that tells the upstream which flags the user has: `x-flag-NAME: VARIANT`, for each flag that its service
//! lists.
//!
//! The flags are decided when it is known which version the request goes to, by what the client sent, and written when
//! the head has been edited: what a client says by such a name is removed, or any client could switch a flag on. The
//! version that a failed attempt is replayed on is told its own variant of the flags that follow the version; all
//! others depend on the user, who is the same.
//!
//! While one of the flags is released, the request is evidence for the variant that its rule has drawn.
//!
//! A service without flags and experiments has nothing here: it is asked once whether it has some.

use super::context::RequestContext;
use super::destination::Destination;
use super::route::Route;
use super::user_trials;
use crate::flags::{FlagCause, RequestUser, drawn, evaluate, of_version};
use crate::message::Headers;
use crate::table::compiled_flag::{FLAG_HEADER_PREFIX, Flag};
use crate::table::flag_table::{ReleasedFlag, TOLD_MAX};
use crate::table::{RequestView, Table};

/// The variants of the flags that a request carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToldVariants {
    /// By their order in the service; what follows the last flag is not looked at.
    variants: [Option<u16>; TOLD_MAX],
}

/// Decides on the flags of a request that has been routed, and notes what experiments and rollouts ask of it. `None`:
/// its service lists no flags.
#[must_use]
pub(crate) fn decide(
    table: &Table,
    view: &RequestView<'_>,
    route: &Route,
    context: &mut RequestContext,
) -> Option<ToldVariants> {
    if context.sample.is_some() {
        note_compared(table, view, route, context);
    }
    let told = table.flags().told(route.destination.service_index())?;
    let user = user_of(table, view, route);
    // What a fault is done to says nothing of flags and experiments.
    let counts = !context.is_kept_apart();
    let mut variants = [None; TOLD_MAX];
    for (variant, flag) in variants.iter_mut().zip(table.flags().told_flags(user.service)) {
        let evaluation = evaluate(table, flag, &user);
        *variant = evaluation.variant;
        if counts && matches!(evaluation.why, FlagCause::Experiment(_)) {
            user_trials::note_variant(table, evaluation, &user, &context.worker.seen);
        }
    }
    if counts && told.experiments {
        user_trials::note_request(&user, route.cause, context);
    }
    if let Some(released) = told.released().filter(|_| counts) {
        count(&user, released, context);
    }
    (!told.indices.is_empty()).then_some(ToldVariants { variants })
}

fn user_of<'a>(table: &'a Table, view: &'a RequestView<'a>, route: &Route) -> RequestUser<'a> {
    let (service, version) = (route.destination.service_index(), route.destination.version_index());
    RequestUser { table, view, service, version, slot: route.slot, new_key: route.new_key, clock: seconds }
}

/// Has the user of a request counted whose versions are compared.
#[cold]
fn note_compared(table: &Table, view: &RequestView<'_>, route: &Route, context: &mut RequestContext) {
    let user = user_of(table, view, route);
    if let Some(pair) = table.service(user.service).compared() {
        user_trials::note_compared(&user, pair, context);
    }
}

/// The time, in seconds since 1970.
pub(crate) fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Has the request counted for the flag that is released, if its rule has drawn it.
#[cold]
fn count(user: &RequestUser<'_>, released: &ReleasedFlag, context: &mut RequestContext) {
    let flag = &user.table.flags().flags[released.flag as usize];
    if let Some(lot) = drawn(user.table, flag, released.rule, user) {
        context.note_variant(&released.pair, lot, user.view);
        user_trials::note_compared(user, &released.pair, context);
    }
}

/// Writes the flags of a request into its head, in the place of what the client says of them.
pub(crate) fn write(headers: &mut Headers, destination: &Destination, told: ToldVariants) {
    let flags = || destination.table().flags().told_flags(destination.service_index());
    headers.retain(|name| {
        !name.starts_with(FLAG_HEADER_PREFIX.as_bytes()) || flags().all(|flag| flag.header.as_str().as_bytes() != name)
    });
    for (flag, variant) in flags().zip(told.variants) {
        append(headers, flag, variant);
    }
}

/// Turns the flags in the head of a request that is replayed into those of the version that it is replayed on.
pub(crate) fn follow(headers: &mut Headers, destination: &Destination) {
    let (table, service) = (destination.table(), destination.service_index());
    for flag in table.flags().told_flags(service) {
        if let Some(evaluation) = of_version(table, flag, service, destination.version_index()) {
            headers.retain(|name| flag.header.as_str().as_bytes() != name);
            append(headers, flag, evaluation.variant);
        }
    }
}

/// A flag whose default is the code's is not told.
fn append(headers: &mut Headers, flag: &Flag, variant: Option<u16>) {
    if let Some(word) = variant.and_then(|variant| flag.words.get(usize::from(variant))) {
        headers.append_named(&flag.header, word);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::table::fixture::{name, spec, table, weights};
    use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FlagSpecs, Variant};

    /// A request's destination: `v1` of a service that is told of these flags, in this order.
    fn destination(told: &[&str]) -> Destination {
        let variant = |(variant, json): (&str, &str)| Variant { name: name(variant), json: json.into() };
        let flag = |flag: &str, source| {
            let variants = [("off", "false"), ("on", "true")].map(variant).to_vec();
            Arc::new(FlagSpec { name: name(flag), variants, default: 0, enabled: true, source })
        };
        let rules = vec![FlagRuleSpec { name: name("launch"), when: None, serve: weights("off=0 on=100") }];
        let flags = vec![
            flag("Launch", FlagSource::Rules { draw: DrawSpec::Salt("launch".into()), rules }),
            flag("theme", FlagSource::Service(name("shop"), vec![(name("v2"), 1)])),
        ];
        let told = BTreeMap::from([(name("shop"), told.iter().map(|flag| name(flag)).collect())]);
        let table = table([spec("shop", "v1=50 v2=50")]);
        let table = table.with_flags(1, &FlagSpecs { flags, told }, &BTreeMap::new());
        Destination::at(&Rc::new(Arc::new(table)), 0, 0)
    }

    fn lines(headers: &Headers) -> Vec<String> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        headers.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> Headers {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn told(variants: &[u16]) -> ToldVariants {
        let mut all = [None; TOLD_MAX];
        all.iter_mut().zip(variants).for_each(|(to, variant)| *to = Some(*variant));
        ToldVariants { variants: all }
    }

    #[test]
    fn what_a_client_says_of_a_flag_is_replaced_and_other_headers_stay() {
        let mut headers = headers(&[
            ("x-flag-theme", "forged"),
            ("accept", "*/*"),
            ("x-flag-theme", "forged again"),
            ("x-flag-launch", "off"),
            ("x-flag-of-another-service", "kept"),
            ("x-flag-", "kept"),
        ]);
        write(&mut headers, &destination(&["theme", "Launch"]), told(&[1, 0]));
        let wanted = [
            "accept: */*",
            "x-flag-of-another-service: kept",
            "x-flag-: kept",
            "x-flag-theme: on",
            "x-flag-launch: off",
        ];
        assert_eq!(lines(&headers), wanted);
    }

    #[test]
    fn a_replay_tells_the_other_version_its_own_variant_of_what_follows_the_version() {
        let destination = destination(&["Launch", "theme"]);
        let mut headers = headers(&[("accept", "*/*")]);
        write(&mut headers, &destination, told(&[1, 0]));
        assert_eq!(lines(&headers), ["accept: */*", "x-flag-launch: on", "x-flag-theme: off"]);
        follow(&mut headers, &destination.to(1));
        assert_eq!(lines(&headers), ["accept: */*", "x-flag-launch: on", "x-flag-theme: on"]);
    }
}
