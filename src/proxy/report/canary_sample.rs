//! What a request says about a version under rollout.
//!
//! A request is one sample, on the version that the lot sent it to, whatever becomes of it afterwards: a replay on
//! another version, a retry or a second endpoint cannot mend what the first attempt met. The lot has to be one whose
//! odds are known, so a request that a rule sent is no sample.
//!
//! A version that has no endpoint for its requests has failed them, although others respond: left out, a version that
//! is dead would look untried. Only where operators drained all of it no version is to blame.
//!
//! **Requests to cold endpoints are left out on both sides alike.** If only those were left out that met a cold
//! endpoint of v1, more of the rest would be v2's than its share, and v2 would look worse than it is. So each request
//! is asked for both versions: which endpoint it gets, and which one the *other* version's balancer would have picked
//! for it at this moment. It is judged if both are warm. That depends on the state of all endpoints and on chance, and
//! not on the side that the lot fell on: of the requests that are judged, the candidate has exactly its share, however
//! few they are and whatever the load does to the balancers. It is decided when the endpoint is picked, before anything
//! is known of the outcome.
//!
//! **So are the times of requests that a pool has to grow for.** After a step more connections are needed than before,
//! and the first request on each waits for it, and perhaps for an endpoint that has to get used to it. While pools grow
//! ([`CanaryPair::fills_pools`]) the time of a request is compared if neither its own pool nor the one of the endpoint
//! that the other version would have used is cold, which again does not depend on the side; whether it fails counts in
//! any case. It is for a while only, because a version that hangs needs ever more connections as well.
//!
//! **Of a flag two variants are compared**, which the same endpoints serve. The lot is the one that the flag's rule
//! drew, whatever version the request goes to; it is known when the request has been routed. The other side would have
//! met the same endpoint, so there is nothing to foresee: a request is judged if its endpoint is warm.
//!
//! A call of gRPC fails in a response of 200: its status is in the headers of a response without a body, else in the
//! trailers.

use super::response_watch::ResponseWatch;
use crate::flags::DrawnVariant;
use crate::shared::canary_clients::ClientNumber;
use crate::shared::canary_stats::{Arm, CanaryBegun, CanaryOutcome, ResponseSeen};
use crate::shared::flights::Told;
use crate::shared::response_counters::Asker;
use crate::shared::route_stats::RouteNumber;
use crate::table::{CanaryPair, Cause, Decision, RequestView, Service, Table, Version, Weight};
use crate::upstream::balance;

/// What the lot said of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// Index of the version that it fell on.
    pub(crate) assigned: u16,
    /// What it fell by.
    pub(crate) cause: Cause,
    /// The slot, unless a rule decided.
    pub(crate) slot: Option<u32>,
}

/// A service, with what is compared of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ComparedService<'t> {
    service: &'t Service,
    canary: Option<&'t CanaryPair>,
}

impl<'t> ComparedService<'t> {
    /// The one with this index.
    pub(crate) fn at(table: &'t Table, service: u32) -> Self {
        Self { service: table.service(service), canary: table.compared(service) }
    }

    /// The versions with these indices.
    fn versions(self, indices: [u16; 2]) -> [&'t Version; 2] {
        indices.map(|index| &self.service.versions[usize::from(index)])
    }
}

/// A sample that has not been recorded yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CanarySample {
    arm: Arm,
    /// Indices of the version that it is sent to, and of the one that the other side would be sent to.
    versions: [u16; 2],
    /// The slot that the lot fell on; none: on the request itself.
    slot: Option<u32>,
    /// Who sent it, where the lot falls on keys.
    client: Option<ClientNumber>,
    /// Its route, if it is one of those that are judged.
    route: Option<RouteNumber>,
    /// The number of the endpoint that it is sent to first.
    endpoint: Option<u32>,
    /// What is seen of the response.
    pub(crate) response: ResponseWatch,
    /// Whether it is known that the request is judged.
    pub(crate) selected: bool,
    /// Its place among the requests in flight.
    flight: Option<u16>,
    /// What was counted of it while it was in flight.
    told: Told,
    /// Whether its time says anything of its version.
    timed: bool,
}

/// The endpoint that a request goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickedEndpoint {
    /// Its index in the version.
    pub index: usize,
    /// Whether there was a connection to it already.
    pub connected: bool,
}

/// How a request went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleOutcome {
    /// Whether it failed by the upstream's fault.
    pub failed: bool,
    /// How much of the response its client has waited for.
    pub seen: ResponseSeen,
    /// How long it took, in microseconds.
    pub micros: u64,
}

impl CanarySample {
    /// The request that `decision` is about, if it is a sample, for the worker that has it. It has to be
    /// [selected](Self::select) unless it is.
    pub(crate) fn of_decision(decision: &Decision<'_>, request: &RequestView<'_>, worker: usize) -> Option<Self> {
        let draw = Draw { assigned: decision.assigned, cause: decision.cause, slot: decision.slot };
        Self::of_draw(decision.service, draw, request, worker)
    }

    /// The one of a request that the lot fell on.
    pub(crate) fn of_draw(service: &Service, draw: Draw, request: &RequestView<'_>, worker: usize) -> Option<Self> {
        let canary = service.compared()?;
        let slot = match draw.cause {
            Cause::Rule(_) | Cause::Experiment(_) => return None,
            Cause::Key(_) => draw.slot,
            Cause::Chance => None,
        };
        let arm = canary.arm(draw.assigned)?;
        Some(Self { versions: canary.versions(arm), ..Self::new(canary, arm, slot, request, worker) })
    }

    /// The one of a request that the rule of a flag has drawn, and that goes to the version with this index.
    pub(crate) fn of_variant(
        canary: &CanaryPair,
        drawn: DrawnVariant,
        version: u16,
        request: &RequestView<'_>,
        worker: usize,
    ) -> Option<Self> {
        let arm = canary.arm(drawn.variant)?;
        Some(Self { versions: [version; 2], ..Self::new(canary, arm, Some(drawn.slot), request, worker) })
    }

    /// The side of the user that it is of; none where the lot fell on the request.
    pub(crate) fn arm_of_user(&self) -> Option<Arm> {
        self.slot.map(|_| self.arm)
    }

    fn new(canary: &CanaryPair, arm: Arm, slot: Option<u32>, request: &RequestView<'_>, worker: usize) -> Self {
        Self {
            arm,
            versions: [0; 2],
            slot,
            route: canary.epoch.route(worker, request.path),
            endpoint: None,
            client: slot.and_then(|_| canary.epoch.client(request.client)),
            response: ResponseWatch::of(request.method, canary.epoch.asks_for(request.path)),
            selected: canary.judges_all(),
            flight: None,
            told: Told::default(),
            timed: true,
        }
    }

    /// The same, if the request is judged that goes to the endpoint of its version with the index `picked`; with none,
    /// to another version because its own was passed over. `chances` are random.
    #[cold]
    pub(crate) fn select(
        self,
        compared: ComparedService<'_>,
        picked: Option<usize>,
        now_ms: u64,
        chances: [u64; 2],
    ) -> Option<Self> {
        let canary = compared.canary?;
        let [own, other] = compared.versions(self.versions);
        // A version that was passed over may have endpoints for the last resort, and that is what the other side
        // foresees.
        let picked = picked.or_else(|| balance::preview(own, now_ms, chances[0]));
        // A version without a share is not compared, and one with itself neither.
        let foresees = other.weight > Weight::ZERO && self.sides_differ();
        let judged = judges(canary, own, picked)
            && (!foresees || judges(canary, other, balance::preview(other, now_ms, chances[1])));
        judged.then_some(Self { selected: true, ..self })
    }

    /// Whether the other side would go to another version.
    fn sides_differ(&self) -> bool {
        self.versions[0] != self.versions[1]
    }

    /// Whether pools may have to grow for requests like this one.
    pub(crate) fn meets_growing_pools(&self, compared: ComparedService<'_>) -> bool {
        self.flight.is_none() && compared.canary.is_some_and(CanaryPair::fills_pools)
    }

    /// Leaves its time out if a pool would have to grow for it: its own, or that of the endpoint of the other version
    /// that is foreseen for it.
    pub(crate) fn time_unless_cold(
        &mut self,
        compared: ComparedService<'_>,
        picked: PickedEndpoint,
        foresee: impl Fn(&Version) -> Option<usize>,
        is_cold: impl Fn(&Version, usize) -> bool,
    ) {
        let [own, other] = compared.versions(self.versions);
        // A version without a share is not compared, and one with itself neither.
        let other = Some(other).filter(|other| other.weight > Weight::ZERO && self.sides_differ());
        let other_is_cold = || other.is_some_and(|other| foresee(other).is_some_and(|index| is_cold(other, index)));
        self.timed = (picked.connected || !is_cold(own, picked.index)) && !other_is_cold();
    }

    /// Notes the endpoint of its version that it is sent to, once.
    pub(crate) fn sent_to(&mut self, compared: ComparedService<'_>, index: usize) {
        if self.endpoint.is_some() {
            return;
        }
        let [own, _] = compared.versions(self.versions);
        self.endpoint = own.endpoints.get(index).map(|endpoint| endpoint.stats.id);
    }

    /// Notes that it is sent, so that it is known when it is overdue: once, whatever endpoint it is sent to.
    pub(crate) fn begin(&mut self, compared: ComparedService<'_>, worker: usize, begun_ms: u64) {
        if let Some(canary) = compared.canary.filter(|_| self.flight.is_none() && self.timed) {
            let asker = self.slot.map(|slot| Asker { slot, client: self.client });
            let begun = CanaryBegun { arm: self.arm, asker, route: self.route, begun_ms };
            self.flight = canary.epoch.begin(worker, &begun);
        }
    }

    /// Notes that it is not overdue any more: its response has begun, or it has ended.
    pub(crate) fn land(&mut self, compared: ComparedService<'_>, worker: usize) {
        if let (Some(place), Some(canary)) = (self.flight.take(), compared.canary) {
            self.told = canary.epoch.end(worker, place);
        }
    }

    /// Says how it went.
    pub(crate) fn record(mut self, compared: ComparedService<'_>, worker: usize, outcome: SampleOutcome) {
        self.land(compared, worker);
        if let Some(canary) = compared.canary {
            let Self { arm, slot, client, response, route, endpoint, told, timed, .. } = self;
            let SampleOutcome { failed, seen, micros } = outcome;
            let response = response.outcome(failed);
            let outcome = CanaryOutcome { arm, slot, client, failed, seen, timed, micros, response, route, endpoint };
            canary.epoch.count(worker, &outcome, told);
        }
    }
}

/// Whether requests are judged that go to the endpoint of `version` with this index, or to none.
fn judges(canary: &CanaryPair, version: &Version, picked: Option<usize>) -> bool {
    let endpoints = &version.endpoints;
    match picked {
        Some(index) => endpoints.get(index).is_some_and(|endpoint| canary.epoch.judges(endpoint.stats.id)),
        // Unless they would have met a cold one anyway, or no endpoint is to blame.
        None => {
            let mut open = endpoints.iter().filter(|endpoint| !endpoint.drained);
            endpoints.is_empty() || open.any(|endpoint| canary.epoch.judges(endpoint.stats.id))
        }
    }
}

/// Whether a call of gRPC that ended with this status failed by the server's fault.
pub(crate) fn is_failed_call(status: &[u8], canary: &CanaryPair) -> bool {
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    status.is_some_and(|status| canary.epoch.is_failed_call(status))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::message::Headers;
    use crate::shared::canary_stats::{CanaryStats, CanaryTerms};
    use crate::stats::Registry;
    use crate::table::fixture::{first_traffic, shared, spec};
    use crate::table::{BearerClaims, Name, RequestView, Table, decide};

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    /// A service in a rollout whose v2 has 30 % and two endpoints; v1 has three.
    fn table() -> (Table, Arc<CanaryStats>) {
        table_without(&[])
    }

    /// The same, with these endpoints of v2 drained.
    fn table_without(drained: &[SocketAddr]) -> (Table, Arc<CanaryStats>) {
        let (registry, mut spec) = (Registry::new(1), spec("shop", "v1=70 v2=30"));
        spec.sticky.clear();
        spec.versions[0].endpoints = [1, 2, 3].map(address).into();
        spec.versions[1].endpoints = [4, 5].map(address).into();
        let terms = CanaryTerms {
            candidate: "v2".into(),
            baseline: "v1".into(),
            per_key: false,
            slow_us: None,
            failed_calls: 0,
            burst_ticks: 0,
            responses: true,
            except: [].into(),
            routes: false,
            flag: None,
            flags: [].into(),
        };
        let canary = Arc::new(CanaryStats::new(terms, 1));
        registry.begin_canary("shop", Arc::clone(&canary));
        let specs = shared([spec]);
        let mut traffic = first_traffic(&specs);
        let mut first = (*traffic[&specs[0].name]).clone();
        first.drained.extend(drained.iter().map(|address| (Name::new("v2").unwrap(), (*address).into())));
        traffic.insert(specs[0].name.clone(), first.into());
        (Table::compile(1, &specs, &traffic, &registry).unwrap(), canary)
    }

    fn id(service: &Service, version: usize, index: usize) -> u32 {
        service.versions[version].endpoints[index].stats.id
    }

    /// The side that a request is evidence for, when it has been decided and sent.
    fn asked(table: &Table, random: &mut StdRng) -> Option<Arm> {
        let (headers, client) = (Headers::default(), std::net::Ipv4Addr::LOCALHOST.into());
        let (method, host, path) = (&http::Method::GET, "shop.example", "/");
        let request = RequestView {
            method,
            host,
            path: path.as_bytes(),
            query: None,
            headers: &headers,
            client,
            claims: BearerClaims::AS_THEY_STAND,
        };
        let decision = decide(table, &request, random.random(), |version| version.usable(0)).unwrap();
        let sample = CanarySample::of_decision(&decision, &request, 0).unwrap();
        let picked = match decision.failed_over() {
            true => None,
            false => balance::pick(decision.version(), 0, random.random(), &[]).map(|(index, _)| index),
        };
        let selected = if sample.selected {
            Some(sample)
        } else {
            sample.select(
                ComparedService::at(table, decision.service_index),
                picked,
                0,
                [random.random(), random.random()],
            )
        };
        let cold = picked
            .is_some_and(|index| !judges(decision.service.canary.as_ref().unwrap(), decision.version(), Some(index)));
        assert!(!(cold && selected.is_some()), "a request to a cold endpoint is judged");
        selected.map(|sample| sample.arm)
    }

    /// The candidate's part of the requests that are judged, and how many are.
    fn share(table: &Table, random: &mut StdRng) -> (f64, u32) {
        let (mut candidate, mut judged) = (0, 0);
        for _ in 0..40_000 {
            let side = asked(table, random);
            judged += u32::from(side.is_some());
            candidate += u32::from(side == Some(Arm::Candidate));
        }
        (f64::from(candidate) / f64::from(judged.max(1)), judged)
    }

    #[test]
    fn the_candidate_has_its_share_of_what_is_judged_whatever_is_cold() {
        let seed = 29;
        let (mut random, (table, canary)) = (StdRng::seed_from_u64(seed), table());
        let service = table.service_named("shop").unwrap();
        let [v1, v2] = [
            [id(service, 0, 0), id(service, 0, 1), id(service, 0, 2)].to_vec(),
            [id(service, 1, 0), id(service, 1, 1)].to_vec(),
        ];
        // A load that sends more to some endpoints than to others.
        (0..3).for_each(|_| service.versions[0].endpoints[0].stats.enter());
        let warm: [Vec<u32>; 5] = [
            [&v1[..], &v2].concat(),
            [&v1[1..], &v2].concat(),
            [&v1[1..2], &v2].concat(),
            [&v1[..], &v2[..1]].concat(),
            [&v1[2..], &v2[1..]].concat(),
        ];
        for (number, warm) in warm.into_iter().enumerate() {
            canary.judge(warm);
            let (share, judged) = share(&table, &mut random);
            // Four standard errors.
            let error = 4.0 * (0.3 * 0.7 / f64::from(judged)).sqrt();
            assert!((share - 0.3).abs() < error && judged > 500, "seed {seed}, {number}: {share} of {judged}");
        }
        canary.judge(v1);
        assert_eq!(share(&table, &mut random).1, 0, "all of v2 is cold");
    }

    #[test]
    fn the_candidate_has_its_share_of_what_is_timed_whatever_pools_are_cold() {
        let seed = 41;
        let (mut random, (table, canary)) = (StdRng::seed_from_u64(seed), table());
        let service = table.service_named("shop").unwrap();
        let all = service.versions.iter().flat_map(|version| &version.endpoints);
        canary.judge(all.map(|endpoint| endpoint.stats.id));
        let [v1, v2] = [[id(service, 0, 0), id(service, 0, 1)], [id(service, 1, 0), id(service, 1, 1)]];
        for cold in [&v1[..1], &v2[..1], &[v1[1], v2[0]], &v1, &v2] {
            let (mut candidate, mut timed) = (0, 0);
            for _ in 0..40_000 {
                let (index, arm) = if random.random_bool(0.3) { (1, Arm::Candidate) } else { (0, Arm::Baseline) };
                let picked = balance::pick(&service.versions[index], 0, random.random(), &[]).unwrap().0;
                let is_cold = |version: &Version, index: usize| cold.contains(&version.endpoints[index].stats.id);
                let draw = Draw { assigned: u16::try_from(index).unwrap(), cause: Cause::Chance, slot: None };
                let (headers, client) = (Headers::default(), std::net::Ipv4Addr::LOCALHOST.into());
                let (method, host, path) = (&http::Method::GET, "shop.example", "/".as_bytes());
                let request = RequestView {
                    method,
                    host,
                    path,
                    query: None,
                    headers: &headers,
                    client,
                    claims: BearerClaims::AS_THEY_STAND,
                };
                let mut sample = CanarySample::of_draw(service, draw, &request, 0).unwrap();
                let connected = !is_cold(&service.versions[index], picked);
                let chance = random.random();
                let foresee = |version: &Version| balance::preview(version, 0, chance);
                sample.time_unless_cold(
                    ComparedService::at(&table, 0),
                    PickedEndpoint { index: picked, connected },
                    foresee,
                    is_cold,
                );
                timed += u32::from(sample.timed);
                candidate += u32::from(sample.timed && arm == Arm::Candidate);
            }
            if cold == v2 {
                assert_eq!(timed, 0, "all of v2 is cold");
                continue;
            }
            let (share, error) = (f64::from(candidate) / f64::from(timed), 4.0 * (0.3 * 0.7 / f64::from(timed)).sqrt());
            assert!((share - 0.3).abs() < error && timed > 5_000, "seed {seed}, {cold:?}: {share} of {timed}");
        }
    }

    #[test]
    fn a_version_without_a_usable_endpoint_has_failed_unless_it_is_cold_or_drained() {
        let seed = 31;
        let (mut random, (table, canary)) = (StdRng::seed_from_u64(seed), table());
        let service = table.service_named("shop").unwrap();
        for endpoint in &service.versions[1].endpoints {
            assert!(endpoint.stats.health.mark_unhealthy("refused".into()));
        }
        let v1 = [id(service, 0, 0), id(service, 0, 1), id(service, 0, 2)];
        canary.judge(v1);
        assert_eq!(share(&table, &mut random).1, 0, "cold");
        canary.judge([&v1[..2], &[id(service, 1, 0)]].concat());
        let (share, judged) = share(&table, &mut random);
        let error = 4.0 * (0.3 * 0.7 / f64::from(judged)).sqrt();
        assert!((share - 0.3).abs() < error, "seed {seed}: {share} of {judged}");
        assert!(f64::from(judged) < 0.8 * 40_000.0, "without those that v1's cold endpoint would have got: {judged}");
    }

    #[test]
    fn nothing_is_judged_while_all_of_a_version_is_drained() {
        let seed = 37;
        for (drained, judges) in [(vec![address(4), address(5)], false), (vec![address(4)], true)] {
            let (mut random, (table, canary)) = (StdRng::seed_from_u64(seed), table_without(&drained));
            let service = table.service_named("shop").unwrap();
            let all = service.versions.iter().flat_map(|version| &version.endpoints);
            canary.judge(all.filter(|endpoint| !endpoint.drained).map(|endpoint| endpoint.stats.id));
            let (share, judged) = share(&table, &mut random);
            assert_eq!(judged > 0, judges, "seed {seed}, without {drained:?}: {share} of {judged}");
        }
    }
}
