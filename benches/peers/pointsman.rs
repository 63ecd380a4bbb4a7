//! Pointsman with what it is made for: users stay on their version by a header, and the 10 % are the step of a canary
//! that the judge watches all the time.

use serde_json::{Value, json};

use super::http::Place;
use super::proxies::{Proxy, Purpose, Setup};
use super::running::Running;

pub(crate) struct Pointsman;

impl Proxy for Pointsman {
    fn name(&self) -> &'static str {
        "Pointsman"
    }

    fn program(&self) -> String {
        std::env::var("POINTSMAN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned())
    }

    fn version(&self) -> &'static str {
        "--version"
    }

    fn means(&self) -> &'static str {
        "a canary at 10 %, judged; sticky by header or query; metrics; a new split over the admin API"
    }

    fn file(&self) -> &'static str {
        "pointsman.toml"
    }

    fn config(&self, setup: &Setup, [v1, v2]: [u32; 2]) -> String {
        let split = match setup.purpose {
            // The rollout begins where one version has everything.
            Purpose::Load => "{ v1 = 100 }".to_owned(),
            Purpose::Shift => format!("{{ v1 = {v1}, v2 = {v2} }}"),
        };
        let [first, second] = setup.origins;
        format!(
            "[listeners.plain]
address = \"{plain}\"
idle_timeout = \"10m\"
connections_max = 100000
[listeners.secure]
address = \"{tls}\"
idle_timeout = \"10m\"
connections_max = 100000
tls = {{ cert = \"{cert}\", key = \"{key}\" }}
[admin]
address = \"unix:{folder}/admin.sock\"
[state]
path = \"{folder}/pointsman.db\"
[proxy]
workers = 1
connections_max = 100000
upstream_idle_max = 1024
[services.shop]
sticky = [\"header:x-user\", \"query:user\"]
split = {split}
versions.v1.endpoints = [\"{first}\"]
versions.v2.endpoints = [\"{second}\"]
",
            plain = setup.plain,
            tls = setup.tls,
            cert = setup.certificate.cert.display(),
            key = setup.certificate.key.display(),
            folder = setup.folder.display(),
        )
    }

    fn arguments(&self, setup: &Setup) -> Vec<String> {
        ["run", "--config", &setup.file.display().to_string()].map(str::to_owned).to_vec()
    }

    fn metrics(&self, setup: &Setup) -> (Place, &'static str) {
        (admin(setup), "/metrics")
    }

    /// A step that outlasts every measurement.
    fn begin(&self, setup: &Setup) -> Result<(), String> {
        if setup.purpose == Purpose::Shift {
            return Ok(());
        }
        let plan = json!({ "steps": [10, 100], "bake": "24h" });
        let start = json!({ "service": "shop", "to": "v2", "plan": plan });
        admin(setup).ask("POST", "/v1/rollouts", &start.to_string()).map(drop)
    }

    fn shift(&self, setup: &Setup, _running: &Running, [v1, v2]: [u32; 2]) -> Result<(), String> {
        let split = json!({ "v1": v1, "v2": v2 });
        admin(setup).ask("PUT", "/v1/services/shop/split", &split.to_string()).map(drop)
    }

    /// The rollout still goes.
    fn check(&self, setup: &Setup) -> Result<(), String> {
        if setup.purpose == Purpose::Shift {
            return Ok(());
        }
        let said = admin(setup).ask("GET", "/v1/rollouts/1", "")?;
        let rollout: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
        if rollout["phase"] == "going" && rollout["weight"] == 10.0 {
            Ok(())
        } else {
            Err(format!("the rollout has ended: {said}"))
        }
    }
}

fn admin(setup: &Setup) -> Place {
    Place::Unix(setup.folder.join("admin.sock"))
}
