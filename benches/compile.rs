//! What a change costs before it is in force.
//!
//! What to look at: `whole table` is paid when the config changes and stays below 100 ms for 10,000 services with 10
//! rules each; `one service shifted` is paid by every shift and is a copy of a block of records, a few microseconds.
//! The time to free a table is not in them: it falls to the thread that lets its last snapshot go, after the swap.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use pointsman::testing::stats::Registry;

const SERVICES: u32 = 10_000;

fn bench(criterion: &mut Criterion) {
    let site = support::Site::new(SERVICES);
    let registry = Registry::new(4);
    let table = site.compile(&registry);
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(20);
    group.bench_function("first table of a process", |bencher| {
        bencher.iter_with_large_drop(|| {
            let registry = Registry::new(4);
            (site.compile(&registry), registry)
        });
    });
    group.bench_function("whole table", |bencher| bencher.iter_with_large_drop(|| site.compile(&registry)));
    let shop = support::name("service-7");
    let traffic = &table.service_named("service-7").expect("one of the services").traffic;
    let shifted = Arc::new(traffic.shifted(&support::split(25.0), || "release-2".into()));
    group.bench_function("one service shifted", |bencher| {
        bencher.iter_with_large_drop(|| black_box(table.with_traffic(2, [(&shop, &shifted)], &registry)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
