//! Versions that get copies over TLS and over HTTP/2: pairs are compared as they are over plain HTTP/1.1, and what such
//! a version does to its copies is not felt by users, whatever those speak.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};
use serde_json::Value;

use super::copies::{await_pairs, found};
use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::h2_endpoint::{Asked, H2Endpoint, until_reset, whole_body};
use crate::support::pki::Ca;
use crate::support::tls::TlsFront;
use crate::support::{Origin, Proxy, Reply, eventually, get, post};

/// A proxy whose v2 has this address and these lines, and gets copies of all requests.
fn mirrored(old: SocketAddr, new: SocketAddr, lines: &str, more: &str) -> Proxy {
    Proxy::start(&format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\nh2c = true\n\
         [services.site]\nsplit = {{ v1 = 100, v2 = 0 }}\nresponse_timeout = \"2s\"\n\
         mirror = {{ to = \"v2\", share = 100, methods = [\"GET\", \"POST\"], {more} }}\n\
         versions.v1.endpoints = [\"{old}\"]\n[services.site.versions.v2]\nendpoints = [\"{new}\"]\n{lines}\n"
    ))
}

fn ca(ca: &Ca) -> String {
    format!("tls = {{ ca = \"{}\" }}", ca.file().display())
}

#[test]
fn pairs_over_tls_and_http2_are_compared_as_all_are() {
    let ca_file = Ca::new("ca");
    let own = ca_file.issue("own", "own", &["127.0.0.1"]);
    let (over1, over2) = (Origin::saying("new"), H2Origin::saying("new"));
    let secure1 = TlsFront::new(over1.address(), &own, None);
    let secure2 = TlsFront::speaking(over2.address(), &own, None, &["h2"]);
    let tls = ca(&ca_file);
    let secure_http2 = format!("protocol = \"h2\"\n{tls}");
    for (new, lines) in
        [(secure1.address, &tls), (secure2.address, &secure_http2), (over2.address(), &"protocol = \"h2\"".to_owned())]
    {
        for (said, differing) in [("new", 0), ("old", 4)] {
            let old = Origin::saying(said);
            let proxy = mirrored(old.address(), new, lines, "compare = { headers = [], body = \"exact\" }");
            let mut client = proxy.client();
            assert_eq!(client.ask(get("/one")).text(), said);
            assert_eq!(client.ask(post("/two", "a body")).text(), said);
            let mut client = H2Client::to(proxy.address);
            assert_eq!(client.ask(request("GET", "http://a/three", &[])).text(), said);
            let uploaded = client.try_ask(request("POST", "http://a/four", &[]), &[b"a body"], None::<HeaderMap>);
            assert_eq!(uploaded.unwrap().text(), said);
            let pairs = await_pairs(&proxy, 4);
            assert_eq!(
                (&pairs["differences"]["body"], &pairs["candidate_failed_alone"]),
                (&differing.into(), &0.into())
            );
        }
    }
    let bodies = |seen: Vec<String>| seen.iter().filter(|body| *body == "a body").count();
    assert_eq!(bodies(over1.seen().iter().map(|seen| seen.text()).collect()), 4);
    assert_eq!(bodies(over2.seen().iter().map(|seen| seen.as_http1().text()).collect()), 8);
}

#[test]
fn a_target_whose_certificate_is_not_believed_has_failed_and_no_user_feels_it() {
    let (ca_file, other) = (Ca::new("ca"), Ca::new("other"));
    let (old, new) = (Origin::saying("old"), Origin::saying("new"));
    let front = TlsFront::new(new.address(), &ca_file.issue("own", "own", &["127.0.0.1"]), None);
    let proxy = mirrored(old.address(), front.address, &ca(&other), "");
    assert_eq!(proxy.client().ask(get("/")).text(), "old");
    assert_eq!(await_pairs(&proxy, 1)["candidate_failed_alone"], 1);
    assert!(new.seen().is_empty());
}

/// What a target does with each copy.
#[derive(Clone, Copy, Debug)]
enum Ill {
    Hangs,
    Resets,
    /// A hundred megabytes, for as long as they are read.
    Talks,
}

const LONG: usize = 100_000_000;

fn over_http2(ill: Ill) -> H2Endpoint {
    H2Endpoint::with(move |asked| async move {
        let Asked { request, mut respond, .. } = asked;
        whole_body(&mut request.into_body()).await?;
        match ill {
            Ill::Hangs => until_reset(&mut respond).await,
            Ill::Resets => {
                respond.send_reset(Reason::INTERNAL_ERROR);
                Ok(())
            }
            Ill::Talks => {
                let head = Response::builder().header("content-length", LONG).body(()).unwrap();
                let mut body = respond.send_response(head, false)?;
                let part = Bytes::from(vec![b'x'; 16_384]);
                for _ in 0..LONG / part.len() {
                    body.reserve_capacity(part.len());
                    let capacity = poll_fn(|cx| body.poll_capacity(cx)).await;
                    let Some(capacity) = capacity.transpose()? else {
                        let reason = poll_fn(|cx| body.poll_reset(cx)).await?;
                        return Err(reason.into());
                    };
                    body.send_data(part.slice(..capacity.min(part.len())), false)?;
                }
                Ok(())
            }
        }
    })
}

fn over_http1(ill: Ill) -> Origin {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
    let part = "x".repeat(200_000);
    Origin::with(move |_| match ill {
        Ill::Hangs => Reply::raw("").hang(),
        Ill::Resets => Reply::raw("").reset(),
        Ill::Talks => Reply::raw(&head).then(&part).hang(),
    })
}

/// Asks over both protocols, with and without a body: each user gets the answer of v1. What the mirror found of them.
fn asked(proxy: &Proxy) -> Value {
    let mut client = proxy.client();
    assert_eq!(client.ask(get("/")).text(), "old");
    assert_eq!(client.ask(post("/", "a body")).text(), "old");
    let mut client = H2Client::to(proxy.address);
    assert_eq!(client.ask(request("GET", "http://a/", &[])).text(), "old");
    let uploaded = client.try_ask(request("POST", "http://a/", &[]), &[b"a body"], None::<HeaderMap>);
    assert_eq!(uploaded.unwrap().text(), "old");
    let pairs = await_pairs(proxy, 4);
    eventually("no copy is under way", || found(proxy)["in_flight"] == 0);
    pairs
}

#[test]
fn a_target_that_is_ill_over_either_protocol_is_felt_by_no_user_of_either() {
    let old = Origin::saying("old");
    for ill in [Ill::Hangs, Ill::Resets, Ill::Talks] {
        let (over1, over2) = (over_http1(ill), over_http2(ill));
        for (new, lines) in [(over1.address(), ""), (over2.address, "protocol = \"h2\"")] {
            let proxy = mirrored(old.address(), new, lines, "compare = { headers = [], body = \"length\" }");
            let pairs = asked(&proxy);
            let what = format!("{ill:?} {lines}: {pairs:#}");
            let failed = if matches!(ill, Ill::Talks) { 0 } else { 4 };
            assert_eq!(pairs["candidate_failed_alone"], failed, "{what}");
            assert_eq!(pairs["differences"]["length"], 4 - failed, "{what}");
            assert!((proxy.metric("pointsman_upstream_failures_total", &["version"])).abs() < 1e-9, "{what}");
        }
        if let Ill::Talks = ill {
            crate::support::eventually_within(Duration::from_secs(20), "it is told to stop", || {
                over2.resets().len() == 4 && over1.open() == 0
            });
        }
    }
}
