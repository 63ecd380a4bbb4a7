//! `pointsman experiment start`, `stop` and `ship`.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use crate::cli::change::{ForceArgs, HoldArgs, Terms, change, segment};
use crate::cli::{CommandError, Remote};

/// Begin a run of an experiment, or have the one that runs take more users in
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman experiment start checkout-button --dry-run\n  \
    pointsman experiment start checkout-button --share 40 --reason 'week 23'")]
pub(super) struct StartArgs {
    /// The experiment
    experiment: String,
    /// Per cent of all users, a half in each arm [default: what the config says, or what it has if that is more]
    #[arg(long, value_name = "PERCENT")]
    share: Option<String>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    terms: Terms,
}

/// End the run of an experiment; its users get what all others do, and its result stays
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman experiment stop checkout-button --reason 'enough users'")]
pub(super) struct StopArgs {
    /// The experiment
    experiment: String,
    #[command(flatten)]
    terms: Terms,
}

/// Give all users what one arm of an experiment has, and end its run, in one swap
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman experiment ship checkout-button treatment --dry-run\n  \
    pointsman experiment ship checkout-button v2")]
pub(super) struct ShipArgs {
    /// The experiment
    experiment: String,
    /// control or treatment, or the version or variant of the arm
    arm: String,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    hold: HoldArgs,
    #[command(flatten)]
    terms: Terms,
}

/// Starts.
pub(super) fn start(remote: &Remote, args: &StartArgs) -> Result<(), CommandError> {
    let mut body = Map::new();
    if let Some(share) = &args.share {
        body.insert("share".to_owned(), json!(percent(share)?));
    }
    args.force.into_body(&mut body);
    call(remote, &args.experiment, "start", body, &args.terms)
}

/// Stops.
pub(super) fn stop(remote: &Remote, args: &StopArgs) -> Result<(), CommandError> {
    call(remote, &args.experiment, "stop", Map::new(), &args.terms)
}

/// Ships.
pub(super) fn ship(remote: &Remote, args: &ShipArgs) -> Result<(), CommandError> {
    let mut body = Map::from_iter([("arm".to_owned(), Value::from(args.arm.as_str()))]);
    args.force.into_body(&mut body);
    args.hold.clone().into_body(&mut body);
    call(remote, &args.experiment, "ship", body, &args.terms)
}

fn call(
    remote: &Remote,
    experiment: &str,
    step: &str,
    body: Map<String, Value>,
    terms: &Terms,
) -> Result<(), CommandError> {
    let path = format!("/v1/experiments/{}/{step}", segment(experiment)?);
    change(remote, Method::POST, &path, body, terms.clone())
}

/// `40` or `40%`. What the number may be is the admin API's to say.
fn percent(text: &str) -> Result<f64, CommandError> {
    let number = text.trim_end_matches('%').parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| CommandError::Usage(format!("found {text:?}, want a number in per cent, such as --share 40")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_in_per_cent() {
        for (text, wanted) in [("40", 40.0), ("0.5%", 0.5), ("-1", -1.0)] {
            assert_eq!(percent(text).ok(), Some(wanted));
        }
        for bad in ["", "%", "half", "NaN", "inf"] {
            assert!(percent(bad).expect_err("no number").to_string().contains("such as --share 40"), "{bad:?}");
        }
    }
}
