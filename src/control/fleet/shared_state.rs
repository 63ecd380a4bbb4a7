//! The document that replicas share: the last traffic of all services, flags and experiments, in the words of the
//! store.
//!
//! The words are those that the store has in its columns (`v2*10000 v1*90000`), so that there is one way to write and
//! to read each, and an operator can read them with `etcdctl`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::control::planned::{Planned, State};
use crate::control::service_intent::ServiceIntent;
use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::{EndpointAddress, MirrorShare, Name, Slots, Traffic};

use super::shared_intent::SharedIntent;

/// The format that this program reads and writes.
pub(crate) const SHARED_FORMAT: u32 = 1;

/// All traffic at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedState {
    /// Of the document. Another one is of another program, and is left alone.
    pub(crate) format: u32,
    /// Which fleet it is: drawn when it began.
    pub(crate) fleet: String,
    /// How often it was written. It never goes back.
    pub(crate) generation: u64,
    /// The replica that has written it.
    pub(crate) by: String,
    /// Drawn for this write, so that who has lost the answer can tell whether it arrived.
    pub(crate) mark: String,
    /// The last revision.
    pub(crate) revision: u64,
    /// Every service that ever was.
    pub(crate) services: BTreeMap<String, SharedTraffic>,
    /// Every flag that ever was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) flags: BTreeMap<String, SharedFlag>,
    /// The last run of every experiment that ever ran.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) experiments: BTreeMap<String, String>,
    /// Who set the weights in force, and which commits were taken back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) notes: BTreeMap<String, String>,
}

/// The traffic of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedTraffic {
    salt: String,
    runs: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mirror: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drained: Vec<SharedEndpoint>,
    /// What a file has asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

/// An endpoint that is drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SharedEndpoint {
    version: String,
    address: String,
}

/// The state of a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedFlag {
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

/// A revision, with everything that its rows in the store have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedRevision {
    pub(crate) number: u64,
    pub(crate) at_ms: i64,
    pub(crate) author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restores: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forced: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) splits: Vec<SplitRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) flags: Vec<FlagStateRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) experiments: Vec<RunRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) endpoints: Vec<EndpointRow>,
}

/// The traffic that a revision gave a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SplitRow {
    pub(crate) service: String,
    pub(crate) salt: String,
    pub(crate) runs: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mirror: Option<String>,
}

/// The state that a revision gave a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlagStateRow {
    pub(crate) flag: String,
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) followers: Option<u32>,
}

/// The run that a revision gave an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRow {
    pub(crate) experiment: String,
    pub(crate) run: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moved: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
}

/// An endpoint that a revision drained or took back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointRow {
    pub(crate) service: String,
    pub(crate) version: String,
    pub(crate) address: String,
    pub(crate) drained: bool,
}

/// A document in the types of the writer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SharedTables {
    pub(crate) traffic: BTreeMap<Name, Arc<Traffic>>,
    pub(crate) flags: BTreeMap<Name, Arc<FlagState>>,
    pub(crate) experiments: BTreeMap<Name, Arc<ExperimentRun>>,
    pub(crate) intent: SharedIntent,
    pub(crate) notes: BTreeMap<String, String>,
}

/// A document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadShared {
    /// It is of another program.
    #[error("found format {found}, want {SHARED_FORMAT}; put the same version of pointsman on all replicas")]
    Format {
        /// Its format.
        found: u32,
    },
    /// A part of it is none.
    #[error("the shared state has no good {what}: {why}")]
    Part {
        /// Which part.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl SharedState {
    /// The document that says `tables`.
    pub(crate) fn of(tables: &SharedTables, revision: u64) -> Self {
        let SharedTables { traffic, flags, experiments, intent, notes } = tables;
        let of_service = |(name, traffic): (&Name, &Arc<Traffic>)| {
            (name.to_string(), SharedTraffic::of(traffic, intent.service(name)))
        };
        let of_flag = |(name, state): (&Name, &Arc<FlagState>)| {
            (
                name.to_string(),
                SharedFlag { state: state.to_string(), said: intent.flag(name).map(ToString::to_string) },
            )
        };
        Self {
            format: SHARED_FORMAT,
            revision,
            services: traffic.iter().map(of_service).collect(),
            flags: flags.iter().map(of_flag).collect(),
            experiments: experiments.iter().map(|(name, run)| (name.to_string(), run.to_string())).collect(),
            notes: notes.clone(),
            ..Self::default()
        }
    }

    /// What it says, in the types of the writer.
    ///
    /// # Errors
    /// [`BadShared`] when it is of another program, or damaged.
    pub(crate) fn tables(&self) -> Result<SharedTables, BadShared> {
        if self.format != SHARED_FORMAT {
            return Err(BadShared::Format { found: self.format });
        }
        let mut tables = SharedTables { notes: self.notes.clone(), ..SharedTables::default() };
        for (text, shared) in &self.services {
            let (name, traffic) = (part("service", text, Name::new(text))?, shared.traffic(text)?);
            if let Some(said) = &shared.said {
                let said = part("intent of a service", text, ServiceIntent::parse(said))?;
                tables.intent.say_service(name.clone(), said);
            }
            tables.traffic.insert(name, Arc::new(traffic));
        }
        for (text, shared) in &self.flags {
            let name = part("flag", text, Name::new(text))?;
            if let Some(said) = &shared.said {
                tables.intent.say_flag(name.clone(), part("intent of a flag", text, FlagState::parse(said))?);
            }
            let state = part("state of a flag", text, FlagState::parse(&shared.state))?;
            tables.flags.insert(name, Arc::new(state));
        }
        for (text, run) in &self.experiments {
            let run = part("run of an experiment", text, ExperimentRun::parse(run))?;
            tables.experiments.insert(part("experiment", text, Name::new(text))?, Arc::new(run));
        }
        Ok(tables)
    }
}

impl SharedTables {
    /// The same after `planned`.
    #[must_use]
    pub(crate) fn after(&self, state: &State, planned: &Planned) -> Self {
        let mut after = Self { intent: told_after(&self.intent, state, planned), ..self.clone() };
        after.traffic.extend(planned.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
        after.flags.extend(planned.flags.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
        after.experiments.extend(planned.experiments.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
        after
    }
}

/// What files have told the fleet after `planned`: a replica whose file says for the first time what it says (it has
/// just joined) tells nothing that was told before.
fn told_after(told: &SharedIntent, state: &State, planned: &Planned) -> SharedIntent {
    let mut after = told.clone();
    for (name, said) in &planned.intent {
        if state.intent.contains_key(name) || after.service(name).is_none() {
            after.say_service(name.clone(), said.clone());
        }
    }
    for (name, said) in &planned.flags.intent {
        if state.flags.intent.contains_key(name) || after.flag(name).is_none() {
            after.say_flag(name.clone(), said.clone());
        }
    }
    after
}

impl SharedTraffic {
    fn of(traffic: &Traffic, said: Option<&ServiceIntent>) -> Self {
        let endpoint = |(version, address): &(Name, EndpointAddress)| SharedEndpoint {
            version: version.to_string(),
            address: address.to_string(),
        };
        Self {
            salt: traffic.salt.to_string(),
            runs: traffic.slots.to_string(),
            mirror: traffic.mirror.as_ref().map(MirrorShare::to_string),
            drained: traffic.drained.iter().map(endpoint).collect(),
            said: said.map(ToString::to_string),
        }
    }

    fn traffic(&self, service: &str) -> Result<Traffic, BadShared> {
        let slots = part("slots of a service", service, Slots::parse(&self.runs))?;
        let mirror = self.mirror.as_deref().map(|text| part("mirror of a service", service, MirrorShare::parse(text)));
        let endpoint = |SharedEndpoint { version, address }: &SharedEndpoint| {
            let known = EndpointAddress::new(address).ok_or(BadEndpoint);
            Ok((part("version", version, Name::new(version))?, part("endpoint", address, known)?))
        };
        let drained: BTreeSet<_> = self.drained.iter().map(endpoint).collect::<Result<_, BadShared>>()?;
        Ok(Traffic { salt: self.salt.as_str().into(), slots, mirror: mirror.transpose()?, drained })
    }
}

impl SharedRevision {
    /// A revision of which nothing but its number is known any more.
    pub(crate) fn unknown(number: u64) -> Self {
        let reason = Some("what was before it is not known here: the fleet keeps the last revisions only".to_owned());
        let at_ms = jiff::Timestamp::now().as_millisecond();
        Self { number, at_ms, author: "fleet".to_owned(), reason, action: "file".to_owned(), ..Self::default() }
    }
}

/// A text that is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("want IP:PORT or NAME:PORT")]
struct BadEndpoint;

fn part<T, E: Error>(what: &str, found: &str, read: Result<T, E>) -> Result<T, BadShared> {
    read.map_err(|error| BadShared::Part { what: format!("{what} ({found})"), why: error.to_string() })
}
