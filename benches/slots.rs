//! The split: a key to its version, and new weights over old runs.
//!
//! What to look at: `assign` is the hash of a short key and one binary search, a few tens of nanoseconds, and grows
//! with the logarithm of the runs only. `relaid` is paid once a shift; it must stay far below a millisecond even for a
//! service whose slots have been dealt between five versions for years.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pointsman::testing::table::hash::Salt;
use pointsman::testing::table::{Name, SLOTS, Slots, Weight, Weights};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const VERSIONS: [&str; 5] = ["v1", "v2", "v3", "v4", "v5"];

/// Random weights of all versions.
fn weights(rng: &mut StdRng) -> Weights {
    let mut borders: Vec<u32> = (1..VERSIONS.len()).map(|_| rng.random_range(0..=SLOTS)).collect();
    borders.sort_unstable();
    borders.push(SLOTS);
    let starts = std::iter::once(0).chain(borders.iter().copied());
    let pairs = VERSIONS.iter().zip(starts.zip(&borders)).map(|(version, (start, end))| {
        let weight = Weight::from_slots(end - start).expect("at most all");
        (Name::new(version).expect("a good name"), weight)
    });
    Weights::new(pairs.collect::<BTreeMap<_, _>>()).expect("borders split the whole")
}

fn bench(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(7);
    let two = Slots::parse("v2*10000 v1*90000").expect("two runs");
    let aged = (0..1_000).fold(two.clone(), |slots, _| slots.relaid(&weights(&mut rng)));
    let salt = Salt::new("release-1");
    let keys: Vec<String> = (0..1 << 14).map(|_| format!("user-{}", rng.random_range(0..1_000_000))).collect();
    let mut group = criterion.benchmark_group("slots");
    for (label, slots) in [("two runs".to_owned(), &two), (format!("{} runs", aged.iter().count()), &aged)] {
        let mut index = 0;
        group.bench_function(format!("assign one key, {label}"), |bencher| {
            bencher.iter(|| {
                index = (index + 1) % keys.len();
                black_box(slots.owner(salt.slot(keys[index].as_bytes())).len())
            });
        });
        let wanted = weights(&mut rng);
        group.bench_function(format!("relaid, {label}"), |bencher| bencher.iter(|| slots.relaid(black_box(&wanted))));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
