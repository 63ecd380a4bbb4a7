#!/usr/bin/env python3
"""A version of a program, as an upstream: `shop.py PORT VERSION [FAILING]`.

It listens on 127.0.0.1, or on SHOP_ADDRESS, and says its version. FAILING (0 to 1) is the share of the requests that it fails.
SIGHUP reads the version anew from the file VERSION_FILE names, which is how the example of a rolling release upgrades it.
"""
import os
import random
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, version = int(sys.argv[1]), sys.argv[2]
failing = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0


def upgrade(*_signal):
    global version
    with open(os.environ["VERSION_FILE"], encoding="utf-8") as file:
        version = file.read().strip()


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        fails = self.path != "/healthz" and random.random() < failing
        body = (version + "\n").encode()
        self.send_response(500 if fails else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_request):
        pass


signal.signal(signal.SIGHUP, upgrade)
ThreadingHTTPServer((os.environ.get("SHOP_ADDRESS", "127.0.0.1"), port), Shop).serve_forever()
