"""Reads what a fleet has in etcd by another client of its JSON gateway.

usage: etcd_reader.py PORT PREFIX, prints a JSON object.
"""
import json
import sys

import etcd3gw

client = etcd3gw.client(host="127.0.0.1", port=int(sys.argv[1]), timeout=10)
prefix = sys.argv[2]
found = {"version": client.status()["version"], "values": {}, "versions": {}, "leases": {}}
for value, meta in client.get_prefix(prefix + "/"):
    key = meta["key"].decode()[len(prefix) + 1:]
    found["values"][key] = json.loads(value)
    # How often it was written since it was made.
    found["versions"][key] = int(meta["version"])
    lease = int(meta.get("lease", 0))
    if lease:
        found["leases"][key] = etcd3gw.Lease(lease, client).ttl()
print(json.dumps(found))
