//! Variables of the environment in a config: what is in force, and what is said of one that is not set. What commits
//! may name is tested with repositories.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::process::{Process, config};
use crate::support::{Origin, client, eventually, get};

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

fn pointsman(path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.env("NO_COLOR", "1").env_remove("SHOP_V1").args(["check", "--config"]).arg(path);
    command
}

/// Exit code, and all that was said.
fn said(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// A config whose first endpoint is what `SHOP_V1` says.
fn with_variable(folder: &Path, more: &str) -> std::path::PathBuf {
    let path = folder.join("pointsman.toml");
    let text = config(([127, 0, 0, 1], 9999).into(), nowhere(), more);
    assert!(text.contains("\"127.0.0.1:9999\""), "{text}");
    std::fs::write(&path, text.replacen("\"127.0.0.1:9999\"", "\"${SHOP_V1}\"", 1)).unwrap();
    path
}

#[test]
fn an_endpoint_is_what_the_environment_says_also_after_a_reload_and_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::saying("hello");
    let path = with_variable(folder.path(), "");
    let (code, text) = said(&mut pointsman(&path));
    let line = "found ${SHOP_V1}, which is not set in the environment of this process, want a variable that is set \
                (set SHOP_V1, or write \"${SHOP_V1:-DEFAULT}\")";
    assert!(code == Some(64) && text.contains(line) && text.contains(": 1 problem"), "{text}");
    let (code, text) = said(pointsman(&path).env("SHOP_V1", "5 apples"));
    let origin_of_it = "; the file says \"${SHOP_V1}\")";
    assert!(code == Some(64) && text.contains("\"5 apples\"") && text.contains(origin_of_it), "{text}");
    assert_eq!(said(pointsman(&path).env("SHOP_V1", "127.0.0.1:80")).0, Some(0));

    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["run", "--config"]).arg(&path).env("SHOP_V1", origin.address().to_string());
    let mut process = Process::start_command(command);
    assert_eq!(client::send(process.listener, get("/")).text(), "hello");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("[services.shop]", "[services.shop]\nhosts = [\"${HOST:-other.test}\"]", 1))
        .unwrap();
    process.signal("HUP");
    eventually("it is for another host", || {
        client::send(process.listener, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").status == 404
    });
    process.upgrade().unwrap();
    let reply = client::send(process.listener, b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!((reply.status, &*reply.text()), (200, "hello"));
    assert!(std::fs::read_to_string(&path).unwrap().contains("${SHOP_V1}"), "the file is as it was written");
}
