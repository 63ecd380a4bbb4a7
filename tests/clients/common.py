"""What every script here needs: an end in any case, and words for the test that started it."""

import json
import os
import signal
import sys


def limit(seconds):
    """Ends this process after so long: a test that died must leave nothing behind."""
    signal.alarm(seconds)


def say(**facts):
    """Tells the test something, on a line of its own."""
    print(json.dumps(facts), flush=True)


def address(text):
    """HOST:PORT as sockets want it."""
    host, port = text.rsplit(":", 1)
    return host, int(port)


def run(commands):
    """Runs the command that the first argument names with the others, for a minute unless a long test says otherwise."""
    limit(int(os.environ.get("SCRIPT_SECONDS", "50")))
    commands[sys.argv[1]](*sys.argv[2:])
