//! What is asked of this bench: parts as arguments, sizes in the environment.

use std::env;
use std::time::Duration;

use super::load::{CASES, Case};
use super::proxies::PROXIES;

/// The parts, in the order in which they run.
pub(crate) const PARTS: [&str; 4] = ["cpu", "latency", "shift", "idle"];

/// What to do, and how much of it.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Of [`PARTS`].
    pub(crate) parts: Vec<&'static str>,
    /// How often each proxy has its turn.
    pub(crate) rounds: usize,
    /// How long each turn is.
    pub(crate) turn: Duration,
    /// Kinds of load.
    pub(crate) cases: Vec<&'static Case>,
    /// Names of proxies.
    pub(crate) proxies: Vec<&'static str>,
    /// How many clients keep quiet.
    pub(crate) idle_connections: usize,
    /// How long they do.
    pub(crate) idle: Duration,
}

impl Settings {
    /// From the command line and the environment.
    ///
    /// # Errors
    /// What is not known, and what is.
    pub(crate) fn read() -> Result<Self, String> {
        // cargo adds `--bench`.
        let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
        let cases = CASES.map(|case| case.name);
        let wanted = chosen("a part", &words, &PARTS)?;
        let named = chosen("PEERS_CASES", &listed("PEERS_CASES"), &cases)?;
        Ok(Self {
            parts: wanted,
            rounds: number("PEERS_ROUNDS", 5)?,
            turn: seconds("PEERS_SECONDS", 4)?,
            cases: CASES.iter().filter(|case| named.contains(&case.name)).collect(),
            proxies: chosen("PEERS_PROXIES", &listed("PEERS_PROXIES"), &PROXIES.map(|proxy| proxy.name()))?,
            idle_connections: number("IDLE_CONNECTIONS", 5_000)?,
            idle: seconds("IDLE_SECONDS", 30)?,
        })
    }

    /// Whether this part is wanted.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.contains(&part)
    }
}

/// Those of `known` that are named; all of them if none is.
fn chosen(what: &str, named: &[String], known: &[&'static str]) -> Result<Vec<&'static str>, String> {
    let is = |name: &String, word: &&str| name.eq_ignore_ascii_case(word);
    if let Some(word) = named.iter().find(|name| !known.iter().any(|word| is(name, word))) {
        return Err(format!("{what}: found {word:?}, want some of: {}", known.join(" ")));
    }
    let wanted = |word: &&&str| named.is_empty() || named.iter().any(|name| is(name, word));
    Ok(known.iter().filter(wanted).copied().collect())
}

fn listed(name: &str) -> Vec<String> {
    let text = env::var(name).unwrap_or_default();
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn number(name: &str, usual: usize) -> Result<usize, String> {
    let Ok(text) = env::var(name) else { return Ok(usual) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{name}: found {text:?}, want a whole number above 0"))
}

fn seconds(name: &str, usual: usize) -> Result<Duration, String> {
    number(name, usual).map(|seconds| Duration::from_secs(seconds as u64))
}
