#!/usr/bin/env python3
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Ask Django how each of its languages writes dates, numbers and durations. See README.md.

Prints internal/django/locales.jsonl: a line for each language, with what differs from
Django's settings, and the messages that filters and tags print.
"""

import gettext
import json
import os
import sys

import django
from django.conf import settings

CORE = [
    *"Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mon Tue Wed Thu Fri Sat Sun".split(),
    *"January February March April May June July August September October November December".split(),
    *"jan feb mar apr may jun jul aug sep oct nov dec".split(),
    *("abbrev. month\x04" + name for name in "Jan. Feb. March April May June July Aug. Sept. Oct. Nov. Dec.".split()),
    *("alt. month\x04" + name for name in "January February March April May June July August September October November December".split()),
    "a.m.", "p.m.", "AM", "PM", "midnight", "noon", ", ", "yes,no,maybe", "%s KB", "%s MB", "%s GB", "%s TB", "%s PB",
    "String to return when truncating text\x04%(truncated_text)s…",
    *"today tomorrow yesterday now one two three four five six seven eight nine".split(), "%(delta)s ago", "%(delta)s from now",
    "ordinal 11, 12, 13\x04{}th", "ordinal 0\x04{}th", "ordinal 1\x04{}st", "ordinal 2\x04{}nd", "ordinal 3\x04{}rd",
    *("ordinal %d\x04{}th" % n for n in range(4, 10)),
]
UNITS = "year month week day hour minute".split()
PLURAL = [
    "%(size)d byte",
    *(context + "%%(num)d %s" % unit for context in ("", "naturaltime-past\x04", "naturaltime-future\x04") for unit in UNITS),
    *("%%(value)s %s" % name for name in
      "million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion googol".split()),
    *("a%s %s %s" % ("n" if unit == "hour" else "", unit, when) for when in ("ago", "from now") for unit in ("second", "minute", "hour")),
]
FORMATS = """DATE_FORMAT TIME_FORMAT DATETIME_FORMAT YEAR_MONTH_FORMAT MONTH_DAY_FORMAT SHORT_DATE_FORMAT SHORT_DATETIME_FORMAT
DECIMAL_SEPARATOR THOUSAND_SEPARATOR NUMBER_GROUPING FIRST_DAY_OF_WEEK""".split()


def plural_forms(roots, locale):
    """The rules by which a language counts, in the notation of gettext."""
    rules = []
    for name in (locale, locale.split("_")[0]):
        for root in roots:
            path = os.path.join(root, name, "LC_MESSAGES", "django.mo")
            if os.path.exists(path):
                with open(path, "rb") as file:
                    info = gettext.GNUTranslations(file).info()
                rules.append(info.get("plural-forms", "plural=(n != 1);").split("plural=", 1)[1].rstrip("; "))
    return rules


def main():
    from django.utils import formats, translation
    from django.utils.translation import trans_real

    base = os.path.dirname(django.__file__)
    root = os.path.join(base, "conf", "locale")
    roots = [root, os.path.join(base, "contrib", "humanize", "locale")]
    for locale in sorted(os.listdir(root)):
        if locale == "en" or not any(os.path.exists(os.path.join(root, locale, name)) for name in ("formats.py", "LC_MESSAGES/django.mo")):
            continue
        code = translation.to_language(locale)
        parts, part = [], trans_real.translation(code)
        while part is not None:  # the language, then the one without its country
            inner = part._catalog
            parts += zip(inner._catalogs, inner._plurals) if hasattr(inner, "_catalogs") else [(inner, part.plural)]
            part = part._fallback
        out = {"locale": locale, "formats": {}, "plurals": [], "messages": {}}
        for name in FORMATS:
            value = formats.get_format(name, code)
            if value != getattr(settings, name):
                out["formats"][name] = value
        rules = plural_forms(roots, locale)
        functions = [gettext.c2py(rule) for rule in rules]
        for message in CORE:
            text = trans_real.translation(code).gettext(message)
            if text != message:
                out["messages"][message] = text
        for message in PLURAL:
            for part, function in parts:
                if (message, function(1)) not in part:
                    continue
                index = next(i for i, own in enumerate(functions) if all(own(n) == function(n) for n in [*range(1200), 10**6, 2 * 10**6, 10**6 + 1]))
                if rules[index] not in out["plurals"]:
                    out["plurals"].append(rules[index])
                forms = []
                while (message, len(forms)) in part:
                    forms.append(part[message, len(forms)])
                out["messages"][message] = [out["plurals"].index(rules[index]), *forms]
                break
        print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    if django.VERSION < (5, 0):
        sys.exit("ask_locales.py needs Django 5.0, not " + django.get_version())
    settings.configure(LANGUAGE_CODE="en", USE_TZ=True, INSTALLED_APPS=["django.contrib.humanize"])
    django.setup()
    main()
