#!/usr/bin/env python3
"""Users of what is in front of them: `users.py HOST:PORT USERS REQUESTS [PATH...]`, at most 400 requests a second.

Each visit is by one of USERS users, told by the header `x-user`, and asks for all PATHs (default `/`). At the end, or on
SIGTERM, prints how many visits got which responses, and how many requests failed.
"""
import collections
import http.client
import signal
import sys
import threading
import time

host, users, visits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
paths = sys.argv[4:] or ["/"]
THREADS = 4
seen, failed, lock = collections.Counter(), 0, threading.Lock()
stop = threading.Event()


def visit(connection, user):
    said, wrong = [], 0
    for path in paths:
        try:
            connection.request("GET", path, headers={"x-user": f"user-{user}"})
            response = connection.getresponse()
            said.append(response.read().decode().strip())
            wrong += response.status != 200
        except (OSError, http.client.HTTPException):
            connection.close()
            wrong += 1
    return " + ".join(said), wrong


def run(first):
    global failed
    connection = http.client.HTTPConnection(host, timeout=10)
    for number in range(first, visits, THREADS):
        if stop.is_set():
            return
        said, wrong = visit(connection, number % users)
        with lock:
            failed += wrong
            if not wrong:
                seen[said] += 1
        time.sleep(THREADS / 400)


signal.signal(signal.SIGTERM, lambda *_: stop.set())
threads = [threading.Thread(target=run, args=(first,)) for first in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
responses = ", ".join(f"{said}: {count}" for said, count in sorted(seen.items()))
print(f"{responses or 'no responses'}; failed: {failed}")
