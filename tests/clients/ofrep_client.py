"""What a program with OpenFeature's SDK and its OFREP provider gets from the proxy."""

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

import common


def client(url, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    api.set_provider(OFREPProvider(url, headers_factory=lambda: headers))
    return api.get_client()


def tell(flag, details):
    error = details.error_code.value if details.error_code else None
    common.say(
        flag=flag,
        value=details.value,
        type=type(details.value).__name__,
        reason=getattr(details.reason, "value", details.reason),
        variant=details.variant,
        error=error,
        metadata=dict(details.flag_metadata or {}),
    )


def values(url, token=""):
    """One flag of each type, and what is wrong in each way."""
    flags = client(url, token)
    ann = EvaluationContext("ann", {"plan": "pro", "age": 42})
    tell("truth", flags.get_boolean_details("truth", False, ann))
    tell("text", flags.get_string_details("text", "default", ann))
    tell("whole", flags.get_integer_details("whole", -1, ann))
    tell("float", flags.get_float_details("float", -1.0, ann))
    tell("object", flags.get_object_details("object", {}, ann))
    tell("off", flags.get_boolean_details("off", True, ann))
    tell("nothing", flags.get_boolean_details("nothing", True, ann))
    tell("drawn", flags.get_boolean_details("drawn", False, EvaluationContext(attributes={"plan": "pro"})))


def bare(url):
    """A flag that leaves its default to the code."""
    details = client(url, "").get_string_details("bare", "the default of the code", EvaluationContext("ann"))
    tell("bare", details)


def users(url, count):
    """Who has the flag that is drawn."""
    flags = client(url, "")
    on = [flags.get_boolean_value("drawn", False, EvaluationContext(f"user-{n}")) for n in range(int(count))]
    common.say(on=[n for n, value in enumerate(on) if value])


if __name__ == "__main__":
    common.run({"values": values, "users": users, "bare": bare})
