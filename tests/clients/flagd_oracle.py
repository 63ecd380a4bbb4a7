"""Evaluates flags with the official evaluator of flagd for Python, as it is and with each known difference mended.

Its operators of JSONLogic are those of panzi-json-logic, which differ from JSONLogic's own (json-logic-js) and from
flagd's in Go in some corners. Each is mended here by itself, so that the test can say of each case that differs which
corner it is, and no case can differ for another reason.
"""

import decimal
import importlib
import json
import logging
import math
from importlib.metadata import version

from common import run, say

from json_logic import builtins
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

# The package has a function of this name.
targeting = importlib.import_module("openfeature.contrib.tools.flagd.core.targeting.targeting")

ORIGINAL = dict(targeting.OPERATORS)

# `==` takes null for zero, JSONLogic only for itself.
NULL_IS_NOT_ZERO = "null is not zero"
# `===`, and `in` of a list, take true for 1.
TYPES_ARE_STRICT = "types are strict"
# A missing value is "None" or "null" in a text, and true "True".
TEXT_OF_NULL_AND_TRUTHS = "text of null and truths"
# `in` finds the text of null, of lists and of objects in a text.
ONLY_VALUES_ARE_IN_TEXTS = "only values are in texts"
# An empty text is no number, where JavaScript has zero; "nan" and "1_0" are; the largest of two truths is a truth.
NUMBERS_OF_OTHER_TYPES = "numbers of other types"
# Null before or after a text is compared as the text "null", and two lists as numbers.
ORDER_OF_NULL_AND_LISTS = "order of null and lists"
# Division by zero raises.
DIVISION_BY_ZERO = "division by zero"
# The remainder has the sign of the divisor.
SIGN_OF_A_REMAINDER = "sign of a remainder"
# `min` and `max` lose NaN by its place.
NAN_WINS = "NaN wins"
# Null as the last argument of `-`, `<` or `<=` is none.
NULL_IS_AN_ARGUMENT = "null is an argument"
# A result of 2.0 is looked for as "2.0".
TEXT_OF_A_RESULT = "text of a result"
# A number is written with 15 digits at most.
DIGITS_OF_A_NUMBER = "digits of a number"
# Integers beyond 64 bits stay exact, and are compared exactly with what is no integer.
LARGE_INTEGERS = "large integers"
# `var` finds no member of an object by a number.
MEMBERS_BY_NUMBER = "members by number"
# A weight of 25.0 is none.
WHOLE_WEIGHTS = "whole weights"
# In v2 flagd draws by the key if there is no value to draw by.
KEY_INSTEAD_OF_NULL = "key instead of null"

DIFFERENCES = [
    NULL_IS_NOT_ZERO,
    TYPES_ARE_STRICT,
    TEXT_OF_NULL_AND_TRUTHS,
    ONLY_VALUES_ARE_IN_TEXTS,
    NUMBERS_OF_OTHER_TYPES,
    ORDER_OF_NULL_AND_LISTS,
    DIVISION_BY_ZERO,
    SIGN_OF_A_REMAINDER,
    NAN_WINS,
    NULL_IS_AN_ARGUMENT,
    TEXT_OF_A_RESULT,
    DIGITS_OF_A_NUMBER,
    LARGE_INTEGERS,
    MEMBERS_BY_NUMBER,
    WHOLE_WEIGHTS,
    KEY_INSTEAD_OF_NULL,
]


class Operators:
    """The operators, with some differences mended."""

    def __init__(self, mended):
        self.mended = mended
        self.table = dict(ORIGINAL)
        self.table["=="] = lambda data=None, a=None, b=None, *_: self.equal(a, b)
        self.table["!="] = lambda data=None, a=None, b=None, *_: not self.equal(a, b)
        if TYPES_ARE_STRICT in mended:
            self.table["==="] = lambda data=None, a=None, b=None, *_: strict(a, b)
            self.table["!=="] = lambda data=None, a=None, b=None, *_: not strict(a, b)
        self.table["in"] = lambda data=None, a=None, b=None, *_: self.contains(a, b)
        for sign, compare in [
            ("<", lambda a, b: a < b),
            ("<=", lambda a, b: a <= b),
            (">", lambda a, b: a > b),
            (">=", lambda a, b: a >= b),
        ]:
            self.table[sign] = self.order(sign, compare)
        self.table["cat"] = lambda data=None, *args: "".join(self.text(arg) for arg in args)
        self.table["substr"] = lambda data=None, text=None, *args: self.substr(text, *args)
        self.table["+"] = lambda data=None, *args: self.fold(0, args, lambda a, b: a + b)
        self.table["*"] = lambda data=None, *args: self.fold(1, args, lambda a, b: a * b)
        self.table["/"] = lambda data=None, a=None, b=None, *_: self.divide(self.number(a), self.number(b))
        self.table["%"] = lambda data=None, a=None, b=None, *_: self.remainder(self.number(a), self.number(b))
        self.table["-"] = lambda data=None, *args: self.minus(*args)
        self.table["min"] = lambda data=None, *args: self.best(min, args)
        self.table["max"] = lambda data=None, *args: self.best(max, args)
        self.table["var"] = lambda data=None, key=None, default=None: self.var(data, key, default)
        self.table["missing"] = lambda data=None, *args: self.missing(data, *args)
        self.table["missing_some"] = lambda data=None, need=0, keys=None, *_: self.missing_some(data, need, keys)
        self.table["fractional"] = lambda data, *args: self.fractional(data, *args)

    def text(self, value):
        if TEXT_OF_NULL_AND_TRUTHS in self.mended:
            if value is None:
                return ""
            if isinstance(value, bool):
                return "true" if value else "false"
            if isinstance(value, list):
                return ",".join(self.text(item) for item in value)
        if isinstance(value, float):
            if math.isinf(value):
                return "Infinity" if value > 0 else "-Infinity"
            if math.isnan(value):
                return "NaN"
            if value == 0:
                return "0"
            if DIGITS_OF_A_NUMBER in self.mended:
                return digits(value)
        return builtins.to_string(value)

    def number(self, value):
        if NUMBERS_OF_OTHER_TYPES in self.mended:
            if isinstance(value, bool):
                return int(value)
            if isinstance(value, str):
                text = value.strip()
                if text == "":
                    return 0
                if text in ("Infinity", "+Infinity", "-Infinity"):
                    return float(text)
                if not all(c in "0123456789+-.eE" for c in text):
                    return math.nan
            if isinstance(value, list) and len(value) == 1:
                return self.number(value[0])
        return builtins.to_number(value)

    def equal(self, a, b):
        if (a is None) != (b is None) and NULL_IS_NOT_ZERO in self.mended:
            return False
        texts = {type(a), type(b)} in ({list, str}, {dict, str})
        if type(a) is type(b) or a is None or b is None:
            return builtins.op_equals(None, a, b)
        if texts:
            return self.text(a) == self.text(b)
        if isinstance(a, (list, dict)) and isinstance(b, (list, dict)):
            return False
        a, b = self.comparable(self.number(a), self.number(b))
        return a == b

    def comparable(self, a, b):
        if LARGE_INTEGERS in self.mended and isinstance(a, float) != isinstance(b, float):
            return float(a), float(b)
        return a, b

    def contains(self, needle, haystack):
        if isinstance(haystack, list):
            if TYPES_ARE_STRICT in self.mended:
                return any(strict(needle, item) for item in haystack)
            return needle in haystack
        if isinstance(haystack, str):
            if ONLY_VALUES_ARE_IN_TEXTS in self.mended and (needle is None or isinstance(needle, (list, dict))):
                return False
            return self.text(needle) in haystack
        return False

    def order(self, sign, compare):
        def two(a, b):
            texts = (str, list, dict)
            if ORDER_OF_NULL_AND_LISTS in self.mended:
                if isinstance(a, texts) and isinstance(b, texts):
                    return compare(self.text(a), self.text(b))
                return compare(*self.comparable(self.number(a), self.number(b)))
            numbers = isinstance(a, (int, float)) or isinstance(b, (int, float))
            if not numbers and (isinstance(a, str) or isinstance(b, str)):
                return compare(self.text_in_order(a), self.text_in_order(b))
            return compare(*self.comparable(self.number(a), self.number(b)))

        def all_in_order(data=None, a=None, b=None, *rest):
            if not rest or (rest[0] is None and NULL_IS_AN_ARGUMENT not in self.mended):
                return two(a, b)
            return two(a, b) and two(b, rest[0])

        return all_in_order

    def text_in_order(self, value):
        return "null" if value is None else self.text(value)

    def substr(self, text, *args):
        args = [self.number(arg) if arg is not None else None for arg in args]
        args = [math.copysign(1e9, arg) if arg is not None and abs(arg) > 1e9 else arg for arg in args]
        return builtins.op_substr(None, self.text(text), *args)

    def fold(self, value, args, combine):
        for arg in args:
            value = combine(value, self.number(arg))
        if LARGE_INTEGERS in self.mended and isinstance(value, int) and abs(value) >= 2**64:
            return float(value)
        return value

    def divide(self, a, b):
        if b == 0 and DIVISION_BY_ZERO in self.mended:
            return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
        return a / b

    def remainder(self, a, b):
        if DIVISION_BY_ZERO in self.mended and (b == 0 or math.isinf(a)):
            return math.nan
        if SIGN_OF_A_REMAINDER in self.mended and b != 0 and not math.isinf(a):
            if isinstance(a, int) and isinstance(b, int):
                return int(math.fmod(a, b))
            return math.fmod(a, b)
        return a % b

    def minus(self, a=None, *rest):
        if not rest or (rest[0] is None and NULL_IS_AN_ARGUMENT not in self.mended):
            return -self.number(a)
        return self.number(a) - self.number(rest[0])

    def best(self, choose, args):
        numbers = [self.number(arg) for arg in args]
        if NAN_WINS in self.mended and any(math.isnan(number) for number in numbers):
            return math.nan
        return choose(numbers) if numbers else math.nan

    def var(self, data, key, default=None):
        if MEMBERS_BY_NUMBER in self.mended and isinstance(key, (int, float)):
            key = self.text(key)
        elif isinstance(key, list) or (key is None or isinstance(key, bool)) and self.text(key) != "":
            key = self.text(key)
        return builtins.op_var(data, key, default)

    def missing(self, data, *args):
        keys = args[0] if args and isinstance(args[0], list) else args
        return [key for key in keys if self.var(data, key) in (None, "")]

    def missing_some(self, data, need, keys):
        if not isinstance(keys, list):
            return []
        missing = self.missing(data, keys)
        return [] if len(keys) - len(missing) >= self.number(need) else missing

    def fractional(self, data, *args):
        if WHOLE_WEIGHTS in self.mended:
            args = [whole(arg) for arg in args]
        if KEY_INSTEAD_OF_NULL in self.mended and args and args[0] is None:
            args = args[1:]
        return ORIGINAL["fractional"](data, *args)


def whole(share):
    """A share whose weight is an integer if it can be one."""
    if isinstance(share, list) and len(share) == 2 and isinstance(share[1], float) and share[1].is_integer():
        return [share[0], int(share[1])]
    return share


def digits(value):
    """The fewest digits that are this number, without an exponent."""
    text = format(decimal.Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def strict(a, b):
    """Equal, and of one type; lists and objects by what they hold."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return isinstance(a, bool) == isinstance(b, bool) and a == b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(strict(one, other) for one, other in zip(a, b))
    return type(a) is type(b) and a == b


def resolve(core, case):
    """What the evaluator says: variant, reason, value, or the word of its error."""
    context = dict(case["context"])
    key = context.pop("targetingKey", None)
    context = EvaluationContext(targeting_key=key, attributes=context)
    ask = getattr(core, f"resolve_{case['type']}_value")
    default = {"boolean": False, "string": "", "integer": 0, "float": 0.5, "object": {}}[case["type"]]
    try:
        details = ask(case["flag"], default, context)
    except OpenFeatureError as error:
        return {"error": error.error_code.value}
    except Exception as error:  # An operator that cannot make sense of its arguments.
        if not isinstance(error, (ArithmeticError, AttributeError, TypeError, ValueError)):
            raise
        return {"error": "GENERAL"}
    found = {"reason": str(details.reason.value), "metadata": dict(details.flag_metadata)}
    if details.variant is None:
        return found
    return found | {"variant": details.variant, "value": details.value}


def evaluate(cases, results, now, *excluded):
    """Evaluates the cases of a file, a line each, and writes what is found into another."""
    targeting.time.time = lambda: int(now)
    # It logs each argument that an operator cannot make sense of.
    logging.disable(logging.CRITICAL)
    differences = [name for name in DIFFERENCES if name not in excluded]
    plain_logic = targeting.jsonLogic

    def logic(rule, data, operators):
        result = plain_logic(rule, data, operators)
        mended = current.mended if current else ()
        if TEXT_OF_A_RESULT in mended and isinstance(result, float):
            return int(result) if result.is_integer() else Operators(mended).text(result)
        return result

    current = None
    targeting.jsonLogic = logic
    alone = {name: Operators({name}) for name in differences}
    others = {name: Operators(set(differences) - {name}) for name in differences}
    all_mended = Operators(set(differences))
    count = 0
    with open(cases, encoding="utf-8") as source, open(results, "w", encoding="utf-8") as target:
        for line in source:
            case = json.loads(line)
            core = FlagdCore()
            core.set_flags(json.dumps(case["file"]))

            def ask(operators):
                nonlocal current
                current = operators
                targeting.OPERATORS.clear()
                targeting.OPERATORS.update(operators.table if operators else ORIGINAL)
                return resolve(core, case)

            plain, mended = ask(None), ask(all_mended)
            why = []
            if plain != mended:
                # What the mended result needs; or, where one of several is enough, those.
                why = [name for name, table in others.items() if ask(table) != mended]
                why = why or [name for name, table in alone.items() if ask(table) != plain]
            print(json.dumps({"plain": plain, "mended": mended, "why": why}), file=target)
            count += 1
    say(evaluator=version("openfeature-flagd-core"), cases=count)


if __name__ == "__main__":
    run({"evaluate": evaluate})
