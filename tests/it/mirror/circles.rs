//! Mirrors that would lead back: two proxies that mirror to each other, and what is refused because it could only be
//! compared with itself or go round.

use std::net::SocketAddr;

use serde_json::json;

use super::copies::{await_pairs, found};
use crate::support::relay::Relay;
use crate::support::release::Operator;
use crate::support::{Origin, Proxy, Setup, eventually, fault, get};

fn mirroring_to(origin: &Origin, other: SocketAddr, top: &str, listener: &str) -> Proxy {
    let mirror = "mirror = { to = \"v2\", share = 100, compare = { headers = [] } }";
    Setup::endpoints(&[&[origin.address()], &[other]]).service(mirror).top(top).listener(listener).start()
}

#[test]
fn two_proxies_that_mirror_to_each_other_do_not_go_round() {
    let trusts = "trusted_proxies = [\"127.0.0.1\"]";
    // The mark alone ends it where the proxies trust each other; elsewhere the second hop finds itself in `Via`.
    for (top, listener, failed) in [("[proxy]\nrefuse_loops = false", trusts, 0), ("", trusts, 0), ("", "", 1)] {
        let origins = ["old", "old"].map(Origin::saying);
        // The second one is not there yet.
        let relay = Relay::start(([127, 0, 0, 1], 9).into(), "");
        let first = mirroring_to(&origins[0], relay.address(), top, listener);
        let second = mirroring_to(&origins[1], first.address, top, listener);
        relay.mend(second.address);
        assert_eq!(first.client().ask(get("/")).text(), "old");
        let pairs = await_pairs(&first, 1);
        assert_eq!((&pairs["differing"], &pairs["candidate_failed_alone"]), (&0.into(), &0.into()), "{pairs:#}");
        if failed > 0 {
            assert_eq!(await_pairs(&second, 1)["candidate_failed_alone"], failed);
        }
        assert_eq!(second.client().ask(get("/")).text(), "old");
        await_pairs(&second, 1 + failed);
        for proxy in [&first, &second] {
            eventually("no copy is under way", || found(proxy)["in_flight"] == 0);
        }
        let asked = origins.each_ref().map(|origin| origin.seen().len());
        // Each was asked by its user, and for the copy of the other's.
        assert_eq!(
            (asked, await_pairs(&first, 1 + failed)["pairs"].as_u64()),
            ([2, 2], Some(1 + failed)),
            "{listener:?}"
        );
    }
}

#[test]
fn what_leads_back_or_is_compared_with_itself_is_refused_by_call_and_by_plan() {
    let origin = Origin::saying("old");
    let (address, _reserved) = fault::reserved();
    let port = address.port();
    let proxy = Proxy::start(&format!(
        "[listeners.public]\naddress = \"0.0.0.0:{port}\"\n[services.site]\nsplit = {{ v1 = 100, v2 = 0, v3 = 0 }}\n\
         versions.v1.endpoints = [\"{0}\"]\nversions.v2.endpoints = [\"127.0.0.1:{port}\"]\n\
         versions.v3.endpoints = [\"127.0.0.1:9\", \"{0}\"]\n",
        origin.address()
    ));
    let operator = Operator::at(proxy.admin);
    let plan = json!({"steps": [{"mirror": 10, "bake": "1s"}, 100]});
    let back = format!("whose endpoint 127.0.0.1:{port} is this process (listeners.public)");
    let itself = format!("whose endpoint {} is one of v1 too", origin.address());
    for (to, says) in [("v2", back), ("v3", itself)] {
        for dry in ["", "?dry_run=true"] {
            let path = format!("/v1/services/site/mirror{dry}");
            let refused = proxy.put(&path, &json!({"to": to, "share": 10}).to_string());
            assert_eq!(refused["status"], 409, "{refused:#}");
            assert!(refused["problems"][0]["found"].as_str().unwrap().contains(&says), "{refused:#}");
            assert!(refused["problems"][0]["remedy"].as_str().unwrap().contains("mirror to another version"));
        }
        let refused = operator.try_start(json!({"service": "site", "to": to, "plan": plan})).unwrap_err();
        let refused = format!("{refused:?}");
        assert!(refused.contains(&says) && refused.contains("remove the steps that mirror"), "{refused}");
        // Without such steps it may be released.
        operator.dry_run(json!({"service": "site", "to": to, "plan": {"steps": [10, 100]}}));
    }
    assert_eq!(proxy.status()["mirror"], json!(null));
}
