"""Renders the Helm chart: helm_chart.py CHART FOLDER. Writes one.yaml and fleet.yaml, with the configs in them as TOML beside, and
says what is wrong with the chart; values that fit no chart have to be refused."""

import pathlib
import sys

import yaml
from helm_python.chart import Chart, lint

FLEET = {
    "replicas": 3,
    "fleet": {"etcd": ["http://etcd-0.etcd:2379"], "prefix": "/pointsman/prod"},
    "service": {"type": "LoadBalancer", "annotations": {"example.com/kind": "edge"}},
    "tolerations": [{"key": "edge", "operator": "Exists"}],
    "persistence": {"storageClass": "fast"},
}
BAD = [{"replicas": 3}, {"replicas": "three"}, {"imagge": {}}, {"fleet": {"etcd": ["etcd:2379"]}}]


def render(chart, values):
    manifests = chart.render(values, name="edge", namespace="web")
    return "\n---\n".join(text for path, text in sorted(manifests.items()) if path.endswith(".yaml"))


def main(path, folder):
    folder = pathlib.Path(folder)
    found = lint(path)
    print(found)
    if found["errors"]:
        sys.exit("the chart has errors")
    chart = Chart.load(path)
    for name, values in [("one", {}), ("fleet", FLEET)]:
        text = render(chart, values)
        (folder / f"{name}.yaml").write_text(text)
        documents = [document for document in yaml.safe_load_all(text) if document]
        config = next(document for document in documents if document["kind"] == "ConfigMap")
        (folder / f"{name}.toml").write_text(config["data"]["pointsman.toml"])
        print(name, sorted(f"{document['kind']}/{document['metadata']['name']}" for document in documents))
    for values in BAD:
        try:
            render(chart, values)
        except Exception as error:
            print("refused:", str(error).strip().splitlines()[-1])
        else:
            sys.exit(f"found {values} rendered, want them refused")


main(*sys.argv[1:])
