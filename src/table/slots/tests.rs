//! The promises of slots, for any weights: nothing moves that does not have to.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::table::fixture::{name, weights};

/// In natural order, which is neither that of the bytes nor that of their lengths.
const NAMES: [&str; 5] = ["blue", "v1", "v2", "v9", "v10"];

fn from_slots(pairs: &[(&str, u32)]) -> Weights {
    let pairs = pairs.iter().map(|(version, slots)| (name(version), Weight::from_slots(*slots).expect("in range")));
    Weights::new(pairs.collect()).expect("a sum of 100")
}

/// Weights of some of the first `versions` names. Borders are drawn, so that the sum is right; the ends and whole per
/// cents are drawn often, because zero, everything and equal borders are where a layout goes wrong.
fn some_weights(versions: usize) -> impl Strategy<Value = Weights> {
    let border = prop_oneof![Just(0), Just(SLOTS), (0..=100_u32).prop_map(|percent| percent * 1_000), 0..=SLOTS];
    let named = subsequence(NAMES[..versions].to_vec(), 1..=versions);
    (named, prop::collection::vec(border, versions - 1)).prop_map(|(named, mut borders)| {
        borders.truncate(named.len() - 1);
        borders.sort_unstable();
        borders.push(SLOTS);
        let mut start = 0;
        let pairs = named.into_iter().zip(borders).map(|(version, border)| {
            let slots = border - start;
            start = border;
            (version, slots)
        });
        from_slots(&pairs.collect::<Vec<_>>())
    })
}

/// One history of a service with 2 to 5 versions, of which each step names some.
fn history() -> impl Strategy<Value = Vec<Weights>> {
    (2..=NAMES.len()).prop_flat_map(|versions| prop::collection::vec(some_weights(versions), 2..10))
}

/// The owner of every single slot, as an index into [`NAMES`]: what the runs are a short form of.
fn every_slot(slots: &Slots) -> Vec<usize> {
    let owners = slots.iter().flat_map(|(from, run)| (from..run.until).map(|_| run.version.as_str()));
    let index = |owner: &str| NAMES.iter().position(|name| *name == owner).expect("a known version");
    let mut last = ("", 0);
    let owners = owners.map(|owner| {
        if owner != last.0 {
            last = (owner, index(owner));
        }
        last.1
    });
    owners.collect()
}

/// How many slots went from each version (row) to each version (column).
fn moves(before: &Slots, after: &Slots) -> [[u32; NAMES.len()]; NAMES.len()] {
    let mut moves = [[0; NAMES.len()]; NAMES.len()];
    for (from, to) in every_slot(before).into_iter().zip(every_slot(after)) {
        moves[from][to] += 1;
    }
    moves
}

/// Checks one step against the promise, slot by slot.
fn check_step(before: &Slots, after: &Slots, wanted: &Weights) -> Result<(), TestCaseError> {
    let moves = moves(before, after);
    let (mut differences, mut moved) = (0, 0);
    for (from, version) in NAMES.iter().enumerate() {
        let (had, has) = (before.count(version), wanted.of(version).slots());
        prop_assert_eq!(after.count(version), has, "the weight of {}", version);
        differences += had.abs_diff(has);
        for (to, other) in NAMES.iter().enumerate().filter(|(to, _)| *to != from) {
            let called_for = has < had && before.count(other) < wanted.of(other).slots();
            prop_assert!(called_for || moves[from][to] == 0, "{} slots from {} to {}", moves[from][to], version, other);
            moved += moves[from][to];
        }
        prop_assert_eq!(moves[from][from], had.min(has), "{} keeps all but what it gives up", version);
    }
    prop_assert_eq!(moved * 2, differences, "exactly half the sum of the differences");
    prop_assert_eq!((before.moved(after), after.moved(before)), (moved, moved), "`moved` counts slot by slot");
    Ok(())
}

/// Checks what holds for any runs.
fn check_whole(slots: &Slots) -> Result<(), TestCaseError> {
    let runs: Vec<_> = slots.iter().collect();
    prop_assert_eq!(every_slot(slots).len(), SLOTS as usize);
    prop_assert!(runs.iter().all(|(from, run)| *from < run.until), "no run is empty");
    prop_assert!(runs.windows(2).all(|pair| pair[0].1.version != pair[1].1.version), "neighbours differ");
    for (from, run) in &runs {
        prop_assert_eq!((slots.owner(*from), slots.owner(run.until - 1)), (&run.version, &run.version));
    }
    let text = slots.to_string();
    let parsed = Slots::parse(&text);
    prop_assert_eq!(parsed.as_ref().map(ToString::to_string), Ok(text));
    prop_assert_eq!(parsed.as_ref(), Ok(slots));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_history_moves_the_least_and_only_what_was_called_for(history in history()) {
        let mut slots = Slots::fresh(&history[0]);
        check_whole(&slots)?;
        for wanted in &history[1..] {
            let after = slots.relaid(wanted);
            check_whole(&after)?;
            check_step(&slots, &after, wanted)?;
            prop_assert_eq!(&after.relaid(wanted), &after, "the same weights again move nothing");
            let counted = after.weights();
            let without_zeros = wanted.iter().filter(|(_, weight)| *weight > Weight::ZERO);
            prop_assert!(counted.iter().eq(without_zeros), "{} of {}", counted, wanted);
            slots = after;
        }
    }

    /// What the first owner is called does not matter: the slots are those that it would have under a name that comes
    /// first by itself. So every promise that holds for the natural order holds for each order.
    #[test]
    fn the_first_owner_is_as_if_its_name_came_first(history in history(), first in 0..NAMES.len()) {
        let (first, renamed) = (NAMES[first], "a");
        let rename = |weights: &Weights| {
            let pairs = weights.iter().map(|(owner, weight)| {
                (if owner.as_str() == first { name(renamed) } else { owner.clone() }, weight)
            });
            Weights::new(pairs.collect()).expect("the same weights")
        };
        let order = SlotOrder::First(first);
        let (mut slots, mut others) = (Slots::fresh_in(order, &history[0]), Slots::fresh(&rename(&history[0])));
        for wanted in &history[1..] {
            let after = slots.relaid_in(order, wanted);
            check_step(&slots, &after, wanted)?;
            (slots, others) = (after, others.relaid(&rename(wanted)));
            let text = slots.to_string().replace(&format!("{first}*"), "a*");
            prop_assert_eq!(text, others.to_string());
        }
    }

    #[test]
    fn with_two_versions_the_later_one_owns_the_low_end(history in prop::collection::vec(0..=SLOTS, 1..20)) {
        let weights = |w: u32| from_slots(&[("v9", SLOTS - w), ("v10", w)]);
        let mut slots = Slots::fresh(&weights(history[0]));
        for w in history {
            slots = slots.relaid(&weights(w));
            let expected = match w {
                0 => format!("v9*{SLOTS}"),
                SLOTS => format!("v10*{SLOTS}"),
                _ => format!("v10*{w} v9*{}", SLOTS - w),
            };
            prop_assert_eq!(slots.to_string(), expected);
        }
    }

    #[test]
    fn what_parses_is_what_display_writes(text in "([a-c*+ 0-9-]{0,40}|(v[12]\\*[0-9]{1,6} ?){0,4})") {
        if let Ok(slots) = Slots::parse(&text) {
            prop_assert_eq!(slots.to_string(), text);
        }
    }

    #[test]
    fn nothing_that_is_stored_can_panic(text in any::<String>(), cut in any::<prop::sample::Index>()) {
        let whole = "v2*10000 v1*90000";
        let at = cut.index(whole.len());
        for broken in [text.clone(), format!("{}{text}{}", &whole[..at], &whole[at..]), whole[..at].to_owned()] {
            if let Ok(slots) = Slots::parse(&broken) {
                prop_assert_eq!(slots.to_string(), broken);
            }
        }
    }
}

#[test]
fn garbage_is_refused() {
    for bad in [
        "",
        " ",
        "v1",
        "v1*",
        "*100000",
        "v1*100001",
        "v1*99999",
        "v1*0 v2*100000",
        "v1*-1 v2*100001",
        "v1*4294967295 v2*100001",
        "v1*18446744073709551616",
        "v1*50000 v1*50000",
        "v1*50000  v2*50000",
        " v1*100000",
        "v1*100000 ",
        "v1*100000\n",
        "v1*50000\tv2*50000",
        "v1*60000 v2*60000",
        "v1*100000 v2*1",
        "v1*1e5",
        "v1*100000*1",
        "v/1*100000",
        "v1=100000",
        // Readable, but not what was written: a stored text that an operator edited.
        "v1*+100000",
        "v1*0100000",
    ] {
        assert!(Slots::parse(bad).is_err(), "{bad:?}");
    }
    let error = Slots::parse("v2*10 v1*x").expect_err("not a number").to_string();
    assert_eq!(error, r#"found "v1*x" in a list of slot runs, want `version*slots` items that sum to 100000"#);
}

#[test]
fn fresh_slots_go_from_the_last_version_to_the_first() {
    let text = |split: &str| Slots::fresh(&weights(split)).to_string();
    assert_eq!(text("v1=90 v2=10"), "v2*10000 v1*90000");
    assert_eq!(text("v1=33.333 v2=0 v9=33.333 v10=33.334"), "v10*33334 v9*33333 v1*33333");
    assert_eq!(text("v1=100"), "v1*100000");
}

#[test]
fn a_third_version_takes_from_the_one_that_shrinks() {
    // Cumulative ranges would move v2's users here, although v2 keeps its weight.
    let before = Slots::fresh(&weights("v1=80 v2=20"));
    let after = before.relaid(&weights("v1=70 v2=20 v3=10"));
    assert_eq!(after.to_string(), "v2*20000 v3*10000 v1*70000");
    assert_eq!(before.moved(&after), 10_000);
    let gone = after.relaid(&weights("v2=20 v3=80"));
    assert_eq!(gone.to_string(), "v2*20000 v3*80000");
    assert_eq!((gone.count("v1"), gone.owner(20_000).as_str(), gone.owner(SLOTS - 1).as_str()), (0, "v3", "v3"));
}

#[test]
fn a_long_life_does_not_shatter_the_runs() {
    // One canary after the other, for years: what the store writes and a table searches stays short.
    let mut slots = Slots::fresh(&weights("v1=100"));
    let mut longest = 0;
    for release in 2..400_u32 {
        let (old, new) = (format!("v{}", release - 1), format!("v{release}"));
        for w in [1_000, 10_000, 50_000, 100_000] {
            slots = slots.relaid(&from_slots(&[(&old, SLOTS - w), (&new, w)]));
            longest = longest.max(slots.iter().count());
        }
    }
    assert_eq!((longest, slots.to_string()), (2, "v399*100000".to_owned()));
}
