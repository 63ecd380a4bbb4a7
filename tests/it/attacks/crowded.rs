//! Listeners and processes that are full: who waits for their client makes room for who comes, and one client leaves
//! some of the connections to endpoints to others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::support::frames::{self, Came, Frames};
use crate::support::h2::{H2Client, request};
use crate::support::process::{Process, config};
use crate::support::{Client, End, Origin, Proxy, Reply, Setup, eventually, fault, get};

/// Soon, so that tests need not wait.
const PARK_AFTER: Duration = Duration::from_millis(30);

/// Places of a listener.
const PLACES: usize = 40;

/// Those who come when it is full.
const NEWCOMERS: usize = 20;

fn full(origin: &Origin, more: &str) -> Proxy {
    parking_after(PARK_AFTER, origin, more)
}

fn parking_after(time: Duration, origin: &Origin, more: &str) -> Proxy {
    let setup = Setup::to(&[origin]).top("[proxy]\nworkers = 2").park_after(time);
    setup.listener(&format!("connections_max = {PLACES}\n{more}")).start()
}

fn displaced(proxy: &Proxy) -> f64 {
    proxy.metric("pointsman_refusals_total", &["reason=\"displaced\""])
}

fn connections(proxy: &Proxy) -> f64 {
    proxy.metric("pointsman_connections", &["side=\"client\""])
}

/// All who come are served.
fn assert_served(proxy: &Proxy) {
    for n in 0..NEWCOMERS {
        assert_eq!(proxy.client().ask(get("/")).status, 200, "number {n}");
    }
}

#[test]
fn the_longest_parked_go_first() {
    let origin = Origin::saying("ok");
    let proxy = full(&origin, "");
    let mut parked: Vec<Client> = (0..PLACES).map(|_| proxy.client()).collect();
    for client in &mut parked {
        assert_eq!(client.ask(get("/")).status, 200);
        // So that each has a time of its own.
        std::thread::sleep(Duration::from_millis(3));
    }
    proxy.await_metric("pointsman_parked_connections", &[], PLACES as f64);
    std::thread::sleep(Duration::from_millis(120));
    let newcomers: Vec<Client> = (0..NEWCOMERS)
        .map(|_| {
            let mut client = proxy.client();
            assert_eq!(client.ask(get("/")).status, 200);
            client
        })
        .collect();
    // How many there are in all is counted below.
    eventually("as many are closed", || parked.iter().filter(|client| client.is_over()).count() >= NEWCOMERS);
    let over: Vec<bool> = parked.iter().map(Client::is_over).collect();
    assert_eq!(over.iter().filter(|over| **over).count(), NEWCOMERS, "{over:?}");
    assert!(over[..NEWCOMERS - 5].iter().all(|over| *over), "the first are the first to go: {over:?}");
    assert!(parked.iter_mut().filter(|client| !client.is_over()).all(|client| client.ask(get("/")).status == 200));
    assert!((displaced(&proxy) - NEWCOMERS as f64).abs() < 0.5);
    assert!(proxy.metric("pointsman_refusals_total", &["too_many_connections"]) < 0.5);
    drop(newcomers);
}

#[test]
fn those_that_are_parked_at_one_moment_have_waited_before() {
    let origin = Origin::saying("ok");
    let proxy = parking_after(Duration::from_millis(500), &origin, "");
    let parked: Vec<Client> = (0..PLACES).map(|_| proxy.client()).collect();
    proxy.await_metric("pointsman_parked_connections", &[], PLACES as f64);
    assert_served(&proxy);
    drop(parked);
}

#[test]
fn whoever_says_nothing_or_half_a_head_makes_room() {
    let origin = Origin::saying("ok");
    let proxy = full(&origin, "");
    let mut seen = 0.0;
    for said in ["", "GET / HTT", "GET / HTTP/1.1\r\nHost: a\r\nX-Long: "] {
        let held: Vec<Client> = (0..2 * PLACES)
            .map(|_| {
                let mut client = proxy.client();
                client.write(said);
                client
            })
            .collect();
        let passed_by = || displaced(&proxy) + proxy.metric("pointsman_refusals_total", &["too_many_connections"]);
        let already = seen;
        eventually("all have been let in or sent away", || {
            seen = passed_by();
            connections(&proxy) > PLACES as f64 - 0.5 && seen - already > PLACES as f64 - 0.5
        });
        // Now each has its moment.
        std::thread::sleep(Duration::from_millis(150));
        assert_served(&proxy);
        seen = passed_by();
        drop(held);
        eventually("they have left", || connections(&proxy) < 0.5);
    }
    assert!(displaced(&proxy) > 0.5);
}

#[test]
fn idle_connections_of_http2_and_unfinished_prefaces_make_room() {
    let origin = Origin::saying("ok");
    let proxy = full(&origin, "h2c = true");
    let mut idle: Vec<H2Client> = (0..PLACES / 2).map(|_| H2Client::to(proxy.address)).collect();
    for client in &mut idle {
        assert_eq!(client.ask(request("GET", "http://a/", &[])).status, 200);
    }
    let half: Vec<Client> = (0..PLACES / 2)
        .map(|_| {
            let mut client = proxy.client();
            client.write("PRI * HTTP");
            client
        })
        .collect();
    eventually("all have been let in", || connections(&proxy) > PLACES as f64 - 0.5);
    std::thread::sleep(Duration::from_millis(200));
    assert_served(&proxy);
    drop((idle, half));
}

/// Asks on a connection of HTTP/2 as soon as it is told that it makes room.
fn asked_when_told_to_go(origin: &Origin) -> Came {
    let proxy = full(origin, "h2c = true");
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let head = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut others = Vec::new();
    let came = frames::send_when_told_to_go(proxy.address, &Frames { head, ..Frames::default() }, || {
        // It waits longest, and has had its moment, when one comes too many.
        std::thread::sleep(Duration::from_millis(150));
        others.extend((0..PLACES).map(|_| proxy.client()));
    });
    assert!(displaced(&proxy) > 0.5);
    came
}

#[test]
fn a_request_that_comes_as_its_connection_makes_room_is_answered() {
    let origin = Origin::with(|_| {
        // For longer than a connection without a request has left.
        std::thread::sleep(Duration::from_millis(100));
        Reply::ok("answered")
    });
    // On a machine that stands still it comes too late: such a connection has only a moment.
    let came = (0..20).map(|_| asked_when_told_to_go(&origin)).find(|came| !matches!(came, Came::Ended(_)));
    assert_eq!(came, Some(Came::Answer("answered".to_owned())));
}

#[test]
fn a_connection_with_a_request_makes_no_room() {
    let origin = Origin::with(|seen| match seen.target() {
        "/slow" => Reply::default().hang(),
        _ => Reply::ok("ok"),
    });
    let proxy = full(&origin, "");
    let mut busy: Vec<Client> = (0..PLACES).map(|_| proxy.client()).collect();
    for client in &mut busy {
        client.write(get("/slow"));
    }
    proxy.await_metric("pointsman_requests_in_flight", &[], PLACES as f64);
    std::thread::sleep(Duration::from_millis(150));
    let (end, came) = proxy.client().end();
    assert!(end != End::Silent && came.is_empty(), "{end:?}");
    assert!(proxy.metric("pointsman_refusals_total", &["too_many_connections"]) > 0.5 && displaced(&proxy) < 0.5);
    assert!(busy.iter().all(|client| !client.is_over()));
}

/// Each asks, and does not wait for its answer.
fn ask_all(clients: &mut [Client], request: &str) {
    for client in clients {
        client.write(request);
    }
}

fn from(address: [u8; 4], proxy: &Proxy) -> Client {
    Client::over(fault::connect_from(IpAddr::V4(Ipv4Addr::from(address)), proxy.address))
}

#[test]
fn an_address_makes_room_for_itself_and_leaves_others_alone() {
    let origin = Origin::with(|seen| match seen.target() {
        "/slow" => Reply::default().hang(),
        _ => Reply::ok("ok"),
    });
    let setup = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").park_after(PARK_AFTER);
    let proxy = setup.listener("connections_per_address_max = 4").start();
    let mut other = from([127, 0, 0, 9], &proxy);
    assert_eq!(other.ask(get("/")).status, 200);
    let mut own: Vec<Client> = (0..4).map(|_| from([127, 0, 0, 1], &proxy)).collect();
    assert!(own.iter_mut().all(|client| client.ask(get("/")).status == 200));
    proxy.await_metric("pointsman_parked_connections", &[], 5.0);
    std::thread::sleep(Duration::from_millis(120));
    let mut more: Vec<Client> = (0..3).map(|_| from([127, 0, 0, 1], &proxy)).collect();
    assert!(more.iter_mut().all(|client| client.ask(get("/")).status == 200));
    eventually("as many are closed", || own.iter().filter(|client| client.is_over()).count() >= 3);
    assert!(own.iter_mut().filter(|client| !client.is_over()).all(|client| client.ask(get("/")).status == 200));
    assert!((displaced(&proxy) - 3.0).abs() < 0.5);
    assert!(!other.is_over() && other.ask(get("/")).status == 200);
    // With requests in flight none of them can go.
    drop((own, more));
    eventually("all have left", || proxy.metric("pointsman_connections", &["side=\"client\""]) < 1.5);
    let mut busy: Vec<Client> = (0..4).map(|_| from([127, 0, 0, 1], &proxy)).collect();
    ask_all(&mut busy, &get("/slow"));
    proxy.await_metric("pointsman_requests_in_flight", &[], 4.0);
    assert_ne!(from([127, 0, 0, 1], &proxy).end().0, End::Silent);
    proxy.await_metric("pointsman_refusals_total", &["too_many_connections_of_address"], 1.0);
    assert_eq!(from([127, 0, 0, 2], &proxy).ask(get("/")).status, 200);
}

#[test]
fn a_trusted_proxy_is_many_clients() {
    let origin = Origin::with(|seen| match seen.target() {
        "/slow" => Reply::default().hang(),
        _ => Reply::ok("ok"),
    });
    let trusted = "connections_per_address_max = 2\ntrusted_proxies = [\"127.0.0.1\"]";
    let proxy = Setup::to(&[&origin]).listener(trusted).start();
    let mut busy: Vec<Client> = (0..10).map(|_| proxy.client()).collect();
    ask_all(&mut busy, &get("/slow"));
    proxy.await_metric("pointsman_requests_in_flight", &[], 10.0);
    assert_eq!(proxy.client().ask(get("/")).status, 200);
}

#[test]
fn an_address_has_a_thousand_connections_unless_the_config_says_otherwise() {
    let limits = |more: &str| {
        let text = format!(
            "[listeners.a]\naddress = \"127.0.0.1:0\"\n{more}\n[services.s]\nversions.v1.endpoints = [\"127.0.0.1:9\"]"
        );
        let config = pointsman::config::parse(&text, std::path::Path::new("")).unwrap();
        config.listeners[0].limits.connections_per_address_max
    };
    assert_eq!(
        (limits(""), limits("connections_max = 300"), limits("connections_per_address_max = 7")),
        (1000, 300, 7)
    );
}

/// A process with this many descriptors.
fn limited(descriptors: u32, text: &str, folder: &tempfile::TempDir) -> Process {
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_pointsman");
    command.args(["-c", &format!("ulimit -n {descriptors}; exec {binary} run --config {}", path.display())]);
    Process::start_command(command)
}

#[test]
fn silent_connections_do_not_fill_the_process() {
    let (origin, folder) = (Origin::saying("ok"), tempfile::tempdir().unwrap());
    let process = limited(256, &config(origin.address(), origin.address(), ""), &folder);
    let silent: Vec<Client> = (0..400).map(|_| Client::to(process.listener)).collect();
    let began = Instant::now();
    for n in 0..NEWCOMERS {
        assert_eq!(Client::to(process.listener).ask(get("/")).status, 200, "number {n}");
    }
    println!("{NEWCOMERS} served after {:?}", began.elapsed());
    drop(silent);
}

/// An endpoint that answers no request to `/slow`, and everybody else at once. It has no thread a connection: there are
/// thousands of them.
fn slow_endpoint() -> (SocketAddr, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = fault::listener();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    (address, runtime)
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = vec![0; 8192];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) if bytes[..count].starts_with(b"GET /slow") => {}
            Ok(_) => drop(stream.try_write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens this many connections with a hundred requests for what never comes on each, and keeps them.
fn greedy(address: SocketAddr, connections: usize) -> Vec<(H2Client, Vec<h2::client::ResponseFuture>)> {
    (0..connections)
        .map(|_| {
            let mut client = H2Client::to(address);
            let asked = (0..100).map(|_| client.begin_many(request("GET", "http://a/slow", &[]))).collect();
            client.turn();
            (client, asked)
        })
        .collect()
}

#[test]
fn streams_of_one_client_leave_connections_to_endpoints_for_others() {
    let (endpoint, _runtime) = slow_endpoint();
    let folder = tempfile::tempdir().unwrap();
    let text = config(endpoint, endpoint, "").replace("[admin]\n", "h2c = true\n[admin]\n");
    let process = limited(2048, &text, &folder);
    let held = greedy(process.listener, 25);
    let refused = |reason: &str| {
        let status = process.get("/v1/status");
        status["refusals"][reason].as_u64().unwrap_or(0)
    };
    eventually("it has what it may have", || refused("too_many_requests_of_client") > 500);
    // Others, on connections of their own and all at once, from this address and from others, over either protocol.
    let mut clients: Vec<Client> = (0..180u8)
        .map(|n| {
            let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, n / 2 + 1));
            Client::over(fault::connect_from(from, process.listener))
        })
        .collect();
    ask_all(&mut clients, &get("/"));
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.answer().status).collect();
    let failed = statuses.iter().filter(|status| **status != 200).count();
    assert_eq!(failed, 0, "of {}: {statuses:?}", statuses.len());
    for _ in 0..14 {
        assert_eq!(H2Client::to(process.listener).ask(request("GET", "http://a/", &[])).status, 200);
    }
    assert_eq!((refused("connect_failed"), refused("out_of_descriptors")), (0, 0));
    assert!(!process.told(&["out of descriptors"]), "nothing ran out");
    println!(
        "{} of {} requests of the greedy client were refused",
        refused("too_many_requests_of_client"),
        held.len() * 100
    );
    // When it leaves, all of it comes back.
    drop(held);
    eventually("its places are free", || {
        let mut client = H2Client::to(process.listener);
        client.ask(request("GET", "http://a/", &[])).status == 200 && refused("out_of_descriptors") == 0
    });
}
