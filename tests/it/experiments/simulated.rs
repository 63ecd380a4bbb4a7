//! A share of what `make bench-experiments` plays: equal arms are rarely found to differ however often one looks,
//! different ones are found, and so is a wrong ratio of users.

#[path = "../../../benches/experiments/simulation.rs"]
mod simulation;

use simulation::{Looks, USERS_PER_LOOK, World, play, ratio_alarm};

/// `SEED=...` plays others.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let first = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_129_u64);
    println!("seeds from {first}; SEED={first} repeats them");
    first..first + count
}

fn share(looks: &[Looks], found: impl Fn(&Looks) -> bool) -> f64 {
    looks.iter().filter(|looks| found(looks)).count() as f64 / looks.len() as f64
}

#[test]
fn equal_arms_are_rarely_found_to_differ_however_often_one_looks() {
    for world in [World::Rates(0.1, 0.1), World::Rates(0.05, 0.05), World::Rates(0.5, 0.5)] {
        let looks: Vec<_> = seeds(300).map(|seed| play(world, 100, seed)).collect();
        assert!(
            looks.iter().all(|looks| looks.seen.len() >= 99 && looks.seen.iter().all(|seen| seen.value.is_finite()))
        );
        let (always, fixed) =
            (share(&looks, |looks| looks.always.is_some()), share(&looks, |looks| looks.fixed.is_some()));
        println!("found to differ: {always} whenever one looks, {fixed} by a test for one look");
        assert!(always <= 0.05, "{always}");
        // At most 5 %, if it were right for many looks.
        assert!(fixed > 0.1, "{fixed}");
        let wider =
            |seen: &simulation::Seen| seen.always.is_none_or(|[low, high]| low < seen.fixed[0] && seen.fixed[1] < high);
        assert!(looks.iter().flat_map(|looks| &looks.seen).all(wider), "what is looked at always costs width");
        // At each single look the test for one look is right.
        let last =
            looks.iter().filter(|looks| looks.seen.last().is_some_and(|seen| seen.fixed[0] * seen.fixed[1] > 0.0));
        assert!(last.count() <= 30, "of 300");
    }
}

/// Fifty conversions an arm in the end: the interval is held back all the time, and the exact bet decides.
#[test]
fn rare_conversions_are_rarely_found_to_differ_too() {
    let looks: Vec<_> = seeds(300).map(|seed| play(World::Rates(0.01, 0.01), 100, seed)).collect();
    let (always, found) = (
        share(&looks, |looks| looks.always.is_some()),
        seeds(40).filter_map(|seed| play(World::Rates(0.002, 0.02), 100, seed).always).count(),
    );
    println!("found to differ: {always} of equal arms, {found} of 40 with ten times as many conversions");
    assert!(always <= 0.05 && found >= 38, "{always} {found}");
}

#[test]
fn unequal_amounts_are_rarely_found_to_differ_either() {
    let looks: Vec<_> = seeds(40).map(|seed| play(World::Revenue, 40, seed)).collect();
    let always = share(&looks, |looks| looks.always.is_some());
    assert!(always <= 0.05, "{always}");
}

#[test]
fn ten_against_twelve_per_cent_are_found() {
    let mut users: Vec<_> = seeds(60).map(|seed| play(World::Rates(0.1, 0.12), 400, seed).always).collect();
    users.sort_by_key(|look| look.unwrap_or(u64::MAX));
    let median = users[30].expect("found") * USERS_PER_LOOK;
    let found = users.iter().flatten().count();
    println!("10 % -> 12 % found after {median} users in the middle case, {found} of 60 within 40,000");
    assert!(median > 4000 && median < 16_000 && found >= 58, "{median} {found}");
}

#[test]
fn a_wrong_ratio_of_users_is_found_and_a_right_one_is_not() {
    let right = seeds(2000).filter(|seed| ratio_alarm(0.5, 100, *seed).is_some()).count();
    assert_eq!(right, 0, "of 2000 experiments with 10,000 users");
    let wrong: Vec<_> = seeds(30).filter_map(|seed| ratio_alarm(0.49, 2000, seed)).collect();
    assert_eq!(wrong.len(), 30, "49/51 within 200,000 users");
}
