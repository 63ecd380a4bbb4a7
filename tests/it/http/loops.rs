//! Endpoints that lead back to the proxy.

use crate::support::{Origin, Proxy, Setup, fault, get, with};

#[test]
fn an_endpoint_that_is_our_own_listener_is_found_at_once() {
    let (address, _reserved) = fault::reserved();
    let port = address.port();
    let proxy = Proxy::start(&format!(
        "[listeners.public]\naddress = \"127.0.0.1:{port}\"\n[services.shop]\nsplit = {{ v1 = 100 }}\n\
         [services.shop.versions.v1]\nendpoints = [\"127.0.0.1:{port}\"]\n"
    ));
    proxy.client().ask(get("/")).assert_refused(508, "loop");
    // The request of the client, and the one that came back.
    proxy.await_metric("pointsman_requests_total", &["code=\"5xx\""], 1.0);
    proxy.await_metric("pointsman_refusals_total", &["reason=\"loop\""], 1.0);
}

#[test]
fn a_chain_of_proxies_of_one_name_is_no_loop() {
    let origin = Origin::saying("ok");
    let last = Proxy::to(&[&origin]);
    let middle = Setup::endpoints(&[&[last.address]]).start();
    let first = Setup::endpoints(&[&[middle.address]]).start();
    assert_eq!(first.client().ask(get("/")).text(), "ok");
    let via = origin.last().head.all("via").join(", ");
    assert_eq!(via.matches("pointsman (").count(), 3, "{via}");
}

#[test]
fn who_sends_requests_twice_on_purpose_can_say_so() {
    for (setting, status) in [("", 508), ("[proxy]\nrefuse_loops = false", 200)] {
        let origin = Origin::saying("ok");
        let proxy = Setup::to(&[&origin]).top(setting).start();
        assert_eq!(proxy.client().ask(get("/")).status, 200);
        let via = origin.last().header("via").unwrap().to_owned();
        let again = with(&[&format!("Via: 1.0 cache, {via}, 1.1 other (x)")]);
        assert_eq!(proxy.client().ask(again).status, status, "{setting}");
    }
}
