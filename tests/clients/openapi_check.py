"""Asks a running proxy whatever its OpenAPI document allows, and makes and uses a client of that document:

    openapi_check.py BINARY EXAMPLES

No answer may be a server's fault, have a status, a type or a body that the document does not have; and the client does with its own
types what an operator does. Seeds are printed; SEED repeats one."""

import importlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

CONFIG = """
[listeners.public]
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"
[flags.colour]
variants = { grey = 0, green = 1 }
default = "grey"
[services.shop]
sticky = ["header:x-user"]
flags = ["colour"]
split = { v1 = 100, v2 = 0 }
versions.v1.endpoints = ["127.0.0.1:9"]
versions.v2.endpoints = ["127.0.0.1:9"]
[experiments.button]
service = "shop"
arms = { control = "v1", treatment = "v2" }
share = 100
[[experiments.button.metrics]]
name = "revenue"
kind = "mean"
event = "order_value"
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Proxy:
    def __init__(self, binary, folder):
        config, self.log = folder / "pointsman.toml", folder / "log"
        config.write_text(CONFIG)
        with self.log.open("w") as log:
            self.process = subprocess.Popen([binary, "run", "--config", config], stderr=log, stdout=log, cwd=folder)
        self.address = self.await_address()

    def await_address(self):
        for _ in range(300):
            found = re.search(r"admin API listening address=(\S+)", self.log.read_text())
            if found:
                return found[1]
            time.sleep(0.1)
        sys.exit(f"the proxy has not begun: {self.log.read_text()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


def ask_everything(address, examples, seed, folder):
    command = [
        *[str(pathlib.Path(sys.executable).parent / "schemathesis"), "run", f"{address}/v1/openapi.json"],
        *["--checks", CHECKS, "--max-examples", examples, "--seed", seed, "--phases", "coverage,fuzzing"],
        # An upgrade ends the process that is asked, and a stream of events does not end.
        *["--exclude-path", "/v1/upgrade", "--exclude-operation-id", "get_events", "--request-timeout", "30", "--workers", "1"],
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1200, cwd=folder)
    print("\n".join(ended.stdout.splitlines()[-30:]))
    if ended.returncode:
        failures = [line[:300] for line in ended.stdout.splitlines() if re.match(r"(_{3}|- ST|\s+curl)", line)]
        sys.exit("\n".join(failures + [f"exit code {ended.returncode}, seed {seed}"]))


def use_client(address, folder):
    document, config = folder / "openapi.json", folder / "client.yml"
    import httpx

    document.write_text(json.dumps(httpx.get(f"{address}/v1/openapi.json").json()))
    config.write_text("post_hooks: []\n")
    maker = pathlib.Path(sys.executable).parent / "openapi-python-client"
    arguments = ["generate", "--path", document, "--output-path", folder / "made", "--meta", "none", "--config", config]
    made = subprocess.run([maker, *arguments], capture_output=True, text=True, timeout=300)
    print(made.stdout[-500:])
    if made.returncode or "WARNING" in made.stdout or "Warning" in made.stdout:
        sys.exit(f"the client is not whole:\n{made.stdout}{made.stderr}")
    sys.path.insert(0, str(folder))
    client = importlib.import_module("made.client").Client(base_url=address)
    call = lambda name: importlib.import_module(f"made.api.{name}")
    models = importlib.import_module("made.models")
    services = call("state.list_services").sync(client=client)
    assert [service.name for service in services.services] == ["shop"], services
    split = models.SetSplitBody.from_dict({"v1": 90, "v2": 10, "reason": "by a client that was made"})
    changed = call("traffic.set_split").sync(service="shop", client=client, body=split)
    print("split:", changed.to_dict()["revision"])
    history = call("audit.list_revisions").sync(client=client)
    assert history.revisions[0].reason == "by a client that was made", history
    refused = call("rollouts.rollout_start").sync_detailed(client=client, body=models.StartBody(service="none"))
    assert refused.status_code in (404, 422) and refused.parsed.problems, refused


def main(binary, examples):
    seed = os.environ.get("SEED") or str(random.randrange(1_000_000))
    print("seed", seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with Proxy(pathlib.Path(binary).resolve(), folder) as proxy:
            use_client(proxy.address, folder)
            ask_everything(proxy.address, examples, seed, folder)
            if proxy.process.poll() is not None or "panic" in proxy.log.read_text():
                sys.exit(proxy.log.read_text())


main(*sys.argv[1:])
