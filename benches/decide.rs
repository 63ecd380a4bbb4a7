//! The decision over tables of different sizes.
//!
//! What to look at: how far `10000 services` is from `1 service`; the aim is twice. `one asked for` shows that the work
//! does not grow with the table. What the others cost more is cache misses: host, paths, service, rules, runs and
//! endpoints of ten thousand services do not fit into a core's cache. `popular` draws services as a site's traffic does
//! (Zipf: the n-th most popular one gets 1/n of the first one's requests); `uniform` is the worst order there is. The
//! requests themselves are few and warm, because a proxy has just parsed them. `find` is the router's part alone. A busy
//! neighbour that shares the last cache level doubles the large ones and leaves the small one as it was: measure on a
//! quiet machine.

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pointsman::stats::Registry;
use pointsman::table::{RequestView, decide};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SERVICES: u32 = 10_000;
const PATH: &str = "/api/v2/items/7";

/// Draws that are prepared, more than a branch predictor learns.
const DRAWS: usize = 1 << 16;

/// Warm requests of different users.
fn users() -> Vec<HeaderMap> {
    let user = |number: u32| {
        let user = format!("user-{number}");
        let pairs = [("x-canary", "none"), ("accept", "*/*"), ("user-agent", "curl/8.9"), ("x-user-id", &user)];
        let pairs = pairs.map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))
        });
        pairs.into_iter().collect()
    };
    (0..64).map(user).collect()
}

/// The services of successive requests, every one equally likely.
fn uniform(services: u32) -> Vec<u32> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..DRAWS).map(|_| rng.random_range(0..services)).collect()
}

/// The services of successive requests, by Zipf's law; popularity has nothing to do with the place in the table.
fn popular(services: u32) -> Vec<u32> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut order: Vec<u32> = (0..services).collect();
    for place in 1..order.len() {
        order.swap(place, rng.random_range(0..=place));
    }
    let mut total = 0.0;
    let ranks = (1..=services).map(|rank| {
        total += 1.0 / f64::from(rank);
        total
    });
    let sums: Vec<f64> = ranks.collect();
    let mut draw = || {
        let at = total * rng.random::<f64>();
        order[sums.partition_point(|sum| *sum < at).min(order.len() - 1)]
    };
    (0..DRAWS).map(|_| draw()).collect()
}

fn bench(criterion: &mut Criterion) {
    let users = users();
    let mut group = criterion.benchmark_group("decide");
    for (label, services, draws) in [
        ("1 service", 1, uniform(1)),
        ("10000 services, one asked for", SERVICES, vec![SERVICES / 2; DRAWS]),
        ("10000 services, popular", SERVICES, popular(SERVICES)),
        ("10000 services, uniform", SERVICES, uniform(SERVICES)),
    ] {
        let table = support::Site::new(services).compile(&Registry::new(1));
        let hosts: Vec<String> = (0..services).map(support::host).collect();
        let mut index = 0;
        let mut next = || {
            index = (index + 1) % DRAWS;
            RequestView {
                method: &Method::GET,
                host: &hosts[draws[index] as usize],
                path: PATH,
                query: None,
                headers: &users[index % users.len()],
                client: [192, 0, 2, 1].into(),
            }
        };
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                let decision = decide(&table, &next(), 0, |version| version.usable(0));
                black_box(decision.map(|decision| decision.version).ok())
            });
        });
        group.bench_function(format!("find, {label}"), |bencher| {
            bencher.iter(|| black_box(table.find(next().host, PATH)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
