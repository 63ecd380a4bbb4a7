//! Users of experiments under way, through the real proxy: versions, flags, what `explain` says, and what caches hear.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::{Answer, send};
use crate::support::{Origin, Proxy, Setup, eventually, get, with};

/// Two experiments of one layer: on the versions of the service, and on a flag that its requests carry.
const EXPERIMENTS: &str = r#"
[segments.staff]
header = { x-staff = "1" }
[flags.theme]
variants = { classic = "classic", new = "new" }
default = "classic"
rules = [{ name = "dogfood", when = { segment = "staff" }, serve = "new" }]
[experiments.button]
service = "site"
arms = { control = "v1", treatment = "v2" }
share = 50
layer = "checkout"
metrics = [{ name = "purchase", kind = "conversion", when = { method = "POST", path = "/orders" } }]
[experiments.theme]
flag = "theme"
arms = { control = "classic", treatment = "new" }
share = 30
layer = "checkout"
metrics = [{ name = "purchase", kind = "conversion", when = { method = "POST", path = "/orders" } }]
"#;

const USERS: usize = 400;

fn setup(v1: &Origin, v2: &Origin) -> Setup {
    Setup::to(&[v1, v2]).service("flags = [\"theme\"]\nsticky = [\"header:x-user\"]").bottom(EXPERIMENTS)
}

fn change(proxy: &Proxy, experiment: &str, what: &str, body: &Value) -> Value {
    let changed = proxy.call("POST", &format!("/v1/experiments/{experiment}/{what}"), &body.to_string());
    assert!(changed["revision"].is_u64(), "{changed}");
    changed
}

/// Asks as each user once; the text of the response, which is the version, and the theme that the endpoint was told.
fn asked(proxy: &Proxy, origins: [&Origin; 2]) -> Vec<(String, String)> {
    let mut client = proxy.client();
    let one = |user: usize| {
        let answer: Answer = client.ask(with(&[&format!("X-User: user-{user}")]));
        let seen = origins[usize::from(answer.text() == "v2")].last();
        (answer.text(), seen.header("x-flag-theme").expect("a flag").to_owned())
    };
    (0..USERS).map(one).collect()
}

fn explained(proxy: &Proxy, user: usize) -> Value {
    let asked = json!({ "host": "a", "headers": { "x-user": format!("user-{user}") } });
    proxy.call("POST", "/v1/explain", &asked.to_string())
}

#[track_caller]
fn about(found: usize, wanted: usize) {
    assert!(found.abs_diff(wanted) < 45, "{found}, want about {wanted}");
}

fn count(users: &[(String, String)], is: impl Fn(&(String, String)) -> bool) -> usize {
    users.iter().filter(|user| is(user)).count()
}

#[test]
fn users_get_the_arms_of_experiments_and_others_what_they_had() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = setup(&v1, &v2).start();
    let origins = [&v1, &v2];
    let nothing = asked(&proxy, origins);
    assert_eq!(count(&nothing, |(version, theme)| version == "v1" && theme == "classic"), USERS);

    change(&proxy, "button", "start", &json!({}));
    let of_button = asked(&proxy, origins);
    about(count(&of_button, |(version, _)| version == "v2"), USERS / 4);
    assert_eq!(count(&of_button, |(_, theme)| theme == "classic"), USERS);

    change(&proxy, "theme", "start", &json!({}));
    let of_both = asked(&proxy, origins);
    about(count(&of_both, |(_, theme)| theme == "new"), USERS * 15 / 100);
    assert_eq!(count(&of_both, |(version, theme)| version == "v2" && theme == "new"), 0, "a layer shares no user");
    let versions = |users: &[(String, String)]| users.iter().map(|(version, _)| version.clone()).collect::<Vec<_>>();
    assert_eq!(versions(&of_both), versions(&of_button), "the one moves no user of the other");

    let (mut in_button, mut in_theme) = (BTreeSet::new(), BTreeSet::new());
    for (user, (version, theme)) in of_both.iter().enumerate() {
        let said = explained(&proxy, user);
        assert_eq!((&said["version"], &said["flags"]["theme"]["variant"]), (&json!(version), &json!(theme)), "{said}");
        if said["experiment"] == "button" {
            let arm = if version == "v2" { "treatment" } else { "control" };
            assert_eq!((&said["arm"], &said["key_from"]), (&json!(arm), &json!("header:x-user")), "{said}");
            assert!(said["why"].as_str().is_some_and(|why| why.starts_with("experiment button")), "{said}");
            in_button.insert(user);
        }
        if said["flags"]["theme"]["why"].as_str().is_some_and(|why| why.starts_with("experiment theme")) {
            in_theme.insert(user);
        }
    }
    about(in_button.len(), USERS / 2);
    about(in_theme.len(), USERS * 30 / 100);
    assert!(in_button.is_disjoint(&in_theme));

    // Staff have what their rule says; without a key no user is in.
    let staff = send(proxy.address, with(&["X-User: user-1", "X-Staff: 1"]));
    assert_eq!(origins[usize::from(staff.text() == "v2")].last().header("x-flag-theme"), Some("new"));
    for _ in 0..8 {
        assert_eq!(send(proxy.address, get("/")).text(), "v1");
    }

    change(&proxy, "button", "stop", &json!({}));
    change(&proxy, "theme", "stop", &json!({}));
    assert_eq!(asked(&proxy, origins), nothing);
}

#[test]
fn caches_are_told_what_decides_while_an_experiment_runs() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let segment = "[experiments.button]\nsegment = \"staff\"";
    let bottom = EXPERIMENTS.replace("[experiments.button]", segment);
    let proxy = Setup::to(&[&v1, &v2]).service("sticky = [\"header:x-user\"]").bottom(&bottom).start();
    let vary = || send(proxy.address, with(&["X-User: ann"])).header("vary").map(str::to_owned);
    assert_eq!(vary(), None);
    change(&proxy, "button", "start", &json!({}));
    let said = vary().expect("a header");
    let names: BTreeSet<_> = said.split(", ").collect();
    assert_eq!(names, BTreeSet::from(["x-staff", "x-user"]));
    change(&proxy, "button", "stop", &json!({}));
    assert_eq!(vary(), None);
}

#[test]
fn a_user_without_a_key_is_told_the_chances_of_all() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = Setup::to(&[&v1, &v2]).service("sticky = [\"cookie\"]").bottom(EXPERIMENTS).start();
    change(&proxy, "button", "start", &json!({ "share": 40 }));
    let said = proxy.explain("/");
    assert_eq!((&said["version"], &said["chances"]), (&json!(null), &json!({ "v1": 80.0, "v2": 20.0 })), "{said}");
    // The key that a user is given is the one that the user is drawn by.
    let mut versions = BTreeSet::new();
    for _ in 0..40 {
        let first = send(proxy.address, get("/"));
        let cookie = first.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
        let again = send(proxy.address, with(&[&format!("Cookie: {cookie}")]));
        assert_eq!(again.text(), first.text());
        versions.insert(first.text());
    }
    assert_eq!(versions.len(), 2);
}

#[test]
fn the_access_log_names_experiment_and_arm() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let section = format!("[access_log]\nformat = \"json\"\npath = \"{}\"\n", path.display());
    let proxy = setup(&v1, &v2).top(&section).start();
    change(&proxy, "button", "start", &json!({}));
    let answers = asked(&proxy, [&v1, &v2]);
    let mut lines = Vec::new();
    eventually("the lines are there", || {
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        lines.len() == USERS
    });
    for (line, (version, _)) in lines.iter().zip(&answers) {
        assert_eq!(&line["version"], version, "{line}");
        match line["arm"].as_str() {
            Some(arm) => assert_eq!((arm == "treatment", &line["experiment"]), (version == "v2", &json!("button"))),
            None => assert!(version == "v1" && line.get("experiment").is_none(), "{line}"),
        }
    }
    about(lines.iter().filter(|line| line.get("arm").is_some()).count(), USERS / 2);
}
