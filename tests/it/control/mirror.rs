//! Mirrors as changes: who may be mirrored to, what a file and a rollback do to a mirror, and what the store keeps.

use std::sync::Arc;

use pointsman::testing::control::change::Action;
use pointsman::testing::control::{Change, FileSpecs, Store};
use pointsman::testing::table::spec::mirror::MirrorSpec;
use pointsman::testing::table::{MirrorShare, ServiceSpec};

use super::change::World;
use crate::support::spec::{name, service};

fn share(text: &str) -> MirrorShare {
    MirrorShare::parse(text).expect("a mirror")
}

/// A file whose service `shop` is mirrored as this says.
fn file(split: &str, mirror: Option<&str>) -> FileSpecs {
    let mirror = mirror.map(share).map(|mirror| {
        let to = MirrorSpec::to_version(mirror.to);
        Arc::new(MirrorSpec { share: mirror.share, ..to })
    });
    vec![Arc::new(ServiceSpec { mirror, ..service("shop", split) })].into()
}

fn mirror(world: &mut World, text: Option<&str>) -> Result<bool, String> {
    let change = Change::Mirror { service: name("shop"), mirror: text.map(share) };
    world.apply(&change).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn in_force(world: &World) -> String {
    world.state.traffic["shop"].mirror.as_ref().map_or("none".to_owned(), MirrorShare::to_string)
}

#[test]
fn a_mirror_is_a_revision_and_a_rollback_takes_it_back() {
    let mut world = World::new(file("v1=90 v2=10 v3=0", None));
    let planned = world.plan(&Change::Mirror { service: name("shop"), mirror: Some(share("v3*10000")) }).unwrap();
    assert_eq!(planned.action, Action::Mirror);
    let difference = &planned.difference[0];
    assert_eq!((difference.moved, difference.new_salt), (0.0, false), "no user moves");
    assert_eq!(difference.mirror.as_ref().unwrap().to, Some(share("v3*10000")));
    assert_eq!(mirror(&mut world, Some("v3*10000")), Ok(true));
    assert_eq!(mirror(&mut world, Some("v3*10000")), Ok(false), "it is so already");
    world.shift("shop", "v1=80 v2=20");
    assert_eq!(in_force(&world), "v3*10000", "a shift leaves it");
    let back = Change::Rollback { to: None, scope: None };
    world.apply(&back).unwrap();
    assert_eq!(in_force(&world), "v3*10000", "the shift is undone");
    world.apply(&back).unwrap();
    assert_eq!(in_force(&world), "none", "and so is the mirror");
    assert_eq!(world.splits()[&name("shop")].1, "v2*10000 v1*90000");
}

#[test]
fn only_another_version_of_the_service_can_be_mirrored_to() {
    let mut world = World::new(file("v1=100 v2=0", None));
    let refused = |world: &mut World, text| mirror(world, Some(text)).expect_err("it is refused");
    let unknown = refused(&mut world, "v9*100");
    assert!(unknown.contains("v9") && unknown.contains("v1, v2"), "{unknown}");
    let same = refused(&mut world, "v1*100");
    assert!(same.contains("answers all requests itself"), "{same}");
    assert_eq!(mirror(&mut world, None), Ok(false));
}

#[test]
fn a_file_decides_when_it_says_something_new() {
    let mut world = World::new(file("v1=100 v2=0 v3=0", Some("v3*10000")));
    assert_eq!(in_force(&world), "v3*10000");
    mirror(&mut world, Some("v2*500")).unwrap();
    let mut reload = |split: &str, mirror| world.apply(&Change::File(file(split, mirror))).map(|_| in_force(&world));
    let all = "v1=100 v2=0 v3=0";
    assert_eq!(reload(all, Some("v3*10000")).unwrap(), "v2*500", "it says what it said");
    assert_eq!(reload(all, Some("v3*20000")).unwrap(), "v3*20000");
    assert_eq!(reload(all, None).unwrap(), "none");
    assert_eq!(reload(all, Some("v3*20000")).unwrap(), "v3*20000");
    assert_eq!(reload("v1=100 v2=0", None).unwrap(), "none", "a version that is gone gets nothing");
}

#[test]
fn a_rollback_does_not_wait_for_a_version_that_was_only_looked_at() {
    let mut world = World::new(file("v1=100 v2=0 v3=0", None));
    mirror(&mut world, Some("v3*10000")).unwrap();
    world.shift("shop", "v1=50 v2=50");
    world.apply(&Change::File(file("v1=100 v2=0", None))).unwrap();
    world.apply(&Change::Rollback { to: Some(2), scope: None }).expect("it goes back");
    assert_eq!((in_force(&world), world.splits()[&name("shop")].1.as_str()), ("none".to_owned(), "v1*100000"));
}

#[test]
fn a_store_from_before_mirrors_is_read_and_made_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pointsman.db");
    drop(Store::open(&path).expect("a new store"));
    let db = rusqlite::Connection::open(&path).expect("SQLite");
    db.execute_batch(
        "INSERT INTO revisions (number, at_ms, author, action) VALUES (1, 1, 'ada', 'shift');
        INSERT INTO traffic (service, revision, salt, runs) VALUES ('shop', 1, 's', 'v1*100000');
        INSERT INTO intent (service, split) VALUES ('shop', 'v1=100');
        ALTER TABLE traffic DROP COLUMN mirror; DROP TABLE chaos_runs; DROP TABLE slo_hours;
        PRAGMA user_version = 4;",
    )
    .expect("a store of format 4");
    drop(db);
    let store = Store::open(&path).expect("it is made new");
    let loaded = store.load().expect("a read");
    assert_eq!((loaded.traffic["shop"].mirror.clone(), loaded.intent["shop"].mirror.clone()), (None, None));
    assert_eq!(store.revisions(None, 9).expect("a read")[0].difference.len(), 1);
}
