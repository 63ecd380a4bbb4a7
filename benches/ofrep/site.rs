//! The proxy with its flags, and the load on both of its doors.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::Sizes;
use super::load::Running;
use super::open_loop::{Plan, Target, run};
use super::origin::Origin;
use super::report::Loaded;

/// Users, each with a key and attributes of its own.
const USERS: usize = 1_000;

/// Flags beside the one that is asked for.
const OTHER_FLAGS: usize = 20;

/// A proxy, and an origin behind it.
pub(crate) struct Site {
    proxy: Running,
    door: SocketAddr,
    enabled: AtomicBool,
    // It answers until the process ends.
    _origin: Origin,
}

impl Site {
    /// Starts both.
    pub(crate) fn start(binary: &Path, sizes: Sizes) -> Self {
        let origin = Origin::start();
        let door = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = origin.address.port();
        let proxy = Running::with_config(binary, |listen, folder| config([listen, door], folder, port, sizes));
        Self { proxy, door, enabled: AtomicBool::new(false), _origin: origin }
    }

    /// Where pages are, and where clients wait.
    pub(crate) fn listener(&self) -> SocketAddr {
        self.proxy.listen
    }

    /// The number of the proxy's process.
    pub(crate) fn process(&self) -> u32 {
        self.proxy.id()
    }

    /// The CPU time that it has had.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.proxy.cpu_nanos())
    }

    /// Evaluations and requests at their rates, at the same time.
    pub(crate) fn load(&self, sizes: Sizes) -> Result<Loaded, String> {
        let (start, before) = (Instant::now(), self.cpu());
        let plan = |rate| Plan { rate, time: sizes.time, seed: 18 };
        let (evaluations, passed_on) = thread::scope(|scope| {
            let passed_on = scope.spawn(|| run(self.requests(), plan(sizes.traffic), start));
            (run(self.evaluations(), plan(sizes.rate), start), passed_on.join().unwrap())
        });
        let cpu = (self.cpu() - before).div_duration_f64(start.elapsed());
        Ok(Loaded::of([evaluations?, passed_on?], cpu, sizes.time))
    }

    /// How many evaluations a second are answered at the most, without other load.
    pub(crate) fn most(&self, time: Duration) -> Result<f64, String> {
        // More than any machine answers: each connection has its next request when it has its answer.
        let plan = Plan { rate: 500_000.0, time, seed: 18 };
        let outcome = run(self.evaluations(), plan, Instant::now())?;
        let in_time = outcome.replies.iter().filter(|reply| reply.due + reply.took <= time.as_secs_f64()).count();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let each = in_time as f64 / time.as_secs_f64();
        if outcome.failed > 0 {
            return Err(format!("{} evaluations failed", outcome.failed));
        }
        Ok(each)
    }

    /// Enables or disables a flag that is not asked for.
    pub(crate) fn toggle_flag(&self) -> Result<(), String> {
        let enabled = !self.enabled.fetch_xor(true, Relaxed);
        let body = format!("{{\"enabled\":{enabled}}}");
        let head =
            "PUT /v1/flags/flag-1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut admin = self.proxy.admin();
        let mut said = String::new();
        admin.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let asked = admin.write_all(request.as_bytes()).and_then(|()| admin.read_to_string(&mut said));
        asked.map_err(|error| format!("the admin API: {error}"))?;
        let good = said.starts_with("HTTP/1.1 200") && said.contains("\"changed\":true");
        good.then_some(()).ok_or(format!("want a change, found {said}"))
    }

    /// A call for one flag by each user, at the door for programs.
    fn evaluations(&self) -> Target {
        let request = |user: usize| {
            let plan = ["free", "pro"][user % 2];
            let context =
                format!("{{\"targetingKey\":\"user-{user}\",\"plan\":\"{plan}\",\"country\":\"de\",\"age\":42}}");
            let body = format!("{{\"context\":{context}}}");
            format!(
                "POST /ofrep/v1/evaluate/flags/launch HTTP/1.1\r\nhost: flags.example\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        Target { address: self.door, requests: (0..USERS).map(request).collect() }
    }

    /// A request of each user that is passed on.
    fn requests(&self) -> Target {
        let request =
            |user: usize| format!("GET /items/7?page=2 HTTP/1.1\r\nhost: shop.example\r\nx-user: user-{user}\r\n\r\n");
        Target { address: self.listener(), requests: (0..USERS).map(request).collect() }
    }
}

fn config([listen, door]: [SocketAddr; 2], folder: &Path, origin_port: u16, sizes: Sizes) -> String {
    let (folder, most) = (folder.display(), 2 * sizes.clients + 1_000);
    let mut text = format!(
        "[listeners.public]\naddress = \"{listen}\"\nofrep = true\nconnections_max = {most}\n\
         connections_per_address_max = {most}\n[proxy]\nconnections_max = {most}\n\
         [admin]\naddress = \"unix:{folder}/admin.sock\"\n[state]\npath = \"{folder}/pointsman.db\"\n\
         [ofrep]\naddress = \"{door}\"\nevent_streams_max = {most}\n\
         [services.shop]\nhosts = [\"shop.example\"]\nsticky = [\"header:x-user\"]\nsplit = {{ v1 = 90, v2 = 10 }}\n\
         versions.v1.endpoints = [\"127.0.0.1:{origin_port}\"]\nversions.v2.endpoints = [\"127.0.0.1:{origin_port}\"]\n\
         [attributes]\nplan = \"header:x-plan\"\ncountry = \"header:x-country\"\n\
         [flags.launch]\nrules = [\n\
         {{ name = \"staff\", when = {{ attribute = {{ plan = \"staff\" }} }}, serve = \"on\" }},\n\
         {{ name = \"launch\", serve = {{ on = 10, off = 90 }} }},\n]\n"
    );
    for number in 0..OTHER_FLAGS {
        writeln!(text, "[flags.flag-{number}]\nenabled = false\nrules = [{{ serve = {{ on = 50, off = 50 }} }}]")
            .unwrap();
    }
    text
}
