#!/usr/bin/env python3
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Generate random template cases for ask_django.py. See README.md.

make_cases.py COUNT [SEED] prints one case a line. The same seed gives the same cases.
"""

import json
import random
import sys

# The data that every case has.
CONTEXT = {
    "s": "Hello World", "e": "", "h": '<a href="x">T&amp;C\'s</a> & more', "u": "Zoë Müller – 東京 ñ",
    "ml": "first line\nsecond\r\n\nthird  line\rfourth", "long": "the quick brown fox jumps over the lazy dog " * 3,
    "url": "see https://example.com/a?b=1&c=<2> or www.test.org, mail a@b.co.", "num": "1234567.891", "neg": "-42",
    "html": "<p>One <b>two</b> three<br/>four &lt;five&gt; <img src='x'> six</p><ul><li>seven</li></ul>",
    "safe": {"$safe": "<i>it's</i> & \"so\""}, "n": None, "t": True, "f": False,
    "i": 7, "z": 0, "big": {"$bigint": "123456789012345678901234567890"}, "m": -1234567, "year": 2024,
    "fl": 1234.5678, "small": 1e-7, "huge": 1.5e22, "half": 2.5, "nf": -0.0, "d": {"$decimal": "1234567.891234567891"},
    "d2": {"$decimal": "0.005"}, "d3": {"$decimal": "-1E+5"}, "dn": {"$decimal": "0E-18"},
    "l": [3, 1, 2], "le": [], "ls": ["b", "<a>", "c & d"], "nest": ["A", ["B", ["C", "<D>"], "E"], "F", ["G"]],
    "tp": {"$tuple": [1, "two", None]}, "rows": [
        {"name": "Zed", "age": 30, "tags": ["x", "y"], "city": {"n": "Rome"}},
        {"name": "amy", "age": 4, "tags": [], "city": {"n": "Oslo"}},
        {"name": "Bob", "age": 30, "tags": ["z"], "city": {"n": "Oslo"}}],
    "o": {"a": 1, "b": "<two>", "c": [1, 2], "items": None}, "plain": {"x": 1, "y": {"z": "deep"}},
    "dt": {"$datetime": "2024-02-29T13:05:09.000123"}, "da": {"$date": "2023-12-31"}, "tm": {"$time": "00:30:00"},
    "aw": {"$datetime": "2024-03-10T09:59:59", "offset": 0, "tzname": "UTC"},
    "aw2": {"$datetime": "2023-07-01T23:30:00", "offset": 19800, "tzname": "IST"},
    "old": {"$datetime": "0987-01-05T12:00:00"}, "td": {"$timedelta": 93784.5}, "ms": 1596795344112,
    "f1": "Y-m-d", "fmt": "D d M Y \\a\\t H:i:s", "tz": "America/New_York", "arg": "2", "key": "name", "words": "yes,no",
}
NAMES = [*CONTEXT, "nope", "rows.0.name", "rows.1.age", "o.a", "plain.y.z", "l.0", "s.upper", "plain.items", "nope.x", "forloop.counter",
         "ls.1", "dt.year", "h.0", "company.name", "rows.2.tags", "o.c", "plain.keys"]
LITERALS = ['"x"', "'a & b'", '"<b>"', "1", "-3", "2.50", "0", '""', "1e3", '_("word")', '"5"', '"a,b,c"', '"%"', "True", "None", '"1.0"', "'it\\'s'"]
DATE_FORMATS = ["Y-m-d", "D d M Y", "j F Y, H:i", "N j, Y, P", "c", "r", "U", "e I O T Z", "z W o t L", "y n b E", "a A f g G h u s S w l",
                "SHORT_DATE_FORMAT", "DATETIME_FORMAT", "MONTH_DAY_FORMAT", "TIME_FORMAT", "", "\\\\Y", "jS \\o\\f F", "P", "H\\h i\\m", "d/m/Y%"]
ARGS = {
    "add": ["1", '"x"', "i", "l", "-3", "2.5", "d", "half", "s"], "center": ["20", '"15"', "i", "3"], "ljust": ["20", "i", '"9"'], "rjust": ["20", '"x"'],
    "cut": ['" "', '"l"', '"<"', "e"], "date": None, "time": None, "default": ['"d"', "0", "h", "s"], "default_if_none": ['"d"', "h"],
    "dictsort": ['"name"', '"age"', '"city.n"', "0", '"nope"', "key", '"0"'], "dictsortreversed": ['"name"', '"age"', '"city.n"', "1"],
    "divisibleby": ["3", "1", '"2"', "i", "0", "s"], "floatformat": ["0", "2", "-2", "-3", '"2g"', '"g"', '"-3g"', '"2u"', '"3gu"', '"x"', "i", "18", "-18", "arg", "d"],
    "get_digit": ["1", "2", "9", "0", "s", "i"], "join": ['", "', '"<br>"', "h", "1", "safe", "e"], "json_script": ['"id"', '"a<b"', "s"],
    "length_is": ["3", "i", '"1"'], "linebreaksbr": None, "pluralize": ['"es"', '"y,ies"', '"a,b,c"', '""', "words"],
    "slice": ['":2"', '"1:"', '"-2:"', '"::2"', '"::-1"', '":"', "1", '"1:2:3"', '"x"', "i", '"9:"', '":-1"'],
    "stringformat": ['"s"', '"d"', '"05.2f"', '"x"', '"-10s"', '"e"', '"%"', '"r"', '"+d"', '"08d"', '".3s"', '"c"', '"g"', '"#x"', '"i"', '"q"'],
    "timesince": ["dt", "aw", "da", "aw2", "nope"], "timeuntil": ["dt", "aw", "da", "aw2"], "truncatechars": ["5", "0", "1", "-1", "100", '"7"', "s", "12"],
    "truncatechars_html": ["5", "0", "1", "20", "100", "9"], "truncatewords": ["2", "0", "-1", "100", '"3"', "1"], "truncatewords_html": ["2", "0", "4", "100", "1"],
    "urlencode": ['""', '"/"', '"/:?"', "e"], "urlizetrunc": ["10", "0", "100", '"5"', "1", "i"], "wordwrap": ["5", "10", "1", "40", '"12"', "i"],
    "yesno": ['"y,n"', '"y,n,m"', '"y"', '"a,b,c,d"', "words", '"<y>,n"', "s"], "timezone": ['"Europe/Paris"', "tz", '"UTC"', '"Nope/Zone"', '"Asia/Kolkata"', "i"],
    "naturalday": ['"Y-m-d"', '"D d M"'], "intcomma": ["False", "True"], "money": ["2", "0", "18", "i", "s"],
}
OPTIONAL = {"date", "time", "floatformat", "pluralize", "timesince", "timeuntil", "urlencode", "yesno", "naturalday", "intcomma", "json_script"}
PLAIN = """addslashes capfirst escape escapejs escapeseq filesizeformat first force_escape iriencode last length linebreaks linebreaksbr linenumbers
lower make_list phone2numeric pprint safe safeseq slugify striptags title unordered_list upper urlize wordcount""".split()
LOADED = {"humanize": ["apnumber", "intcomma", "intword", "naturalday", "naturaltime", "ordinal"], "tz": ["localtime", "timezone", "utc"],
          "l10n": ["localize", "unlocalize"], "i18n": ["language_name", "language_bidi", "language_name_local"]}
LIBRARY = {name: library for library, names in LOADED.items() for name in names}
FILTERS = PLAIN + list(ARGS) + list(LIBRARY) + ["timestamp"]
ZONES = ['"Europe/Paris"', "tz", '"UTC"', "None", '"Asia/Tokyo"', '"America/St_Johns"', "nope", '"Africa/Johannesburg"']
LANGUAGES = ["en", "de", "fr", "es", "pt", "pt-br", "ar", "en-gb", "nl", "ja", "ru", "pl", "fi", "tr", "hi", "zh-hans", "he", "de-ch", "es-mx", "cs", "xx", "PT-BR",
             "en-us", "fa", "id", "sv", "hu", "lt", "ko", "it"]


class Maker:
    def __init__(self, rng, languages):
        self.rng, self.languages, self.loads = rng, languages, set()

    def pick(self, items):
        return self.rng.choice(items)

    def chance(self, p):
        return self.rng.random() < p

    def operand(self):
        return self.pick(LITERALS) if self.chance(0.12) else self.pick(NAMES)

    def filter(self):
        name = self.pick(FILTERS)
        if name in LIBRARY:
            self.loads.add(LIBRARY[name])
        if name not in ARGS or name in OPTIONAL and self.chance(0.3):
            return name
        if name in ("date", "time"):
            return name + ":" + self.pick([json.dumps(self.pick(DATE_FORMATS)), "f1", "fmt", self.operand()])
        if ARGS[name] is None:
            return name
        return name + ":" + (self.operand() if self.chance(0.1) else self.pick(ARGS[name]))

    def expression(self, most=3):
        text = self.operand()
        for _ in range(self.pick([0, 1, 1, 1, 2, 2, most])):
            text += "|" + self.filter()
        return text

    def condition(self, depth=0):
        kind = self.rng.random()
        if kind < 0.3 or depth > 2:
            return self.expression(1)
        if kind < 0.75:
            return "%s %s %s" % (self.expression(1), self.pick(["==", "!=", "<", ">", "<=", ">=", "in", "not in", "is", "is not"]), self.expression(1))
        if kind < 0.85:
            return "not " + self.condition(depth + 1)
        return "%s %s %s" % (self.condition(depth + 1), self.pick(["and", "or"]), self.condition(depth + 1))

    def body(self, depth):
        return "".join(self.piece(depth + 1) for _ in range(self.rng.randint(1, 3)))

    def piece(self, depth=0):
        kind = self.rng.random()
        if kind < 0.12:
            return self.pick(["text ", "<p> ", "</p>\n", " & ", "\n\n", "a b ", "%", "{ ", "}} "])
        if kind < 0.6 or depth > 2:
            return "{{ %s }}" % self.expression()
        return self.tag(depth)

    def tag(self, depth):
        e, b = self.expression, lambda: self.body(depth)
        tags = [
            lambda: "{%% if %s %%}%s{%% elif %s %%}%s{%% else %%}%s{%% endif %%}" % (self.condition(), b(), self.condition(), b(), b()),
            lambda: "{%% for x in %s %%}%s%s{%% empty %%}none{%% endfor %%}" % (e(1) + self.pick(["", " reversed"]), self.pick(["{{ x }},", "{{ forloop.revcounter }}", "{% cycle 'a' h as c %}", "{{ forloop.last }}{{ x.name }}"]), b()),
            lambda: "{%% for k, v in %s %%}{{ k }}={{ v }};%s{%% endfor %%}" % (self.pick(["plain.items", "rows", "o.c", "nest", "tp", "ls", "n"]), b()),
            lambda: "{%% with a=%s b=%s %%}{{ a }}{{ b|default:a }}%s{%% endwith %%}" % (e(1), e(2), b()),
            lambda: "{%% filter %s%s %%}%s{%% endfilter %%}" % (self.filter(), self.pick(["", "|" + self.filter()]), b()),
            lambda: "{%% firstof %s %s %s %%}" % (e(1), e(1), self.pick(LITERALS)),
            lambda: "{%% firstof %s %s as w %%}[{{ w }}]" % (e(1), e(1)),
            lambda: "{%% autoescape %s %%}%s{%% endautoescape %%}" % (self.pick(["on", "off"]), b()),
            lambda: "{%% spaceless %%}<a> %s </a> <b>%s</b>{%% endspaceless %%}" % (b(), b()),
            lambda: "{%% for x in %s %%}{%% ifchanged %s %%}[{{ x }}]%s{%% else %%}={%% endifchanged %%}{%% endfor %%}" % (self.pick(["l", "ls", "rows", "s", "tp"]), self.pick(["", "x", "x.age", "x.city.n i"]), b()),
            lambda: "{%% for x in l %%}{%% cycle %s %s as c silent %%}{{ c }}{%% if x == 1 %%}{%% resetcycle c %%}{%% endif %%}{%% endfor %%}" % (e(1), self.pick(LITERALS)),
            lambda: "{%% regroup %s by %s as g %%}{%% for x in g %%}{{ x.grouper }}:{%% for y in x.list %%}{{ y.name }},{%% endfor %%}{%% endfor %%}{{ g }}" % (self.pick(["rows", "rows|dictsort:'city.n'", "ls", "nope", "n"]), self.pick(["city.n", "age", "age|add:1", "nope", "tags|length"])),
            lambda: "{%% widthratio %s %s %s %%}" % (e(1), self.pick(["i", "100", "z", "fl", "s"]), self.pick(["100", "i", "d2", "nope", "1.5"])),
            lambda: "{%% widthratio %s 3 100 as w %%}{{ w|add:1 }}" % e(1),
            lambda: "{%% now %s %%}" % json.dumps(self.pick(DATE_FORMATS[:-1])),
            lambda: "{%% now %s as w %%}{{ w|upper }}" % json.dumps(self.pick(DATE_FORMATS)),
            lambda: "{% verbatim %}{{ s }}{% if %}{% endverbatim %}",
            lambda: "{%% templatetag %s %%}" % self.pick(["openblock", "closevariable", "opencomment", "closebrace", "nope"]),
            lambda: "{%% lorem %s %%}" % self.pick(["", "3 w", "1 p", "b", "-1 w", "i w"]),
            lambda: "{%% include %s %%}" % self.pick(["'inc'", "'inc' with s=h only", "'inc' with x=i", "'inc' only", "'nope'", "e"]),
            lambda: self.loaded("tz") + "{%% timezone %s %%}%s{{ aw }}{%% endtimezone %%}" % (self.pick(ZONES), b()),
            lambda: self.loaded("tz") + "{%% localtime %s %%}%s{{ aw2 }}{%% endlocaltime %%}" % (self.pick(["on", "off"]), b()),
            lambda: self.loaded("tz") + "{% get_current_timezone as zz %}{{ zz }}",
            lambda: self.loaded("l10n") + "{%% localize %s %%}%s{{ fl }}{%% endlocalize %%}" % (self.pick(["on", "off"]), b()),
            lambda: self.loaded("i18n") + "{%% translate %s %%}" % self.pick(['"a message"', "s", "h", "nope", '"100%"', "i", '"x" noop', 's as w', '"May" context "abbrev. month"']),
            lambda: self.loaded("i18n") + "{%% blocktranslate with a=%s %s%%}msg {{ a }} %%{{ s }}\n  tail {%% endblocktranslate %%}" % (e(1), self.pick(["", "trimmed ", "asvar w "])),
            lambda: self.loaded("i18n") + "{%% blocktranslate count c=%s %%}one {{ s }}{%% plural %%}{{ c }} many{%% endblocktranslate %%}" % self.pick(["i", "l|length", "1", "z", "s", "fl", "rows"]),
            lambda: self.loaded("i18n") + "{% get_current_language as L %}{{ L }}{% get_current_language_bidi as B %}{{ B }}",
        ]
        if self.languages:
            tags += [lambda: self.loaded("i18n") + "{%% language '%s' %%}%s%s{%% endlanguage %%}" % (self.pick(LANGUAGES), self.local(), b())] * 12
        return self.pick(tags)()

    def local(self):
        """Something that depends on the language."""
        self.loads.add("humanize")
        return "{{ %s }}" % self.pick([
            "dt", "da", "tm", "aw|date", "aw|time", "fl", "d", "m|intcomma", "fl|intcomma", "fl|floatformat:2", "d|floatformat:'2g'", "fl|floatformat:'u'", "dt|timesince",
            "da|timeuntil", "aw|naturaltime", "da|naturalday", "big|intword", "i|ordinal", "i|apnumber", "t|yesno", "n|yesno", "m|filesizeformat", "huge|filesizeformat",
            "dt|date:'SHORT_DATETIME_FORMAT'", "dt|date:'l j F Y M D N E b P a A f'", "da|date:'DATE_FORMAT'", "aw2|date:'YEAR_MONTH_FORMAT'", "ms|timestamp", "year", "i", "m", "small",
            "long|truncatewords:3", "long|truncatechars:9", "fl|stringformat:'s'", "d3", "big|intcomma", "ms|timestamp|naturaltime", "z|filesizeformat", "num|intcomma", "num|floatformat"])

    def loaded(self, library):
        self.loads.add(library)
        return ""

    def case(self, number):
        main = "".join(self.piece() for _ in range(self.rng.randint(1, 4)))
        templates = {"inc": "<{{ s }}|{{ x }}|{{ i }}>", "base": "A{% block b %}base {{ s }}{% endblock %}Z{% block c %}{% endblock %}"}
        if self.chance(0.06):
            main = "{%% extends 'base' %%}{%% block b %%}%s{{ block.super }}{%% endblock %%}%s" % (main, self.pick(["", "{% block c %}{{ h }}{% endblock %}"]))
            loads = "{%% load %s %%}" % " ".join(sorted(self.loads)) if self.loads else ""
            main = main.replace("%}", "%}" + loads, 1)
        elif self.loads:
            main = "{%% load %s %%}" % " ".join(sorted(self.loads)) + main
        used = {name: value for name, value in CONTEXT.items() if name in main or "inc" in main or "base" in main}
        out = {"name": "made#%d" % number, "templates": {"main": main}, "main": "main", "context": used, "now": "2024-05-17T14:30:45Z"}
        if "inc" in main or "base" in main:
            out["templates"].update(templates)
        if self.chance(0.2):
            out["autoescape"] = False
        return out


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        print(json.dumps(Maker(rng, languages="--languages" in sys.argv).case(number)))


if __name__ == "__main__":
    main()
