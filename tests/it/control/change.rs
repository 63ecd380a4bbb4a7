//! Plans over any sequence of shifts, flips, drains and rollbacks.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use pointsman::testing::control::change::{Entry, History, PlanError, Planned, plan};
use pointsman::testing::control::{Change, FileSpecs, RollbackScope, State};
use pointsman::testing::problem::{Problem, ProblemKind};
use pointsman::testing::table::{
    Addresses, EndpointAddress, ExperimentRun, FlagState, HostPort, Name, SLOTS, Traffic, Weight, Weights,
};
use proptest::prelude::*;

use crate::support::spec::{address, name, service, services, weights};

/// A writer without a disk: applies plans and remembers every split, every state of a flag, and every run.
#[derive(Default)]
pub struct World {
    pub state: State,
    past: Past,
}

#[derive(Default)]
struct Past {
    splits: Vec<Row>,
    flags: Vec<FlagRow>,
    runs: Vec<RunRow>,
}

struct Row {
    revision: u64,
    restores: Option<u64>,
    service: Name,
    traffic: Traffic,
}

struct FlagRow {
    revision: u64,
    restores: Option<u64>,
    flag: Name,
    state: FlagState,
}

struct RunRow {
    revision: u64,
    restores: Option<u64>,
    experiment: Name,
    run: ExperimentRun,
}

impl History for Past {
    type Error = Infallible;

    fn entries(&self, service: &Name) -> Result<Vec<Entry>, Infallible> {
        let own = self.splits.iter().filter(|row| row.service == *service);
        Ok(own.map(|row| Entry { revision: row.revision, restores: row.restores }).collect())
    }

    fn traffic_at(&self, service: &Name, revision: u64) -> Result<Option<Traffic>, Infallible> {
        let own = self.splits.iter().rev().find(|row| row.service == *service && row.revision <= revision);
        Ok(own.map(|row| Traffic { drained: BTreeSet::new(), ..row.traffic.clone() }))
    }

    fn flag_entries(&self, flag: &Name) -> Result<Vec<Entry>, Infallible> {
        let own = self.flags.iter().filter(|row| row.flag == *flag);
        Ok(own.map(|row| Entry { revision: row.revision, restores: row.restores }).collect())
    }

    fn flag_at(&self, flag: &Name, revision: u64) -> Result<Option<FlagState>, Infallible> {
        let own = self.flags.iter().rev().find(|row| row.flag == *flag && row.revision <= revision);
        Ok(own.map(|row| row.state.clone()))
    }

    fn experiment_entries(&self, experiment: &Name) -> Result<Vec<Entry>, Infallible> {
        let own = self.runs.iter().filter(|row| row.experiment == *experiment);
        Ok(own.map(|row| Entry { revision: row.revision, restores: row.restores }).collect())
    }

    fn experiment_at(&self, experiment: &Name, revision: u64) -> Result<Option<ExperimentRun>, Infallible> {
        let own = self.runs.iter().rev().find(|row| row.experiment == *experiment && row.revision <= revision);
        Ok(own.map(|row| row.run.clone()))
    }
}

impl World {
    pub fn new(specs: impl Into<FileSpecs>) -> Self {
        let mut world = Self::default();
        world.apply(&Change::File(specs.into())).expect("a good file");
        world
    }

    pub fn plan(&self, change: &Change) -> Result<Planned, Vec<Problem>> {
        plan(&self.state, &self.past, change).map_err(|error| match error {
            PlanError::Problems(problems) => problems,
            PlanError::History(never) => match never {},
        })
    }

    pub fn apply(&mut self, change: &Change) -> Result<bool, Vec<Problem>> {
        let planned = self.plan(change)?;
        let changed = planned.is_revision(&self.state);
        self.state.revision += u64::from(changed);
        for (service, traffic) in &planned.next {
            if self.state.traffic_anew(service, traffic) {
                self.past.splits.push(Row {
                    revision: self.state.revision,
                    restores: planned.restores,
                    service: service.clone(),
                    traffic: Traffic::clone(traffic),
                });
            }
        }
        self.past.flags.extend(planned.flags.next.iter().map(|(flag, state)| FlagRow {
            revision: self.state.revision,
            restores: planned.restores,
            flag: flag.clone(),
            state: FlagState::clone(state),
        }));
        self.past.runs.extend(planned.experiments.next.iter().map(|(experiment, run)| RunRow {
            revision: self.state.revision,
            restores: planned.restores,
            experiment: experiment.clone(),
            run: ExperimentRun::clone(run),
        }));
        self.state.traffic.extend(planned.next);
        self.state.intent.extend(planned.intent);
        self.state.flags.enter(&planned.flags);
        self.state.experiments.enter(&planned.experiments);
        if let Change::File(FileSpecs { services, flags, experiments, guardrails, origin: _ }) = change {
            self.state.specs = services.iter().map(|spec| (spec.name.clone(), Arc::clone(spec))).collect();
            self.state.flags.specs = Arc::clone(flags);
            self.state.experiments.specs = Arc::clone(experiments);
            self.state.experiments.guardrails = Arc::clone(guardrails);
        }
        Ok(changed)
    }

    pub fn shift(&mut self, service: &str, split: &str) -> bool {
        self.apply(&shift(service, split)).expect("a good shift")
    }

    fn rollback(&mut self, to: Option<u64>, services: Option<&[&str]>) -> Result<bool, Vec<Problem>> {
        let services = services.map(|list| list.iter().map(|text| name(text)).collect());
        let scope = services.map(|services| RollbackScope { services, ..RollbackScope::default() });
        self.apply(&Change::Rollback { to, scope })
    }

    fn split(&self, service: &str) -> String {
        self.state.traffic[&name(service)].slots.weights().to_string()
    }

    fn intended(&self, service: &str) -> String {
        self.state.intent[&name(service)].split.to_string()
    }

    /// Salt and runs of all services.
    pub fn splits(&self) -> BTreeMap<Name, (Arc<str>, String)> {
        let split = |(name, traffic): (&Name, &Arc<pointsman::testing::table::Traffic>)| {
            (name.clone(), (Arc::clone(&traffic.salt), traffic.slots.to_string()))
        };
        self.state.traffic.iter().map(split).collect()
    }
}

pub fn shift(service: &str, split: &str) -> Change {
    Change::Splits([(name(service), weights(split))].into())
}

#[test]
fn rollback_steps_back_and_never_forth() {
    let mut world = World::new(services(&[("shop", "v1=100 v2=0")]));
    let mut past = vec![world.splits()];
    for split in ["v1=90 v2=10", "v1=50 v2=50", "v2=100"] {
        assert!(world.shift("shop", split));
        past.push(world.splits());
    }
    for revision in (0..3).rev() {
        assert_eq!(world.rollback(None, None), Ok(true));
        assert_eq!(world.splits(), past[revision], "back to revision {}", revision + 1);
    }
    let problems = world.rollback(None, None).expect_err("nothing is left");
    assert!(problems[0].found.contains("no change of traffic"), "{problems:?}");
    // A new change after a rollback is undone to the state that the rollback made.
    assert!(world.shift("shop", "v1=70 v2=30"));
    assert_eq!(world.rollback(None, None), Ok(true));
    assert_eq!(world.splits(), past[0]);
}

#[test]
fn a_rollback_of_a_service_to_before_it_was_there_is_refused() {
    let mut world = World::new(services(&[("shop", "v1=100 v2=0")]));
    let both = services(&[("cart", "v1=100 v2=0"), ("shop", "v1=100 v2=0")]);
    world.apply(&Change::File(both.into())).expect("a good file");
    world.shift("cart", "v1=80 v2=20");
    let problems = world.rollback(Some(1), Some(&["cart"])).expect_err("there was no cart");
    assert!(problems[0].to_string().contains("cart, which was not there at revision 1"), "{problems:?}");
    assert_eq!(world.rollback(Some(1), None), Ok(false), "who is not named is left alone");
    assert_eq!(world.split("cart"), "v1=80 v2=20");
}

#[test]
fn a_rollback_of_one_service_does_not_hide_the_change_of_another() {
    let mut world = World::new(services(&[("cart", "v1=100 v2=0"), ("shop", "v1=100 v2=0")]));
    world.shift("shop", "v1=90 v2=10");
    world.shift("cart", "v1=80 v2=20");
    assert_eq!(world.rollback(Some(1), Some(&["shop"])), Ok(true));
    assert_eq!((world.split("shop").as_str(), world.split("cart").as_str()), ("v1=100", "v1=80 v2=20"));
    assert_eq!(world.rollback(None, None), Ok(true), "undoes the cart's");
    assert_eq!(world.split("cart"), "v1=100");
    assert!(world.rollback(None, None).is_err());
}

#[test]
fn a_rollback_leaves_drained_endpoints_alone() {
    let mut world = World::new(services(&[("shop", "v1=90 v2=10")]));
    world.shift("shop", "v1=50 v2=50");
    let drain =
        |drained| Change::Endpoint { service: name("shop"), version: name("v1"), address: address(1).into(), drained };
    assert_eq!(world.apply(&drain(true)), Ok(true));
    assert_eq!(world.apply(&drain(true)), Ok(false), "it is drained already");
    assert_eq!(world.rollback(None, None), Ok(true));
    assert_eq!(world.split("shop"), "v1=90 v2=10");
    assert_eq!(world.state.traffic["shop"].drained, BTreeSet::from([(name("v1"), address(1).into())]));
    assert_eq!(world.apply(&drain(false)), Ok(true));
}

#[test]
fn the_file_counts_when_it_changes_there() {
    let mut world = World::new(services(&[("shop", "v1=95 v2=5")]));
    world.shift("shop", "v1=50 v2=50");
    let mut reload = |list: &[(&str, &str)]| {
        let changed = world.apply(&Change::File(services(list).into())).expect("a good file");
        (changed, world.split("shop"))
    };
    assert_eq!(reload(&[("shop", "v1=95 v2=5")]), (false, "v1=50 v2=50".to_owned()), "nothing new in the file");
    assert_eq!(reload(&[("shop", "v1=95 v2=5 v3=0")]), (false, "v1=50 v2=50".to_owned()), "v3 has no weight");
    assert_eq!(reload(&[("shop", "v1=80 v2=20")]), (true, "v1=80 v2=20".to_owned()));
    assert_eq!(reload(&[]), (false, "v1=80 v2=20".to_owned()), "its history stays");
    assert_eq!(reload(&[("shop", "v1=80 v2=20")]), (false, "v1=80 v2=20".to_owned()), "and is resumed");
    assert_eq!(reload(&[("shop", "v1=100")]), (true, "v1=100".to_owned()));
    assert_eq!(world.intended("shop"), "v1=100");
}

#[test]
fn a_version_that_leaves_gives_its_slots_up() {
    let mut world = World::new(services(&[("shop", "v1=95 v2=5")]));
    world.shift("shop", "v2=100");
    assert!(world.apply(&Change::File(services(&[("shop", "v1=100")]).into())).expect("a good file"));
    assert_eq!(world.split("shop"), "v1=100");
    let problems = world.rollback(Some(1), None).expect_err("v2 is gone");
    assert!(problems[0].found.contains("v2"), "{problems:?}");
}

#[test]
fn endpoints_that_leave_are_not_drained_any_more() {
    let mut world = World::new(services(&[("shop", "v1=95 v2=5")]));
    let drain =
        Change::Endpoint { service: name("shop"), version: name("v1"), address: address(1).into(), drained: true };
    assert_eq!(world.apply(&drain), Ok(true));
    let mut spec = service("shop", "v1=95 v2=5");
    spec.versions[0].endpoints.remove(0);
    assert_eq!(world.apply(&Change::File(vec![Arc::new(spec)].into())), Ok(false), "no revision for it");
    assert!(world.state.traffic["shop"].drained.is_empty());
}

#[test]
fn a_drained_name_is_kept_apart_from_its_addresses() {
    let backend = HostPort::new("backend:80").unwrap();
    let mut spec = service("shop", "v1=95 v2=5");
    let (fixed, found) = (address(1), SocketAddr::from(([10, 0, 0, 77], 80)));
    spec.versions[0].names = vec![backend.clone()];
    let mut world = World::new(vec![Arc::new(spec.clone())]);
    world.state.addresses = Arc::new(Addresses::default().with(&backend.host, Ok(vec![found.ip()])));
    let change = |address: EndpointAddress, drained| Change::Endpoint {
        service: name("shop"),
        version: name("v1"),
        address,
        drained,
    };
    let by_name = EndpointAddress::Name(backend);
    let problems = world.apply(&change(EndpointAddress::new("other:80").unwrap(), true)).expect_err("no such name");
    assert!(problems[0].wanted.ends_with("10.0.0.77:80, backend:80"), "{problems:?}");
    for address in [found.into(), by_name.clone()] {
        assert_eq!(world.apply(&change(address, true)), Ok(true));
    }
    let problems = world.apply(&change(found.into(), false)).expect_err("its name is out");
    assert_eq!(problems[0].kind, ProblemKind::Conflict);
    assert!(problems[0].remedy.starts_with("make backend:80 ready"), "{problems:?}");
    assert_eq!(world.apply(&change(fixed.into(), false)), Ok(false), "the name does not stand for it");
    assert_eq!(world.apply(&change(by_name.clone(), false)), Ok(true));
    assert_eq!(world.state.traffic["shop"].drained, BTreeSet::from([(name("v1"), found.into())]), "as it was before");
    assert_eq!(world.apply(&change(found.into(), false)), Ok(true));
    assert_eq!(world.apply(&change(by_name, true)), Ok(true));
    spec.versions[0].names.clear();
    assert_eq!(world.apply(&Change::File(vec![Arc::new(spec)].into())), Ok(false), "no revision for it");
    assert!(world.state.traffic["shop"].drained.is_empty(), "a name that left the config");
}

#[test]
fn every_problem_is_named_at_once() {
    let world = World::new(services(&[("cart", "v1=100 v2=0"), ("shop", "v1=100 v2=0")]));
    let splits =
        [(name("shop"), weights("v1=50 v9=50")), (name("shpo"), weights("v1=100")), (name("cart"), weights("v8=100"))];
    let problems = world.plan(&Change::Splits(splits.into())).expect_err("three problems");
    let texts: Vec<_> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(texts.len(), 3, "{texts:#?}");
    assert!(
        texts[0].starts_with("services.cart.split.v8: found unknown version \"v8\", want one of v1, v2"),
        "{texts:#?}"
    );
    assert!(texts[1].starts_with("services.shop.split.v9"), "{texts:#?}");
    assert!(
        texts[2].starts_with("services.shpo: found unknown service \"shpo\", want one of cart, shop"),
        "{texts:#?}"
    );
}

#[test]
fn a_release_draws_anew_unless_the_config_pins_the_salt() {
    let mut world = World::new(services(&[("shop", "v1=100 v2=0")]));
    let salt = |world: &World| world.state.traffic["shop"].salt.to_string();
    assert_eq!(salt(&world), "shop-1");
    world.shift("shop", "v1=90 v2=10");
    assert_eq!(salt(&world), "shop-2");
    world.shift("shop", "v1=50 v2=50");
    assert_eq!(salt(&world), "shop-2");
    world.shift("shop", "v2=100");
    world.shift("shop", "v1=1 v2=99");
    assert_eq!(salt(&world), "shop-5");
    let mut pinned = service("shop", "v1=100 v2=0");
    pinned.salt = Some("checkout".into());
    let mut world = World::new(vec![Arc::new(pinned)]);
    world.shift("shop", "v1=90 v2=10");
    assert_eq!(salt(&world), "checkout");
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Shift(u8, Vec<u32>),
    Flip(u8, u8),
    Undo,
    Back(prop::sample::Index),
}

fn step(versions: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_u8, prop::collection::vec(0..1_000_u32, versions)).prop_map(|(service, parts)| Step::Shift(service, parts)),
        1 => (0..2_u8, 0..5_u8).prop_map(|(service, version)| Step::Flip(service, version)),
        1 => Just(Step::Undo),
        2 => any::<prop::sample::Index>().prop_map(Step::Back),
    ]
}

/// Weights in the proportions of `parts`, of versions `v1` and so on.
pub fn in_proportion(parts: &[u32]) -> Weights {
    let total: u32 = parts.iter().sum::<u32>().max(1);
    let mut slots: Vec<u32> = parts.iter().map(|part| part * (SLOTS / 1_000) * 1_000 / total).collect();
    let missing = SLOTS - slots.iter().sum::<u32>();
    slots[0] += missing;
    let pairs =
        (1..).zip(slots).map(|(number, slots)| (name(&format!("v{number}")), Weight::from_slots(slots).unwrap()));
    Weights::new(pairs.collect()).expect("sums to 100")
}

fn change(step: &Step, versions: usize, revisions: u64) -> Change {
    let service = |index: &u8| name(["cart", "shop"][usize::from(*index)]);
    match step {
        Step::Shift(index, parts) => Change::Splits([(service(index), in_proportion(parts))].into()),
        Step::Flip(index, version) => {
            let to = name(&format!("v{}", usize::from(*version) % versions + 1));
            Change::Flip { service: service(index), to }
        }
        Step::Undo => Change::Rollback { to: None, scope: None },
        Step::Back(index) => {
            let to = 1 + index.index(usize::try_from(revisions).unwrap()) as u64;
            Change::Rollback { to: Some(to), scope: None }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_life(versions in 2..=5_usize, steps in prop::collection::vec((2..=5_usize).prop_flat_map(step), 1..25)) {
        let first = (1..=versions).map(|v| format!("v{v}={}", if v == 1 { 100 } else { 0 })).collect::<Vec<_>>().join(" ");
        let mut world = World::new(services(&[("cart", &first), ("shop", &first)]));
        let mut past = vec![world.splits()];
        for step in &steps {
            let mut step = step.clone();
            if let Step::Shift(_, parts) = &mut step {
                parts.resize(versions, 1);
            }
            let change = change(&step, versions, world.state.revision);
            let before = world.state.clone();
            let planned = match world.plan(&change) {
                Ok(planned) => planned,
                Err(problems) => {
                    prop_assert!(matches!(step, Step::Undo), "{problems:?}");
                    continue;
                }
            };
            let changed = world.apply(&change).expect("it was planned");
            prop_assert_eq!(changed, world.state.revision == before.revision + 1);
            // What the dry run said is what happened.
            for (service, traffic) in &planned.next {
                prop_assert_eq!(traffic, &world.state.traffic[service]);
            }
            for difference in &planned.difference {
                let (old, new) = (&before.traffic[&difference.service], &world.state.traffic[&difference.service]);
                if old.salt == new.salt {
                    prop_assert_eq!(difference.moved, f64::from(old.slots.moved(&new.slots)) / f64::from(SLOTS));
                }
                if matches!(step, Step::Shift(..) | Step::Flip(..)) {
                    prop_assert!((difference.moved - difference.minimum).abs() < 1e-12, "a shift moves the least it can");
                }
            }
            // A rollback restores salt and runs byte for byte.
            if let Change::Rollback { to: Some(to), .. } = change {
                prop_assert_eq!(&world.splits(), &past[usize::try_from(to).unwrap() - 1]);
            }
            if changed {
                past.push(world.splits());
            }
        }
    }

    #[test]
    fn undo_walks_all_the_way_back(parts in prop::collection::vec((0..2_u8, prop::collection::vec(0..1_000_u32, 3)), 1..12)) {
        let mut world = World::new(services(&[("cart", "v1=100 v2=0 v3=0"), ("shop", "v1=100 v2=0 v3=0")]));
        let mut past = vec![world.splits()];
        for (service, parts) in parts {
            let shift = change(&Step::Shift(service, parts), 3, 0);
            if world.apply(&shift).expect("a good shift") {
                past.push(world.splits());
            }
        }
        past.pop();
        while let Some(earlier) = past.pop() {
            prop_assert_eq!(world.rollback(None, None), Ok(true));
            prop_assert_eq!(world.splits(), earlier);
        }
        prop_assert!(world.rollback(None, None).is_err());
    }
}
