//! What wrk says, as figures.

/// What a run of a load generator came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Of them a second.
    pub(crate) rate: f64,
    /// Median of the time to an answer, in milliseconds.
    pub(crate) p50: f64,
    /// What one of a hundred exceeded.
    pub(crate) p99: f64,
}

/// Reads the output of `wrk --latency`.
///
/// # Errors
/// What is missing, or which requests failed: a proxy that refuses some is cheap, and must not look so.
pub(crate) fn read(said: &str) -> Result<Answered, String> {
    let lines = || said.lines().map(str::trim);
    if let Some(failed) = lines().find(|line| line.starts_with("Socket errors") || line.starts_with("Non-2xx")) {
        return Err(failed.to_owned());
    }
    let after = |name: &str| lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let before = |name: &str| lines().find_map(|line| line.split_once(name)).map(|(before, _)| before);
    let read = || {
        Some(Answered {
            requests: before(" requests in ")?.parse().ok()?,
            rate: after("Requests/sec:")?.parse().ok()?,
            p50: milliseconds(after("50%")?)?,
            p99: milliseconds(after("99%")?)?,
        })
    };
    match read() {
        Some(answered) if answered.requests == 0 => Err("no request was answered at all".to_owned()),
        Some(answered) => Ok(answered),
        None => Err(format!("found no figures in what wrk said: {said:?}")),
    }
}

/// `256.35us`, `4.02ms`, `1.10s`, `1.00m`.
pub(crate) fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    text[..unit].parse().ok().map(|number: f64| number * factor)
}
