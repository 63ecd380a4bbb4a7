//! A flag, launched: to a tenth of the users, who are exactly the tenth on v2; to half of them, while v2 stays; and
//! taken back from all. Each step is counted by what the shops were told, user by user.

use std::io::{self, Write};
use std::sync::mpsc::Receiver;

use super::operator::{DemoChange, FLAG, SERVICE};
use super::script::{Stop, watch};
use super::shop_version::ShopVersion;
use super::slot::slot;
use super::stage::{DemoStage, SALT};
use super::{Ending, Event, chain, users};
use crate::cli::text::thousands;

/// How many users are shown one by one.
const SHOWN: usize = 12;

/// What has to be true of the users of each version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FlagReach {
    /// All of v2, and no others.
    UsersOfV2,
    /// All of v2, and some others.
    MoreThanV2,
    /// None.
    NoUser,
}

impl FlagReach {
    /// Whether it is so: users with the flag, and all users, of each version.
    fn holds(self, [(on_v1, v1), (on_v2, v2)]: [(usize, usize); 2]) -> bool {
        let all_of_v2 = v2 > 0 && on_v2 == v2;
        match self {
            Self::UsersOfV2 => all_of_v2 && on_v1 == 0,
            Self::MoreThanV2 => all_of_v2 && on_v1 > 0 && on_v1 < v1,
            Self::NoUser => on_v1 + on_v2 == 0,
        }
    }
}

/// Launches the flag, and prints who has it after each step.
///
/// # Errors
/// When the terminal or the pipe is gone.
pub(crate) fn walk(stage: &DemoStage, incoming: &Receiver<Event>, out: &mut impl Write) -> io::Result<Ending> {
    match steps(stage, incoming, out) {
        Ok(true) => Ok(Ending::Good),
        Ok(false) => Ok(Ending::Failed),
        Err(Stop::Output(error)) => Err(error),
        Err(stop) => {
            writeln!(out, "{}", chain(&stop))?;
            Ok(Ending::Failed)
        }
    }
}

fn steps(stage: &DemoStage, incoming: &Receiver<Event>, out: &mut impl Write) -> Result<bool, Stop> {
    let operator = &stage.operator;
    change(stage, || operator.change(DemoChange::Shift(10)).map(drop).map_err(Stop::from))?;
    watch(stage, incoming)?;
    writeln!(
        out,
        "{SERVICE} v2 has 10 %, and so has flag {FLAG}, which is drawn as {SERVICE} (salt = \"service:{SERVICE}\"):\n"
    )?;
    table(stage, out)?;
    let mut good = tell(stage, FlagReach::UsersOfV2, out)?;
    for (to, says, wanted) in [
        (Some(50), "the flag goes to 50 %, v2 stays where it is", FlagReach::MoreThanV2),
        (Some(10), "back to 10 %", FlagReach::UsersOfV2),
        (None, "and off, by the kill switch", FlagReach::NoUser),
    ] {
        writeln!(out, "\n{says}:")?;
        change(stage, || {
            let made = to.map_or_else(|| operator.kill(), |percent| operator.launch(percent));
            made.map_err(|error| Stop::Operator(error.into()))
        })?;
        watch(stage, incoming)?;
        good &= tell(stage, wanted, out)?;
    }
    writeln!(
        out,
        "\n{}",
        if good { "every user has what they should" } else { "some users have not what they should" }
    )?;
    Ok(good)
}

/// Makes a change, and begins a step after it.
fn change(stage: &DemoStage, make: impl FnOnce() -> Result<(), Stop>) -> Result<(), Stop> {
    stage.tally().begin_change();
    make()?;
    stage.tally().settle();
    Ok(())
}

/// Some users one by one, those on v2 among them.
fn table(stage: &DemoStage, out: &mut impl Write) -> io::Result<()> {
    let tally = stage.tally();
    let versions = tally.assignment();
    let of = |version: ShopVersion| {
        let users = versions.iter().enumerate().filter(move |(_, now)| **now == Some(version));
        users.map(|(user, _)| user).take(SHOWN / 2)
    };
    let mut shown: Vec<usize> = of(ShopVersion::V1).chain(of(ShopVersion::V2)).collect();
    shown.sort_unstable();
    writeln!(out, "  {:<12} {:>7}  {:<8} {FLAG}", "user", "slot", "version")?;
    for user in shown {
        let key = users::key(user);
        let slot = thousands(u64::from(slot(SALT, &key)));
        let version = versions[user].map_or("", ShopVersion::name);
        let flag = if tally.has_flag(user) { "on" } else { "off" };
        writeln!(out, "  {key:<12} {slot:>7}  {version:<8} {flag}")?;
    }
    writeln!(out)
}

/// Says how many users of each version have the flag. Returns whether that is as it should be.
fn tell(stage: &DemoStage, wanted: FlagReach, out: &mut impl Write) -> io::Result<bool> {
    let (found, torn) = {
        let tally = stage.tally();
        (tally.with_flag(), tally.torn())
    };
    let [(on_v1, v1), (on_v2, v2)] = found.map(|(on, all)| (thousands(on as u64), thousands(all as u64)));
    let good = wanted.holds(found) && torn == 0;
    let word = if good { "ok" } else { "FAILED" };
    writeln!(out, "  {on_v2} of {v2} users on v2 have the flag, and {on_v1} of the {v1} others: {word}")?;
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_too_many_or_too_few_is_seen() {
        assert!(FlagReach::UsersOfV2.holds([(0, 90), (10, 10)]));
        for bad in [[(1, 90), (10, 10)], [(0, 90), (9, 10)], [(0, 100), (0, 0)]] {
            assert!(!FlagReach::UsersOfV2.holds(bad), "{bad:?}");
        }
        assert!(FlagReach::MoreThanV2.holds([(40, 90), (10, 10)]));
        for bad in [[(0, 90), (10, 10)], [(90, 90), (10, 10)], [(40, 90), (9, 10)]] {
            assert!(!FlagReach::MoreThanV2.holds(bad), "{bad:?}");
        }
        assert!(FlagReach::NoUser.holds([(0, 90), (0, 10)]));
        assert!(!FlagReach::NoUser.holds([(0, 90), (1, 10)]));
    }
}
