//! Durations, sizes and addresses as other proxies write them, in our notation.

use std::net::{IpAddr, SocketAddr};

/// A duration of nginx (`60`, `500ms`, `1m30s`) or, with another unit for a bare number, of HAProxy (`5s`, `5000`).
pub(super) fn duration_ms(text: &str, bare_ms: u64) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text.trim());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let unit_ms = match unit.trim() {
            "" => bare_ms,
            "us" => 0,
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
        rest = next.trim_start();
    }
    Some(total)
}

/// `"1500ms"`, `"30s"`, in TOML; none of no time, which means that there is no limit.
pub(super) fn duration(ms: u64) -> Option<String> {
    match ms {
        0 => None,
        ms if ms % 3_600_000 == 0 => Some(format!("\"{}h\"", ms / 3_600_000)),
        ms if ms % 60_000 == 0 => Some(format!("\"{}m\"", ms / 60_000)),
        ms if ms % 1000 == 0 => Some(format!("\"{}s\"", ms / 1000)),
        ms => Some(format!("\"{ms}ms\"")),
    }
}

/// A size such as `10m`, in TOML; none of 0, which means that there is no limit.
pub(super) fn size(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse::<u64>().ok().filter(|number| *number > 0)?;
    let unit = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => "B",
        "k" | "kb" | "ki" | "kib" => "KiB",
        "m" | "mb" | "mi" | "mib" => "MiB",
        "g" | "gb" | "gi" | "gib" => "GiB",
        _ => return None,
    };
    Some(format!("\"{number}{unit}\""))
}

/// Where something listens: `80`, `*:80`, `:80`, `127.0.0.1:80`, `[::]:80`, `localhost:80`.
pub(super) fn listen_address(text: &str) -> Option<String> {
    if let Ok(port) = text.parse::<u16>() {
        return Some(format!("0.0.0.0:{port}"));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.to_string());
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 80).to_string());
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?;
    match host {
        "" | "*" => Some(format!("0.0.0.0:{port}")),
        "localhost" => Some(format!("127.0.0.1:{port}")),
        "::" => Some(format!("[::]:{port}")),
        _ => None,
    }
}

/// Where an endpoint is: `IP:PORT` or `NAME:PORT`, with a port of its own or this one.
pub(super) fn endpoint(text: &str, port: u16) -> Option<String> {
    if text.starts_with("unix:") || text.starts_with('/') || text.contains(['$', '{', '@']) {
        return None;
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, port).to_string());
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => port.parse::<u16>().ok().map(|port| format!("{host}:{port}")),
        Some(_) => None,
        None => Some(format!("{text}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_others_become_ours() {
        for (text, bare, wanted) in [
            ("60", 1000, Some(60_000)),
            ("60", 1, Some(60)),
            ("1m30s", 1000, Some(90_000)),
            ("500ms", 1000, Some(500)),
            ("1x", 1000, None),
            ("", 1000, None),
        ] {
            assert_eq!(duration_ms(text, bare), wanted, "{text}");
        }
        assert_eq!(
            [0, 1500, 30_000, 120_000].map(duration),
            [None, Some("\"1500ms\"".to_owned()), Some("\"30s\"".to_owned()), Some("\"2m\"".to_owned())]
        );
        assert_eq!(
            ["10m", "0", "512", "1x"].map(|text| size(text).unwrap_or_default()),
            ["\"10MiB\"", "", "\"512B\"", ""]
        );
        assert_eq!(listen_address("*:80").as_deref(), Some("0.0.0.0:80"));
        assert_eq!(listen_address("[::]:443").as_deref(), Some("[::]:443"));
        assert_eq!(listen_address("unix:/run/x.sock"), None);
        assert_eq!(endpoint("app", 80).as_deref(), Some("app:80"));
        assert_eq!(endpoint("10.0.0.1:3000", 80).as_deref(), Some("10.0.0.1:3000"));
        assert_eq!(endpoint("unix:/run/x.sock", 80), None);
    }
}
