//! Certificates of tests: authorities, and what they sign, as PEM files in a folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use tempfile::TempDir;

/// An authority, and the folder of everything that it signs.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// When a certificate holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    /// For years.
    Now,
    /// Until some years ago.
    Past,
    /// For ten seconds more.
    Shortly,
}

/// The two files of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    /// `cert = "...", key = "..."`
    pub(crate) fn toml(&self) -> String {
        format!("cert = \"{}\", key = \"{}\"", self.cert.display(), self.key.display())
    }
}

impl Ca {
    /// A new authority.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `name` and `hosts` (host names and addresses), as PEM with its key.
    pub(crate) fn sign(&self, name: &str, hosts: &[&str], holds: Holds) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
        if holds == Holds::Past {
            (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2021, 3, 4));
        }
        if holds == Holds::Shortly {
            let soon = SystemTime::now() + Duration::from_secs(10);
            params.not_after = date_time_ymd(1970, 1, 1) + soon.duration_since(UNIX_EPOCH).unwrap();
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The same in two files, whose names begin with `file`.
    pub(crate) fn issue(&self, file: &str, name: &str, hosts: &[&str]) -> Files {
        self.issue_for(file, name, hosts, Holds::Now)
    }

    /// The same, for a time of its own.
    pub(crate) fn issue_for(&self, file: &str, name: &str, hosts: &[&str], holds: Holds) -> Files {
        let (cert, key) = self.sign(name, hosts, holds);
        let at = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let files = Files { cert: at("pem"), key: at("key") };
        replace(&files.cert, &cert);
        replace(&files.key, &key);
        set_mode(&files.key, 0o600);
        files
    }
}

/// Writes a file as renewals do: under another name first.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// Says who may read a file.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a program to its end, without input.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Ran {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = output.unwrap_or_else(|error| panic!("{program}: {error}; make tools"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { good: status.success(), out: text(stdout), err: text(stderr) }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) good: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}
