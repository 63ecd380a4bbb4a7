//! The config file is read again when it changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pointsman::config::FilesBeside;
use pointsman::testing::control::watch::{ConfigFacts, ConfigSource, ConfigSourceDeps, ConfigText, FileContent};
use pointsman::testing::files::Reloader;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::support::control::Control;
use crate::support::spec::services;

/// Reads files that are one split of `shop`, or `bad`.
fn read(ConfigText { text, .. }: &ConfigText) -> Result<FileContent, Vec<String>> {
    match text.trim() {
        "bad" => Err(vec!["line 1: it is bad".to_owned(), "line 2: and so is this".to_owned()]),
        split => Ok(FileContent {
            specs: services(&[("cart", "v1=100 v2=0"), ("shop", split)]).into(),
            needs_restart: vec!["proxy.workers".to_owned()],
            ..FileContent::default()
        }),
    }
}

fn start(path: &Path, control: &Control) -> watch::Receiver<ConfigFacts> {
    let (facts, seen) = watch::channel(ConfigFacts::good(Some(path.to_owned())));
    let text = fs::read_to_string(path).unwrap();
    let deps = ConfigSourceDeps {
        read: Arc::new(read),
        read_beside: Arc::new(|_| FilesBeside::default()),
        prepare: Arc::new(|_| Box::pin(async {})),
        handle: control.handle.clone(),
        published: Arc::clone(&control.admin.exporter.sources().published),
        facts,
        releases: watch::Sender::default(),
    };
    let mut watch =
        Reloader::new(ConfigSource::new(path.to_owned(), ConfigText { text, beside: FilesBeside::default() }, deps));
    let mut hangup = signal(SignalKind::hangup()).unwrap();
    tokio::spawn(async move { watch.run(&mut hangup, std::future::pending()).await });
    seen
}

/// Waits for a reload after which `wanted` holds. The hangup of another test is a reload of all.
async fn until(seen: &mut watch::Receiver<ConfigFacts>, wanted: impl Fn(&ConfigFacts) -> bool) -> ConfigFacts {
    let reload = async {
        loop {
            seen.changed().await.unwrap();
            let facts = seen.borrow_and_update().clone();
            if wanted(&facts) {
                return facts;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reload).await.expect("a reload")
}

fn split(control: &Control) -> String {
    control.table().service_named("shop").unwrap().weights().to_string()
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("pointsman.toml");
    fs::write(&path, "v1=95 v2=5").unwrap();
    path
}

#[tokio::test]
async fn written_renamed_and_bad_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let control = Control::start();
    let mut seen = start(&path, &control);
    fs::write(&path, "v1=50 v2=50").unwrap();
    let facts = until(&mut seen, |_| split(&control) == "v1=50 v2=50").await;
    assert_eq!((facts.is_good(), facts.needs_restart.as_slice()), (true, ["proxy.workers".to_owned()].as_slice()));

    fs::write(&path, "bad").unwrap();
    let facts = until(&mut seen, |facts| !facts.is_good()).await;
    assert_eq!(facts.problems.len(), 2, "{facts:?}");
    assert_eq!(split(&control), "v1=50 v2=50", "a bad file changes nothing");

    // As editors do: a new file over the old one.
    fs::write(folder.path().join("new"), "v1=40 v2=60").unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    until(&mut seen, |facts| facts.is_good() && split(&control) == "v1=40 v2=60").await;
    let author = control.handle.revision(3).await.unwrap().expect("three").author;
    assert_eq!(author, "file");
}

#[tokio::test]
async fn a_file_that_comes_back_as_it_was_is_good_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let control = Control::start();
    let mut seen = start(&path, &control);
    fs::rename(&path, folder.path().join("away")).unwrap();
    let facts = until(&mut seen, |facts| !facts.is_good()).await;
    assert!(facts.problems[0].contains("cannot read the config"), "{facts:?}");
    fs::rename(folder.path().join("away"), &path).unwrap();
    until(&mut seen, ConfigFacts::is_good).await;
}

#[tokio::test]
async fn a_swapped_symlink_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("..1", "v1=95 v2=5"), ("..2", "v1=30 v2=70")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("pointsman.toml"), text).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/pointsman.toml", at("pointsman.toml")).unwrap();
    let control = Control::start();
    let mut seen = start(&at("pointsman.toml"), &control);
    symlink("..2", at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
    until(&mut seen, |facts| facts.is_good() && split(&control) == "v1=30 v2=70").await;
}

#[tokio::test]
async fn hangup_reads_again_even_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let control = Control::start();
    let mut seen = start(&path, &control);
    let me = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &me]).status().unwrap().success());
    until(&mut seen, ConfigFacts::is_good).await;
    assert_eq!(control.table().revision, 1);
}
