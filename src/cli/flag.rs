//! `pointsman flag`: what users get that does not depend on a deploy.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::change::{LastsArgs, Terms, WeightWords, change, segment, weights};
use super::client::Call;
use super::flag_import::FlagImportArgs;
use super::{CommandError, Remote, flag_import, flag_show};

/// Show feature flags, launch them, turn them off, and ask what a user gets
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman flag list\n  pointsman flag set new-checkout on=50,off=50\n  \
    pointsman flag disable new-checkout --reason 'orders fail'")]
pub struct FlagArgs {
    #[command(subcommand)]
    command: FlagCommand,
}

#[derive(Subcommand, Debug)]
enum FlagCommand {
    /// List all flags, and what they serve
    List,
    /// Show one flag: its variants, its rules, and what differs from the config file
    Show(FlagName),
    Set(FlagSetArgs),
    /// Enable a flag: its rules decide again
    #[command(after_help = "Example:\n  pointsman flag enable new-checkout")]
    Enable(FlagSwitchArgs),
    /// Disable a flag: all users get its default at once
    #[command(after_help = "Examples:\n  pointsman flag disable new-checkout --dry-run\n  \
        pointsman flag disable new-checkout --reason 'orders fail'")]
    Disable(FlagSwitchArgs),
    Evaluate(FlagEvaluateArgs),
    Import(FlagImportArgs),
}

/// A flag.
#[derive(Args, Debug)]
struct FlagName {
    /// The flag
    flag: String,
}

/// A flag and the terms of a change.
#[derive(Args, Debug)]
struct FlagSwitchArgs {
    #[command(flatten)]
    name: FlagName,
    #[command(flatten)]
    lasts: LastsArgs,
    #[command(flatten)]
    terms: Terms,
}

/// Have a rule of a flag serve other users; no more of them move than have to
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman flag set new-checkout on=50,off=50 --dry-run\n  \
    pointsman flag set new-checkout on --rule dogfood")]
struct FlagSetArgs {
    #[command(flatten)]
    name: FlagName,
    /// One variant for all, or weights in per cent, 100 together, with spaces or commas between them; variants that are
    /// not named get 0
    #[arg(required = true, value_delimiter = ',', value_name = "VARIANT|VARIANT=WEIGHT")]
    serve: Vec<String>,
    /// The rule [default: the last one, which is for all users that no rule before it serves]
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    #[command(flatten)]
    lasts: LastsArgs,
    #[command(flatten)]
    terms: Terms,
}

/// Say which variant a user gets, and why
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman flag evaluate new-checkout ann --attribute plan=pro")]
struct FlagEvaluateArgs {
    #[command(flatten)]
    name: FlagName,
    /// The key of the user, as the requests of a service have it
    #[arg(value_name = "KEY")]
    user: Option<String>,
    /// An attribute of the user, by its name in the config; can be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
}

/// Does what the subcommand says.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: FlagArgs) -> Result<(), CommandError> {
    match args.command {
        FlagCommand::List => remote.call(Call::get("/v1/flags"), flag_show::table),
        FlagCommand::Show(name) => remote.call(Call::get(&name.path()?), flag_show::page),
        FlagCommand::Set(args) => set(remote, args),
        FlagCommand::Enable(args) => switch(remote, args, true),
        FlagCommand::Disable(args) => switch(remote, args, false),
        FlagCommand::Evaluate(args) => evaluate(remote, &args),
        FlagCommand::Import(args) => flag_import::run(remote, &args),
    }
}

impl FlagName {
    fn path(&self) -> Result<String, CommandError> {
        Ok(format!("/v1/flags/{}", segment(&self.flag)?))
    }
}

fn switch(remote: &Remote, args: FlagSwitchArgs, enabled: bool) -> Result<(), CommandError> {
    let mut body = Map::from_iter([("enabled".to_owned(), Value::from(enabled))]);
    args.lasts.into_body(&mut body);
    change(remote, Method::PUT, &args.name.path()?, body, args.terms)
}

fn set(remote: &Remote, args: FlagSetArgs) -> Result<(), CommandError> {
    let mut body = Map::from_iter([("serve".to_owned(), serve(&args.serve)?)]);
    body.extend(args.rule.map(|rule| ("rule".to_owned(), Value::from(rule))));
    args.lasts.into_body(&mut body);
    change(remote, Method::PUT, &args.name.path()?, body, args.terms)
}

/// `on`, or `on=50 off=50`, as the admin API has it.
fn serve(words: &[String]) -> Result<Value, CommandError> {
    match words {
        [one] if !one.contains('=') && !one.is_empty() => Ok(one.as_str().into()),
        words => weights(words, &WeightWords { of: "variant", example: "on=50,off=50" }).map(Value::Object),
    }
}

fn evaluate(remote: &Remote, args: &FlagEvaluateArgs) -> Result<(), CommandError> {
    let path = format!("{}/evaluate", args.name.path()?);
    let mut context = Map::new();
    for word in &args.attributes {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(CommandError::Usage(format!("found {word:?}, want NAME=VALUE, such as plan=pro")));
        };
        if context.insert(name.to_owned(), value.into()).is_some() {
            return Err(CommandError::Usage(format!("found {name} twice, want each attribute once")));
        }
    }
    context.extend(args.user.as_ref().map(|key| ("targetingKey".to_owned(), Value::from(key.as_str()))));
    let body = Some(json!({ "context": context }));
    remote.call(Call { method: Method::POST, path: &path, body, if_match: None }, flag_show::evaluation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variant_or_weights_of_several() {
        let read = |words: &[&str]| serve(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(read(&["on"]).ok(), Some(json!("on")));
        assert_eq!(read(&["on=50", "off=50%"]).ok(), Some(json!({ "on": 50.0, "off": 50.0 })));
        assert_eq!(
            read(&["on=50", "", "off=50", ""]).ok(),
            Some(json!({ "on": 50.0, "off": 50.0 })),
            "`on=50, off=50,`"
        );
        for (bad, wanted) in [
            (&["on", "off"][..], "found \"on\", want VARIANT=WEIGHT, such as on=50,off=50"),
            (&[""], "found \"\", want VARIANT=WEIGHT, such as on=50,off=50"),
            (&["on=half"], "found \"half\" in \"on=half\", want a number in per cent, such as on=50,off=50"),
            (&["on=5", "on=6"], "found on twice, want each variant once, such as on=50,off=50"),
        ] {
            assert_eq!(read(bad).expect_err("wrong").to_string(), wanted, "{bad:?}");
        }
    }
}
