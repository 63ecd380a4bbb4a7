//! What h2load says, as figures.

use super::figures::quantile;
use super::wrk::Answered;

/// Reads the output of h2load, and its log file: it prints no percentiles.
///
/// # Errors
/// What is missing, or which requests failed.
pub(crate) fn read(said: &str, log: &str) -> Result<Answered, String> {
    let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    let figures = || {
        let counts: Vec<_> = line("requests: ")?.split(", ").chain(line("status codes: ")?.split(", ")).collect();
        let count = |what: &str| counts.iter().find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok());
        let rate = line("finished in ")?.split(", ").nth(1)?.strip_suffix(" req/s")?.parse::<f64>().ok()?;
        // Statuses are counted when heads come, so there may be more of them than answers.
        let bad = [" failed", " errored", " timeout", " 3xx", " 4xx", " 5xx"].iter().map(|what| count(what));
        Some((count(" done")?, bad.sum::<Option<u64>>()?, rate))
    };
    let (requests, bad, rate) = figures().ok_or_else(|| format!("found no figures in what h2load said: {said:?}"))?;
    if bad > 0 || requests == 0 {
        let of = line("requests: ").unwrap_or_default();
        return Err(format!("requests: {of}; status codes: {}", line("status codes: ").unwrap_or_default()));
    }
    let times = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse::<f64>().ok());
    let times: Vec<f64> = times.map(|microseconds| microseconds / 1_000.0).collect();
    Ok(Answered { requests, rate, p50: quantile(&times, 0.5), p99: quantile(&times, 0.99) })
}
