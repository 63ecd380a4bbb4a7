//! `pointsman rollout`: releases that are judged by the proxy itself.

mod follow;
pub(crate) mod show;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::change::ForceArgs;
use super::client::Call;
use super::text::{list, member};
use super::{CommandError, Remote};

/// Release a version step by step, judged on its own traffic and turned back by itself
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  pointsman rollout start shop --to v2 --follow\n  pointsman rollout status shop\n  pointsman rollout abort shop --reason 'wrong build'"
)]
pub struct RolloutArgs {
    #[command(subcommand)]
    command: RolloutSubcommand,
}

#[derive(Subcommand, Debug)]
enum RolloutSubcommand {
    Start(StartArgs),
    Status(RolloutStatusArgs),
    /// Stay where it is; the judge goes on
    Pause(OrderArgs),
    /// Go on: the stage begins again
    Resume(OnwardArgs),
    /// Go on to the next stage without waiting for the rest of this one; also approves a manual gate
    Promote(OnwardArgs),
    /// Go back to the old version
    Abort(OrderArgs),
    /// Say that what an upgrade hook waits for is done
    Acknowledge(OrderArgs),
}

/// Begin a rollout by the plan of the config, or by one with other steps
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman rollout start shop --to v2 --follow
  pointsman rollout start shop --steps 5,25,100 --bake 5m
  pointsman rollout start checkout-flow --group --to v2
  pointsman rollout start checkout-flow --group --to v2 --variant theme=new
  pointsman rollout start new-checkout --flag --to on
  pointsman rollout start shop --set strategy=blue_green --set watch=5m --dry-run")]
struct StartArgs {
    /// The service, with --group the group, or with --flag the flag
    service: String,
    /// Where other commands have the version.
    #[arg(hide = true, value_name = "VERSION", value_parser = named_by_to)]
    _misplaced: Option<String>,
    /// It is a group of services and flags
    #[arg(long)]
    group: bool,
    /// It is a flag: its last rule is moved, judged by the requests of the services that list it
    #[arg(long, conflicts_with = "group")]
    flag: bool,
    /// The version, or the variant of the flag, that is to have everything; by default the only other one
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// The variant that a flag of the group is to have everything of; by default its only other one
    #[arg(long, value_name = "FLAG=VARIANT", requires = "group")]
    variant: Vec<String>,
    /// The canary's steps, per cent
    #[arg(long, value_delimiter = ',', value_name = "PERCENT")]
    steps: Vec<f64>,
    /// How long each step is watched at the least
    #[arg(long, value_name = "DURATION")]
    bake: Option<String>,
    /// Another key of the plan, as in the config: strategy=rolling, batch=2, judge.alpha=0.01; what is run or asked
    /// (upgrade, undo, webhook, smoke, metrics) comes from the config file only
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    force: ForceArgs,
    /// Only say what would begin
    #[arg(long)]
    dry_run: bool,
    /// Draw the progress until it is over; the exit code says whether it was completed
    #[arg(long, conflicts_with = "dry_run")]
    follow: bool,
}

/// Show a rollout with its evidence, or all of them
#[derive(Args, Debug)]
struct RolloutStatusArgs {
    /// The service, the group, the flag or the number; without it, all
    rollout: Option<String>,
    /// Draw the progress until it is over; the exit code says whether it was completed
    #[arg(long, requires = "rollout")]
    follow: bool,
}

#[derive(Args, Debug)]
struct OrderArgs {
    /// The service, the group, the flag or the number
    rollout: String,
    /// Why; kept with the rollout
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Args, Debug)]
struct OnwardArgs {
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    force: ForceArgs,
}

impl From<OrderArgs> for OnwardArgs {
    fn from(order: OrderArgs) -> Self {
        Self { order, force: ForceArgs::default() }
    }
}

/// Does what the arguments say.
///
/// # Errors
/// [`CommandError`] when a call fails, or a rollout that was followed was not completed.
pub fn run(remote: &Remote, args: RolloutArgs) -> Result<(), CommandError> {
    match args.command {
        RolloutSubcommand::Start(args) => start(remote, args),
        RolloutSubcommand::Status(args) => status(remote, &args),
        RolloutSubcommand::Pause(args) => order(remote, "pause", args.into()),
        RolloutSubcommand::Resume(args) => order(remote, "resume", args),
        RolloutSubcommand::Promote(args) => order(remote, "promote", args),
        RolloutSubcommand::Abort(args) => order(remote, "abort", args.into()),
        RolloutSubcommand::Acknowledge(args) => order(remote, "acknowledge", args.into()),
    }
}

fn start(remote: &Remote, args: StartArgs) -> Result<(), CommandError> {
    let follow = args.follow;
    let query = if args.dry_run { "?dry_run=true" } else { "" };
    let body = args.body()?;
    let path = format!("/v1/rollouts{query}");
    let call = Call { method: Method::POST, path: &path, body: Some(body), if_match: None };
    if !follow {
        return remote.call(call, show::started);
    }
    let answer = remote.ask(call)?;
    if !remote.json {
        super::text::show(&(show::forecast(&answer) + &show::warnings(&answer)));
    }
    follow::until_over(remote, &member(&answer["rollout"], "id"))
}

impl StartArgs {
    fn body(self) -> Result<Value, CommandError> {
        let mut body = Map::new();
        let what = match (self.group, self.flag) {
            (true, _) => "group",
            (false, true) => "flag",
            (false, false) => "service",
        };
        body.insert(what.to_owned(), self.service.into());
        body.extend(self.to.map(|to| ("to".to_owned(), to.into())));
        if !self.variant.is_empty() {
            let pairs = self.variant.iter().map(|text| variant(text)).collect::<Result<Map<_, _>, _>>()?;
            body.insert("variants".to_owned(), pairs.into());
        }
        body.extend(self.reason.map(|reason| ("reason".to_owned(), reason.into())));
        let mut plan = Map::new();
        for text in &self.set {
            set(&mut plan, text)?;
        }
        if !self.steps.is_empty() {
            plan.insert("steps".to_owned(), self.steps.into_iter().map(whole).collect());
        }
        plan.extend(self.bake.map(|bake| ("bake".to_owned(), bake.into())));
        body.insert("plan".to_owned(), plan.into());
        self.force.into_body(&mut body);
        Ok(body.into())
    }
}

/// A version that follows the service, as it does in `flip`.
fn named_by_to(version: &str) -> Result<String, VersionIsAnOption> {
    Err(VersionIsAnOption(version.to_owned()))
}

#[derive(Debug, thiserror::Error)]
#[error("want the version as an option: --to {0}")]
struct VersionIsAnOption(String);

/// `FLAG=VARIANT`.
fn variant(text: &str) -> Result<(String, Value), CommandError> {
    let pair = text.split_once('=').filter(|(flag, variant)| !flag.is_empty() && !variant.is_empty());
    let pair = pair.map(|(flag, variant)| (flag.to_owned(), variant.into()));
    pair.ok_or_else(|| {
        CommandError::Usage(format!("--variant: found {text:?}, want FLAG=VARIANT, such as new-checkout=on"))
    })
}

/// Whole numbers without a point: that is how a config has them.
fn whole(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked right here")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "a comparison that fails is right as well")]
    let same = (whole as f64 - number).abs() < f64::EPSILON;
    if same { whole.into() } else { number.into() }
}

/// Sets `key=value` or `judge.key=value`; a value that is JSON is taken as it is, anything else is a text.
fn set(plan: &mut Map<String, Value>, text: &str) -> Result<(), CommandError> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err(CommandError::Usage(format!("--set: found {text:?}, want KEY=VALUE, such as bake=5m")));
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_text| Value::from(value));
    match key.split_once('.') {
        None => drop(plan.insert(key.to_owned(), value)),
        Some((section, key)) => {
            let section = plan.entry(section).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(section) = section {
                section.insert(key.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn status(remote: &Remote, args: &RolloutStatusArgs) -> Result<(), CommandError> {
    let Some(rollout) = &args.rollout else {
        return remote.call(Call::get("/v1/rollouts"), show::all);
    };
    let id = number(remote, rollout)?;
    if args.follow {
        return follow::until_over(remote, &id);
    }
    remote.call(Call::get(&format!("/v1/rollouts/{id}")), show::one)
}

fn order(remote: &Remote, order: &str, args: OnwardArgs) -> Result<(), CommandError> {
    let OnwardArgs { order: OrderArgs { rollout, reason }, force } = args;
    let id = number(remote, &rollout)?;
    let mut body = Map::new();
    body.extend(reason.map(|reason| ("reason".to_owned(), Value::from(reason))));
    force.into_body(&mut body);
    let path = format!("/v1/rollouts/{id}/{order}");
    let call = Call { method: Method::POST, path: &path, body: Some(Value::Object(body)), if_match: None };
    remote.call(call, show::one)
}

/// The number of a rollout: the last one of a service, a group or a flag, if that is what is named.
fn number(remote: &Remote, rollout: &str) -> Result<String, CommandError> {
    if !rollout.is_empty() && rollout.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(rollout.to_owned());
    }
    let answer = remote.ask(Call::get("/v1/rollouts"))?;
    let is = |one: &&Value| {
        let of_group = || list(one, "flags").any(|flag| flag["flag"] == rollout);
        one["group"] == rollout || of_group() || list(one, "services").any(|service| service == rollout)
    };
    let of = list(&answer, "rollouts").find(is).map(|found| member(found, "id"));
    of.ok_or_else(|| {
        CommandError::Unknown(format!("found no rollout of {rollout:?}; list them with `pointsman rollout status`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_set_as_a_config_has_them() {
        let mut plan = Map::new();
        for text in ["bake=5m", "batch=2", "judge.alpha=0.01", "judge.slower=false", "steps=[1,100]"] {
            set(&mut plan, text).unwrap();
        }
        let judge = json!({"alpha": 0.01, "slower": false});
        assert_eq!(Value::Object(plan.clone()), json!({"bake": "5m", "batch": 2, "judge": judge, "steps": [1, 100]}));
        assert!(set(&mut plan, "bake").is_err() && set(&mut plan, "=1").is_err());
        assert_eq!(variant("new-checkout=on").unwrap(), ("new-checkout".to_owned(), json!("on")));
        assert!(["new-checkout", "=on", "new-checkout="].iter().all(|text| variant(text).is_err()));
        assert_eq!([whole(10.0), whole(0.5)], [json!(10), json!(0.5)]);
    }
}
