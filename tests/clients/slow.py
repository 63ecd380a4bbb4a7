"""Clients that cost a server more than themselves by being slow: `head|body|silent_body|read ADDRESS COUNT SECONDS`.

They all go on until the server ends them or the time is over; what became of them is printed as one line.
"""

import asyncio
import collections
import socket

import common

PAUSE = 0.2


class Ended(Exception):
    """The server has ended a connection; holds what it said last."""


async def said(sock, loop):
    """What the server said, once it ends the connection."""
    got = b""
    try:
        while part := await loop.sock_recv(sock, 4096):
            got += part
    except ConnectionError:
        pass
    return got


async def trickle(sock, loop, first, parts):
    """Sends `first`, then one of `parts` after the other with pauses, until the server ends the connection."""
    heard = asyncio.ensure_future(said(sock, loop))
    try:
        await loop.sock_sendall(sock, first)
        for part in parts:
            done, _ = await asyncio.wait([heard], timeout=PAUSE)
            if done:
                break
            await loop.sock_sendall(sock, part)
    except ConnectionError:
        pass
    return await heard


def forever(part):
    while True:
        yield part


def head(sock, loop):
    return trickle(sock, loop, b"GET / HTTP/1.1\r\nHost: a\r\n", forever(b"x: y\r\n"))


POST = b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


def body(sock, loop):
    return trickle(sock, loop, POST, forever(b"slow"))


def silent_body(sock, loop):
    return trickle(sock, loop, POST + b"and nothing more", forever(b""))


async def read(sock, loop):
    """Takes a large answer in sips."""
    await loop.sock_sendall(sock, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    try:
        while part := await loop.sock_recv(sock, 64):
            got = got or part
            await asyncio.sleep(PAUSE)
    except ConnectionError:
        pass
    return got


async def one(kind, address, seconds):
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        if kind is read:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        await loop.sock_connect(sock, common.address(address))
        try:
            heard = await asyncio.wait_for(kind(sock, loop), seconds)
        except asyncio.TimeoutError:
            return "open"
    return heard.split(b" ")[1].decode() if heard.startswith(b"HTTP/1.1 ") else "silent"


async def main(kind, address, count, seconds):
    ends = await asyncio.gather(*(one(kind, address, float(seconds)) for _ in range(int(count))))
    common.say(ends=collections.Counter(ends))


if __name__ == "__main__":
    kinds = {kind.__name__: kind for kind in (head, body, silent_body, read)}
    common.run({name: lambda *rest, kind=kind: asyncio.run(main(kind, *rest)) for name, kind in kinds.items()})
