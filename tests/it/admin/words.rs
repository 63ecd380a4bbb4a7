//! The words in which the admin API refuses a call: what was found as it was written, what is wanted, what to do.

use serde_json::{Value, json};

use crate::support::control::Control;

/// The problems of a refusal: where, found, wanted and remedy.
fn problems(refusal: &Value) -> Vec<[&str; 4]> {
    let listed = refusal["problems"].as_array().unwrap();
    listed.iter().map(|item| ["where", "found", "wanted", "remedy"].map(|part| item[part].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_revision_that_cannot_be_is_told_as_it_was_written() {
    let control = Control::start();
    let list = "take it from the list of revisions";
    for (to, found, wanted, remedy) in [
        ("1.0", "1.0", "a revision, a whole number above 0", list),
        ("-1", "-1", "a revision, a whole number above 0", list),
        ("[]", "a list", "a revision, a whole number above 0", list),
        ("\"1\"", "\"1\"", "a revision, a whole number above 0", "leave the quotes out"),
        ("0", "revision 0", "a revision from 1 to 1", "take a number from the list of revisions"),
        (
            "18446744073709551615",
            "revision 18446744073709551615",
            "a revision from 1 to 1",
            "take a number from the list of revisions",
        ),
    ] {
        let refused = control.send("POST /v1/rollback", &format!("{{\"to\": {to}}}")).await;
        refused.refusal(422);
        assert_eq!(problems(&refused.json()), [["to", found, wanted, remedy]], "{to}");
    }
    let none = control.send("POST /v1/rollback", r#"{"services": []}"#).await.json();
    assert_eq!(problems(&none)[0][3], "name one, or leave it out for all");
    let none = control.send("POST /v1/hold", r#"{"services": []}"#).await.json();
    assert_eq!(problems(&none)[0][3], "write [\"shop\"]", "a hold has to name its services");
    let many =
        control.send("POST /v1/hold", r#"{"services": ["shop"], "requests": 18446744073709551615}"#).await.json();
    assert_eq!(
        problems(&many)[0][1..],
        ["18446744073709551615", "a whole number, 0 or more, that is not so large", "lower it"]
    );
}

#[tokio::test]
async fn a_term_that_is_misspelt_is_no_version_and_no_service() {
    let control = Control::start();
    let refused = control.send("PUT /v1/services/shop/split", r#"{"v1": "90", "v2": -10, "resaon": "x"}"#).await.json();
    let weight = "a number from 0 to 100 with at most three decimals";
    let wanted = [
        ["services.shop.split.resaon", "the unknown key \"resaon\"", "a known one", "did you mean \"reason\"?"],
        ["services.shop.split.v1", "\"90\"", weight, "leave the quotes out"],
        ["services.shop.split.v2", "-10", weight, "correct it"],
    ];
    assert_eq!(problems(&refused), wanted);
    let body = r#"{"shop": {"v1": 100, "note": "x"}, "forse": true}"#;
    let refused = control.send("PUT /v1/splits", body).await.json();
    let unknown = problems(&refused);
    assert_eq!(unknown[0], ["forse", "the unknown key \"forse\"", "a known one", "did you mean \"force\"?"]);
    assert_eq!(unknown[1][..3], ["services.shop.split.note", "unknown version \"note\"", "one of v1, v2"]);
    assert_eq!(unknown.len(), 2, "{unknown:?}");
}

#[tokio::test]
async fn a_wrong_method_is_told_which_ones_there_are() {
    let control = Control::start();
    for (line, wanted) in [
        ("DELETE /v1/services/shop/split", "found the method DELETE, want PUT"),
        ("PUT /v1/hold", "found the method PUT, want POST or GET or HEAD"),
        ("POST /v1/status", "found the method POST, want GET or HEAD"),
    ] {
        let refused = control.send(line, "{}").await;
        refused.refusal(405);
        let told = refused.json()["detail"].as_str().unwrap().to_owned();
        let (mut told, mut wanted): (Vec<_>, Vec<_>) = (told.split(' ').collect(), wanted.split(' ').collect());
        // In which order, is the router's.
        told.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(told, wanted);
        assert!(refused.header("allow").is_some(), "{refused:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_empty_or_cut_off_is_told_so() {
    let control = Control::start();
    for (body, wanted) in [
        ("", "the body is empty, want an object; send {} when there is nothing to say"),
        (" \n", "the body is empty, want an object; send {} when there is nothing to say"),
        ("{\"to\": ", "the JSON of the body is cut off (EOF while parsing"),
        ("{to}", "the body is not good JSON: "),
    ] {
        let refused = control.send("POST /v1/rollback", body).await;
        refused.refusal(400);
        assert!(refused.json()["detail"].as_str().unwrap().starts_with(wanted), "{refused:?}");
    }
}

/// Every call of the document, with a parameter that none has.
#[tokio::test]
async fn an_unknown_parameter_is_refused_by_every_call() {
    let control = Control::start();
    let document = control.get("/v1/openapi.json").await.json();
    let mut calls = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|_| path.starts_with("/v1/")) {
            let path = path.replace("{service}", "shop").replace("{order}", "pause").replace(['{', '}'], "");
            let line = format!("{} {path}?limt=1", method.to_uppercase());
            let refused = control.send(&line, "{}").await;
            assert_eq!(refused.status, 422, "{line}: {refused:?}");
            let refused = refused.json();
            let found = problems(&refused).into_iter().find(|problem| problem[0] == "?limt");
            assert_eq!(found.map(|problem| problem[1]), Some("an unknown parameter"), "{line}: {refused}");
            calls += 1;
        }
    }
    assert!(calls >= 15, "{calls}");
    assert_eq!(control.get("/healthz?a=1").await.status, 200, "probes are asked by others");
    assert_eq!(control.get("/v1/revisions?limit=1").await.json()["revisions"].as_array().map(Vec::len), Some(1));
    assert_eq!(control.get("/v1/status").await.json()["revision"], json!(1));
}
