//! Which requests spoil which budget, over real sockets.

use serde_json::Value;

use crate::support::{Origin, Proxy, Reply, Setup, client, eventually, get};

/// A service with both objectives, whose origin fails, refuses or takes its time by the path.
fn site(origin: &Origin) -> Proxy {
    let slo = "slo = { availability = 99, latency = { under = \"150ms\", share = 90 } }\nresponse_timeout = \"8s\"";
    Setup::to(&[origin]).service(slo).start()
}

fn origin() -> Origin {
    Origin::with(|seen| match seen.target() {
        "/fails" => Reply::raw("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        "/missing" => Reply::raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        "/broken" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").close(),
        "/slow" => {
            std::thread::sleep(std::time::Duration::from_millis(250));
            Reply::ok("late")
        }
        _ => Reply::ok("well"),
    })
}

/// A call of the admin API: the status and the body.
fn call(proxy: &Proxy, path: &str) -> (u16, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.admin);
    let answer = client::send(proxy.admin, request);
    (answer.status, serde_json::from_str(&answer.text()).unwrap())
}

fn budget(proxy: &Proxy) -> Value {
    call(proxy, "/v1/services/site/budget").1
}

#[test]
fn what_our_side_spoils_is_counted_and_what_clients_do_is_not() {
    let origin = origin();
    let proxy = site(&origin);
    for path in ["/", "/", "/", "/missing", "/fails", "/slow"] {
        proxy.client().ask(get(path));
    }
    let mut broken = proxy.client();
    broken.write(get("/broken"));
    broken.end();
    // One that the client gets wrong, before any service is asked.
    proxy.client().ask("GET / HTTP/1.1\r\n\r\n");
    eventually("all are counted", || budget(&proxy)["availability"]["requests"] == 7);
    let found = budget(&proxy);
    assert_eq!((&found["availability"]["failed"], &found["latency"]["requests"]), (&2.into(), &7.into()), "{found}");
    // A machine that is late makes others slow too.
    assert!(found["latency"]["slow"].as_u64().unwrap() >= 1, "{found}");
    assert_eq!((found["window"].as_str(), found["latency"]["under"].as_str()), (Some("30d"), Some("150ms")));
    // Two of seven failed, where one of a hundred may.
    let left = found["availability"]["left_percent"].as_f64().unwrap();
    assert!((left + 2757.143).abs() < 1e-6, "{found}");
    assert!(found["left_percent"].as_f64().unwrap() <= left, "{found}");
    assert!((found["availability"]["burn"]["5m"].as_f64().unwrap() - 28.571).abs() < 1e-9, "{found}");
    assert!(found["since"].as_str().unwrap().ends_with(":00:00Z"), "{found}");
    let brief = &proxy.status()["budget"];
    assert_eq!((&brief["left_percent"], &brief["window"]), (&found["left_percent"], &"30d".into()));
    let availability = ["service=\"site\"", "objective=\"availability\""];
    for (name, wanted) in [
        ("pointsman_slo_requests_total", 7.0),
        ("pointsman_slo_bad_total", 2.0),
        ("pointsman_slo_objective_ratio", 0.99),
        ("pointsman_slo_faulted_bad_total", 0.0),
    ] {
        assert!((proxy.metric(name, &availability) - wanted).abs() < 1e-9, "{name}: {}", proxy.metrics());
    }
    let left_ratio = proxy.metric("pointsman_slo_budget_left_ratio", &availability);
    assert!((left_ratio + 27.571_428).abs() < 1e-5, "{left_ratio}");
}

#[test]
fn an_endpoint_that_is_gone_fails_requests_and_a_stream_of_events_is_not_slow() {
    let origin = Origin::with(|_| {
        std::thread::sleep(std::time::Duration::from_millis(250));
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 6\r\n\r\ndata:\n")
    });
    let proxy = site(&origin);
    proxy.client().ask(get("/"));
    eventually("it is counted", || budget(&proxy)["availability"]["requests"] == 1);
    assert_eq!(budget(&proxy)["latency"]["slow"], 0);
    assert_eq!(call(&proxy, "/v1/steady?service=site").0, 200);
    origin.stop();
    (0..3).for_each(|_| drop(proxy.client().ask(get("/"))));
    eventually("they are counted", || budget(&proxy)["availability"]["failed"] == 3);
    let (status, found) = call(&proxy, "/v1/steady?service=site");
    assert_eq!((status, found["steady"].as_bool()), (503, Some(false)), "{found}");
    assert!(found["reason"].as_str().unwrap().contains("no endpoint"), "{found}");
}

#[test]
fn users_are_unwell_while_requests_fail_and_a_wrong_call_says_what_is_right() {
    let origin = origin();
    let proxy = site(&origin);
    (0..25).for_each(|_| drop(proxy.client().ask(get("/missing"))));
    eventually("they are counted", || budget(&proxy)["availability"]["requests"] == 25);
    let (status, found) = call(&proxy, "/v1/steady?service=site");
    assert_eq!((status, found["steady"].as_bool(), found["objectives"].as_bool()), (200, Some(true), Some(true)));
    (0..25).for_each(|_| drop(proxy.client().ask(get("/fails"))));
    eventually("it is seen", || call(&proxy, "/v1/steady?service=site").0 == 503);
    let (_, found) = call(&proxy, "/v1/steady?service=site");
    assert!(found["reason"].as_str().unwrap().contains("requests failed in the last 10 s"), "{found}");
    for (path, status, said) in [
        ("/v1/steady", 422, "add ?service=NAME"),
        ("/v1/steady?service=shop", 404, "site"),
        ("/v1/steady?service=site&x=1", 422, "unknown parameter"),
        ("/v1/services/shop/budget", 404, "site"),
    ] {
        let (found, body) = call(&proxy, path);
        assert!(found == status && body.to_string().contains(said), "{path}: {found} {body}");
    }
    let plain = Proxy::to(&[&origin]);
    let (status, body) = call(&plain, "/v1/services/site/budget");
    assert!(status == 404 && body.to_string().contains("[services.site.slo]"), "{status} {body}");
    let (status, body) = call(&plain, "/v1/steady?service=site");
    assert_eq!((status, &body["objectives"]), (200, &false.into()), "only its endpoints are looked at");
    assert!(plain.status().get("budget").is_none());
}
