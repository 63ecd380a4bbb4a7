//! The payments of the shop, a service of their own, and the experiment that makes them slow.

/// The service.
pub(crate) const SERVICE: &str = "pay";

/// The experiment.
pub(crate) const EXPERIMENT: &str = "slow-payments";

/// What keeps a payment from failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayShield {
    /// Nothing: what v1 does not answer in time has failed.
    None,
    /// It is asked once more, of v2.
    On,
}

/// The service and the experiment, as anybody could write them.
pub(crate) fn config_text(shield: PayShield, salt: &str, versions: &str) -> String {
    let shield = match shield {
        PayShield::None => "",
        PayShield::On => "shield = { stable = \"v2\" }\n",
    };
    format!(
        "[services.{SERVICE}]\npaths = [\"/pay\"]\nsticky = [\"header:x-user-id\"]\nsalt = \"{salt}\"\n\
         split = {{ v1 = 100, v2 = 0 }}\nresponse_timeout = \"250ms\"\n{shield}{versions}\
         [chaos]\nenabled = true\nshare_max = 10\nduration_max = \"1m\"\n\
         [chaos.experiments.{EXPERIMENT}]\n\
         target = {{ service = \"{SERVICE}\", version = \"v1\", share = 10 }}\n\
         fault = {{ latency = {{ fixed = \"1s\" }} }}\n\
         baseline = \"2s\"\nduration = \"10s\"\n\
         hypothesis = {{ errors = {{ ratio_max = 1.5 }}, requests_min = 30 }}\n\
         stop_when = {{ failed_requests = 500 }}\n"
    )
}
