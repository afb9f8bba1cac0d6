# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Django's side of the benchmark: for each line on standard input, a JSON
object of scenario and seconds, it runs that scenario for that long and prints
the operations per second."""

import json
import sys
import time

from django.conf import settings

settings.configure(TIME_ZONE="UTC")

import django

django.setup()

from django.template import Context, Engine

EXPRESSION = open("expression.txt").read()
EMAIL = open("email.html").read()
DATA = json.load(open("data.json"))

engine = Engine()
email = engine.from_string(EMAIL)
expression = Engine(autoescape=False).from_string(EXPRESSION)


def render():
    return email.render(Context(DATA))


def parse_and_render():
    return engine.from_string(EMAIL).render(Context(DATA))


def evaluate():
    from simpleeval import EvalWithCompoundTypes

    return EvalWithCompoundTypes().eval(expression.render(Context(DATA, autoescape=False)))


SCENARIOS = {"render": render, "parse+render": parse_and_render, "expression": evaluate}

for line in sys.stdin:
    request = json.loads(line)
    run = SCENARIOS[request["scenario"]]
    if not request.get("seconds"):
        print(json.dumps({"output": str(run())}), flush=True)
        continue
    count, start = 0, time.perf_counter()
    end = start + request["seconds"]
    while time.perf_counter() < end:
        for _ in range(10):
            run()
        count += 10
    print(json.dumps({"rate": count / (time.perf_counter() - start)}), flush=True)
