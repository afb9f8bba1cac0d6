#!/usr/bin/env python3
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Ask simpleeval what expressions evaluate to. See README.md."""

import json
import sys

from simpleeval import EvalWithCompoundTypes

MAX_STRING = 1000
MAX_INT = 2**53


def encode(value):
    """The result in JSON, with words for what JSON has none for."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_INT else {"$int": str(value)}
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, complex):
        return {"$complex": repr(value)}
    if isinstance(value, str):
        return value if len(value) <= MAX_STRING else {"$longstr": len(value)}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {"$set": sorted((encode(item) for item in value), key=repr)}
    if isinstance(value, dict):
        return {"$dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if value is ...:
        return {"$ellipsis": 1}
    return {"$object": type(value).__name__}


def answer(expr):
    try:
        result = EvalWithCompoundTypes().eval(expr)
        return {"result": encode(result), "truth": bool(result)}
    except Exception as error:
        return {"error": type(error).__name__, "msg": str(error)[:200]}


def main():
    for line in sys.stdin:
        if not line.strip():
            continue
        case = json.loads(line)
        for key in ("result", "truth", "error", "msg"):
            case.pop(key, None)
        case.update(answer(case["expr"]))
        print(json.dumps(case))


if __name__ == "__main__":
    main()
