"""What a client of the library `websockets` does with `websockets_server.py` through the proxy."""

import asyncio
import os
import urllib.request

from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

import common

WAIT = 15


def connect(proxy, path="/"):
    return open_socket(f"ws://{proxy}{path}", proxy=None, max_size=2**22, open_timeout=30)


async def messages(proxy):
    async with connect(proxy) as socket:
        assert await socket.recv() == "v1"
        for message in ("hello", "größe ☃", "", b"\x00\xff", b"", os.urandom(2**20), "x" * 2**20):
            await socket.send(message)
            assert await socket.recv() == message
        # A message in parts, and many that are not waited for between them.
        await socket.send(["one ", "two ", "three"])
        assert await socket.recv() == "one two three"
        for n in range(1000):
            await socket.send(str(n))
        assert [await socket.recv() for _ in range(1000)] == [str(n) for n in range(1000)]
        pong = await socket.ping(b"are you there")
        common.say(passed="messages", ping=await pong)


async def closes(proxy):
    for code, reason in ((1000, ""), (1001, "going"), (4000, "größe"), (4999, "x" * 123)):
        async with connect(proxy, "/noted") as socket:
            await socket.recv()
            await socket.close(code, reason)
            assert (socket.close_code, socket.close_reason) == (code, reason), "the server's echo"
        async with connect(proxy, "/closes") as socket:
            said = await socket.recv()
            assert said == f"{code} {reason}", f"the server saw {said}"
    for code, reason in ((1000, "done"), (1011, "broken"), (4001, "go")):
        async with connect(proxy, f"/close?{code}={reason}") as socket:
            try:
                await socket.recv()
                raise AssertionError("nothing was to come")
            except ConnectionClosed as closed:
                assert (closed.rcvd.code, closed.rcvd.reason) == (code, reason), closed
    common.say(passed="closes")


async def crowd(proxy, count):
    """Many at once; each is heard while all the others are open."""
    sockets = await asyncio.gather(*(connect(proxy) for _ in range(count)))
    common.say(open=len(sockets))

    async def ask(n, socket):
        assert await socket.recv() == "v1"
        message = str(n) * 1000
        await socket.send(message)
        assert await socket.recv() == message

    await asyncio.gather(*(ask(n, socket) for n, socket in enumerate(sockets)))
    await asyncio.gather(*(socket.close() for socket in sockets))
    common.say(passed="crowd")


def flip(admin):
    request = urllib.request.Request(
        f"http://{admin}/v1/services/site/flip", b'{"to":"v2"}', {"Content-Type": "application/json"}
    )
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert without_proxy.open(request, timeout=WAIT).status == 200


async def shift(proxy, admin, on_shift):
    """A version is left behind while its sockets are open."""
    old = [await connect(proxy) for _ in range(5)]
    for socket in old:
        assert await socket.recv() == "v1"
    await asyncio.to_thread(flip, admin)
    async with connect(proxy) as new:
        assert await new.recv() == "v2"
        for socket in old:
            if on_shift == "keep":
                await socket.send("still here")
                assert await socket.recv() == "still here"
                await socket.close(1000)
            else:
                # The proxy has no words in a tunnel: the socket ends without a close frame.
                try:
                    await socket.recv()
                    raise AssertionError("it is still open")
                except ConnectionClosedError as closed:
                    assert closed.rcvd is None, closed
        await new.send("and here")
        assert await new.recv() == "and here"
    common.say(passed=f"shift {on_shift}")


def within(work):
    asyncio.run(asyncio.wait_for(work, 2 * WAIT))


if __name__ == "__main__":
    common.run({
        "messages": lambda proxy: within(messages(proxy)),
        "closes": lambda proxy: within(closes(proxy)),
        "crowd": lambda proxy, count: within(crowd(proxy, int(count))),
        "shift": lambda proxy, admin, on_shift: within(shift(proxy, admin, on_shift)),
    })
