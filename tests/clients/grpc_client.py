"""Calls of a gRPC client, Google's own, to `grpc_server.py` through the proxy: `calls|sticky|dead|slow PROXY`,
`many PROXY SECONDS STREAMS LEAST`."""

import collections
import queue
import threading
import time

import grpc

import common

WAIT = 40


def channel(proxy):
    # Its own retries would hide what the proxy did.
    options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1)]
    return grpc.insecure_channel(proxy, options=options)


def fails(call, *arguments, **options):
    try:
        call(*arguments, timeout=options.pop("timeout", WAIT), **options)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


def one_answer(service):
    assert service.unary_unary("/t.T/unary")(b"hello", timeout=WAIT) == b"v1 hello"
    assert service.unary_unary("/t.T/unary")(b"", timeout=WAIT) == b"v1 ", "an empty message is one"
    message = bytes(range(256)) * 12 * 1024
    assert service.unary_unary("/t.T/big")(message, timeout=WAIT) == message, "3 MiB each way"


def streams(service):
    call = service.unary_stream("/t.T/count")(b"5000", timeout=WAIT)
    assert list(call) == [b"%d" % n for n in range(5000)]
    assert dict(call.trailing_metadata())["x-counted"] == "5000"
    assert list(service.unary_stream("/t.T/count")(b"0", timeout=WAIT)) == [], "a stream of nothing"
    for n, message in enumerate(service.unary_stream("/t.T/drip")(b"", timeout=WAIT)):
        assert message == b"%d" % n
        service.unary_unary("/t.T/go")(b"", timeout=WAIT)
    numbers = (b"%d" % n for n in range(2000))
    assert service.stream_unary("/t.T/total")(numbers, timeout=WAIT) == b"%d" % sum(range(2000))


def talk(service):
    """Each question is asked only when the one before is answered: nothing may wait for the end of either side."""
    questions = queue.Queue()
    answers = service.stream_stream("/t.T/talk")(iter(questions.get, None), timeout=WAIT)
    for n in range(100):
        questions.put(b"%d" % n)
        assert next(answers) == b"re: %d" % n
    questions.put(None)
    assert list(answers) == []


def errors(service):
    error = fails(service.unary_unary("/t.T/refused"), b"")
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "no stock: größe 42 %, naïve", error.details()
    trailing = dict(error.trailing_metadata())
    assert (trailing["x-shelf"], trailing["x-proof-bin"]) == ("4", b"\x00\x01\xff"), trailing
    assert fails(service.unary_unary("/t.T/nobody"), b"").code() == grpc.StatusCode.UNIMPLEMENTED
    began = time.monotonic()
    assert fails(service.unary_unary("/t.T/late"), b"", timeout=0.5).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5
    assert service.unary_unary("/t.T/was_abandoned")(b"", timeout=WAIT) == b"yes", "the server learns that the client is gone"


def calls(proxy):
    with channel(proxy) as service:
        for part in (one_answer, streams, talk, errors):
            part(service)
            common.say(passed=part.__name__)


def answers(proxy):
    """The calls that can be made of one server again and again."""
    with channel(proxy) as service:
        for part in (one_answer, streams, talk):
            part(service)
    common.say(passed="answers")


def many(proxy, seconds, streams, least):
    """Calls of three kinds, this many at a time, on one connection, for a time and until there were as many as is said: how
    many there were, and what became of those that failed."""
    end, lock = time.monotonic() + float(seconds), threading.Lock()
    ended = collections.Counter()

    def user(number):
        calls = (
            lambda: service.unary_unary("/t.T/brief")(b"x" * 100, timeout=WAIT),
            lambda: service.stream_unary("/t.T/total")(iter([b"1", b"2"]), timeout=WAIT),
            lambda: list(service.stream_stream("/t.T/talk")(iter([b"1", b"2"]), timeout=WAIT)),
        )
        while time.monotonic() < end or sum(ended.values()) < int(least):
            try:
                calls[number % len(calls)]()
                how = "ok"
            except grpc.RpcError as error:
                how = f"{error.code().name}: {error.details()}"
            with lock:
                ended[how] += 1

    with channel(proxy) as service:
        users = [threading.Thread(target=user, args=(number,)) for number in range(int(streams))]
        [thread.start() for thread in users]
        [thread.join() for thread in users]
    good = ended.pop("ok", 0)
    common.say(calls=good + sum(ended.values()), failed=sum(ended.values()), how=dict(ended))


def sticky(proxy):
    """Every user stays on one version, on a connection that all of them share."""
    versions = {}
    with channel(proxy) as service:
        call = service.unary_unary("/t.T/unary")
        for _ in range(3):
            for user in range(40):
                metadata = (("x-user-id", f"user-{user}"),)
                versions.setdefault(user, set()).add(call(b"", timeout=WAIT, metadata=metadata))
    assert all(len(seen) == 1 for seen in versions.values()), versions
    assert set().union(*versions.values()) == {b"v1 ", b"v2 "}, versions
    common.say(v2=sum(seen == {b"v2 "} for seen in versions.values()), users=len(versions))


def dead(proxy):
    """Nobody is behind the proxy: calls of every kind fail in words that gRPC has."""
    with channel(proxy) as service:
        for error in (
            fails(service.unary_unary("/t.T/unary"), b"hello"),
            fails(lambda *a, **o: list(service.unary_stream("/t.T/count")(*a, **o)), b"5"),
            fails(service.stream_unary("/t.T/total"), iter([b"1", b"2"])),
            fails(lambda *a, **o: list(service.stream_stream("/t.T/talk")(*a, **o)), iter([b"1"])),
        ):
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            common.say(code=error.code().name, details=error.details())


def slow(proxy):
    """The proxy gives up on the server before the client does."""
    with channel(proxy) as service:
        error = fails(service.unary_unary("/t.T/late"), b"")
        common.say(code=error.code().name, details=error.details())
        assert service.unary_unary("/t.T/was_abandoned")(b"", timeout=WAIT) == b"yes"


if __name__ == "__main__":
    common.run({"calls": calls, "answers": answers, "sticky": sticky, "dead": dead, "slow": slow, "many": many})
