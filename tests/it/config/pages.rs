//! Pages that a config names by file: read with it, refused with it and in force with it.

use std::fs;
use std::path::Path;

use crate::support::pki::{replace, run};
use crate::support::process::{Process, config};
use crate::support::{Origin, client, eventually, fault};

/// A maintenance page below `/shop`, and pages for errors.
const PAGES: &str = r#"
rules = [{ name = "sorry", when = { path = { prefix = "/shop" } }, respond = { status = 503, file = "sorry.html" } }]
error_pages = [
  { status = [502, 503], html = "errors/5xx.html", json = "errors/5xx.json" },
  { status = ["4xx"], text = "errors/4xx.txt" },
]
body_bytes_max = "1KiB"
"#;

fn write_pages(folder: &Path) {
    fs::create_dir_all(folder.join("errors")).unwrap();
    for (file, text) in [
        ("sorry.html", "<h1>sorry</h1>"),
        ("errors/5xx.html", "<h1>down</h1>"),
        ("errors/5xx.json", "{\"down\":true}"),
        ("errors/4xx.txt", "no\n"),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
}

#[test]
fn a_page_follows_its_file_and_one_that_is_gone_at_a_reload_changes_nothing() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    write_pages(folder.path());
    let path = folder.path().join("pointsman.toml");
    fs::write(&path, config(origin.address(), origin.address(), PAGES)).unwrap();
    let process = Process::start(&path);
    let ask = || client::send(process.listener, "GET /shop/cart HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = ask();
    assert_eq!((answer.status, answer.text().as_str()), (503, "<h1>sorry</h1>"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let page = folder.path().join("sorry.html");
    replace(&page, "<h1>until noon</h1>");
    eventually("the page follows its file", || ask().text() == "<h1>until noon</h1>");
    fs::remove_file(&page).unwrap();
    let problems = || process.get("/v1/status")["config"]["problems"].clone();
    eventually("the page is missed", || problems().to_string().contains("sorry.html"));
    let problems = problems();
    let wanted = "services.shop.rules[1].respond.file: found \"sorry.html\": No such file or directory (os error 2), want a \
                  file that can be read (put the file there, or mend the path)";
    assert_eq!(problems.as_array().unwrap().len(), 1, "{problems:#}");
    assert!(problems[0].as_str().unwrap().ends_with(wanted), "{problems:#}");
    assert_eq!(ask().text(), "<h1>until noon</h1>", "what was read before stays in force");
    assert!(!run(env!("CARGO_BIN_EXE_pointsman"), &["check", "--config", path.to_str().unwrap()]).good);
    replace(&page, "<h1>back</h1>");
    eventually("the page is back", || ask().text() == "<h1>back</h1>");
    eventually("nothing is wrong", || process.get("/v1/status")["config"]["good"] == true);
}

#[test]
fn an_error_has_the_page_of_its_status_in_the_form_that_is_asked_for() {
    let nothing = fault::listener();
    let address = nothing.local_addr().unwrap();
    drop(nothing);
    let folder = tempfile::tempdir().unwrap();
    write_pages(folder.path());
    let path = folder.path().join("pointsman.toml");
    let more =
        PAGES.to_owned() + "response_headers = { set = { \"x-site\" = \"shop\", \"cache-control\" = \"public\" } }\n";
    fs::write(&path, config(address, address, &more)).unwrap();
    let process = Process::start(&path);
    for (accept, kind, text) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "<h1>down</h1>"),
        ("application/json", "application/json", "{\"down\":true}"),
        ("*/*", "text/html; charset=utf-8", "<h1>down</h1>"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
        let answer = client::send(process.listener, request);
        // The endpoint is left alone once it has refused a connection.
        assert!(matches!(answer.status, 502 | 503), "{accept}: {answer:?}");
        assert_eq!(answer.text(), text, "{accept}");
        assert_eq!(answer.header("content-type"), Some(kind), "{accept}");
        let lines = (answer.header("vary"), answer.header("cache-control"), answer.header("x-site"));
        assert_eq!(lines, (Some("accept"), Some("no-store"), Some("shop")), "{accept}");
    }
    // None of the forms is asked for: the sentence of the proxy stays.
    let answer = client::send(process.listener, "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n");
    assert!(
        answer.text().starts_with("502 connect_failed") || answer.text().starts_with("503 no_endpoint"),
        "{answer:?}"
    );
    let head =
        client::send(process.listener, "HEAD / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status >= 502, head.header("content-length")), (true, Some("13")));
    let call = "POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    let answer = client::send(process.listener, call);
    assert_eq!((answer.status, answer.header("grpc-status"), answer.text().as_str()), (200, Some("14"), ""));
    let large = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(2000));
    let answer = client::send(process.listener, large);
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-site")), (413, "no\n", Some("shop")));
}
