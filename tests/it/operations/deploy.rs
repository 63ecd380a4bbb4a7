//! What `deploy/` holds for containers and Prometheus: its configs are good where they run, and its alerts are those of
//! the documents. The files of Compose and Kubernetes are validated by `make deploy-check`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::external_tools::installed;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn configs_of_containers_are_good_with_what_their_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tokens")).unwrap();
    std::fs::write(folder.path().join("tokens/operate"), "0123456789abcdef0123456789abcdef\n").unwrap();
    for (path, variables) in [
        ("deploy/compose/pointsman.toml", &[("SHOP_V1", "shop-v1:3000"), ("SHOP_V2", "shop-v2:3000")][..]),
        ("deploy/kubernetes/base/pointsman.toml", &[]),
        ("deploy/kubernetes/fleet/pointsman.toml", &[("POD_NAME", "pointsman-0")]),
    ] {
        let config = folder.path().join("pointsman.toml");
        std::fs::write(&config, read(path)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["check", "--config"]).arg(&config).env("STATE_DIRECTORY", folder.path());
        let Output { status, stderr, .. } = command.envs(variables.iter().copied()).output().unwrap();
        assert!(status.success(), "{path}: {}", String::from_utf8_lossy(&stderr));
        // Each variable that it is given is one that it names, and that the file of its container sets.
        for (name, value) in variables {
            assert!(read(path).contains(&format!("${{{name}}}")), "{path}: {name}");
            if path.contains("compose") {
                assert!(read("deploy/compose/compose.yaml").contains(&format!("{name}: \"{value}\"")), "{name}");
            } else {
                assert!(read("deploy/kubernetes/base/statefulset.yaml").contains(&format!("name: {name}")), "{name}");
            }
        }
    }
}

#[test]
fn alerts_are_those_of_the_documents_and_prometheus_takes_them() {
    let rules = read("deploy/prometheus/rules.yml");
    let documents = ["docs/releases.md", "docs/metrics.md", "docs/slo.md", "docs/chaos.md"].map(read).concat();
    let is_rule = |line: &&str| line.contains("- alert: ") || line.contains("- record: ") || line.contains("expr: ");
    let lines: Vec<&str> = rules.lines().filter(is_rule).collect();
    assert!(lines.len() > 10, "{rules}");
    for line in lines {
        assert!(documents.contains(line), "deploy/prometheus/rules.yml: found {line:?}, want it as in a document");
    }
    if installed("promtool", "deploy/prometheus/rules.yml") {
        let mut command = Command::new("promtool");
        let output = command.args(["check", "rules"]).arg(repository("deploy/prometheus/rules.yml")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The user and the state of the image, of the volume, of Kubernetes and of the unit are the same ones.
#[test]
fn an_image_keeps_its_state_in_its_volume_as_a_user_without_rights() {
    let image = read("Dockerfile");
    for line in [
        "USER 65532:65532\n",
        "VOLUME [\"/var/lib/pointsman\"]\n",
        "ENV STATE_DIRECTORY=/var/lib/pointsman\n",
        "CMD [\"/usr/bin/pointsman\", \"probe\"]\n",
        "CMD [\"run\", \"--config\", \"/etc/pointsman/pointsman.toml\"]\n",
    ] {
        assert!(image.contains(line), "Dockerfile: want {line:?}");
    }
    let set = read("deploy/kubernetes/base/statefulset.yaml");
    for line in ["runAsUser: 65532\n", "value: /var/lib/pointsman\n", "mountPath: /var/lib/pointsman\n"] {
        assert!(set.contains(line), "statefulset.yaml: want {line:?}");
    }
    assert!(read("deploy/compose/compose.yaml").contains("- state:/var/lib/pointsman\n"));
}
