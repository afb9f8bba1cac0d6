#!/usr/bin/env python3
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Generate random expressions for ask_simpleeval.py. See README.md.

make_expressions.py COUNT [SEED] prints one case a line. The same seed gives the same cases.
"""

import json
import random
import sys

TEXTS = ["", "a", "abc", "Complete", "complete", "USD", " pad ", "a,b,c", "10", "9", "-5", "1.50", "1e3", "Zoë", "日本", "😀", "ß", "%s", "%d%%", "x\\ny", "A & B",
         "joe@example.com", "2024-01-05T12:34:56Z", "True", "None", "{}", "a b  c", "aXbXc", "١٢", "\\t", "it\\'s", "\\u00e9", "\\x41", "\\\\", "00", "-", ".", "0x1F", "nan", "inf"]
NUMBERS = ["0", "1", "2", "3", "-1", "7", "10", "100", "1000", "255", "1_000", "0x1F", "0b101", "0o17", "123456789012345678901234567890", "0.0", "1.0", "0.5", "2.5", "-1.5", "0.1", "0.2",
           "1e3", "1e16", "1e-7", "1.", ".5", "1e308", "3.14159", "99.995", "9007199254740993", "2j", "True", "False", "None", "00", "1e5", "0.30000000000000004", "100000000000000000000.0"]
COMPARE = ["==", "!=", "<", ">", "<=", ">=", "in", "not in", "is", "is not"]
ARITHMETIC = ["+", "-", "*", "/", "//", "%", "**", "<<", ">>", "&", "|", "^", "@"]
TEXT_METHODS = {
    "": "lower upper title capitalize swapcase casefold strip lstrip rstrip split rsplit splitlines isdigit isalpha isalnum isnumeric isdecimal isspace isupper islower istitle isidentifier"
        " isprintable isascii encode expandtabs".split(),
    "t": "startswith endswith find rfind index rindex count split rsplit strip lstrip rstrip partition rpartition removeprefix removesuffix join".split(),
    "n": "zfill center ljust rjust expandtabs splitlines".split(),
    "tt": "replace".split(), "tn": "split rsplit startswith endswith find count index".split(), "nt": "center ljust rjust".split(), "ttn": ["replace"], "tnn": ["find", "count", "startswith"],
}
OTHER_METHODS = ["bit_length()", "is_integer()", "hex()", "conjugate()", "as_integer_ratio()", "keys()", "values()", "items()", "copy()", "get('a')", "get('z', 5)", "count(1)", "index(1)", "pop()",
                 "append(1)", "extend([1, 2])", "reverse()", "sort()", "insert(0, 9)", "remove(1)", "union({3})", "intersection({1})", "issubset({1, 2})", "difference([1])", "add(7)", "update({'q': 1})",
                 "setdefault('a', 3)", "popitem()", "clear()", "bit_count()", "decode()", "isdisjoint({5})", "symmetric_difference({1})", "discard(1)", "nope()", "real", "imag", "numerator", "__class__", "a"]
SPECS = ["", "d", "5", "05", ">5", "<5", "^5", "*^9", "+d", ",", "_", ".2f", "08.3f", "e", ".3e", "g", ".3g", "%", ".1%", "x", "#x", "b", "o", "c", "s", ".2", "n", "=5", "+.1f", ",.2f", "X", "10s", "-5", " d"]


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.names = []

    def pick(self, items):
        return self.rng.choice(items)

    def chance(self, p):
        return self.rng.random() < p

    def text(self):
        quote = self.pick(["'", "'", '"', "'''", '"""'])
        text = self.pick(TEXTS) + (self.pick(TEXTS) if self.chance(0.1) else "")
        if quote[0] == '"':
            text = text.replace("\\'", "'")
        return self.pick(["", "", "", "", "", "", "r", "b", "u", "f", "rb", "R"]) + quote + text + quote

    def formatted(self, depth):
        parts = []
        for _ in range(self.rng.randint(1, 2)):
            inner = self.expression(depth + 2).replace("'", '"') if self.chance(0.3) else self.pick(["1", "2.5", "1000000", '"a"', "-7", "[1]", "0", "True", "None", "1e10", "12345.678"])
            if "\\" in inner or "#" in inner or "'" in inner:
                inner = "5"
            parts.append(self.pick(["", "a", "{{", "}}", " "]) + "{" + inner + self.pick(["", "", "!r", "!s", "="][:3]) + (":" + self.pick(SPECS) if self.chance(0.7) else "") + "}")
        return "f'" + "".join(parts) + "'"

    def items(self, depth, most=4):
        return ", ".join(self.expression(depth + 1) for _ in range(self.rng.randint(0, most)))

    def atom(self, depth):
        kind = self.rng.random()
        if self.names and kind < 0.25:
            return self.pick(self.names)
        if kind < 0.5 or depth > 4:
            return self.text() if self.chance(0.45) else self.pick(NUMBERS)
        if kind < 0.62:
            return "[%s]" % self.items(depth)
        if kind < 0.68:
            return "(%s%s)" % (self.items(depth), self.pick(["", ","]))
        if kind < 0.74:
            return "{%s}" % ", ".join("%s: %s" % (self.pick([self.text(), self.pick(NUMBERS)]), self.expression(depth + 1)) for _ in range(self.rng.randint(0, 3)))
        if kind < 0.78:
            return "{%s}" % ", ".join(self.pick([self.text(), self.pick(NUMBERS)]) for _ in range(self.rng.randint(1, 3)))
        if kind < 0.86:
            return "(%s)" % self.expression(depth + 1)
        if kind < 0.9:
            return self.formatted(depth)
        if kind < 0.95:
            return "%s(%s)" % (self.pick(["int", "float", "str", "list", "tuple", "dict", "set", "len", "bool"]), self.pick([self.expression(depth + 1), self.items(depth, 2), self.text()]))
        return self.comprehension(depth)

    def comprehension(self, depth):
        source = self.pick([self.expression(depth + 1), "[1, 2, 3]", "'abc'", "[[1, 2], [3, 4]]", "{'a': 1}.items()", "'a b'.split()"])
        name = self.pick(["x", "y", "x, y"])
        self.names += name.split(", ")
        body, condition = self.expression(depth + 2), self.expression(depth + 2)
        self.names = []
        return self.pick(["[%s]", "(%s)", "[%s]", "{%s}"]) % ("%s for %s in %s%s" % (body, name, source, " if " + condition if self.chance(0.4) else ""))

    def primary(self, depth):
        out = self.atom(depth)
        while self.chance(0.3):
            kind = self.rng.random()
            if kind < 0.5:
                kinds = self.pick(list(TEXT_METHODS))
                args = [self.text() if k == "t" else self.pick(["0", "1", "2", "-1", "5", "12", "True", "None", "1.0"]) for k in kinds]
                if self.chance(0.05):
                    args = args[1:] or [self.expression(depth + 2)]
                out += ".%s(%s)" % (self.pick(TEXT_METHODS[kinds]), ", ".join(args))
            elif kind < 0.7:
                out += "." + self.pick(OTHER_METHODS)
            elif kind < 0.85:
                out += "[%s]" % self.pick(["0", "1", "-1", "5", "'a'", self.expression(depth + 2), "None", "True", "1.0"])
            else:
                bound = lambda: self.pick(["", "", "0", "1", "2", "-1", "-2", "9", "None", "'a'", "1.5"])
                out += "[%s:%s%s]" % (bound(), bound(), self.pick(["", "", ":" + bound()]))
        return out

    def expression(self, depth=0):
        kind = self.rng.random()
        if depth > 4 or kind < 0.35:
            return self.primary(depth)
        if kind < 0.55:
            out = self.expression(depth + 1)
            for _ in range(self.pick([1, 1, 1, 2])):
                out += " %s %s" % (self.pick(COMPARE), self.expression(depth + 1))
            return out
        if kind < 0.75:
            return "%s %s %s" % (self.expression(depth + 1), self.pick(ARITHMETIC), self.expression(depth + 1))
        if kind < 0.86:
            return "%s %s %s" % (self.expression(depth + 1), self.pick(["and", "or"]), self.expression(depth + 1))
        if kind < 0.92:
            return self.pick(["not ", "-", "+", "~", "- -", "not not "]) + self.expression(depth + 1)
        if kind < 0.97:
            return "%s if %s else %s" % (self.expression(depth + 1), self.expression(depth + 1), self.expression(depth + 1))
        return "%s %% %s" % (self.text(), self.pick([self.expression(depth + 1), "(%s,)" % self.items(depth, 2)]))

    def mutate(self, text):
        for _ in range(self.pick([1, 1, 2])):
            i = self.rng.randint(0, len(text))
            kind = self.rng.random()
            if kind < 0.35:
                text = text[:i] + text[i + 1:]
            elif kind < 0.7:
                text = text[:i] + self.pick(list("()[]{}'\"\\,.:;=!<>+-*/%&|^~@# \n\t0aé_fr")) + text[i:]
            else:
                text = text[:i] + self.pick(["\\\n", "\n", "  ", " not ", " is ", " in ", " lambda: ", "==", "...", ":=", " if ", " else ", " for ", "**", "None", "True", "0x", "1_", "e5", "j", "'''", " # x"]) + text[i:]
        return text

    def case(self):
        text = self.expression()
        if self.chance(0.2):
            text = self.mutate(text)
        return text


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for number in range(count):
        print(json.dumps({"expr": Maker(random.Random(seed * 1_000_003 + number)).case()}))


if __name__ == "__main__":
    main()
