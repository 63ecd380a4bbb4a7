//! A plot of how costs grow, as SVG.

use std::fmt::Write;

/// One thing that grows.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Sizes and costs.
    pub(crate) points: Vec<(u32, u64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 45.0;

/// Told apart by people who do not see all colours (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// Costs as multiples of the smallest size's, over sizes on a logarithmic axis.
pub(crate) fn svg(lines: &[Line]) -> String {
    let ratios = lines.iter().flat_map(|line| line.points.iter().map(|point| ratio(line, point.1)));
    let top = ratios.fold(2.0_f64, f64::max).ceil();
    let x = |size: u32| LEFT + (WIDTH - LEFT - RIGHT) * f64::from(size.max(1)).log10() / 4.0;
    let y = |ratio: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ratio / top;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\">cost of a request, as a multiple of the smallest size's</text>\n"
    );
    for size in [1, 10, 100, 1_000, 10_000] {
        let (at, foot) = (x(size), HEIGHT - BOTTOM);
        writeln!(out, "<line x1=\"{at:.0}\" y1=\"{TOP}\" x2=\"{at:.0}\" y2=\"{foot}\" stroke=\"#ddd\"/>").unwrap();
        writeln!(out, "<text x=\"{at:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{size}</text>", foot + 18.0).unwrap();
    }
    let mut mark = 0.0;
    while mark <= top {
        let (at, end) = (y(mark), WIDTH - RIGHT);
        writeln!(out, "<line x1=\"{LEFT}\" y1=\"{at:.0}\" x2=\"{end}\" y2=\"{at:.0}\" stroke=\"#ddd\"/>").unwrap();
        writeln!(out, "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{mark:.1}</text>", LEFT - 6.0, at + 4.0).unwrap();
        mark += 0.5;
    }
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<_> =
            line.points.iter().map(|(size, cost)| format!("{:.1},{:.1}", x(*size), y(ratio(line, *cost)))).collect();
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        )
        .unwrap();
        for point in &points {
            let (cx, cy) = point.split_once(',').unwrap();
            writeln!(out, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>").unwrap();
        }
        let (left, at) = (WIDTH - RIGHT + 16.0, TOP + 20.0 * (index as f64 + 1.0));
        writeln!(out, "<rect x=\"{left}\" y=\"{:.0}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>", at - 6.0)
            .unwrap();
        writeln!(out, "<text x=\"{}\" y=\"{at:.0}\">{}</text>", left + 18.0, line.name).unwrap();
    }
    out + "</svg>\n"
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(line: &Line, cost: u64) -> f64 {
    cost as f64 / line.points[0].1 as f64
}
