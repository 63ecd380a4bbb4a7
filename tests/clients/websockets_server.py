"""A WebSocket server of the library `websockets`: `serve VERSION`. Echoes, or does what the path says."""

import asyncio
import urllib.parse

from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed

import common

CLOSES = asyncio.Queue()


async def talk(socket):
    url = urllib.parse.urlsplit(socket.request.path)
    if url.path == "/close":
        code, reason = urllib.parse.parse_qsl(url.query)[0]
        await socket.close(int(code), reason)
    elif url.path == "/closes":
        code, reason = await CLOSES.get()
        await socket.send(f"{code} {reason}")
    else:
        await socket.send(VERSION)
        try:
            while True:
                await socket.send(await socket.recv())
        except ConnectionClosed as closed:
            if url.path == "/noted" and closed.rcvd is not None:
                CLOSES.put_nowait((closed.rcvd.code, closed.rcvd.reason))


async def main(version):
    global VERSION
    VERSION = version
    # Room for many handshakes at once.
    async with listen(talk, "127.0.0.1", 0, max_size=2**22, backlog=512, open_timeout=30) as server:
        common.say(port=server.sockets[0].getsockname()[1])
        await server.serve_forever()


if __name__ == "__main__":
    common.run({"serve": lambda version: asyncio.run(main(version))})
