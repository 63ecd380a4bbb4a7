use std::sync::Arc;

use super::*;
use crate::control::change;
use crate::control::file::FileSpecs;
use crate::control::handle::OntoDead;
use crate::control::planned::{Entry, History};
use crate::control::rollout_change::RolloutChange;
use crate::table::Traffic;
use crate::table::experiment_run::ExperimentRun;
use crate::table::fixture::{self, name, weights};

/// A proxy that remembers what each revision gave its service.
#[derive(Default)]
struct Proxy {
    state: State,
    revisions: Vec<PastTraffic>,
}

struct PastTraffic {
    entry: Entry,
    traffic: Traffic,
}

impl History for Proxy {
    type Error = std::convert::Infallible;

    fn entries(&self, _service: &Name) -> Result<Vec<Entry>, Self::Error> {
        Ok(self.revisions.iter().map(|past| past.entry).collect())
    }

    fn traffic_at(&self, _service: &Name, revision: u64) -> Result<Option<Traffic>, Self::Error> {
        Ok(self.revisions.iter().rfind(|past| past.entry.revision <= revision).map(|past| past.traffic.clone()))
    }

    fn flag_entries(&self, _flag: &Name) -> Result<Vec<Entry>, Self::Error> {
        Ok(Vec::new())
    }

    fn flag_at(&self, _flag: &Name, _revision: u64) -> Result<Option<FlagState>, Self::Error> {
        Ok(None)
    }

    fn experiment_entries(&self, _experiment: &Name) -> Result<Vec<Entry>, Self::Error> {
        Ok(Vec::new())
    }

    fn experiment_at(&self, _experiment: &Name, _revision: u64) -> Result<Option<ExperimentRun>, Self::Error> {
        Ok(None)
    }
}

impl Proxy {
    fn apply(&mut self, change: Change, reason: Option<&str>) {
        self.apply_until(change, reason, None).expect("a good change");
    }

    fn apply_until(&mut self, change: Change, reason: Option<&str>, until_ms: Option<i64>) -> Result<(), String> {
        let reason = reason.map(str::to_owned);
        let (author, onto_dead) = ("ada".to_owned(), OntoDead::Ignore);
        let request = ChangeRequest { change, dry_run: false, if_match: None, onto_dead, author, reason, until_ms };
        let planned = change::plan(&self.state, self, &request.change).map_err(|error| format!("{error:?}"))?;
        let changed = planned.is_revision(&self.state);
        let number = self.state.revision + u64::from(changed);
        let marks = plan(&self.state, &request, &planned, NextRevision { number, at_ms: 7 });
        self.state.revision = number;
        for (name, next) in planned.next {
            let entry = Entry { revision: number, restores: planned.restores };
            self.revisions.push(PastTraffic { entry, traffic: (*next).clone() });
            self.state.traffic.insert(name, next);
        }
        self.state.intent.extend(planned.intent);
        self.state.marks.enter(marks);
        if let Change::File(specs) = request.change {
            self.state.specs = specs.services.iter().map(|spec| (spec.name.clone(), Arc::clone(spec))).collect();
        }
        Ok(())
    }

    /// A commit whose file gives these weights.
    fn commit(&mut self, hash: &str, split: &str, insists: bool) {
        let spec = fixture::spec("shop", split);
        let origin = FileOrigin { author: "git".into(), reason: String::new(), commit: Some(hash.into()), insists };
        self.apply(Change::File(FileSpecs { origin: Some(origin), ..FileSpecs::from(vec![Arc::new(spec)]) }), None);
    }

    fn shift(&mut self, split: &str) {
        self.apply(Change::Splits([(name("shop"), weights(split))].into()), None);
    }

    fn roll_back(&mut self, to: Option<u64>) {
        self.apply(Change::Rollback { to, scope: None }, Some("it fails"));
    }

    /// A rollout from v1 to v2 that is turned back.
    fn turn_back(&mut self, to: &str) {
        let services = [name("shop")].into();
        let splits = [(name("shop"), weights(to))].into();
        let change = RolloutChange { id: 3, services, splits, restores: Some(1), ..RolloutChange::default() };
        self.apply(Change::Rollout(change), Some("v2 fails more often"));
    }

    fn split(&self) -> String {
        self.state.traffic[&name("shop")].slots.weights().to_string()
    }

    fn rejected(&self) -> Vec<&str> {
        self.state.marks.rejected.keys().map(String::as_str).collect()
    }

    fn standing(&self) -> Vec<String> {
        facts(&self.state).standing.into_values().collect()
    }
}

#[test]
fn a_rollback_behind_a_commit_rejects_it_and_its_weights_come_by_insisting_only() {
    let mut proxy = Proxy::default();
    proxy.commit("c0", "v1=100 v2=0", false);
    proxy.commit("c1", "v1=50 v2=50", false);
    proxy.roll_back(None);
    assert_eq!((proxy.split(), proxy.rejected()), ("v1=100".to_owned(), vec!["c1"]));
    let rejected = &proxy.state.marks.rejected["c1"];
    assert_eq!((rejected.revision, &*rejected.author, &*rejected.reason), (3, "ada", "it fails"));
    assert_eq!(rejected.subjects, [WeightSubject::Service(name("shop"))].into());

    // The same commit again, and one that says the same of the service.
    proxy.commit("c1", "v1=50 v2=50", false);
    proxy.commit("c2", "v1=50 v2=50", false);
    assert_eq!((proxy.split(), proxy.standing()), ("v1=100".to_owned(), vec!["c1".to_owned()]));
    // One that says something else, and the rejected one again after it.
    proxy.commit("c3", "v1=80 v2=20", false);
    assert_eq!((proxy.split(), proxy.standing()), ("v1=80 v2=20".to_owned(), Vec::new()));
    proxy.commit("c1", "v1=50 v2=50", false);
    assert_eq!((proxy.split(), proxy.standing()), ("v1=80 v2=20".to_owned(), vec!["c1".to_owned()]));
    // Its revert says what is in force, or what was; another commit may bring back what it had.
    proxy.commit("c4", "v1=80 v2=20", false);
    assert_eq!((proxy.split(), proxy.standing()), ("v1=80 v2=20".to_owned(), Vec::new()));
    proxy.commit("c5", "v1=50 v2=50", false);
    assert_eq!(proxy.split(), "v1=50 v2=50");

    proxy.roll_back(None);
    assert_eq!(proxy.rejected(), ["c1", "c5"]);
    proxy.commit("c6", "v1=50 v2=50", true);
    assert_eq!((proxy.split(), proxy.rejected()), ("v1=50 v2=50".to_owned(), vec!["c1"]), "an operator insists");
    proxy.commit("c1", "v1=50 v2=50", true);
    assert_eq!(proxy.rejected(), Vec::<&str>::new());
}

#[test]
fn a_rollback_of_a_shift_by_hand_speaks_against_no_commit() {
    let mut proxy = Proxy::default();
    proxy.commit("c0", "v1=100 v2=0", false);
    proxy.commit("c1", "v1=50 v2=50", false);
    proxy.shift("v1=20 v2=80");
    proxy.roll_back(None);
    assert_eq!((proxy.split(), proxy.rejected()), ("v1=50 v2=50".to_owned(), Vec::new()));
    proxy.shift("v1=20 v2=80");
    proxy.shift("v1=10 v2=90");
    proxy.roll_back(Some(5));
    assert_eq!((proxy.split(), proxy.rejected()), ("v1=20 v2=80".to_owned(), Vec::new()));
    proxy.roll_back(Some(1));
    assert_eq!((proxy.split(), proxy.rejected()), ("v1=100".to_owned(), vec!["c1"]), "this goes behind it");
}

#[test]
fn a_rollout_that_is_turned_back_rejects_the_commit_that_gave_its_version_a_share() {
    let mut proxy = Proxy::default();
    proxy.commit("c0", "v1=90 v2=10", false);
    proxy.shift("v1=50 v2=50");
    proxy.turn_back("v1=100 v2=0");
    assert_eq!(proxy.rejected(), ["c0"]);
    assert_eq!(proxy.state.marks.rejected["c0"].reason, "v2 fails more often");

    let mut proxy = Proxy::default();
    proxy.commit("c0", "v1=100 v2=0", false);
    proxy.shift("v1=50 v2=50");
    proxy.turn_back("v1=100 v2=0");
    assert_eq!(proxy.rejected(), Vec::<&str>::new(), "the commit gave it nothing");
}

#[test]
fn who_set_the_weights_is_known_and_a_mirror_or_an_empty_version_brings_none() {
    let mut proxy = Proxy::default();
    proxy.commit("c0", "v1=90 v2=10", false);
    proxy.shift("v1=50 v2=50");
    let shop = WeightSubject::Service(name("shop"));
    let set = &proxy.state.marks.set[&shop];
    assert_eq!((set.revision, set.at_ms, &*set.author), (2, 7, "ada"));
    proxy.commit("c1", "v1=90 v2=10 v3=0", false);
    assert_eq!(proxy.state.marks.brought[&shop].commit, "c0");
}

#[test]
fn what_is_set_for_a_time_goes_back_to_the_config_with_the_same_users_unless_it_is_set_again() {
    let mut proxy = Proxy::default();
    proxy.commit("c0", "v1=60 v2=40", false);
    let shop = WeightSubject::Service(name("shop"));
    let before = Arc::clone(&proxy.state.traffic[&name("shop")]);
    let set = |split: &str| Change::Splits([(name("shop"), weights(split))].into());
    let expire = |revision| Change::Expire { subject: WeightSubject::Service(name("shop")), revision };
    proxy.apply_until(set("v1=0 v2=100"), None, Some(9)).expect("a good change");
    assert_eq!(proxy.state.marks.set[&shop].until_ms, Some(9));
    assert!(proxy.apply_until(expire(1), None, None).is_err(), "another revision has set them");
    proxy.apply(expire(2), None);
    assert_eq!(proxy.state.traffic[&name("shop")], before, "the same draw of users too");
    assert_eq!((proxy.state.marks.set[&shop].until_ms, proxy.rejected()), (None, Vec::new()));

    proxy.apply_until(set("v1=0 v2=100"), None, Some(9)).expect("a good change");
    proxy.shift("v1=10 v2=90");
    assert!(proxy.apply_until(expire(4), None, None).is_err());
    assert_eq!(proxy.split(), "v1=10 v2=90", "the later hand counts");
}

#[test]
fn a_flag_is_taken_back_by_a_rule_that_serves_less_than_its_commit_or_by_its_switch() {
    let state = |text: &str| FlagState::parse(text).expect("a state");
    let said = state("on;launch=on*50000 off*50000");
    let is_below = |before, after| is_flag_below(&state(before), &state(after), &said);
    assert!(is_below("on;launch=on*50000 off*50000", "on;launch=on*10000 off*90000"));
    assert!(is_below("on;launch=on*50000 off*50000", "off;launch=on*50000 off*50000"), "it is switched off");
    assert!(!is_below("on;launch=on*90000 off*10000", "on;launch=on*50000 off*50000"), "a hand gave it more");
    assert!(!is_below("off;launch=on*50000 off*50000", "on;launch=on*50000 off*50000"), "a hand switched it off");
}
