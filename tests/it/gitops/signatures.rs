//! Commits that have to be signed, by the real ssh-keygen and gpg.

use std::process::Command;

use http::Method;
use serde_json::json;

use crate::support::eventually;
use crate::support::external_tools::installed;
use crate::support::git_place::{GitPlace, gitops, is, pointsman, refusal, sync};

/// Makes a key of ssh and gives the line by which it counts.
fn ssh_key(place: &GitPlace, name: &str) -> String {
    let file = place.folder().join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file);
    assert!(command.status().unwrap().success());
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    format!("{name}@example.com namespaces=\"git\" {public}")
}

/// Makes a commit of this share for v2 that is signed by a key of ssh.
fn ssh_signed(place: &GitPlace, v2: u32, name: &str) -> String {
    std::fs::write(place.work().join("pointsman.toml"), place.config(v2)).unwrap();
    place.git(&["add", "--all"]);
    let key = format!("user.signingkey={}", place.folder().join(format!("{name}.pub")).display());
    place.git(&["-c", "gpg.format=ssh", "-c", &key, "commit", "--quiet", "--gpg-sign", "--message", "Signed by ssh"]);
    place.git(&["rev-parse", "HEAD"])
}

/// The keys of PGP of a test, and the agent of them, which ends with it.
struct PgpHome(tempfile::TempDir);

impl PgpHome {
    fn new(users: &[&str]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for user in users {
            home.gpg(&["--passphrase", "", "--quick-gen-key", user, "ed25519", "sign", "never"]);
        }
        home
    }

    fn gpg(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--homedir"]).arg(self.0.path()).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a commit that is signed by one of them.
    fn signed(&self, place: &GitPlace, v2: u32, user: &str) -> String {
        std::fs::write(place.work().join("pointsman.toml"), place.config(v2)).unwrap();
        place.git(&["add", "--all"]);
        let (sign, home) = (format!("--gpg-sign={user}"), self.0.path().to_str().unwrap());
        place.git_in(&["commit", "--quiet", &sign, "--message", "Signed by PGP"], &[("GNUPGHOME", home)]);
        place.git(&["rev-parse", "HEAD"])
    }
}

impl Drop for PgpHome {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        // It ends by itself when its folder is gone, a little later.
        let _ended = command.arg("--homedir").arg(self.0.path()).args(["--kill", "gpg-agent"]).status();
    }
}

#[test]
fn only_commits_that_a_listed_ssh_key_has_signed_are_put_in_force() {
    if !installed("ssh-keygen", "commits that are signed by ssh") {
        return;
    }
    let place = GitPlace::new();
    let (ada, eve) = (ssh_key(&place, "ada"), ssh_key(&place, "eve"));
    place.write("signers", &ada);
    let section = "interval = \"24h\"\nverify = { allowed_signers = \"signers\" }\n";

    // The first commit of all is no exception.
    place.write_local(&place.url(), section);
    let (code, told) = pointsman(place.folder(), &["run", "--config", "local.toml"]);
    assert!(code == 64 && told.contains("found no signature, want one by a key of gitops.verify"), "{code} {told}");
    let first = ssh_signed(&place, 10, "ada");
    let process = place.start_with(section);
    eventually("the signed commit is in force", || is(&process, "synced", &first));

    place.commit(100, "By a person who has the branch and no key");
    let told = refusal(&process);
    assert!(told.contains("422") && told.contains("found no signature, want one by a key of"), "{told}");
    assert!(is(&process, "refused", &first), "{}", gitops(&process));
    process.tells(&["the commit is refused, nothing changed", "found no signature", "Ada <ada@example.com>"]);
    ssh_signed(&place, 90, "eve");
    let told = refusal(&process);
    assert!(told.contains("found a signature with the key SHA256:") && told.contains("which is not in"), "{told}");
    // A dry run says the same.
    let dry = process.send(Method::POST, "/v1/gitops/sync?dry_run=true", json!({})).expect_err("a refusal");
    assert!(dry.to_string().contains("which is not in"), "{dry}");

    // What was signed is not what is there.
    let signed = ssh_signed(&place, 20, "ada");
    let object = place.git(&["cat-file", "commit", &signed]);
    std::fs::write(place.folder().join("object"), object.replace("Signed by ssh", "Signed by me") + "\n").unwrap();
    let altered = place.git(&["hash-object", "-t", "commit", "-w", "../object"]);
    place.git(&["reset", "--quiet", "--hard", &altered]);
    let told = refusal(&process);
    assert!(told.contains("found a signature that does not hold") && told.contains("incorrect signature"), "{told}");

    // A signed commit on top mends it, whatever is below.
    let mended = ssh_signed(&place, 30, "ada");
    sync(&process).unwrap();
    assert!(is(&process, "synced", &mended), "{}", gitops(&process));
    // A key that is put in or taken out counts at once, and what is in force stays.
    place.write("signers", &eve);
    let second = ssh_signed(&place, 40, "eve");
    sync(&process).unwrap();
    assert!(is(&process, "synced", &second), "{}", gitops(&process));
    ssh_signed(&place, 50, "ada");
    assert!(refusal(&process).contains("which is not in"));
    std::fs::remove_file(place.folder().join("signers")).unwrap();
    let told = refusal(&process);
    assert!(told.contains("cannot read the keys of gitops.verify.allowed_signers"), "{told}");
    place.write("signers", "");
    drop(process);
    let process = place.start_with(section);
    eventually("it goes on with what was in force", || is(&process, "refused", &second));
}

#[test]
fn only_commits_that_a_listed_pgp_key_has_signed_are_put_in_force() {
    if !installed("gpg", "commits that are signed by PGP") {
        return;
    }
    let place = GitPlace::new();
    let home = PgpHome::new(&["Grace <grace@example.com>", "Eve <eve@example.com>"]);
    place.write("keys.asc", &home.gpg(&["--armor", "--export", "grace@example.com"]));
    let first = home.signed(&place, 10, "grace@example.com");
    let process = place.start_with("interval = \"24h\"\nverify = { gpg_keys = \"keys.asc\" }\n");
    eventually("the signed commit is in force", || is(&process, "synced", &first));

    home.signed(&place, 90, "eve@example.com");
    let told = refusal(&process);
    assert!(
        told.contains("found a signature with the key ") && told.contains("not in gitops.verify.gpg_keys"),
        "{told}"
    );
    if installed("ssh-keygen", "a signature by ssh where one of PGP is wanted") {
        ssh_key(&place, "ada");
        ssh_signed(&place, 80, "ada");
        let told = refusal(&process);
        assert!(told.contains("found an ssh signature, want one by a key of gitops.verify.gpg_keys"), "{told}");
    }
    place.write("keys.asc", "no keys");
    let last = home.signed(&place, 20, "grace@example.com");
    let told = refusal(&process);
    assert!(told.contains("cannot read the keys of gitops.verify.gpg_keys"), "{told}");
    let both = home.gpg(&["--armor", "--export"]);
    place.write("keys.asc", &both);
    sync(&process).unwrap();
    assert!(is(&process, "synced", &last), "{}", gitops(&process));
}

#[test]
fn keys_that_are_not_there_are_told_before_anything_runs() {
    let place = GitPlace::new();
    let check = |section: &str| {
        place.write_local(&place.url(), section);
        pointsman(place.folder(), &["check", "--config", "local.toml"])
    };
    let (code, told) = check("verify = {}\n");
    assert!(code == 64 && told.contains("line 5: gitops.verify: found no keys, want"), "{code} {told}");
    place.write("signers", "");
    let (code, told) = check("verify = { allowed_signers = \"signers\" }\nwrite_back = \"commit\"\n");
    let words = "line 6: gitops.write_back: found \"commit\", want \"branch\" beside gitops.verify";
    assert!(code == 64 && told.contains(words), "{code} {told}");
    let (code, told) = check("verify = { allowed_signers = \"none\", gpg_keys = \"none.asc\" }\n");
    for key in ["allowed_signers: cannot read", "gpg_keys: cannot read"] {
        assert!(code == 64 && told.contains(&format!("line 5: gitops.verify.{key}")), "{code} {told}");
    }
}
