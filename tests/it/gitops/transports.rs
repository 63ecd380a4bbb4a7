//! How a repository is reached: by https with git's own helper for credentials, by ssh, and not by what is not allowed;
//! by the real `git http-backend`, sshd and `git daemon`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use crate::support::eventually;
use crate::support::external_tools::{Server, installed, python};
use crate::support::git_place::{GitPlace, gitops, is, pointsman, refusal, sync};
use crate::support::pki::Ca;
use crate::support::process::Process;

const SECTION: &str = "interval = \"24h\"\nhome = \"home\"\n";

/// Starts the machine on the repository at a URL.
fn start(place: &GitPlace, url: &str) -> Process {
    place.write_local(url, SECTION);
    Process::start(&place.local())
}

/// Waits for what a machine begins with.
#[track_caller]
fn begins(place: &GitPlace, process: &Process) {
    let first = place.git(&["rev-parse", "HEAD"]);
    eventually("the first commit is in force", || is(process, "synced", &first));
}

/// Commits, and has the machine take it.
#[track_caller]
fn follows(place: &GitPlace, process: &Process, v2: u32) {
    let next = place.commit(v2, "Next");
    sync(process).unwrap();
    assert!(is(process, "synced", &next), "{}", gitops(process));
}

#[test]
fn a_repository_behind_https_and_a_password_is_followed() {
    let Some(python) = python("a repository behind https") else { return };
    let (place, ca) = (GitPlace::new(), Ca::new("Authority of the test"));
    let files = ca.issue("git", "localhost", &["localhost"]);
    let wanted = json!({
        "root": place.folder(), "cert": files.cert, "key": files.key, "user": "ada", "password": "right",
    });
    let server = Server::start(&python, "git_server.py", &wanted.to_string());
    let host = format!("localhost:{}", server.address.port());
    std::fs::create_dir(place.folder().join("home")).unwrap();
    let settings = format!("[http]\n\tsslCAInfo = {}\n[credential]\n\thelper = store\n", ca.file().display());
    place.write("home/.gitconfig", &settings);
    let password = |password: &str| place.write("home/.git-credentials", &format!("https://ada:{password}@{host}\n"));
    password("right");
    let process = start(&place, &format!("https://{host}/work/.git"));
    begins(&place, &process);
    follows(&place, &process, 10);

    password("wrong");
    let told = refusal(&process);
    assert!(told.contains("502") && told.contains("Authentication failed for 'https://localhost"), "{told}");
    // git has thrown away what did not let it in.
    let told = refusal(&process);
    assert!(told.contains("could not read Username") && !told.contains("wrong"), "{told}");
    password("right");
    place.write("home/.gitconfig", &settings.replace("sslCAInfo", "other"));
    let told = refusal(&process);
    assert!(told.contains("certificate"), "{told}");
    place.write("home/.gitconfig", &settings);
    follows(&place, &process, 20);
}

/// A server whose connections are each served by a program of their own, as inetd does it: so that its port is free.
struct Inetd {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Inetd {
    fn start(command: impl Fn() -> Command + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, SeqCst);
                let ends = |stream: &TcpStream| Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
                let child = command().stdin(ends(&stream)).stdout(ends(&stream)).stderr(Stdio::null()).spawn();
                std::thread::spawn(move || child.map(|mut child| child.wait()));
            }
        });
        Self { address, connections }
    }
}

/// Makes a key, and gives its public half without the comment.
fn key(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    let mut command = Command::new("ssh-keygen");
    assert!(command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status().unwrap().success());
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    public.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[test]
fn a_repository_behind_ssh_is_followed_with_the_keys_of_the_home() {
    const SSHD: &str = "/usr/sbin/sshd";
    if !installed("ssh", "a repository behind ssh") || !installed(SSHD, "a repository behind ssh") {
        return;
    }
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap().trim().to_owned();
    if user == "root" {
        // Where sshd locks itself in for root; on Debian its service makes it at each start.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let place = GitPlace::new();
    let folder = place.folder();
    std::fs::create_dir_all(folder.join("home/.ssh")).unwrap();
    let (host, other, client) = (key(folder, "host"), key(folder, "other"), key(folder, "home/.ssh/client"));
    let authorized = place.write("authorized", &client);
    let path = std::env::var("PATH").unwrap();
    let shown = folder.display();
    let config = place.write(
        "sshd_config",
        &format!(
            "HostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\nPidFile none\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nSetEnv PATH={path}\n"
        ),
    );
    let server = Inetd::start(move || {
        let mut command = Command::new(SSHD);
        command.args(["-i", "-e", "-f"]).arg(&config);
        command
    });
    let port = server.address.port();
    let known = |key: &str| place.write("home/.ssh/known_hosts", &format!("[127.0.0.1]:{port} {key}\n"));
    known(&host);
    place.write(
        "home/.ssh/config",
        &format!(
            "Host *\n  IdentityFile {shown}/home/.ssh/client\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {shown}/home/.ssh/known_hosts\n"
        ),
    );
    let process = start(&place, &format!("ssh://{user}@127.0.0.1:{port}{}", place.work().display()));
    begins(&place, &process);
    follows(&place, &process, 10);

    known(&other);
    let told = refusal(&process);
    assert!(told.contains("502") && told.contains("Host key verification failed"), "{told}");
    known(&host);
    std::fs::write(&authorized, &other).unwrap();
    let told = refusal(&process);
    assert!(told.contains("Permission denied (publickey"), "{told}");
    std::fs::write(&authorized, &client).unwrap();
    follows(&place, &process, 20);
    assert!(server.connections.load(SeqCst) >= 5);
}

#[test]
fn a_protocol_without_a_signature_is_refused_and_not_even_asked() {
    let place = GitPlace::new();
    let base = format!("--base-path={}", place.folder().display());
    let server = Inetd::start(move || {
        let mut command = Command::new("git");
        command.args(["daemon", "--inetd", "--export-all", &base]);
        command
    });
    let url = format!("git://{}/work", server.address);
    // It is a server that git would take.
    place.git(&["ls-remote", &url]);
    let asked = server.connections.load(SeqCst);
    assert!(asked > 0);
    place.write_local(&url, SECTION);
    let (code, told) = pointsman(place.folder(), &["run", "--config", "local.toml"]);
    assert!(
        code == 64 && told.contains("line 4: gitops.repository: found") && told.contains("https://"),
        "{code} {told}"
    );
    // Nor by the back door of git's own settings.
    std::fs::create_dir(place.folder().join("home")).unwrap();
    place.write(
        "home/.gitconfig",
        &format!("[url \"git://{}/\"]\n\tinsteadOf = https://git.example.com/\n", server.address),
    );
    place.write_local("https://git.example.com/work", SECTION);
    let (code, told) = pointsman(place.folder(), &["run", "--config", "local.toml"]);
    assert!(code == 1 && told.contains("transport 'git' not allowed"), "{code} {told}");
    assert_eq!(server.connections.load(SeqCst), asked);
}

#[test]
fn a_repository_of_everything_is_not_taken_and_leaves_nothing_behind() {
    let place = GitPlace::new();
    let good = place.git(&["rev-parse", "HEAD"]);
    let process = place.start("24h");
    begins(&place, &process);
    // Quickly made: zeros that are not compressed, neither on the disk nor on their way.
    for setting in ["core.compression", "pack.compression", "core.looseCompression"] {
        place.git(&["config", setting, "0"]);
    }
    place.git(&["config", "core.bigFileThreshold", "1m"]);
    let large = std::fs::File::create(place.work().join("large")).unwrap();
    large.set_len(300 << 20).unwrap();
    place.commit_all("Everything");
    let told = refusal(&process);
    let words = "git fetch came to more than 256 MiB and was ended; use a small repository of its own";
    assert!(told.contains("502") && told.contains(words), "{told}");
    assert!(is(&process, "unreachable", &good), "{}", gitops(&process));
    let packs = std::fs::read_dir(place.folder().join("pointsman.git/objects/pack")).unwrap();
    let largest = packs.map(|pack| pack.unwrap().metadata().unwrap().len()).max();
    assert!(largest.is_some_and(|largest| largest < 1 << 20), "{largest:?}");
    place.git(&["reset", "--quiet", "--hard", &good]);
    follows(&place, &process, 20);
}
