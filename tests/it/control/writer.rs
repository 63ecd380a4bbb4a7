//! The writer: what it answers is durable and in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use pointsman::testing::control::publish::Published;
use pointsman::testing::control::{ApplyError, Change, ChangeRequest, Handle, OntoDead, Store, Writer};
use pointsman::testing::stats::Registry;

use crate::support::spec::{name, services, weights};

fn start(store: Store, list: &[(&str, &str)]) -> (Handle, Published, std::thread::JoinHandle<()>) {
    let writer = Writer::new(store, Arc::new(Registry::new(1)), services(list)).expect("a good start");
    let published = writer.published();
    let (handle, thread) = writer.start(pointsman::testing::supervise::Part::alone("writer")).expect("a thread");
    (handle, published, thread)
}

fn request(change: Change) -> ChangeRequest {
    ChangeRequest {
        change,
        dry_run: false,
        if_match: None,
        onto_dead: OntoDead::Refuse,
        author: "ada".to_owned(),
        reason: None,
        until_ms: None,
    }
}

fn splits(list: &[(&str, &str)]) -> Change {
    Change::Splits(list.iter().map(|(service, split)| (name(service), weights(split))).collect::<BTreeMap<_, _>>())
}

#[tokio::test]
async fn an_answer_means_in_force_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.db");
    let list = [("cart", "v1=100 v2=0"), ("shop", "v1=95 v2=5")];
    let (handle, published, thread) = start(Store::open(&path).unwrap(), &list);
    assert_eq!(published.load().revision, 1, "the file is the first revision");
    let applied = handle.apply(request(splits(&[("cart", "v1=50 v2=50"), ("shop", "v2=100")]))).await.unwrap();
    assert_eq!((applied.revision, applied.changed, applied.difference.len()), (2, true, 2));
    let table = published.load_full();
    assert_eq!(table.revision, 2);
    assert_eq!(table.service_named("shop").unwrap().weights(), weights("v1=0 v2=100"));
    assert_eq!(table.service_named("cart").unwrap().weights(), weights("v1=50 v2=50"));
    drop(handle);
    thread.join().unwrap();

    let (handle, published, _thread) = start(Store::open(&path).unwrap(), &list);
    assert_eq!(published.load().revision, 2, "a restart makes no revision");
    let restored = published.load_full();
    for service in ["cart", "shop"] {
        assert_eq!(restored.service_named(service).unwrap().traffic, table.service_named(service).unwrap().traffic);
    }
    let revision = handle.revision(2).await.unwrap().expect("it is there");
    assert_eq!((revision.author.as_str(), revision.action.as_str()), ("ada", "shift"));
    assert_eq!(revision.difference, applied.difference);
}

#[tokio::test]
async fn a_store_that_was_lent_must_come_back_as_it_was_or_newer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("pointsman.db"), folder.path().join("away.db"));
    let list = [("shop", "v1=95 v2=5")];
    let (handle, published, _thread) = start(Store::open(&path).unwrap(), &list);
    handle.apply(request(splits(&[("shop", "v1=50 v2=50")]))).await.unwrap();
    handle.hand_over_store().await.unwrap();
    std::fs::rename(&path, &away).unwrap();
    let error = handle.take_store_back().await.unwrap_err().to_string();
    assert!(error.contains("found nothing"), "{error}");
    assert!(!path.exists(), "an empty one would be taken for it");
    // An older one, as a start with a lost file makes it.
    drop(Store::open(&path).unwrap());
    let error = handle.apply(request(splits(&[("shop", "v2=100")]))).await.unwrap_err().to_string();
    assert!(error.contains("found revision 0") && error.contains("up to revision 2"), "{error}");
    assert_eq!(published.load().revision, 2, "what is in force stays in force");
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(handle.apply(request(splits(&[("shop", "v2=100")]))).await.unwrap().revision, 3);
}

#[tokio::test]
async fn dry_runs_and_refusals_change_nothing() {
    let (handle, published, _thread) = start(Store::in_memory().unwrap(), &[("shop", "v1=90 v2=10")]);
    let shift = request(splits(&[("shop", "v1=70 v2=30")]));
    let said = handle.apply(ChangeRequest { dry_run: true, ..shift.clone() }).await.unwrap();
    assert_eq!((said.revision, said.changed, said.difference[0].moved), (1, true, 0.2));
    let outdated = handle.apply(ChangeRequest { if_match: Some(7), ..shift.clone() }).await.unwrap_err();
    assert!(matches!(outdated, ApplyError::Outdated { wanted: 7, found: 1 }), "{outdated}");
    assert_eq!(published.load().revision, 1);
    assert_eq!(handle.revisions(None, 10).await.unwrap().len(), 1);

    let done = handle.apply(ChangeRequest { if_match: Some(1), ..shift.clone() }).await.unwrap();
    assert_eq!((done.revision, &done.difference), (2, &said.difference));
    let again = handle.apply(shift).await.unwrap();
    assert_eq!((again.revision, again.changed), (2, false), "nothing to change makes no revision");
}

#[tokio::test]
async fn a_reload_with_other_endpoints_needs_no_revision() {
    let (handle, published, _thread) = start(Store::in_memory().unwrap(), &[("shop", "v1=90 v2=10")]);
    handle.apply(request(splits(&[("shop", "v1=70 v2=30")]))).await.unwrap();
    let mut changed = services(&[("shop", "v1=90 v2=10"), ("new", "v1=100")]);
    handle.reload(changed.clone(), None).await.unwrap();
    assert_eq!(published.load().revision, 3, "a new service is a revision");
    let shop = Arc::make_mut(&mut changed[0]);
    shop.versions[0].endpoints.remove(0);
    let applied = handle.reload(changed, None).await.unwrap();
    assert_eq!((applied.revision, applied.changed), (3, false));
    let table = published.load();
    assert_eq!(table.service_named("shop").unwrap().versions[0].endpoints.len(), 1, "but a new table");
    assert_eq!(table.service_named("shop").unwrap().weights(), weights("v1=70 v2=30"));
}
