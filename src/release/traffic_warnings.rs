//! What a start says of a plan that its traffic is too thin for.
//!
//! A step that cannot collect what a verdict needs is held, and its operator should not learn that half an hour later.
//! Where users come back the lot falls on users, and how many there are is not known before the rollout; so it is said
//! how many it takes. A user is one of 100,000 slots of the key space, and a small share has few of them.

use std::time::Duration;

use crate::rollout::judge::power::ExpectedTraffic;
use crate::rollout::judge::summary::about;
use crate::rollout::judge::{Assignment, CandidateShare, JudgeSettings};
use crate::rollout::stage::Stage;
use crate::table::Weight;

/// What the users of a service are drawn for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DrawnFor<'n> {
    /// A version.
    #[default]
    Version,
    /// A variant of a flag.
    Variant {
        /// The rule that draws, if rules before it decide on some of the requests.
        only_by: Option<&'n str>,
    },
}

impl<'n> DrawnFor<'n> {
    /// The rule that draws, if not all requests are drawn.
    pub(crate) fn only_by(self) -> Option<&'n str> {
        match self {
            Self::Version => None,
            Self::Variant { only_by } => only_by,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Variant { .. } => "variant",
        }
    }
}

/// The traffic of a service at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartTraffic<'n> {
    /// The service.
    pub service: &'n str,
    /// Requests a second of all of its versions.
    pub requests_per_second: f64,
    /// The part of the baseline's requests that fail.
    pub failing: f64,
    /// What its users are drawn for. How many of the requests a rule of a flag draws is not known before its release.
    pub drawn_for: DrawnFor<'n>,
}

/// What the operator of services that are released together will want to know: of the one with the thinnest traffic,
/// because it sets the pace, and which others are thin too. A warning for each service would fill a screen.
#[must_use]
pub(crate) fn of_all(stages: &[Stage], settings: &JudgeSettings, traffic: &[StartTraffic<'_>]) -> Vec<String> {
    let by_rate =
        |a: &&StartTraffic<'_>, b: &&StartTraffic<'_>| a.requests_per_second.total_cmp(&b.requests_per_second);
    let warned = || traffic.iter().filter(|traffic| !of(stages, settings, traffic).is_empty());
    let Some(thinnest) = warned().min_by(by_rate) else { return Vec::new() };
    let others: Vec<_> = warned().map(|traffic| traffic.service).filter(|name| *name != thinnest.service).collect();
    if others.is_empty() {
        return of(stages, settings, thinnest);
    }
    let service = format!("{} (likewise {})", thinnest.service, others.join(", "));
    of(stages, settings, &StartTraffic { service: &service, ..*thinnest })
}

/// What its operator will want to know, step by step.
#[must_use]
pub(crate) fn of(stages: &[Stage], settings: &JudgeSettings, traffic: &StartTraffic<'_>) -> Vec<String> {
    let bakes = stages.iter().filter_map(|stage| match stage {
        Stage::Bake { weight, bake } if CandidateShare::at(*weight).compares() => Some((*weight, *bake)),
        Stage::Bake { .. } | Stage::Mirror { .. } | Stage::Do(_) | Stage::Keep(_) => None,
    });
    match settings.assignment {
        Assignment::PerRequest => bakes.filter_map(|(weight, bake)| thin(weight, bake, settings, traffic)).collect(),
        Assignment::PerKey => {
            let need = |(weight, bake)| {
                let needed = settings.requests_needed(CandidateShare::at(weight), traffic.failing)?;
                Some(UserNeed { weight, bake, needed })
            };
            let (all, impossible): (Vec<_>, Vec<_>) =
                bakes.filter_map(need).partition(|need| need.needed <= need.places());
            let mut said: Vec<_> = impossible.iter().map(|need| need.impossible(traffic)).collect();
            said.extend(all.iter().filter_map(|need| need.thin(traffic)));
            let most = all.iter().max_by(|a, b| a.in_all().total_cmp(&b.in_all()));
            said.extend(most.map(|need| need.in_words(traffic)));
            said
        }
    }
}

fn thin(weight: Weight, bake: Duration, settings: &JudgeSettings, traffic: &StartTraffic<'_>) -> Option<String> {
    let StartTraffic { service, requests_per_second, failing, .. } = *traffic;
    let shortfall =
        settings.shortfall(CandidateShare::at(weight), failing, ExpectedTraffic { requests_per_second, bake })?;
    Some(format!(
        "{service} at {weight} %: {requests_per_second:.1} requests/s bring {:.0} requests in a bake of {}, and a \
         verdict needs {}; the step will be held until they are there ({})",
        shortfall.expected,
        about(bake),
        shortfall.needed,
        enough(shortfall.bake),
    ))
}

/// The users that a step needs on the new version.
#[derive(Clone, Copy, Debug)]
struct UserNeed {
    weight: Weight,
    bake: Duration,
    needed: u64,
}

impl UserNeed {
    /// The slots of the share.
    fn places(&self) -> u64 {
        u64::from(self.weight.slots())
    }

    /// How many users the service has to have for that.
    fn in_all(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of users")]
        let needed = self.needed as f64;
        needed / self.weight.ratio()
    }

    fn impossible(&self, StartTraffic { service, drawn_for, .. }: &StartTraffic<'_>) -> String {
        let what = drawn_for.word();
        format!(
            "{service} at {} %: users stay on their {what} and each counts once, as one of {} places of this share, and a \
             verdict needs {}: what judge.catches promises cannot be kept here, and the step will be held; raise the \
             weight or judge.catches, or set judge.requests_min",
            self.weight,
            self.places(),
            self.needed
        )
    }

    fn thin(&self, traffic: &StartTraffic<'_>) -> Option<String> {
        let StartTraffic { service, requests_per_second, drawn_for, .. } = *traffic;
        let expected = requests_per_second * self.weight.ratio() * self.bake.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count of users")]
        let short = expected < self.needed as f64;
        let only = drawn_for.only_by().map_or_else(String::new, |rule| format!(", those that rule {rule} draws,"));
        short.then(|| {
            format!(
                "{service} at {} %: {requests_per_second:.1} requests/s{only} bring {expected:.0} users at the most in a bake of \
                 {}, and a verdict needs {}; the step will be held until they are there ({})",
                self.weight,
                about(self.bake),
                self.needed,
                if requests_per_second > 0.0 {
                    "raise the weight, the bake or judge.catches"
                } else {
                    "there is no traffic now"
                },
            )
        })
    }

    fn in_words(&self, StartTraffic { service, drawn_for, .. }: &StartTraffic<'_>) -> String {
        let what = drawn_for.word();
        let only = drawn_for.only_by().map_or_else(String::new, |rule| format!(" that rule {rule} draws"));
        format!(
            "{service}: users stay on their {what} and each counts once, so a step needs users: {} on the new {what} at \
             {} %, which takes about {:.0} in all{only}; with fewer it will be held",
            self.needed,
            self.weight,
            self.in_all()
        )
    }
}

fn enough(bake: Duration) -> String {
    match bake {
        Duration::MAX => "there is no traffic now".to_owned(),
        bake => format!("{} would be enough; or raise the weight or judge.catches", about(bake)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::probability::Probability;

    fn said(percent: f64, catches: f64, assignment: Assignment, requests_per_second: f64) -> Vec<String> {
        let stages = [
            Stage::Bake { weight: Weight::from_percent(percent).unwrap(), bake: Duration::from_secs(600) },
            Stage::Bake { weight: Weight::FULL, bake: Duration::from_secs(600) },
        ];
        let catches = Probability::new(catches).unwrap();
        let settings = JudgeSettings { assignment, catches, ..JudgeSettings::default() };
        let drawn_for = DrawnFor::Version;
        of(&stages, &settings, &StartTraffic { service: "shop", requests_per_second, failing: 0.001, drawn_for })
    }

    #[test]
    fn a_plain_service_is_told_of_requests() {
        assert_eq!(said(10.0, 0.02, Assignment::PerRequest, 1_000.0), Vec::<String>::new());
        let thin = said(1.0, 0.02, Assignment::PerRequest, 20.0);
        assert!(thin.len() == 1 && thin[0].starts_with("shop at 1 %: 20.0 requests/s bring 120 requests"), "{thin:?}");
    }

    #[test]
    fn services_that_are_released_together_are_warned_of_by_the_thinnest_of_them() {
        let weight = Weight::from_percent(10.0).unwrap();
        let stages = [Stage::Bake { weight, bake: Duration::from_secs(600) }];
        let traffic = |rates: &[(&'static str, f64)]| -> Vec<String> {
            let each = |(service, requests_per_second): &(&'static str, f64)| StartTraffic {
                service,
                requests_per_second: *requests_per_second,
                failing: 0.001,
                drawn_for: DrawnFor::Version,
            };
            let all: Vec<_> = rates.iter().map(each).collect();
            of_all(&stages, &JudgeSettings::default(), &all)
        };
        assert!(traffic(&[("web", 1_000.0), ("cart", 1_000.0)]).is_empty());
        let [one] = &traffic(&[("web", 1_000.0), ("cart", 1.0)])[..] else { panic!("one line") };
        assert!(one.starts_with("cart at 10 %: 1.0 requests/s bring 60 requests in a bake of 10 min, and"), "{one}");
        let [all] = &traffic(&[("web", 2.0), ("cart", 1.0), ("pay", 3.0)])[..] else { panic!("one line") };
        assert!(all.starts_with("cart (likewise web, pay) at 10 %: 1.0 requests/s"), "{all}");
    }

    #[test]
    fn a_sticky_service_is_told_of_users() {
        let [plain] = &said(10.0, 0.02, Assignment::PerKey, 1_000.0)[..] else { panic!("one line") };
        assert!(plain.contains("each counts once") && plain.contains("on the new version at 10 %"), "{plain}");
        let [thin, _] = &said(10.0, 0.02, Assignment::PerKey, 1.0)[..] else { panic!("two lines") };
        assert!(thin.starts_with("shop at 10 %: 1.0 requests/s bring 60 users at the most"), "{thin}");
        let weight = Weight::from_percent(10.0).unwrap();
        let stages = [Stage::Bake { weight, bake: Duration::from_secs(600) }];
        let settings = JudgeSettings { assignment: Assignment::PerKey, ..JudgeSettings::default() };
        let drawn_for = DrawnFor::Variant { only_by: Some("launch") };
        let traffic = StartTraffic { service: "shop", requests_per_second: 1.0, failing: 0.001, drawn_for };
        let [thin, all] = &of(&stages, &settings, &traffic)[..] else { panic!("two lines") };
        let counted = "1.0 requests/s, those that rule launch draws, bring 60 users at the most";
        assert!(thin.contains(counted) && !thin.contains("version"), "{thin}");
        assert!(all.contains("on the new variant at 10 %") && all.contains("in all that rule launch draws"), "{all}");
        assert!(!all.contains("version"), "{all}");
        let [impossible] = &said(1.0, 0.005, Assignment::PerKey, 1_000.0)[..] else { panic!("one line") };
        assert!(impossible.contains("one of 1000 places") && impossible.contains("cannot be kept"), "{impossible}");
    }
}
