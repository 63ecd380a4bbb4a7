//! Moves the traffic of the game's services, by the admin API, as any operator would; and puts builds on machines.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::game_strategy::{GAME_FLAG, GameStrategy, MACHINES};
use crate::cli::client::CallError;
use crate::cli::demo::operator::Operator;
use crate::cli::demo::shop::Shop;
use crate::cli::demo::shop_build::ShopRecipe;
use crate::cli::demo::shop_version::ShopVersion;
use crate::cli::text::list;

/// Why, in the history.
const REASON: &str = "the game";

/// How often it is looked whether a rollout that is taken back has ended, and how many times.
const ABORT_LOOK: Duration = Duration::from_millis(50);
const ABORT_LOOKS: u32 = 200;

/// What is installed on the game's endpoints at the start: two of each version, and the machines of a rolling release.
pub(crate) fn installed() -> Vec<ShopVersion> {
    let pools = ShopVersion::ALL.into_iter().flat_map(|version| [version; 2]);
    pools.chain([ShopVersion::V1; MACHINES]).collect()
}

/// The game's services, as anybody could write them.
pub(crate) fn config_text(shop: &Shop) -> String {
    let quoted = |endpoints: &[SocketAddr]| {
        let texts: Vec<_> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
        format!("[{}]", texts.join(", "))
    };
    let (pools, machines) = shop.endpoints.split_at(4);
    let [v1, v2, machines, agent] = [&pools[..2], &pools[2..], machines, &machines[..1]].map(quoted);
    let service = |strategy: GameStrategy, more: &str, [v1, v2]: [&str; 2]| {
        let (name, host) = (strategy.service(), strategy.host());
        format!(
            "[services.{name}]\nhosts = [\"{host}\"]\nsticky = [\"header:x-user-id\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
             versions.v1.endpoints = {v1}\nversions.v2.endpoints = {v2}\n{more}"
        )
    };
    let agent = agent.trim_matches(['[', ']', '"']);
    // What a flip of all users cannot compare is asked for before it: with no users on v1, a 404 is no failure.
    let smoke = "rollout = { strategy = \"blue_green\", smoke = [{ path = \"/items/7\" }] }\n";
    let upgrade = format!("{{ webhook = {{ url = \"http://{agent}/install\", timeout = \"10s\" }} }}");
    let rolling = format!("rollout = {{ strategy = \"rolling\", upgrade = {upgrade} }}\n");
    [
        format!(
            "[flags.{GAME_FLAG}]\nsalt = \"service:game\"\n\
             rules = [{{ name = \"release\", serve = {{ on = 0, off = 100 }} }}]\n"
        ),
        service(GameStrategy::Canary, &format!("flags = [\"{GAME_FLAG}\"]\n"), [&v1, &v2]),
        service(GameStrategy::BlueGreen, smoke, [&v1, &v2]),
        service(GameStrategy::Rolling, &rolling, [&machines, &machines]),
    ]
    .concat()
}

/// Moves it.
#[derive(Debug)]
pub(crate) struct GameTraffic {
    operator: Operator,
    shop: Shop,
}

impl GameTraffic {
    /// The traffic of the services whose endpoints are the shop's.
    pub(crate) fn new(operator: Operator, shop: Shop) -> Self {
        Self { operator, shop }
    }

    /// Builds both versions anew, so that they have no past.
    pub(crate) fn rebuild(&self, recipe: ShopRecipe) {
        self.shop.rebuild(recipe);
    }

    /// Closes the shop.
    pub(crate) fn close(self) {
        self.shop.close();
    }

    /// Gives v2 this share, by the means of the strategy.
    ///
    /// # Errors
    /// When the API refuses it or cannot be reached.
    pub(crate) fn give(&self, strategy: GameStrategy, share: u8) -> Result<(), CallError> {
        match strategy {
            GameStrategy::Hand | GameStrategy::Canary => self.split(strategy, share),
            GameStrategy::BlueGreen => self.flip(strategy, if share == 0 { "v1" } else { "v2" }),
            GameStrategy::Flag => self.flag(share),
            GameStrategy::Rolling => {
                let upgraded = MACHINES * usize::from(share.min(100)) / 100;
                for machine in &self.machines()[..upgraded] {
                    self.upgrade(*machine)?;
                }
                self.split(strategy, share)
            }
        }
    }

    /// Gives v1 everything.
    ///
    /// # Errors
    /// As [`GameTraffic::give`].
    pub(crate) fn take_back(&self, strategy: GameStrategy) -> Result<(), CallError> {
        match strategy {
            GameStrategy::Hand | GameStrategy::Canary | GameStrategy::Flag => {
                self.flag(0)?;
                self.split(strategy, 0)
            }
            GameStrategy::BlueGreen => self.flip(strategy, "v1"),
            GameStrategy::Rolling => {
                for machine in self.machines() {
                    self.downgrade(*machine)?;
                }
                self.split(strategy, 0)
            }
        }
    }

    /// Ends what else may be under way on the service, and gives v1 everything.
    ///
    /// # Errors
    /// As [`GameTraffic::give`].
    pub(crate) fn prepare(&self, strategy: GameStrategy) -> Result<(), CallError> {
        self.abort(strategy)?;
        self.take_back(strategy)
    }

    /// Starts the rollout that judges itself; its number.
    ///
    /// # Errors
    /// As [`GameTraffic::give`].
    pub(crate) fn release(&self, strategy: GameStrategy) -> Result<String, CallError> {
        let started = self.operator.send(Method::POST, "/v1/rollouts", Some(strategy.judged()))?;
        Ok(started["rollout"]["id"].to_string())
    }

    /// A rollout.
    ///
    /// # Errors
    /// When the API cannot be reached.
    pub(crate) fn rollout(&self, id: &str) -> Result<Value, CallError> {
        self.operator.rollout(id)
    }

    /// Takes back what is under way of a service, and waits until it is back.
    ///
    /// # Errors
    /// As [`GameTraffic::give`].
    pub(crate) fn abort(&self, strategy: GameStrategy) -> Result<(), CallError> {
        for look in 0..ABORT_LOOKS {
            let rollouts = self.operator.send(Method::GET, "/v1/rollouts", None)?;
            let service = strategy.service();
            let under_way = list(&rollouts, "rollouts").filter(|rollout| rollout["phase"] != "finished");
            let mut ours = under_way.filter(|rollout| list(rollout, "services").any(|name| name == service));
            let Some(found) = ours.next() else { break };
            if look == 0 {
                let path = format!("/v1/rollouts/{}/abort", found["id"]);
                self.operator.send(Method::POST, &path, Some(json!({ "reason": REASON })))?;
            }
            thread::sleep(ABORT_LOOK);
        }
        Ok(())
    }

    fn machines(&self) -> &[SocketAddr] {
        &self.shop.endpoints[4..]
    }

    fn split(&self, strategy: GameStrategy, share: u8) -> Result<(), CallError> {
        let path = format!("/v1/services/{}/split", strategy.service());
        let share = share.min(100);
        let body = json!({ "v1": 100 - share, "v2": share, "reason": REASON });
        self.operator.send(Method::PUT, &path, Some(body)).map(drop)
    }

    fn flip(&self, strategy: GameStrategy, to: &str) -> Result<(), CallError> {
        let path = format!("/v1/services/{}/flip", strategy.service());
        self.operator.send(Method::POST, &path, Some(json!({ "to": to, "reason": REASON }))).map(drop)
    }

    fn flag(&self, share: u8) -> Result<(), CallError> {
        let serve = json!({ "on": share, "off": 100 - share.min(100) });
        let body = json!({ "enabled": true, "rule": "release", "serve": serve, "reason": REASON });
        self.operator.send(Method::PUT, &format!("/v1/flags/{GAME_FLAG}"), Some(body)).map(drop)
    }

    fn upgrade(&self, machine: SocketAddr) -> Result<(), CallError> {
        if self.shop.version_at(machine) == Some(ShopVersion::V2) {
            return Ok(());
        }
        self.endpoint("v1", machine, json!({ "state": "drain", "wait": "2s", "force": true }))?;
        self.shop.install(machine, ShopVersion::V2);
        self.endpoint("v2", machine, json!({ "state": "ready" }))
    }

    fn downgrade(&self, machine: SocketAddr) -> Result<(), CallError> {
        self.endpoint("v2", machine, json!({ "state": "drain", "force": true }))?;
        self.shop.install(machine, ShopVersion::V1);
        self.endpoint("v1", machine, json!({ "state": "ready" }))
    }

    fn endpoint(&self, version: &str, machine: SocketAddr, mut body: Value) -> Result<(), CallError> {
        body["reason"] = json!(REASON);
        let service = GameStrategy::Rolling.service();
        let path = format!("/v1/services/{service}/versions/{version}/endpoints/{machine}");
        self.operator.send(Method::PUT, &path, Some(body)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::bug::Bug;
    use super::super::super::shop_build::ShopPace;
    use super::*;

    #[test]
    fn the_config_of_the_game_is_good() {
        let recipe = ShopRecipe { bug: Bug::None, pace: ShopPace::Steady, all_requests: 100.0, seed: 1 };
        let shop = Shop::open(&installed(), recipe).unwrap();
        let text = format!("[listeners.public]\naddress = \"127.0.0.1:0\"\n{}", config_text(&shop));
        let config = crate::config::parse(&text, Path::new(".")).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let names: Vec<_> = config.services.iter().map(|service| service.name.as_str().to_owned()).collect();
        for strategy in GameStrategy::ALL {
            assert!(names.iter().any(|name| name == strategy.service()), "{strategy:?}: {names:?}");
        }
        assert_eq!(shop.version_at(shop.endpoints[2]), Some(ShopVersion::V2));
        shop.close();
    }
}
