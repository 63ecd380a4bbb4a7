//! From the config's words to the data plane's: the two do not know each other.

use http::HeaderValue;
use tokio::time::Instant;

use crate::config::Config;
use crate::proxy::access_log::LogSender;
use crate::proxy::edit::EditSettings;
use crate::proxy::worker::WorkerSettings;
use crate::upstream::PoolSettings;

/// The settings of every worker.
pub(super) fn worker(config: &Config, log: Option<LogSender>, clock_start: Instant) -> WorkerSettings {
    let proxy = &config.proxy;
    let via = format!("1.1 {}", proxy.via);
    WorkerSettings {
        pools: PoolSettings {
            idle_timeout: proxy.upstream_idle_timeout,
            age_max: proxy.upstream_max_age,
            idle_max: proxy.upstream_idle_max,
        },
        edit: EditSettings {
            via: HeaderValue::from_str(&via).unwrap_or(HeaderValue::from_static("1.1 pointsman")),
            revision: proxy.revision_header,
        },
        target_bytes_max: proxy.target_bytes_max,
        head_bytes_max: proxy.head_bytes_max,
        headers_max: proxy.headers_max,
        log,
        clock_start,
    }
}
