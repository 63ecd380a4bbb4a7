//! The room of the repository that the config is in: what is seen there, and a commit that is looked at and taken.

use http::Method;
use serde_json::json;

use crate::support::browser::{Browser, Tab};
use crate::support::event_stream::EventStream;
use crate::support::eventually;
use crate::support::git_place::{GitPlace, USERS, gitops, is, on_v2, refusal, sync};

const ROOM: &str = "#/repository";

#[track_caller]
fn is_for_all(browser: &'static Browser, tab: &Tab, admin: std::net::SocketAddr, what: &str) {
    super::every_room::is_for_all(browser, tab, &format!("http://{admin}/{ROOM}"), what);
}

#[test]
fn a_commit_is_seen_looked_at_and_taken_and_a_bad_one_says_why() {
    let Some(browser) = Browser::shared("the repository in the console") else { return };
    let place = GitPlace::new();
    let first = place.git(&["rev-parse", "HEAD"]);
    let process = place.start("24h");
    let admin = process.admin_address;
    eventually("the first commit is in force", || is(&process, "synced", &first));
    let tab = browser.console(admin, ROOM);
    tab.reads("main", "synced(.|\\n)*In force(.|\\n)*First(.|\\n)*Ada <ada@example.com>, .* ago");
    tab.shows("link", "Repository");
    is_for_all(browser, &tab, admin, "synced");

    let next = place.commit(60, "Give v2 more");
    tab.click("button", "Sync");
    let shown = tab.reads("dialog", "Give v2 more(.|\\n)*60 %");
    assert!(shown.contains("pointsman sync"), "{shown}");
    assert!(is(&process, "pending", &first) && on_v2(&process).is_empty(), "looking changes nothing");
    tab.reads("main", "pending(.|\\n)*Newest(.|\\n)*Give v2 more");
    tab.is_accessible("the dialog of a sync");
    tab.click_in("dialog", "button", "Sync");
    tab.ask("await", json!({ "css": "dialog[open]", "state": "hidden" }));
    assert!(is(&process, "synced", &next), "{}", gitops(&process));
    assert!(!on_v2(&process).is_empty());
    tab.reads("main", "synced(.|\\n)*Give v2 more");

    place.commit_text(&place.config(60).replace("v2 = 60", "v2 = 61"), "<b>Bad</b>");
    refusal(&process);
    tab.reads("main", "refused(.|\\n)*<b>Bad</b>(.|\\n)*Why it is refused(.|\\n)*pointsman.toml: line 6");
    is_for_all(browser, &tab, admin, "refused");
    tab.click("button", "Sync");
    tab.reads("dialog [role=alert]", "line 6");
    tab.press("Escape");

    place.commit(60, "Mended");
    sync(&process).unwrap();
    process.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": 0, "v2": 100 })).unwrap();
    tab.reads("main", "overridden(.|\\n)*Other weights than the commit says(.|\\n)*shop");
    is_for_all(browser, &tab, admin, "overridden");
    assert_eq!(on_v2(&process).len(), USERS as usize);

    // The shift by hand is undone first, and then what the commit says.
    for reason in ["not meant", "v2 loses orders"] {
        process.send(Method::POST, "/v1/rollback", json!({ "reason": reason })).unwrap();
    }
    tab.reads("main", "rejected(.|\\n)*Taken back(.|\\n)*of shop, by (.|\\n)*: v2 loses orders");
    is_for_all(browser, &tab, admin, "rejected");
    tab.click("button", "Insist on what was taken back");
    let shown = tab.reads("dialog", "60 %");
    assert!(shown.contains("sync --rejected"), "{shown}");
    tab.press("Escape");
    assert!(on_v2(&process).is_empty(), "looking changes nothing");

    // A history that was rewritten has a button of its own.
    place.git(&["commit", "--quiet", "--amend", "--message", "Rewritten"]);
    let rewritten = place.git(&["rev-parse", "HEAD"]);
    refusal(&process);
    tab.click("button", "Take the rewritten history");
    let shown = tab.reads("dialog", "Rewritten");
    assert!(shown.contains("sync --rewritten"), "{shown}");
    tab.click_in("dialog", "button", "Sync");
    eventually("it is in force", || is(&process, "rejected", &rewritten));
    std::fs::rename(place.work(), place.folder().join("away")).unwrap();
    refusal(&process);
    tab.reads("main", "unreachable(.|\\n)*cannot be asked");
    is_for_all(browser, &tab, admin, "unreachable");
    tab.end();
}

#[test]
fn a_console_that_only_looks_is_told_nothing_while_nothing_happens() {
    let place = GitPlace::new();
    let process = place.start("24h");
    let first = place.git(&["rev-parse", "HEAD"]);
    eventually("the first commit is in force", || is(&process, "synced", &first));
    let mut stream = EventStream::open(process.admin_address, "/v1/events", &[]);
    let snapshot = stream.event().expect("a snapshot");
    let known = snapshot.data["gitops"].as_object().unwrap();
    assert_eq!(known["commit"]["hash"], json!(first), "{snapshot:?}");
    // What grows by itself would be a change each second.
    assert!(!known.contains_key("fetched_seconds") && known["commit"].get("age_seconds").is_none(), "{snapshot:?}");
}
