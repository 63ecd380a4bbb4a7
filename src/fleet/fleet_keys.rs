//! The keys of a fleet in etcd, and what is read from them.
//!
//! Below `live/` is what everybody follows: the document, the rollouts, the members and the leader. Revisions are
//! beside it, so that a replica that comes back does not read those that it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::etcd_words::EtcdPair;
use crate::control::fleet::fleet_port::{FleetUpdate, SharedRollout};
use crate::control::fleet::shared_state::{SharedRevision, SharedState};

/// The keys below a prefix.
#[derive(Clone, Debug)]
pub(crate) struct FleetKeys {
    prefix: String,
}

/// What a key is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FleetKey<'k> {
    /// The document.
    State,
    /// The leader.
    Leader,
    /// A member, by its name.
    Member(&'k str),
    /// A rollout.
    Rollout(u64),
    /// A revision.
    Revision,
}

/// A member, as it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FleetMember {
    /// What it is called.
    pub(crate) name: String,
    /// Of its store: another replica of the same name has another one.
    pub(crate) replica: String,
    /// Where its admin API is reached, if it says so.
    pub(crate) address: Option<String>,
    /// The version of the program.
    pub(crate) version: String,
    /// When its process began, in milliseconds since 1970.
    pub(crate) started_ms: i64,
    /// The revision in force there.
    pub(crate) revision: u64,
    /// The document in force there.
    pub(crate) generation: u64,
    /// Stands for its services: replicas whose configs agree have the same.
    pub(crate) config: String,
    /// What of the fleet's traffic it cannot have, each with the service and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) misfits: Vec<String>,
}

/// A pair that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {source}; is it of another version of pointsman?")]
pub(crate) struct BadPair {
    key: String,
    source: serde_json::Error,
}

impl FleetKeys {
    /// Those of a fleet.
    #[must_use]
    pub(crate) fn below(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What all of them begin with.
    pub(crate) fn all(&self) -> String {
        format!("{}/", self.prefix)
    }

    /// What those begin with that everybody follows.
    pub(crate) fn live(&self) -> String {
        format!("{}/live/", self.prefix)
    }

    /// The document.
    pub(crate) fn state(&self) -> String {
        self.live() + "state"
    }

    /// The leader.
    pub(crate) fn leader(&self) -> String {
        self.live() + "leader"
    }

    /// A member.
    pub(crate) fn member(&self, name: &str) -> String {
        format!("{}/live/members/{name}", self.prefix)
    }

    /// A rollout.
    pub(crate) fn rollout(&self, id: u64) -> String {
        format!("{}/live/rollouts/{id:020}", self.prefix)
    }

    /// What revisions begin with.
    pub(crate) fn revisions(&self) -> String {
        format!("{}/revisions/", self.prefix)
    }

    /// A revision; keys are in the order of the numbers.
    pub(crate) fn revision(&self, number: u64) -> String {
        format!("{}/revisions/{number:020}", self.prefix)
    }

    /// What a key is about; none: it is of another program, or a later version of this one.
    pub(crate) fn read<'k>(&self, key: &'k str) -> Option<FleetKey<'k>> {
        let rest = key.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        if let Some(number) = rest.strip_prefix("revisions/") {
            return number.parse::<u64>().ok().map(|_number| FleetKey::Revision);
        }
        match rest.strip_prefix("live/")? {
            "state" => Some(FleetKey::State),
            "leader" => Some(FleetKey::Leader),
            live => match live.split_once('/')? {
                ("members", name) => Some(FleetKey::Member(name)),
                ("rollouts", id) => id.parse().ok().map(FleetKey::Rollout),
                _ => None,
            },
        }
    }

    /// The replicas that pairs say are there. What is none of ours is left out.
    #[must_use]
    pub(crate) fn members(&self, pairs: &[EtcdPair]) -> BTreeMap<String, FleetMember> {
        let member = |pair: &EtcdPair| {
            let Some(FleetKey::Member(name)) = self.read(&pair.key) else { return None };
            Some((name.to_owned(), serde_json::from_str(&pair.value).ok()?))
        };
        pairs.iter().filter_map(member).collect()
    }

    /// What pairs say of the traffic; none: nothing.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn update<'p>(
        &self,
        pairs: impl IntoIterator<Item = &'p EtcdPair>,
    ) -> Result<Option<FleetUpdate>, BadPair> {
        let (mut update, mut any) = (FleetUpdate::default(), false);
        for pair in pairs {
            let bad = |source| BadPair { key: pair.key.clone(), source };
            match self.read(&pair.key) {
                Some(FleetKey::State) => {
                    update.state = Some(serde_json::from_str::<SharedState>(&pair.value).map_err(bad)?);
                    update.seen = pair.mod_revision;
                    any = true;
                }
                Some(FleetKey::Rollout(id)) => {
                    update.rollouts.push(SharedRollout { id, state: pair.value.clone() });
                    any = true;
                }
                Some(FleetKey::Revision) => {
                    update.revisions.push(serde_json::from_str::<SharedRevision>(&pair.value).map_err(bad)?);
                }
                Some(FleetKey::Leader | FleetKey::Member(_)) | None => {}
            }
        }
        update.revisions.sort_by_key(|revision| revision.number);
        Ok(any.then_some(update))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_and_others_left_alone() {
        let keys = FleetKeys::below("/a/b");
        assert_eq!(keys.read(&keys.state()), Some(FleetKey::State));
        assert_eq!(keys.read(&keys.leader()), Some(FleetKey::Leader));
        assert_eq!(keys.read(&keys.member("edge-1")), Some(FleetKey::Member("edge-1")));
        assert_eq!(keys.read(&keys.rollout(7)), Some(FleetKey::Rollout(7)));
        assert_eq!(keys.read(&keys.revision(7)), Some(FleetKey::Revision));
        for other in ["/a/bc/live/state", "/a/b/live/x", "/a/b/x", "/a/live/state", "/a/b/revisions/x"] {
            assert_eq!(keys.read(other), None, "{other}");
        }
        assert!(keys.revision(9) < keys.revision(10));
    }
}
