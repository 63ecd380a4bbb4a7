//! The operator of the demo, who moves its traffic: a client of the admin API like any other, over a real socket.

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::shop_version::ShopVersion;
use crate::cli::client::{AdminClient, Call, CallError};

/// The service of the demo.
pub(crate) const SERVICE: &str = "shop";

/// The flag of the demo.
pub(crate) const FLAG: &str = "new-checkout";

/// The reason in the audit trail of what the demo itself does.
const REASON: &str = "demo";

/// How many revisions the live view may show.
const REVISIONS: usize = 8;

/// What the demo does to the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DemoChange {
    /// This many per cent to v2, the others to v1.
    Shift(u8),
    /// Everything to one version.
    Flip(ShopVersion),
    /// Undo the last change.
    Rollback,
}

/// Calls the admin API.
#[derive(Clone, Debug)]
pub(crate) struct Operator(AdminClient);

/// What a change came to, or with a dry run would come to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct ChangeOutcome {
    /// The revision in force after the call.
    pub(crate) revision: u64,
    /// The revision whose split was restored.
    #[serde(default)]
    pub(crate) restores: Option<u64>,
    difference: Vec<Moves>,
}

/// The part of a difference that the demo needs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Moves {
    moved_ratio: f64,
    minimum_ratio: f64,
}

impl ChangeOutcome {
    /// Share of the users that get another version, 0 to 1.
    pub(crate) fn moved(&self) -> f64 {
        self.difference.first().map_or(0.0, |moves| moves.moved_ratio)
    }

    /// The least share that the weights allow, 0 to 1.
    pub(crate) fn minimum(&self) -> f64 {
        self.difference.first().map_or(0.0, |moves| moves.minimum_ratio)
    }
}

/// The traffic as the API tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ShownTraffic {
    /// The configured weights in per cent.
    pub(crate) weights: [f64; 2],
    /// The newest revisions, newest first.
    pub(crate) revisions: Vec<ShownRevision>,
}

/// A line of the audit trail.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ShownRevision {
    /// Its number.
    pub(crate) number: u64,
    /// When, as the API says it.
    pub(crate) time: String,
    /// What was done, in one word.
    pub(crate) action: String,
    /// The split after it.
    pub(crate) split: String,
    /// Who and why.
    pub(crate) by: String,
}

/// An answer of the API that the demo does not understand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is not what it should be.
    #[error("{path}: cannot read the answer of the admin API")]
    Answer {
        /// The call.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Operator {
    /// A client of the API at `admin`.
    ///
    /// # Errors
    /// When that is no address.
    pub(crate) fn new(admin: &str) -> Result<Self, CallError> {
        AdminClient::new(admin, None).map(Self)
    }

    /// Makes a change; when this returns, it is in force.
    ///
    /// # Errors
    /// When it was refused, or the API cannot be reached.
    pub(crate) fn change(&self, change: DemoChange) -> Result<ChangeOutcome, OperatorError> {
        self.call_change(change, "")
    }

    /// Launches the flag to this many per cent of the users.
    ///
    /// # Errors
    /// When it was refused, or the API cannot be reached.
    pub(crate) fn launch(&self, percent: u8) -> Result<(), CallError> {
        let serve = json!({ "on": percent, "off": 100 - percent });
        self.set_flag(json!({ "rule": "launch", "serve": serve, "reason": REASON }))
    }

    /// Takes the flag from all users.
    ///
    /// # Errors
    /// When it was refused, or the API cannot be reached.
    pub(crate) fn kill(&self) -> Result<(), CallError> {
        self.set_flag(json!({ "enabled": false, "reason": REASON }))
    }

    fn set_flag(&self, body: serde_json::Value) -> Result<(), CallError> {
        self.send(Method::PUT, &format!("/v1/flags/{FLAG}"), Some(body)).map(drop)
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When it was refused, or the API cannot be reached.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<serde_json::Value, CallError> {
        self.0.call(Call { method, path, body, if_match: None })
    }

    /// A text that the API tells.
    ///
    /// # Errors
    /// When it was refused, or the API cannot be reached.
    pub(crate) fn text(&self, path: &str) -> Result<String, CallError> {
        Ok(self.0.lines(Call::get(path))?.text)
    }

    /// Starts a rollout to v2 by this plan; its number.
    ///
    /// # Errors
    /// When it was refused, or the API cannot be reached.
    pub(crate) fn start_rollout(&self, plan: &serde_json::Value) -> Result<String, CallError> {
        let body = json!({ "service": SERVICE, "to": ShopVersion::V2.name(), "plan": plan, "reason": REASON });
        Ok(self.send(Method::POST, "/v1/rollouts", Some(body))?["rollout"]["id"].to_string())
    }

    /// A rollout.
    ///
    /// # Errors
    /// When the API cannot be reached.
    pub(crate) fn rollout(&self, id: &str) -> Result<serde_json::Value, CallError> {
        self.0.call(Call::get(&format!("/v1/rollouts/{id}")))
    }

    /// Asks what a change would come to.
    ///
    /// # Errors
    /// When it would be refused, or the API cannot be reached.
    pub(crate) fn try_out(&self, change: DemoChange) -> Result<ChangeOutcome, OperatorError> {
        self.call_change(change, "?dry_run=true")
    }

    fn call_change(&self, change: DemoChange, query: &str) -> Result<ChangeOutcome, OperatorError> {
        let service = format!("/v1/services/{SERVICE}");
        let (method, path, body) = match change {
            DemoChange::Shift(to_v2) => {
                let weights = json!({ "v1": 100 - to_v2.min(100), "v2": to_v2.min(100), "reason": REASON });
                (Method::PUT, format!("{service}/split"), weights)
            }
            DemoChange::Flip(to) => {
                (Method::POST, format!("{service}/flip"), json!({ "to": to.name(), "reason": REASON }))
            }
            DemoChange::Rollback => {
                (Method::POST, "/v1/rollback".to_owned(), json!({ "services": [SERVICE], "reason": REASON }))
            }
        };
        let path = path + query;
        let answer = self.send(method, &path, Some(body))?;
        serde_json::from_value(answer).map_err(|source| OperatorError::Answer { path, source })
    }

    /// The split and the newest revisions.
    ///
    /// # Errors
    /// When the API cannot be reached.
    pub(crate) fn traffic(&self) -> Result<ShownTraffic, OperatorError> {
        let service: ServiceAnswer = self.get(format!("/v1/services/{SERVICE}"))?;
        let page: RevisionsAnswer = self.get(format!("/v1/revisions?limit={REVISIONS}"))?;
        let revisions = page.revisions.iter().map(RevisionAnswer::shown).collect();
        Ok(ShownTraffic { weights: service.weights(), revisions })
    }

    fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, OperatorError> {
        let answer = self.0.call(Call::get(&path))?;
        serde_json::from_value(answer).map_err(|source| OperatorError::Answer { path, source })
    }
}

/// What the demo reads of `GET /v1/services/{service}`.
#[derive(Debug, Deserialize)]
struct ServiceAnswer {
    versions: Vec<VersionAnswer>,
}

#[derive(Debug, Deserialize)]
struct VersionAnswer {
    name: String,
    weight: f64,
}

/// What the demo reads of `GET /v1/revisions`.
#[derive(Debug, Deserialize)]
struct RevisionsAnswer {
    revisions: Vec<RevisionAnswer>,
}

#[derive(Debug, Deserialize)]
struct RevisionAnswer {
    revision: u64,
    at: String,
    author: String,
    #[serde(default)]
    reason: Option<String>,
    action: String,
    difference: Vec<DifferenceAnswer>,
}

#[derive(Debug, Deserialize)]
struct DifferenceAnswer {
    service: String,
    weights: Vec<WeightAnswer>,
}

#[derive(Debug, Deserialize)]
struct WeightAnswer {
    version: String,
    to: f64,
}

impl ServiceAnswer {
    fn weights(&self) -> [f64; 2] {
        let weight = |wanted: ShopVersion| self.versions.iter().find(|version| version.name == wanted.name());
        ShopVersion::ALL.map(|version| weight(version).map_or(0.0, |version| version.weight))
    }
}

impl RevisionAnswer {
    fn shown(&self) -> ShownRevision {
        // The game has services of its own, which the first revision has too.
        let of_shop = self.difference.iter().find(|difference| difference.service == SERVICE);
        let shown = of_shop.or(self.difference.first());
        let named = shown.filter(|shown| shown.service != SERVICE).map(|shown| shown.service.clone());
        let weights = shown.iter().flat_map(|difference| &difference.weights);
        let weights = weights.map(|weight| format!("{}={}", weight.version, weight.to));
        let split: Vec<_> = named.into_iter().chain(weights).collect();
        let by = match &self.reason {
            Some(reason) => format!("{}: {reason}", self.author),
            None => self.author.clone(),
        };
        // The date is today's.
        let time = self.at.get(11..19).unwrap_or(&self.at).to_owned();
        ShownRevision { number: self.revision, time, action: self.action.clone(), split: split.join(" "), by }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn answers_are_read_as_the_api_gives_them() {
        let service = json!({ "name": "shop", "salt": "x", "versions": [
            { "name": "v1", "weight": 90.0, "effective_weight": 90.0 }, { "name": "v2", "weight": 10.0 },
        ]});
        assert_eq!(serde_json::from_value::<ServiceAnswer>(service).unwrap().weights(), [90.0, 10.0]);
        let page = json!({ "next_before": null, "revisions": [{
            "revision": 3, "at": "2025-01-31T12:00:00.25Z", "author": "local", "reason": "demo", "action": "shift",
            "restores": null, "difference": [{ "service": "shop", "moved_ratio": 0.1, "minimum_ratio": 0.1,
                "new_salt": false, "weights": [
                    { "version": "v1", "from": 100.0, "to": 90.0 }, { "version": "v2", "from": 0.0, "to": 10.0 },
                ]}],
        }]});
        let page: RevisionsAnswer = serde_json::from_value(page).unwrap();
        let shown = page.revisions[0].shown();
        assert_eq!((shown.number, shown.time.as_str(), shown.action.as_str()), (3, "12:00:00", "shift"));
        assert_eq!((shown.split.as_str(), shown.by.as_str()), ("v1=90 v2=10", "local: demo"));
    }

    #[test]
    fn the_shop_is_shown_first_and_other_services_by_name() {
        let moved = |service: &str| json!({ "service": service, "weights": [{ "version": "v1", "to": 100.0 }] });
        let split = |difference: Value| {
            let revision =
                json!({ "revision": 1, "at": "", "author": "file", "action": "file", "difference": difference });
            serde_json::from_value::<RevisionAnswer>(revision).unwrap().shown().split
        };
        assert_eq!(split(json!([moved("game"), moved("game-rolling"), moved("shop")])), "v1=100");
        assert_eq!(split(json!([moved("game")])), "game v1=100");
        assert_eq!(split(json!([])), "");
    }
}
