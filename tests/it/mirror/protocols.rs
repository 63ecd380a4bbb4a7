//! Copies of requests over HTTP/1.1 and HTTP/2, for endpoints that speak either.

use http::HeaderMap;

use super::copies::await_pairs;
use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::{Origin, Setup, get};

const MIRROR: &str =
    "mirror = { to = \"v2\", share = 100, methods = [\"GET\", \"POST\"], compare = { body = \"exact\" } }";

#[test]
fn both_protocols_on_both_sides_have_copies() {
    let (old, new) = (Origin::saying("old"), Origin::saying("new"));
    let (old2, new2) = (H2Origin::saying("old"), H2Origin::saying("new"));
    for http2 in [false, true] {
        let (addresses, lines) = if http2 {
            ([old2.address(), new2.address()], "protocol = \"h2\"")
        } else {
            ([old.address(), new.address()], "")
        };
        let proxy = Setup::endpoints(&[&[addresses[0]], &[addresses[1]]])
            .listener("h2c = true")
            .service(MIRROR)
            .version(lines)
            .start();
        let answer = proxy.client().ask(get("/one"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
        let mut client = H2Client::to(proxy.address);
        assert_eq!(client.ask(request("GET", "http://a/two", &[])).text(), "old");
        let uploaded = client.try_ask(request("POST", "http://a/three", &[]), &[b"body"], None::<HeaderMap>).unwrap();
        assert_eq!(uploaded.text(), "old");
        let pairs = await_pairs(&proxy, 3);
        assert_eq!((&pairs["differing"], &pairs["differences"]["body"]), (&3.into(), &3.into()), "{pairs:#}");
        assert_eq!(pairs["candidate_failed_alone"], 0);
    }
    let mut over1: Vec<_> = new.seen().iter().map(|seen| (seen.target().to_owned(), seen.text())).collect();
    let mut over2: Vec<_> =
        new2.seen().iter().map(|seen| (seen.as_http1().target().to_owned(), seen.as_http1().text())).collect();
    over1.sort();
    over2.sort();
    let wanted =
        [("/one", ""), ("/three", "body"), ("/two", "")].map(|(path, body)| (path.to_owned(), body.to_owned()));
    assert_eq!((over1, over2), (wanted.to_vec(), wanted.to_vec()));
    assert!(new2.seen().iter().all(|seen| seen.headers["x-pointsman-mirror"] == "1"));
}

#[test]
fn a_call_of_grpc_fails_by_its_status() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\ngrpc-status: ";
    let [old, new] = ["0", "14"].map(|status| {
        let text: &'static str = format!("{head}{status}\r\n\r\n").leak();
        Origin::raw(text)
    });
    let proxy = Setup::to(&[&old, &new]).service(MIRROR).start();
    proxy.client().ask(get("/call"));
    let pairs = await_pairs(&proxy, 1);
    assert_eq!(
        (&pairs["candidate_failed_alone"], &pairs["differences"]["status"]),
        (&1.into(), &1.into()),
        "{pairs:#}"
    );
    assert_eq!(pairs["last"][0]["mirror"]["sample"], "200, grpc-status 14");
}
