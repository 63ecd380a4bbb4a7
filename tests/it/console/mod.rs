//! The console, in a browser: what people click on, and what becomes of the proxy's state; each change is checked by
//! the API, not only on the page.

mod actions;
mod chaos;
mod every_room;
mod fleet_room;
mod game;
mod hostile;
mod load;
mod people;
mod pictures;
mod repository;
mod rollouts;
mod served;

use std::sync::Arc;

use serde_json::Value;

use crate::support::browser::{Browser, Tab};
use crate::support::release::{Mood, Operator, version};
use crate::support::{Origin, Proxy, Setup};

/// A flag that requests of the service carry, and experiments on it and on the versions.
const FLAGS: &str = r#"
[flags.theme]
variants = { classic = "classic", new = "new" }
default = "classic"
rules = [{ name = "launch", serve = { classic = 90, new = 10 } }]
[experiments.button]
service = "site"
arms = { control = "v1", treatment = "v2" }
share = 50
layer = "checkout"
metrics = [{ name = "purchase", kind = "conversion", when = { method = "POST", path = "/orders" } }]
[experiments.color]
flag = "theme"
arms = { control = "classic", treatment = "new" }
share = 30
layer = "checkout"
metrics = [{ name = "purchase", kind = "conversion", when = { method = "POST", path = "/orders" } }]
"#;

/// A proxy with a service `site` of two versions, and a browser.
struct Stand {
    proxy: Proxy,
    operator: Operator,
    browser: &'static Browser,
    /// How v1 and v2 are.
    moods: [Arc<Mood>; 2],
    origins: [Origin; 2],
}

impl Stand {
    /// `None`: a tool is missing, and what is not tested has been said.
    fn new(untested: &str, more: impl FnOnce(Setup) -> Setup) -> Option<Self> {
        let browser = Browser::shared(untested)?;
        let ((v1, old), (v2, new)) = (version("v1"), version("v2"));
        let setup = Setup::to(&[&v1, &v2]).service("sticky = [\"header:x-user-id\"]");
        let proxy = more(setup).start();
        let operator = Operator::at(proxy.admin);
        Some(Self { proxy, operator, browser, moods: [old, new], origins: [v1, v2] })
    }

    /// Its console.
    #[track_caller]
    fn console(&self, room: &str) -> Tab {
        self.browser.console(self.proxy.admin, room)
    }

    /// What the proxy says of the service's weights.
    fn weights(&self) -> [f64; 2] {
        let status = self.proxy.status();
        [0, 1].map(|version| status["versions"][version]["weight"].as_f64().expect("a weight"))
    }

    /// The newest revision, as the API has it.
    fn newest(&self) -> Value {
        self.get("/v1/revisions")["revisions"][0].clone()
    }

    /// Reads from the API.
    fn get(&self, path: &str) -> Value {
        self.operator.0.call(pointsman::cli::client::Call::get(path)).expect("a reader")
    }
}
