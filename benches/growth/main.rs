//! How the cost of a request grows with what is configured and with who is connected: `make bench-growth` prints tables
//! and writes `docs/growth.svg`, which `docs/performance.md` shows.
//!
//! What is configured is measured in instructions (under callgrind, one request after the other): they show what the
//! code does more, to a thousandth, on any machine. What is connected and how many workers there are is measured in the
//! CPU time that the kernel accounts to the process, under load from wrk: that is about caches and the kernel, and
//! noisy.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops at the first surprise and prints what it measured"
)]

#[path = "../support/callgrind.rs"]
mod callgrind;

#[path = "../support/origin.rs"]
mod origin;

#[path = "../support/round.rs"]
mod round;

#[path = "../support/load.rs"]
mod load;

#[path = "../support/shape.rs"]
mod shape;

mod plot;

use std::path::Path;

use plot::Line;
use shape::Shape;

const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/growth.svg");

/// An axis along which the config grows.
struct Axis {
    name: &'static str,
    sizes: &'static [u32],
    shape: fn(u32) -> Shape,
}

const AXES: [Axis; 4] = [
    Axis {
        name: "services",
        sizes: &[1, 10, 100, 1_000, 10_000],
        shape: |services| Shape { services, ..Shape::SMALL },
    },
    Axis { name: "rules", sizes: &[0, 1, 10, 30, 100], shape: |rules| Shape { rules, ..Shape::SMALL } },
    Axis { name: "versions", sizes: &[2, 4, 8], shape: |versions| Shape { versions, ..Shape::SMALL } },
    Axis {
        name: "endpoints of a version",
        sizes: &[1, 10, 100, 1_000],
        shape: |endpoints| Shape { endpoints, ..Shape::SMALL },
    },
];

fn main() {
    let binary = std::env::var("POINTSMAN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned());
    let binary = Path::new(&binary);
    let mut lines = Vec::new();
    if callgrind::is_installed() {
        let origin = round::origin("0.0.0.0:0");
        println!("| | size | instructions a request | ratio |\n|---|---|---|---|");
        for Axis { name, sizes, shape } in AXES {
            let cost = |size: &u32| (*size, instructions(binary, shape(*size), origin.port()));
            let points: Vec<_> = sizes.iter().map(cost).collect();
            show(name, &points);
            lines.push(Line { name: name.to_owned(), points });
        }
    } else {
        println!("found no valgrind: instructions are left out (Debian, Ubuntu: apt-get install valgrind)");
    }
    println!("\n| | number | CPU ns a request | ratio |\n|---|---|---|---|");
    for (name, points) in [("open connections", load::connections(binary)), ("workers", load::workers(binary))] {
        show(name, &points);
        lines.push(Line { name: name.to_owned(), points });
    }
    std::fs::write(PLOT, plot::svg(&lines)).unwrap();
}

fn instructions(binary: &Path, shape: Shape, origin_port: u16) -> u64 {
    // Connections to all endpoints are open by then.
    let warm = 300 + 9 * u64::from(shape.endpoints);
    round::instructions(binary, &|at, folder| shape.config(at, folder, origin_port), round::GET, (warm, 2))
}

fn show(name: &str, points: &[(u32, u64)]) {
    for (size, cost) in points {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let ratio = *cost as f64 / points[0].1 as f64;
        println!("| {name} | {size} | {cost} | {ratio:.2} |");
    }
}
