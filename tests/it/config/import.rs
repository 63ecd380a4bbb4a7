//! Configs of other proxies, and what they become: as a golden file, good for `check`, and with the same weights.
//!
//! Each `NAME.weights` was written by hand from what the other proxy does: a line for each service with its split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pointsman::config::parse;

use crate::support::pki::{Ca, Holds};

const FORMATS: [(&str, &[&str]); 4] =
    [("nginx", &["conf"]), ("haproxy", &["cfg"]), ("ingress-nginx", &["yaml"]), ("kamal", &["yml", "json"])];

/// The command's output.
fn pointsman(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let Output { status, stdout, stderr } = command.args(arguments).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

fn inputs(format: &str, endings: &[&str]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import").join(format);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| endings.contains(&ending.to_str().unwrap())));
    files.sort();
    assert!(files.len() >= 5, "found only {} of {format}", files.len());
    files
}

/// The splits of a config, by the names of its services.
fn splits(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let config = parse(text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let split = |text: String| pairs(&text);
    config.services.iter().map(|service| (service.name.to_string(), split(service.split.to_string()))).collect()
}

/// `v1=90 v2=10`
fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').expect("NAME=WEIGHT"));
    pairs.map(|(name, weight)| (name.to_owned(), weight.to_owned())).collect()
}

#[test]
fn configs_of_others_become_ours_with_the_same_weights() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    // The files that configs name as certificates and keys.
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().join("tls");
    std::fs::create_dir(&tls).unwrap();
    let authority = Ca::new("ca");
    for name in ["site", "other"] {
        let (cert, key) = authority.sign(name, &["app.example.com", "docs.example.com"], Holds::Now);
        std::fs::write(tls.join(format!("{name}.pem")), &cert).unwrap();
        std::fs::write(tls.join(format!("{name}.key")), &key).unwrap();
        std::fs::write(tls.join("both.pem"), cert + &key).unwrap();
    }
    let mut differences = Vec::new();
    for (format, file) in
        FORMATS.iter().flat_map(|(format, endings)| inputs(format, endings).into_iter().map(move |file| (format, file)))
    {
        let (code, found, errors) = pointsman(&["import", format, file.to_str().unwrap()]);
        assert_eq!(code, 0, "{}: {errors}", file.display());
        let golden = file.with_extension("toml");
        if update {
            std::fs::write(&golden, &found).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != found {
            differences.push(format!("{}:\n{found}", golden.display()));
        }
        let path = folder.path().join("pointsman.toml");
        std::fs::write(&path, &found).unwrap();
        let (code, said, errors) = pointsman(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{}: {said}{errors}\n{found}", file.display());
        let wanted = std::fs::read_to_string(file.with_extension("weights")).unwrap();
        let wanted: BTreeMap<_, _> = wanted
            .lines()
            .map(|line| line.split_once(' ').expect("a service and its split"))
            .map(|(service, split)| (service.to_owned(), pairs(split)))
            .collect();
        assert_eq!(splits(&found), wanted, "{}\n{found}", file.display());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn what_is_no_such_config_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (format, text, wanted) in [
        ("nginx", "http {\n  server {\n", "line 2: found a { that is not closed, want a } to it (add it)"),
        ("nginx", "user www;\n", "line 1: found nothing of it, want a server with a location that has a proxy_pass"),
        ("haproxy", "frontend a\n bind \"x\n", "line 2: found a quotation mark that is not closed"),
        (
            "haproxy",
            "listen db\n mode tcp\n bind :1\n",
            "found nothing that can be taken over (line 1: listen db: HTTP only",
        ),
        ("ingress-nginx", "a: [1\nb: }\n", "found no YAML: "),
        ("ingress-nginx", "kind: Pod\n", "found nothing that can be taken over (line 1: Pod: only Ingresses are read)"),
        ("kamal", "a: 1\n", "line 1: found neither `service` nor a list of services"),
        ("kamal", "", "line 1: found nothing, want deploy.yml of Kamal, or kamal-proxy.state"),
    ] {
        let path = folder.path().join("input");
        std::fs::write(&path, text).unwrap();
        let (code, said, errors) = pointsman(&["import", format, path.to_str().unwrap()]);
        assert!(code == 64 && said.is_empty() && errors.contains(wanted), "{format} {text:?}: {code} {errors}");
    }
    let (code, _, errors) = pointsman(&["import", "nginx", "/nonexistent/nginx.conf"]);
    assert!(code == 64 && errors.contains("cannot read /nonexistent/nginx.conf"), "{errors}");
}
