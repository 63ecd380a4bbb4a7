//! Ejection of endpoints that fail their requests, its floor, the probe that ends it, and slow start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::support::{Origin, PATIENCE, Proxy, Reply, Setup, eventually, eventually_within, get};

/// An origin that says `body`, and 500 while the flag is up.
fn moody(flag: &Arc<AtomicBool>, body: &'static str) -> Origin {
    let flag = Arc::clone(flag);
    Origin::with(move |_| match flag.load(SeqCst) {
        true => Reply::raw("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"),
        false => Reply::ok(body),
    })
}

fn flag(up: bool) -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(up))
}

/// One version with these origins as its endpoints, one worker, and `outlier`.
fn proxy_of(origins: &[&Origin], lines: &str) -> Proxy {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address()).collect();
    Setup::endpoints(&[&addresses]).top("[proxy]\nworkers = 1").service(lines).start()
}

/// How many of `count` requests get an answer of 500 and above.
fn errors(proxy: &Proxy, count: usize) -> usize {
    let mut client = proxy.client();
    (0..count).filter(|_| client.ask(get("/")).status >= 500).count()
}

/// The states of the first version's endpoints.
fn states(proxy: &Proxy) -> Vec<String> {
    let status = proxy.status();
    let endpoints = status["versions"][0]["endpoints"].as_array().unwrap();
    endpoints.iter().map(|endpoint| endpoint["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn failures_in_a_row_eject_and_users_see_no_more_of_them() {
    let (good, bad) = (Origin::saying("good"), moody(&flag(true), "bad"));
    let proxy = proxy_of(&[&good, &bad], "outlier = { consecutive_failures = 5, ejection = \"1m\" }");
    assert_eq!(errors(&proxy, 300), 5, "all that it takes");
    assert_eq!(states(&proxy), ["ready", "ejected"]);
    let endpoint = format!("endpoint=\"{}\"", bad.address());
    assert!(proxy.metric("pointsman_endpoint_healthy", &[&endpoint]) < 0.5);
    let reason = proxy.status()["versions"][0]["endpoints"][1]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("too many failures, tried again in "), "{reason}");
}

#[test]
fn without_the_section_nobody_is_ejected() {
    let (good, bad) = (Origin::saying("good"), moody(&flag(true), "bad"));
    let proxy = proxy_of(&[&good, &bad], "");
    assert!(errors(&proxy, 100) > 20);
    assert_eq!(states(&proxy), ["ready", "ready"]);
}

#[test]
fn an_ejected_endpoint_is_tried_with_one_request_and_comes_back_by_it() {
    let sick = flag(true);
    let (good, bad) = (Origin::saying("good"), moody(&sick, "mended"));
    let proxy = proxy_of(&[&good, &bad], "outlier = { consecutive_failures = 3, ejection = \"3s\" }");
    // Few enough to be over before it is tried again.
    assert_eq!(errors(&proxy, 20), 3);
    let mut failed_probes = 0;
    eventually_within(2 * PATIENCE, "a probe fails", || {
        failed_probes += errors(&proxy, 1);
        failed_probes > 0
    });
    assert_eq!(errors(&proxy, 20), 0, "one request a rest, and the rest has doubled");
    sick.store(false, SeqCst);
    eventually_within(2 * PATIENCE, "it is back", || {
        assert_eq!(errors(&proxy, 1), 0);
        states(&proxy) == ["ready", "ready"]
    });
    let seen = bad.seen().len();
    assert_eq!(errors(&proxy, 50), 0);
    assert!(bad.seen().len() > seen + 5, "it has its share again");
}

#[test]
fn the_last_endpoints_are_not_ejected() {
    let all = flag(true);
    let origins: Vec<_> = (0..4).map(|_| moody(&all, "mended")).collect();
    let lines = "outlier = { consecutive_failures = 2, ejection = \"1m\", eject_max_ratio = 0.5 }";
    let proxy = proxy_of(&origins.iter().collect::<Vec<_>>(), lines);
    assert_eq!(errors(&proxy, 200), 200);
    assert_eq!(states(&proxy).iter().filter(|state| *state == "ejected").count(), 2);
    all.store(false, SeqCst);
    assert_eq!(errors(&proxy, 50), 0);
    let alone = moody(&flag(true), "");
    let proxy = proxy_of(&[&alone], lines);
    assert_eq!(errors(&proxy, 20), 20);
    assert_eq!((states(&proxy), alone.seen().len()), (vec!["ready".to_owned()], 20));
}

#[test]
fn ejected_ones_are_taken_back_when_the_others_fail_their_checks() {
    let (well, sick) = (flag(false), flag(false));
    let (first, second) = (moody(&well, "first"), moody(&sick, "second"));
    let addresses = [first.address(), second.address()];
    // The path keeps the origins' moods out of it: a check is answered as a request is.
    let health = "health = { path = \"/\", interval = \"600ms\", timeout = \"590ms\", rise = 1, fall = 4 }";
    let setup = Setup::endpoints(&[&addresses]).top("[proxy]\nworkers = 1").version(health);
    let proxy = setup.service("outlier = { consecutive_failures = 3, ejection = \"1m\" }").start();
    let broken = AtomicUsize::new(0);
    eventually("the second one is out", || {
        sick.store(broken.fetch_add(1, SeqCst).is_multiple_of(2), SeqCst);
        errors(&proxy, 10);
        states(&proxy)[1] != "ready"
    });
    well.store(true, SeqCst);
    sick.store(false, SeqCst);
    eventually("the first one is out and the second one is not", || states(&proxy) == ["unhealthy", "ready"]);
    assert_eq!(errors(&proxy, 20), 0);
}

#[test]
fn a_share_of_failures_ejects_too() {
    let turn = AtomicUsize::new(0);
    let bad = Origin::with(move |_| match turn.fetch_add(1, SeqCst).is_multiple_of(2) {
        true => Reply::raw("HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n"),
        false => Reply::ok("bad"),
    });
    let good = Origin::saying("good");
    let outlier = "outlier = { failure_ratio = 0.4, min_requests = 20, window = \"30s\", ejection = \"1m\" }";
    let proxy = proxy_of(&[&good, &bad], outlier);
    let mut failed = 0;
    eventually("it is ejected", || {
        failed += errors(&proxy, 20);
        states(&proxy) == ["ready", "ejected"]
    });
    assert!(failed >= 5, "not before there were enough requests: {failed}");
    assert_eq!(errors(&proxy, 50), 0);
}

#[test]
fn answers_that_break_or_do_not_come_count_and_refused_connections_do_not() {
    for (name, reply, timeout, status) in [
        ("resets", Reply::default().reset(), "1m", 502),
        ("hangs", Reply::default().hang(), "2s", 504),
        ("no answer", Reply::raw("NOT HTTP\r\n\r\n").close(), "1m", 502),
    ] {
        let good = Origin::saying("good");
        let bad = Origin::with(move |_| reply.clone());
        let outlier = "outlier = { consecutive_failures = 3, ejection = \"1m\" }";
        let proxy = proxy_of(&[&good, &bad], &format!("response_timeout = \"{timeout}\"\n{outlier}"));
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        let statuses: Vec<_> =
            (0..40).map(|_| proxy.client().ask(post).status).filter(|status| *status != 200).collect();
        assert_eq!(statuses, [status; 3], "{name}");
        assert_eq!(states(&proxy), ["ready", "ejected"], "{name}");
    }
    let (good, gone) = (Origin::saying("good"), crate::support::fault::Fault::refusing());
    let lines = "outlier = { consecutive_failures = 1, ejection = \"1m\" }";
    let proxy = Setup::endpoints(&[&[good.address(), gone.address()]]).service(lines).start();
    assert_eq!(errors(&proxy, 40), 0);
    assert_eq!(states(&proxy)[1], "paused");
    let back = gone.recover("back");
    eventually("it is used after its pause", || {
        errors(&proxy, 10);
        !back.seen().is_empty()
    });
}

#[test]
fn who_comes_back_gets_little_at_first_with_slow_start() {
    for (slow_start, most) in [("1h", 30), ("0ms", 100)] {
        let sick = flag(true);
        let (good, bad) = (Origin::saying("good"), moody(&sick, "back"));
        let lines =
            format!("slow_start = \"{slow_start}\"\noutlier = {{ consecutive_failures = 2, ejection = \"100ms\" }}");
        let proxy = proxy_of(&[&good, &bad], &lines);
        errors(&proxy, 20);
        sick.store(false, SeqCst);
        eventually("it is back", || {
            errors(&proxy, 1);
            states(&proxy) == ["ready", "ready"]
        });
        let before = bad.seen().len();
        assert_eq!(errors(&proxy, 200), 0);
        let share = bad.seen().len() - before;
        // A tenth of a half is 10 of 200; an even share is 100.
        assert!(share <= most + 40 && (most == 30 || share > 60), "{share} of 200 with {slow_start}");
    }
}
