"""A gRPC server, Google's own, whose messages are plain bytes: `serve VERSION`, or `serve VERSION:AGE:STREAMS` to let
connections live for so many milliseconds only, with so many streams at a time."""

import concurrent.futures
import threading
import time

import grpc

import common

ABANDONED = threading.Event()
GO = threading.Semaphore(0)


def unary(request, context):
    return VERSION + b" " + request


def brief(request, context):
    """Takes some milliseconds, as calls do: streams are open whenever a connection comes to its end."""
    time.sleep(0.005)
    return request


def big(request, context):
    return request


def refused(request, context):
    context.set_trailing_metadata((("x-shelf", "4"), ("x-proof-bin", b"\x00\x01\xff")))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no stock: größe 42 %, naïve")


def late(request, context):
    """Takes longer than anybody waits; notes that it was given up."""
    context.add_callback(ABANDONED.set)
    ABANDONED.wait(20)
    return b"too late"


def was_abandoned(request, context):
    return b"yes" if ABANDONED.wait(5) else b"no"


def count(request, context):
    for n in range(int(request)):
        yield b"%d" % n
    context.set_trailing_metadata((("x-counted", request.decode()),))


def drip(request, context):
    """Messages that the client asks for one by one, in calls of their own: none may wait for the next."""
    for n in range(3):
        yield b"%d" % n
        GO.acquire(timeout=5) or context.abort(grpc.StatusCode.ABORTED, "the message did not arrive")


def go(request, context):
    GO.release()
    return b""


def total(requests, context):
    return b"%d" % sum(int(request) for request in requests)


def talk(requests, context):
    for request in requests:
        yield b"re: " + request


UNARY = (unary, brief, big, refused, late, was_abandoned, go)


class Service(grpc.GenericRpcHandler):
    def service(self, call):
        name = call.method.rsplit("/", 1)[1]
        for handlers, kind in (
            (UNARY, grpc.unary_unary_rpc_method_handler),
            ((count, drip), grpc.unary_stream_rpc_method_handler),
            ((total,), grpc.stream_unary_rpc_method_handler),
            ((talk,), grpc.stream_stream_rpc_method_handler),
        ):
            for handler in handlers:
                if handler.__name__ == name:
                    return kind(handler)
        return None


def serve(version):
    global VERSION
    version, _, bounds = version.partition(":")
    VERSION = version.encode()
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    if bounds:
        age, streams = bounds.split(":")
        options += [("grpc.max_connection_age_ms", int(age)), ("grpc.max_concurrent_streams", int(streams))]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=options)
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    common.say(port=port)
    server.wait_for_termination()


if __name__ == "__main__":
    common.run({"serve": serve})
