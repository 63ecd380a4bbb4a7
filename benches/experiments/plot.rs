//! An A/A test that is looked at daily, by both kinds of interval, and how many of thousands such tests are found to
//! differ, as SVG.

use std::fmt::Write;

use crate::simulation::{Looks, Seen};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 30.0;
/// Where each of the two panels begins and how high it is.
const TOPS: [f64; 2] = [40.0, 330.0];
const PANEL: f64 = 190.0;

/// Told apart by people who do not see all colours (Okabe and Ito, 2008).
const ALWAYS: &str = "#0072b2";
const FIXED: &str = "#d55e00";

/// A panel's axes.
struct Panel {
    top: f64,
    looks: usize,
    low: f64,
    high: f64,
}

impl Panel {
    fn x(&self, look: usize) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * look as f64 / self.looks as f64
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.top + PANEL * (1.0 - part)
    }

    /// The frame with marks at these values, and below it the days.
    fn frame(&self, out: &mut String, title: &str, marks: &[(f64, String)]) {
        writeln!(out, "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>", self.top - 14.0).unwrap();
        for (value, name) in marks {
            let (at, end) = (self.y(*value), WIDTH - RIGHT);
            writeln!(out, "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>").unwrap();
            writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>", LEFT - 6.0, at + 4.0)
                .unwrap();
        }
        for look in (0..=self.looks).step_by(20) {
            let (at, foot) = (self.x(look), self.top + PANEL + 18.0);
            writeln!(out, "<text x=\"{at:.0}\" y=\"{foot}\" text-anchor=\"middle\">{look}</text>").unwrap();
        }
        let (middle, foot) = (f64::midpoint(LEFT, WIDTH - RIGHT), self.top + PANEL + 34.0);
        writeln!(out, "<text x=\"{middle:.0}\" y=\"{foot}\" text-anchor=\"middle\">day</text>").unwrap();
    }
}

/// Both panels; the first shows the experiment whose fixed interval leaves zero out on most days while the other one
/// never does.
pub(crate) fn svg(experiments: &[Looks], users_per_look: u64) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let wrong_days = |looks: &Looks| looks.seen.iter().filter(|seen| excludes_zero(seen.fixed)).count();
    let typical = experiments.iter().filter(|looks| looks.always.is_none()).max_by_key(|looks| wrong_days(looks));
    if let Some(looks) = typical {
        one_experiment(&mut out, looks, users_per_look);
    }
    all_experiments(&mut out, experiments);
    out + "</svg>\n"
}

fn excludes_zero([low, high]: [f64; 2]) -> bool {
    low > 0.0 || high < 0.0
}

fn one_experiment(out: &mut String, looks: &Looks, users_per_look: u64) {
    let panel = Panel { top: TOPS[0], looks: looks.seen.len(), low: -0.06, high: 0.06 };
    let title =
        format!("One of them: equal arms, 10 % convert, {users_per_look} new users a day; the difference in points");
    let marks = [-0.06, -0.03, 0.0, 0.03, 0.06].map(|value: f64| (value, format!("{:+.0}", value * 100.0)));
    panel.frame(out, &title, &marks);
    let line = |of: fn(&Seen) -> Option<f64>| -> Vec<String> {
        let points = looks.seen.iter().zip(1..).filter_map(|(seen, look)| Some((look, of(seen)?)));
        points.map(|(look, value)| format!("{:.1},{:.1}", panel.x(look), panel.y(value))).collect()
    };
    let mut band = |low: Vec<String>, high: Vec<String>, colour: &str| {
        let points: Vec<_> = low.into_iter().chain(high.into_iter().rev()).collect();
        let points = points.join(" ");
        writeln!(out, "<polygon points=\"{points}\" fill=\"{colour}\" fill-opacity=\"0.2\" stroke=\"{colour}\"/>")
            .unwrap();
    };
    band(line(|seen| Some(seen.always?[0])), line(|seen| Some(seen.always?[1])), ALWAYS);
    band(line(|seen| seen.always.map(|_| seen.fixed[0])), line(|seen| seen.always.map(|_| seen.fixed[1])), FIXED);
    let values = line(|seen| Some(seen.value)).join(" ");
    writeln!(out, "<polyline points=\"{values}\" fill=\"none\" stroke=\"black\"/>").unwrap();
    for (seen, look) in
        looks.seen.iter().zip(1..).filter(|(seen, _)| seen.always.is_some() && excludes_zero(seen.fixed))
    {
        let (at, foot) = (panel.x(look), panel.y(seen.value));
        writeln!(out, "<circle cx=\"{at:.1}\" cy=\"{foot:.1}\" r=\"3\" fill=\"{FIXED}\"/>").unwrap();
    }
    legend(out, panel.top + 12.0, ALWAYS, "95 % whenever you look");
    legend(out, panel.top + 28.0, FIXED, "95 % looking once; dots: days on which it says that the arms differ");
}

fn all_experiments(out: &mut String, experiments: &[Looks]) {
    let looks = experiments.first().map_or(1, |looks| looks.seen.len());
    let panel = Panel { top: TOPS[1], looks, low: 0.0, high: 0.4 };
    let title =
        format!("All {}: found to differ on this day or one before, though the arms are equal", experiments.len());
    panel.frame(
        out,
        &title,
        &[0.0, 0.05, 0.1, 0.2, 0.3, 0.4].map(|value: f64| (value, format!("{:.0} %", value * 100.0))),
    );
    for (colour, found) in
        [(ALWAYS, (|looks| looks.always) as fn(&Looks) -> Option<u64>), (FIXED, |looks: &Looks| looks.fixed)]
    {
        let by = |look: u64| {
            let wrong = experiments.iter().filter(|looks| found(looks).is_some_and(|first| first <= look)).count();
            wrong as f64 / experiments.len() as f64
        };
        let points: Vec<_> =
            (1..=looks).map(|look| format!("{:.1},{:.1}", panel.x(look), panel.y(by(look as u64)))).collect();
        let points = points.join(" ");
        writeln!(out, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>").unwrap();
    }
    let promised = panel.y(0.05);
    let end = WIDTH - RIGHT;
    writeln!(
        out,
        "<line x1=\"{LEFT}\" y1=\"{promised:.1}\" x2=\"{end}\" y2=\"{promised:.1}\" stroke=\"black\" stroke-dasharray=\"4 4\"/>"
    )
    .unwrap();
    legend(out, panel.top + 12.0, ALWAYS, "whenever you look");
    legend(out, panel.top + 28.0, FIXED, "looking once, but done daily until it differs");
}

fn legend(out: &mut String, at: f64, colour: &str, text: &str) {
    let left = LEFT + 10.0;
    writeln!(out, "<rect x=\"{left}\" y=\"{:.0}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>", at - 6.0).unwrap();
    writeln!(out, "<text x=\"{}\" y=\"{at:.0}\">{text}</text>", left + 18.0).unwrap();
}
