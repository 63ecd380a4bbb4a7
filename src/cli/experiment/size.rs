//! `pointsman experiment size`: how many users it takes to find a difference.

use clap::Args;
use serde_json::json;

use crate::cli::bad_argument::BadArgument;
use crate::cli::{CommandError, Remote, text};
use crate::experiment::sample_size::SizeQuestion;
use crate::experiment::sentence::{percent, significant};
use crate::table::spec::experiment::Probability;

/// Say how many users it takes to find a difference, looking once and looking always
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman experiment size --control 10% --treatment 12%
  pointsman experiment size --mean 50 --deviation 30 --change 3% --users-per-day 2000")]
pub(super) struct SizeArgs {
    /// The part of users that convert in the control
    #[arg(long, value_name = "PART", value_parser = part, requires = "treatment", required_unless_present = "mean")]
    control: Option<Probability>,
    /// The part of users that convert in the treatment, if it is as good as is hoped
    #[arg(long, value_name = "PART", value_parser = part, requires = "control")]
    treatment: Option<Probability>,
    /// The mean of a user's value in the control, instead of conversions
    #[arg(long, value_name = "NUMBER", value_parser = number, requires_all = ["deviation", "change"], conflicts_with = "control")]
    mean: Option<f64>,
    /// The standard deviation of a user's value
    #[arg(long, value_name = "NUMBER", value_parser = number, requires = "mean")]
    deviation: Option<f64>,
    /// The change of the mean that is hoped for, as a part of it, such as 3% or -3%
    #[arg(long, value_name = "PART", value_parser = change, requires = "mean", allow_hyphen_values = true)]
    change: Option<f64>,
    /// The probability with which the difference is to be found
    #[arg(long, value_name = "PART", default_value = "80%", value_parser = part)]
    power: Probability,
    /// 1 less the confidence of the intervals
    #[arg(long, value_name = "PART", default_value = "5%", value_parser = part)]
    alpha: Probability,
    /// Users that come for the first time each day, to both arms together
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    users_per_day: Option<f64>,
}

fn parse(text: &str) -> Option<f64> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    number.ok().filter(|number| number.is_finite())
}

fn part(text: &str) -> Result<Probability, BadArgument> {
    parse(text).and_then(Probability::new).ok_or(BadArgument("a part above 0 and below 1, such as 0.1 or 10%"))
}

fn change(text: &str) -> Result<f64, BadArgument> {
    parse(text).filter(|change| *change != 0.0).ok_or(BadArgument("a part other than 0, such as 0.03, 3% or -3%"))
}

fn number(text: &str) -> Result<f64, BadArgument> {
    let positive = |number: &f64| *number > 0.0 && number.is_finite();
    text.parse().ok().filter(positive).ok_or(BadArgument("a number above 0"))
}

impl SizeArgs {
    fn question(&self) -> Result<SizeQuestion, CommandError> {
        let (alpha, power) = (self.alpha, self.power);
        match (self.control, self.treatment, self.mean, self.deviation, self.change) {
            (Some(control), Some(treatment), None, _, _) => {
                Ok(SizeQuestion::of_rates(control.value(), treatment.value(), alpha, power))
            }
            (None, None, Some(mean), Some(deviation), Some(change)) => {
                let variance = deviation * deviation;
                let (control_variance, treatment_variance) = (variance, variance);
                Ok(SizeQuestion { difference: mean * change, control_variance, treatment_variance, alpha, power })
            }
            _ => Err(CommandError::Usage(
                "found too little, want --control and --treatment, or --mean, --deviation and --change".to_owned(),
            )),
        }
    }
}

/// Says it.
pub(super) fn run(remote: &Remote, args: &SizeArgs) -> Result<(), CommandError> {
    let question = args.question()?;
    let Some(size) = question.answer() else {
        let found = significant(question.difference);
        let wanted = "want one that a thousand million users can show";
        return Err(CommandError::Usage(format!("found a difference of {found}, {wanted}; hope for more")));
    };
    let days = |users: f64| args.users_per_day.map(|per_day| (users / per_day).ceil());
    if remote.json {
        let told = |users: f64| json!({ "users": users, "users_per_arm": (users / 2.0).ceil(), "days": days(users) });
        let (alpha, power) = (args.alpha.value(), args.power.value());
        let answer = json!({
            "difference": question.difference, "alpha": alpha, "power": power,
            "looking_always": told(size.always), "looking_once": told(size.fixed),
        });
        text::print(&text::json(&answer));
        return Ok(());
    }
    let told = |users: f64| {
        let per_arm = whole((users / 2.0).ceil());
        let days = days(users).map_or(String::new(), |days| format!(", {} days", whole(days)));
        format!("{per_arm} users an arm{days}")
    };
    let power = percent(args.power.value());
    text::show(&format!(
        "To find a difference of {} with a probability of {power}:\n  looking whenever you like  {}\n  looking once, then         \
         {}\n",
        significant(question.difference),
        told(size.always),
        told(size.fixed)
    ));
    Ok(())
}

/// A whole number with commas.
fn whole(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "users and days, far below 2^53")]
    let number = number as u64;
    text::thousands(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbers_or_per_cent() {
        assert_eq!(part("10%").map(Probability::value), Ok(0.1));
        assert_eq!(part("0.1").map(Probability::value), Ok(0.1));
        assert!(["0", "100%", "-1%", "x", "nan"].iter().all(|bad| part(bad).is_err()));
        assert_eq!(change("-3%"), Ok(-0.03));
        assert!(change("0%").is_err() && number("0").is_err() && number("inf").is_err());
    }
}
