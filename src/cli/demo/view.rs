//! The live view as text. Pure: a state goes in, lines of toned spans come out; the terminal, colours and the clock are
//! elsewhere, so that the whole view is a golden test.

use std::time::Duration;

use super::operator::{SERVICE, ShownTraffic};
use super::shell_line;
use super::shop_version::ShopVersion;
use super::tally::{Rates, VersionRates};
use crate::cli::layout::width_of;
use crate::cli::terminal::view_line::{ViewLine, ViewSize, ViewTone};
use crate::cli::text::thousands;

/// Most cells of a bar that shows a split.
const BAR_MAX: usize = 50;

/// What stands beside a bar: its label, and the weights of both versions.
const BESIDE_BAR: usize = 13 + 22;

/// Both forms of the line with the keys.
const KEYS: [&str; 2] = [
    " 1-9 v2 to 10-90 %   f flip to v2   0 flip to v1   r roll back   q quit",
    " 1-9 v2 %  f v2  0 v1  r undo  q quit",
];

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// The proxy, as a URL.
    pub(crate) proxy: String,
    /// The admin API, as a URL.
    pub(crate) admin: String,
    /// Whether its console has the game.
    pub(crate) game: bool,
}

impl Places {
    /// The console, as a URL.
    pub(crate) fn console(&self) -> String {
        format!("{}/", self.admin)
    }

    /// The game in it, if there is one.
    pub(crate) fn game(&self) -> Option<String> {
        self.game.then(|| format!("{}/#/game", self.admin))
    }
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewState {
    /// Where everything is.
    pub(crate) places: Places,
    /// How many users.
    pub(crate) users: usize,
    /// The seed of all chance.
    pub(crate) seed: u32,
    /// Since the start.
    pub(crate) elapsed: Duration,
    /// What the API says.
    pub(crate) traffic: ShownTraffic,
    /// What the users see.
    pub(crate) rates: Rates,
    /// What the last key came to.
    pub(crate) note: Option<String>,
}

/// The commands to try in another terminal; `program` is how this one was started.
pub(crate) fn commands(places: &Places, program: &str) -> Vec<String> {
    let Places { proxy, admin, .. } = places;
    vec![
        format!("export POINTSMAN_ADMIN={admin}"),
        format!("{program} shift {SERVICE} v1=50 v2=50"),
        format!("{program} flip {SERVICE} v2"),
        format!("{program} rollback"),
        format!("{program} status"),
        format!("curl -H 'x-user-id: user-7' {proxy}/items/7"),
        format!("curl {admin}/v1/services/{SERVICE}"),
    ]
}

/// The whole view in at most `height` lines of `width` cells; the keys are the last one.
pub(crate) fn lines(state: &ViewState, program: &str, size: ViewSize) -> Vec<ViewLine> {
    let ViewSize { width, height } = size;
    let mut lines = head(state, width);
    lines.extend(split(state, width));
    lines.extend(versions(&state.rates, width));
    lines.push(last_change(&state.rates));
    lines.extend(note(state, width));
    lines.push(ViewLine::default());
    let commands: Vec<_> = commands(&state.places, program).iter().map(|text| shell_line::rows(text, width)).collect();
    let keys = ViewLine::of(ViewTone::Dim, if width_of(KEYS[0]) <= width { KEYS[0] } else { KEYS[1] });
    // Revisions get what is left between the counts and the commands, but always a line: they say what happened.
    let room = height.saturating_sub(lines.len() + commands.iter().map(Vec::len).sum::<usize>() + 5);
    lines.extend(revisions(&state.traffic, room.max(1)));
    lines.extend([ViewLine::default(), ViewLine::of(ViewTone::Dim, " try in another terminal")]);
    lines.extend(to_copy(&commands, height.saturating_sub(lines.len() + 1)));
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), ViewLine::default());
    lines.push(keys);
    lines
}

/// As many of the commands as there is room for, each of them whole; a mark says that there are more.
fn to_copy(commands: &[Vec<String>], room: usize) -> Vec<ViewLine> {
    let all: usize = commands.iter().map(Vec::len).sum();
    let (mut lines, mut left) = (Vec::new(), if all <= room { all } else { room.saturating_sub(1) });
    for rows in commands {
        let Some(rest) = left.checked_sub(rows.len()) else { break };
        left = rest;
        lines.extend(rows.iter().map(|row| ViewLine::of(ViewTone::Command, row)));
    }
    if all > room {
        lines.push(ViewLine::of(ViewTone::Dim, "   ... more in a higher window"));
    }
    lines
}

fn head(state: &ViewState, width: usize) -> Vec<ViewLine> {
    let who = format!("{} users   seed {}   {}", thousands(count(state.users)), state.seed, clock(state.elapsed));
    let Places { proxy, admin, .. } = &state.places;
    let title = ViewLine::of(ViewTone::Title, " pointsman demo").with(ViewTone::Plain, format!("   {who}"));
    let (console, game) = (state.places.console(), state.places.game());
    let consoles = [("console", Some(console.as_str())), ("play", game.as_deref())];
    let places = addresses([("proxy", Some(proxy.as_str())), ("admin", Some(admin.as_str()))], width);
    let consoles = addresses(consoles, width);
    [title].into_iter().chain(places).chain(consoles).chain([ViewLine::default()]).collect()
}

/// Both addresses on a line, or one below the other: they are there to be copied, and are not cut.
fn addresses(both: [(&str, Option<&str>); 2], width: usize) -> Vec<ViewLine> {
    let there = both.into_iter().filter_map(|(name, address)| Some((name, address?)));
    let wide: usize = there.clone().map(|(name, address)| width_of(name) + width_of(address) + 4).sum();
    let lines =
        there.map(|(name, address)| ViewLine::of(ViewTone::Dim, format!(" {name} ")).with(ViewTone::Plain, address));
    if wide > width {
        return lines.collect();
    }
    let join = |one: ViewLine, other: ViewLine| {
        let gap = one.with(ViewTone::Plain, "  ");
        ViewLine(gap.0.into_iter().chain(other.0).collect())
    };
    lines.reduce(join).into_iter().collect()
}

fn split(state: &ViewState, width: usize) -> Vec<ViewLine> {
    let measured = state.rates.versions.map(|version| version.percent);
    // The numbers say more than the bar does.
    let size = width.saturating_sub(BESIDE_BAR).min(BAR_MAX);
    let bar = |label, shares| bar(label, shares, size);
    vec![bar(" configured  ", state.traffic.weights), bar(" measured    ", measured), ViewLine::default()]
}

/// Both shares as one bar of this many cells, v1 from the left.
fn bar(label: &str, shares: [f64; 2], size: usize) -> ViewLine {
    let line = ViewLine::of(ViewTone::Dim, label);
    if shares[0] + shares[1] <= 0.0 {
        return line.with(ViewTone::Dim, format!("{}  no answers", "·".repeat(size)));
    }
    let [v1, v2] = shares;
    let line = line.with_bar(&shares, size);
    line.with(ViewTone::V1, format!("  v1 {v1:>5.1}")).with(ViewTone::V2, format!("  v2 {v2:>5.1} %"))
}

fn versions(rates: &Rates, width: usize) -> Vec<ViewLine> {
    // Narrow columns rather than one that is not there.
    let (first, other) = if width < 48 { (10, 7) } else { (12, 9) };
    let row = |name: &str, cells: [&str; 4]| {
        let [requests, p50, p99, users] = cells;
        format!(" {name:<4} {requests:>first$} {p50:>other$} {p99:>other$} {users:>other$}")
    };
    let mut lines = vec![ViewLine::of(ViewTone::Dim, row("", ["requests/s", "p50 ms", "p99 ms", "users"]))];
    for version in ShopVersion::ALL {
        let VersionRates { per_second, p50, p99, users, .. } = rates.versions[version as usize];
        let row = row(version.name(), [&whole(per_second), &millis(p50), &millis(p99), &thousands(count(users))]);
        lines.push(ViewLine::of(if version == ShopVersion::V1 { ViewTone::V1 } else { ViewTone::V2 }, row));
    }
    let failed = format!("{} failed", thousands(rates.failed));
    let tone = if rates.failed == 0 { ViewTone::Good } else { ViewTone::Bad };
    let all = ViewLine::of(ViewTone::Plain, format!(" {:<4} {:>first$}     ", "all", whole(rates.per_second)))
        .with(tone, failed);
    lines.push(match &rates.last_failure {
        Some(why) => all.with(ViewTone::Bad, format!(": {why}")),
        None => all,
    });
    lines
}

fn last_change(rates: &Rates) -> ViewLine {
    let counts = rates.revision;
    if counts.moved == 0 {
        return ViewLine::of(ViewTone::Plain, format!(" revision {} has moved no users yet", counts.revision));
    }
    let moved = thousands(count(counts.moved));
    let line = ViewLine::of(ViewTone::Plain, format!(" revision {} moved {moved} users, ", counts.revision));
    line.with(ViewTone::Plain, format!("{} of them from v2 back to v1", thousands(count(counts.went_back))))
}

/// The note in as many lines as it takes.
fn note(state: &ViewState, width: usize) -> Vec<ViewLine> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in state.note.as_deref().unwrap_or_default().split_whitespace() {
        if !line.is_empty() && width_of(&line) + 1 + width_of(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        line = format!("{line} {word}");
    }
    lines.extend(Some(line).filter(|line| !line.is_empty()));
    lines.into_iter().map(|line| ViewLine::of(ViewTone::Bad, line)).collect()
}

fn revisions(traffic: &ShownTraffic, room: usize) -> Vec<ViewLine> {
    let mut lines = vec![ViewLine::of(ViewTone::Dim, " revisions")];
    for revision in traffic.revisions.iter().take(room) {
        let (number, time, action) = (revision.number, &revision.time, &revision.action);
        let line = ViewLine::of(ViewTone::Plain, format!(" {number:>4}  {time}  {action:<9} {:<14}", revision.split));
        lines.push(line.with(ViewTone::Dim, format!(" {}", revision.by)));
    }
    lines
}

/// One line for where there is no terminal.
pub(crate) fn plain(state: &ViewState) -> String {
    let [v1, v2] = state.traffic.weights;
    let [one, two] = &state.rates.versions;
    let newest = state.traffic.revisions.first().map_or(0, |revision| revision.number);
    format!(
        "{}  revision {newest}  split v1={v1} v2={v2}  measured v1={:.1} v2={:.1}  {} requests/s  {} failed  \
         p50/p99 ms v1 {}/{} v2 {}/{}  moved {}  back {}",
        clock(state.elapsed),
        one.percent,
        two.percent,
        whole(state.rates.per_second),
        state.rates.failed,
        millis(one.p50),
        millis(one.p99),
        millis(two.p50),
        millis(two.p99),
        state.rates.revision.moved,
        state.rates.revision.went_back,
    )
}

fn count(count: usize) -> u64 {
    count as u64
}

/// A positive number without decimals.
pub(crate) fn whole(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and small")]
    let rate = rate.round() as u64;
    thousands(rate)
}

fn millis(took: Option<Duration>) -> String {
    took.map_or_else(|| "-".to_owned(), |took| format!("{:.1}", took.as_secs_f64() * 1_000.0))
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::super::operator::ShownRevision;
    use super::super::tally::RevisionCounts;
    use super::*;

    fn version(percent: f64, per_second: f64, users: usize) -> VersionRates {
        let p50 = Some(Duration::from_micros(4_840));
        let p99 = Some(Duration::from_micros(18_260));
        VersionRates { per_second, percent, p50, p99, users }
    }

    fn revision(number: u64, action: &str, split: &str) -> ShownRevision {
        let time = format!("10:00:0{number}");
        ShownRevision { number, time, action: action.to_owned(), split: split.to_owned(), by: "local: demo".to_owned() }
    }

    fn state() -> ViewState {
        ViewState {
            places: Places {
                proxy: "http://127.0.0.1:4001".to_owned(),
                admin: "http://127.0.0.1:4002".to_owned(),
                game: true,
            },
            users: 2_000,
            seed: 42,
            elapsed: Duration::from_secs(65),
            traffic: ShownTraffic {
                weights: [90.0, 10.0],
                revisions: vec![revision(2, "shift", "v1=90 v2=10"), revision(1, "file", "v1=100 v2=0")],
            },
            rates: Rates {
                versions: [version(89.6, 1_344.2, 1_797), version(10.4, 156.0, 203)],
                per_second: 1_500.2,
                failed: 0,
                last_failure: None,
                revision: RevisionCounts { revision: 2, moved: 203, went_back: 0 },
            },
            note: None,
        }
    }

    fn text(lines: &[ViewLine]) -> String {
        let line = |line: &ViewLine| line.0.iter().map(|span| span.text.as_str()).collect::<String>();
        lines.iter().map(line).map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn the_whole_view() {
        let expected = "\
\x20pointsman demo   2,000 users   seed 42   01:05
 proxy http://127.0.0.1:4001   admin http://127.0.0.1:4002
 console http://127.0.0.1:4002/   play http://127.0.0.1:4002/#/game

 configured  █████████████████████████████████████████████▒▒▒▒▒  v1  90.0  v2  10.0 %
 measured    █████████████████████████████████████████████▒▒▒▒▒  v1  89.6  v2  10.4 %

        requests/s    p50 ms    p99 ms     users
 v1          1,344       4.8      18.3     1,797
 v2            156       4.8      18.3       203
 all         1,500     0 failed
 revision 2 moved 203 users, 0 of them from v2 back to v1

 revisions
    2  10:00:02  shift     v1=90 v2=10    local: demo
    1  10:00:01  file      v1=100 v2=0    local: demo

 try in another terminal
   export POINTSMAN_ADMIN=http://127.0.0.1:4002
   pointsman shift shop v1=50 v2=50
   pointsman flip shop v2
   pointsman rollback
   pointsman status
   curl -H 'x-user-id: user-7' http://127.0.0.1:4001/items/7
   curl http://127.0.0.1:4002/v1/services/shop

 1-9 v2 to 10-90 %   f flip to v2   0 flip to v1   r roll back   q quit
";
        assert_eq!(text(&lines(&state(), "pointsman", ViewSize { width: 100, height: 27 })), expected);
    }

    #[test]
    fn it_fits_any_height_and_keeps_the_keys() {
        for height in 1..60 {
            let lines = lines(&state(), "pointsman", ViewSize { width: 80, height });
            assert_eq!(lines.len(), height);
            assert!(text(&lines[height - 1..]).contains("q quit"), "{height}");
        }
    }

    #[test]
    fn what_matters_fits_any_width() {
        let mut state = state();
        state.note =
            Some("rollback: found 1 revision, want one before it (nothing was changed yet, shift first)".to_owned());
        for width in 40..=100 {
            let text = text(&lines(&state, "pointsman", ViewSize { width, height: 24 }));
            let fits = |wanted: &str| text.lines().any(|line| line.contains(wanted) && width_of(line) <= width);
            for wanted in ["v2  10.0 %", "v2  10.4 %", "q quit", "(nothing"] {
                assert!(fits(wanted), "{wanted:?} at {width}:\n{text}");
            }
            assert!(fits("requests/s") && fits("users"), "the table at {width}:\n{text}");
            for place in
                ["proxy http://127.0.0.1:4001", "admin http://127.0.0.1:4002", "play http://127.0.0.1:4002/#/game"]
            {
                assert!(fits(place), "{place} at {width}:\n{text}");
            }
            assert!(fits("console http://127.0.0.1:4002/"), "the console at {width}:\n{text}");
        }
        let narrow = text(&lines(&state, "pointsman", ViewSize { width: 80, height: 24 }));
        assert!(narrow.contains("█▒▒▒▒  v1  90.0  v2  10.0 %\n"), "a shorter bar:\n{narrow}");
    }

    #[test]
    fn commands_are_whole_or_not_there_and_a_mark_says_so() {
        let program = "/home/an-operator/downloads/pointsman-0.1.0-x86_64-linux/pointsman";
        for height in 22..45 {
            let text = text(&lines(&state(), program, ViewSize { width: 50, height }));
            let (_, copied) = text.split_once("terminal\n").unwrap_or_default();
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let shell: Vec<_> = copied.replace("\\\n", "").lines().map(words).filter(|line| !line.is_empty()).collect();
            let known = commands(&state().places, program);
            let shown = shell.iter().filter(|line| known.contains(line)).count();
            let marked = shell.iter().any(|line| line.starts_with("... more"));
            assert!(marked != (shown == known.len()), "{height}:\n{text}");
            assert_eq!(shell.len() - shown, usize::from(marked) + 1, "the mark and the keys at {height}:\n{text}");
        }
    }

    #[test]
    fn a_revision_that_moved_nobody_says_so_in_short() {
        let mut rates = state().rates;
        rates.revision = RevisionCounts { revision: 1, ..RevisionCounts::default() };
        assert_eq!(text(&[last_change(&rates)]), " revision 1 has moved no users yet\n");
    }

    #[test]
    fn failures_and_notes_are_bad_and_say_why() {
        let mut state = state();
        state.rates.failed = 1_200;
        state.rates.last_failure = Some("GET /: answered 503".to_owned());
        state.note = Some("422: nothing to undo".to_owned());
        let lines = lines(&state, "pointsman", ViewSize { width: 100, height: 30 });
        let bad = lines.iter().flat_map(|line| &line.0).filter(|span| span.tone == ViewTone::Bad);
        let bad: Vec<_> = bad.map(|span| span.text.trim()).collect();
        assert_eq!(bad, ["1,200 failed", ": GET /: answered 503", "422: nothing to undo"]);
    }

    #[test]
    fn before_the_first_answer_there_is_no_bar() {
        let lines = lines(&ViewState::default(), "pointsman", ViewSize { width: 100, height: 30 });
        assert!(text(&lines).contains("no answers"));
    }

    #[test]
    fn one_plain_line_says_the_same() {
        let expected = "01:05  revision 2  split v1=90 v2=10  measured v1=89.6 v2=10.4  1,500 requests/s  0 failed  \
                        p50/p99 ms v1 4.8/18.3 v2 4.8/18.3  moved 203  back 0";
        assert_eq!(plain(&state()), expected);
    }
}
