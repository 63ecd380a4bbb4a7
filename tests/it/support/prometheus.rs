//! A real Prometheus that scrapes a real proxy, and what it says.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::client;

/// A running Prometheus; it ends when this is dropped.
pub(crate) struct Prometheus {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    begun: f64,
}

/// The time, in seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

impl Prometheus {
    /// Starts it with these rules, with nothing to scrape yet.
    pub(crate) fn start(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = "global: { scrape_interval: 500ms, evaluation_interval: 500ms }\nrule_files: [rules.yml]\n\
                      scrape_configs:\n- job_name: pointsman\n  file_sd_configs:\n  \
                      - { files: [targets.json], refresh_interval: 1s }\n";
        for (file, text) in [("prometheus.yml", config), ("rules.yml", rules), ("targets.json", "[]")] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let mut command = Command::new("prometheus");
        let arguments =
            ["--config.file=prometheus.yml", "--web.listen-address=127.0.0.1:0", "--storage.tsdb.path=data"];
        command.args(arguments).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("prometheus runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut seen = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("prometheus ended before it served:\n{seen}") };
            seen += &(line.clone() + "\n");
            let found = line.contains("\"Listening on\"").then(|| line.rsplit_once("address=")).flatten();
            if let Some(address) = found.and_then(|(_, address)| address.trim().parse().ok()) {
                break address;
            }
        };
        // It must not block on a full pipe later on.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, folder, address, begun: now() }
    }

    /// Has it scrape an admin API from now on.
    pub(crate) fn scrape(&self, admin: SocketAddr) {
        let targets = json!([{ "targets": [admin.to_string()] }]).to_string();
        let new = self.folder.path().join("targets.new");
        std::fs::write(&new, targets).unwrap();
        std::fs::rename(new, self.folder.path().join("targets.json")).unwrap();
    }

    /// Whether an expression has had a number since the start.
    #[track_caller]
    pub(crate) fn has_numbers(&self, expression: &str) -> bool {
        let (query, begun, now) = (encoded(expression), self.begun, now());
        let answer = self.get(&format!("/api/v1/query_range?query={query}&start={begun}&end={now}&step=1"));
        assert_eq!(answer["status"], "success", "{expression}: {answer:#}");
        let series = answer["data"]["result"].as_array().unwrap().iter();
        let values = series.flat_map(|series| series["values"].as_array().unwrap());
        let mut numbers = values.filter_map(|value| value[1].as_str()?.parse::<f64>().ok());
        numbers.any(f64::is_finite)
    }

    /// The names of the alerts that are firing, in order.
    pub(crate) fn firing(&self) -> Vec<String> {
        let answer = self.get("/api/v1/alerts");
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let mut names: Vec<_> =
            firing.filter_map(|alert| alert["labels"]["alertname"].as_str()).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    fn get(&self, path: &str) -> Value {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let text = client::send(self.address, request).text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error} in {text}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
    }
    encoded
}
