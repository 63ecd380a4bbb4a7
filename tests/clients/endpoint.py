"""One endpoint of a service: answers every request with its version, until SIGTERM."""

import asyncio
import signal
import sys


async def serve(reader, writer, body):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port, version):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.start_server(lambda r, w: serve(r, w, version.encode()), "127.0.0.1", port)
    await stop.wait()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
