#!/usr/bin/env python3
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Ask real Django what templates render to. See README.md."""

import datetime
import decimal
import json
import os
import sys

os.environ["TZ"] = "UTC"

import django
from django.conf import settings
from django.template import Context, Engine, Library
from django.template.base import TemplateSyntaxError
from django.template.exceptions import TemplateDoesNotExist
from django.utils.safestring import mark_safe

# The words in which cases hold values that JSON has no word for.
DECODERS = {
    "$safe": mark_safe,
    "$datetime": datetime.datetime.fromisoformat,
    "$date": datetime.date.fromisoformat,
    "$time": datetime.time.fromisoformat,
    "$timedelta": lambda seconds: datetime.timedelta(seconds=float(seconds)),
    "$decimal": decimal.Decimal,
    "$float": float,
    "$bigint": int,
    "$tuple": lambda items: tuple(decode(item) for item in items),
}


def decode(value):
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        if "$datetime" in value and "offset" in value:
            zone = datetime.timezone(datetime.timedelta(seconds=value["offset"]), value.get("tzname") or "")
            return datetime.datetime.fromisoformat(value["$datetime"]).replace(tzinfo=zone)
        if len(value) == 1:
            (key, inner), = value.items()
            if key in DECODERS:
                return DECODERS[key](inner)
        return {key: decode(item) for key, item in value.items()}
    return value


def timestamp(value):
    """Rehive's filter, by this project's definition."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return ""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        return ""
    number = int(value)
    if abs(number) < 10**11:
        number *= 10**6
    elif abs(number) < 10**14:
        number *= 10**3
    try:
        return datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(microseconds=number)
    except OverflowError:
        return ""


def money(value, divisibility):
    """Rehive's filter, by this project's definition."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, decimal.Decimal)):
        return ""
    with decimal.localcontext(decimal.Context(prec=5000)):
        try:
            amount, places = decimal.Decimal(str(value)), int(divisibility)
            if not amount.is_finite() or not 0 <= places <= 1000:
                return ""
            return "{:.{}f}".format(amount.scaleb(-places), places)
        except (decimal.InvalidOperation, TypeError, ValueError, OverflowError):
            return ""


class Clock:
    """Stands in for the datetime class in Django's modules while a case has a fixed now."""

    def __init__(self):
        self.fixed = None
        clock = self

        class Meta(type):
            def __instancecheck__(cls, instance):
                return isinstance(instance, datetime.datetime)

        class Frozen(datetime.datetime, metaclass=Meta):
            @classmethod
            def now(cls, tz=None):
                if clock.fixed is None:
                    return datetime.datetime.now(tz)
                return clock.fixed.astimezone(tz) if tz else clock.fixed.replace(tzinfo=None)

        class Module:
            datetime = Frozen

            def __getattr__(self, name):
                return getattr(datetime, name)

        from django.contrib.humanize.templatetags import humanize
        from django.template import defaulttags
        from django.utils import timesince, timezone

        humanize.datetime = defaulttags.datetime = timezone.datetime = Frozen
        timesince.datetime = Module()

    def set(self, text):
        self.fixed = None
        if text:
            self.fixed = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
            if self.fixed.tzinfo is None:
                self.fixed = self.fixed.replace(tzinfo=datetime.timezone.utc)


def answer(case, clock):
    clock.set(case.get("now"))
    engine = Engine(
        autoescape=case.get("autoescape", True),
        loaders=[("django.template.loaders.locmem.Loader", case["templates"])],
        libraries={
            "humanize": "django.contrib.humanize.templatetags.humanize",
            "i18n": "django.templatetags.i18n",
            "l10n": "django.templatetags.l10n",
            "tz": "django.templatetags.tz",
        },
    )
    rehive = Library()
    rehive.filter(timestamp)
    rehive.filter(money)
    engine.template_builtins.append(rehive)
    phase = "parse"
    try:
        try:
            template = engine.get_template(case["main"])
        except TemplateDoesNotExist:
            raise SystemExit("case %r: there is no template %r" % (case.get("name"), case["main"]))
        phase = "render"
        context = Context(decode(case.get("context", {})), autoescape=engine.autoescape)
        return {"expected": template.render(context)}
    except Exception as error:
        return {"error": type(error).__name__, "phase": phase, "msg": str(error)[:200]}


def main():
    # As Rehive's services set it, with humanize, without which its filters speak English only.
    # Django 5.0 always localizes; 3.2 needs USE_L10N for it.
    options = {"USE_L10N": True} if django.VERSION < (4, 0) else {}
    settings.configure(LANGUAGE_CODE="en", TIME_ZONE="UTC", USE_TZ=True, INSTALLED_APPS=["django.contrib.humanize"], TEMPLATES=[], **options)
    django.setup()
    clock = Clock()
    for line in sys.stdin:
        if not line.strip():
            continue
        case = json.loads(line)
        if "template" in case:
            case["templates"] = {"main": case.pop("template")}
        case.setdefault("main", "main")
        case.setdefault("context", {})
        for key in ("expected", "error", "phase", "msg"):
            case.pop(key, None)
        case.update(answer(case, clock))
        print(json.dumps(case))


if __name__ == "__main__":
    main()
