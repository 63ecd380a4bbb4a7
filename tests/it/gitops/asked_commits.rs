//! What any commit of the repository would do, for the checks of a pull request: nothing is changed by asking.

use serde_json::Value;

use crate::support::eventually;
use crate::support::git_place::{GitPlace, gitops, is, on_v2, pointsman};

#[test]
fn any_commit_can_be_asked_about_and_says_by_its_exit_code_whether_it_is_good() {
    let place = GitPlace::new();
    let first = place.commit(40, "Give v2 a part");
    let process = place.start("1h");
    eventually("the commit is in force", || is(&process, "synced", &first));
    let users = on_v2(&process);
    let admin = process.admin_address.to_string();
    let diff = |arguments: &[&str]| pointsman(place.folder(), &[&["--admin", &admin, "diff"], arguments].concat());

    place.git(&["checkout", "--quiet", "-b", "feature/more"]);
    let more = place.commit(60, "More");
    place.git(&["update-ref", "refs/pull/12/head", &more]);
    for word in ["feature/more", &more, &more[..9], "refs/pull/12/head"] {
        let (code, text) = diff(&[word]);
        let line = format!("commit {} by Ada <ada@example.com>: More\ndry run, nothing was changed", &more[..8]);
        assert!(code == 0 && text.starts_with(&line) && text.contains("20 %"), "{word}: {code} {text}");
    }
    let (code, text) = diff(&["feature/more", "--json"]);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert!(code == 0 && answer["change"]["difference"][0]["moved_ratio"] == 0.2, "{answer}");
    let (code, text) = diff(&[&first]);
    assert!(code == 0 && text.contains("nothing"), "{code} {text}");

    let bad = place.commit_text(&place.config(60).replace("v2 = 60", "v2 = 61"), "Bad");
    let (code, text) = diff(&["feature/more"]);
    let at = format!("{}:pointsman.toml: line 6: services.shop.split", &bad[..8]);
    assert!(code == 2 && text.contains(&at), "{code} {text}");
    for (word, told) in [
        ("nowhere", "found no commit \"nowhere\""),
        ("0123456789012345678901234567890123456789", "found no commit \"0123"),
        ("0123456", "found no commit \"0123456\""),
        ("HEAD~1", "found \"HEAD~1\", want a branch"),
        ("--upload-pack=touch x", "found \"--upload-pack=touch x\", want a branch"),
        ("ext::sh", "found \"ext::sh\", want a branch"),
    ] {
        let (code, text) = diff(&["--", word]);
        assert!(code == 1 && text.contains(told), "{word}: {code} {text}");
    }
    let (code, _) = diff(&[]);
    assert_eq!(code, 64);

    // Nothing came of it, and the branch goes on as before.
    assert!(is(&process, "synced", &first), "{}", gitops(&process));
    assert_eq!(on_v2(&process), users);
    place.git(&["checkout", "--quiet", "main"]);
    place.git(&["merge", "--quiet", "--ff-only", &more]);
    let (code, text) = pointsman(place.folder(), &["--admin", &admin, "sync"]);
    assert!(code == 0 && is(&process, "synced", &more), "{code} {text}");
}
