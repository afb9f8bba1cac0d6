// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
)

// strFunc is a str method: its number of arguments, its cost and its implementation.
type strFunc struct {
	lo, hi int
	nanos  int  // per byte, for the most expensive text
	splits bool // it returns a list of parts
	call   func(m *meter.Meter, s string, args []Value) (Value, error)
}

// caseFunc maps the case of a text. It checks the context but doesn't charge.
type caseFunc func(m *meter.Meter, s string) (string, error)

func mapping(f caseFunc) strFunc {
	return strFunc{nanos: mapNanos, call: func(m *meter.Meter, s string, _ []Value) (Value, error) {
		out, err := f(m, s)
		if err != nil {
			return nil, err
		}
		return Str(out), checkLen(len(out))
	}}
}

// MapCase returns s.upper(), s.lower() or s.title(), checking the context. The caller has
// charged for the text.
func MapCase(m *meter.Meter, method, s string) (string, error) {
	switch method {
	case "upper":
		return upperText(m, s)
	case "lower":
		return lowerText(m, s)
	}
	return titleText(m, s)
}

// plain wraps the implementation of a fast method.
func plain(f func(s string, args []Value) (Value, error)) func(*meter.Meter, string, []Value) (Value, error) {
	return func(_ *meter.Meter, s string, args []Value) (Value, error) { return f(s, args) }
}

// all returns a predicate that is true if s is not empty and every rune satisfies f.
func all(f func(rune) bool) strFunc {
	return strFunc{nanos: mapNanos, call: func(m *meter.Meter, s string, _ []Value) (Value, error) {
		other, err := containsFunc(m, s, func(r rune) bool { return !f(r) })
		return Bool(s != "" && !other), err
	}}
}

var strMethods = map[string]strFunc{
	"upper":        mapping(upperText),
	"lower":        mapping(lowerText),
	"title":        mapping(titleText),
	"capitalize":   mapping(capitalizeText),
	"swapcase":     mapping(swapcaseText),
	"casefold":     mapping(casefoldText),
	"isalpha":      all(unicode.IsLetter),
	"isalnum":      all(func(r rune) bool { return unicode.IsLetter(r) || isNumeric(r) }),
	"isdigit":      all(isDigit),
	"isdecimal":    all(unicode.IsDigit),
	"isnumeric":    all(isNumeric),
	"isspace":      all(IsSpace),
	"isprintable":  {nanos: mapNanos, call: none(func(r rune) bool { return !IsPrintable(r) })},
	"isascii":      {nanos: copyNanos, call: truth(isASCII)},
	"isidentifier": {nanos: 2 * mapNanos, call: truth(isIdentifier)},
	"isupper":      {nanos: mapNanos, call: cased(notUpper)},
	"islower":      {nanos: mapNanos, call: cased(notLower)},
	"istitle":      {nanos: mapNanos, call: plain(isTitle)},
	"strip":        {0, 1, scanNanos, false, plain(stripWith(strings.TrimLeftFunc, strings.TrimRightFunc))},
	"lstrip":       {0, 1, scanNanos, false, plain(stripWith(strings.TrimLeftFunc, nil))},
	"rstrip":       {0, 1, scanNanos, false, plain(stripWith(nil, strings.TrimRightFunc))},
	"split":        {0, 2, 2 * scanNanos, true, plain(func(s string, args []Value) (Value, error) { return split(s, args, false) })},
	"rsplit":       {0, 2, 2 * scanNanos, true, plain(func(s string, args []Value) (Value, error) { return split(s, args, true) })},
	"splitlines": {0, 1, 2 * scanNanos, true, func(m *meter.Meter, s string, args []Value) (Value, error) {
		keep := 0
		if len(args) == 1 {
			var err error
			if keep, err = intArg(args[0]); err != nil {
				return nil, err
			}
		}
		lines, err := SplitLines(m, s, keep != 0)
		return textList(lines), err
	}},
	"join":       {1, 1, copyNanos, false, plain(join)},
	"replace":    {2, 3, scanNanos, false, plain(replace)},
	"startswith": {1, 3, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return affix("startswith", s, args, strings.HasPrefix) })},
	"endswith":   {1, 3, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return affix("endswith", s, args, strings.HasSuffix) })},
	"find":       {1, 3, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return find(s, args, strings.Index, "") })},
	"rfind":      {1, 3, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return find(s, args, strings.LastIndex, "") })},
	"index": {1, 3, scanNanos, false, plain(func(s string, args []Value) (Value, error) {
		return find(s, args, strings.Index, "substring not found")
	})},
	"rindex": {1, 3, scanNanos, false, plain(func(s string, args []Value) (Value, error) {
		return find(s, args, strings.LastIndex, "substring not found")
	})},
	"count":      {1, 3, scanNanos, false, plain(countIn)},
	"ljust":      {1, 2, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return justify(s, args, 'l') })},
	"rjust":      {1, 2, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return justify(s, args, 'r') })},
	"center":     {1, 2, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return justify(s, args, 'c') })},
	"zfill":      {1, 1, scanNanos, false, plain(zfill)},
	"partition":  {1, 1, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return partition(s, args, strings.Index, false) })},
	"rpartition": {1, 1, scanNanos, false, plain(func(s string, args []Value) (Value, error) { return partition(s, args, strings.LastIndex, true) })},
	"removeprefix": {1, 1, copyNanos, false, plain(func(s string, args []Value) (Value, error) {
		return remove("removeprefix", s, args, strings.TrimPrefix)
	})},
	"removesuffix": {1, 1, copyNanos, false, plain(func(s string, args []Value) (Value, error) {
		return remove("removesuffix", s, args, strings.TrimSuffix)
	})},
	"expandtabs": {0, 1, 2 * scanNanos, false, expandTabs},
}

// truth wraps a predicate as a method.
func truth(f func(string) bool) func(*meter.Meter, string, []Value) (Value, error) {
	return func(_ *meter.Meter, s string, _ []Value) (Value, error) { return Bool(f(s)), nil }
}

// none wraps a method that is true if no character satisfies f.
func none(like func(rune) bool) func(*meter.Meter, string, []Value) (Value, error) {
	return func(m *meter.Meter, s string, _ []Value) (Value, error) {
		found, err := containsFunc(m, s, like)
		return Bool(!found), err
	}
}

// cased is none for texts that contain cased letters.
func cased(like func(rune) bool) func(*meter.Meter, string, []Value) (Value, error) {
	return func(m *meter.Meter, s string, _ []Value) (Value, error) {
		if has, err := containsFunc(m, s, isCased); !has || err != nil {
			return False, err
		}
		found, err := containsFunc(m, s, like)
		return Bool(!found), err
	}
}

// MethodNames returns the names of the methods of str that CallMethod supports.
func MethodNames() []string { return slices.Sorted(maps.Keys(strMethods)) }

func strMethod(m *meter.Meter, s, name string, args []Value) (Value, bool, error) {
	f, ok := strMethods[name]
	if !ok {
		return nil, false, nil
	}
	if err := argCount("str."+name, args, f.lo, f.hi); err != nil {
		return nil, true, err
	}
	v, err := f.call(m, s, args)
	return v, true, err
}

// digits are the digits that aren't decimal digits, such as superscripts.
var digits = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0xb2, 0xb3, 1}, {0xb9, 0xb9, 1}, {0x1369, 0x1371, 1}, {0x19da, 0x19da, 1}, {0x2070, 0x2070, 1}, {0x2074, 0x2079, 1},
		{0x2080, 0x2089, 1}, {0x2460, 0x2468, 1}, {0x2474, 0x247c, 1}, {0x2488, 0x2490, 1}, {0x24ea, 0x24ea, 1}, {0x24f5, 0x24fd, 1},
		{0x24ff, 0x24ff, 1}, {0x2776, 0x277e, 1}, {0x2780, 0x2788, 1}, {0x278a, 0x2792, 1},
	},
	R32:         []unicode.Range32{{0x10a40, 0x10a43, 1}, {0x10e60, 0x10e68, 1}, {0x11052, 0x1105a, 1}, {0x1f100, 0x1f10a, 1}},
	LatinOffset: 2,
}

func isDigit(r rune) bool { return unicode.IsDigit(r) || unicode.Is(digits, r) }

// numerals are the letters that are numbers: CJK ideographs.
const numerals = "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零參拾兩零六陸什𠀁𠁤𠃢𠄡𠤪𠦃𠦌𠦜𠫪𠫽𠬙𢎐𢦘𣬛𦉭廾"

// isNumeric reports whether a character has a numeric value in Unicode.
func isNumeric(r rune) bool {
	return unicode.IsNumber(r) || r >= 0x3400 && unicode.Is(unicode.Han, r) && strings.ContainsRune(numerals, r)
}

// notIdentifiers are the letters that no identifier contains, because their compatibility
// decomposition starts with a space or a mark; those of the second text can't start one.
const (
	notIdentifiers = "\u037a\u2e2f\ufc5e\ufc5f\ufc60\ufc61\ufc62\ufc63\ufdfa\ufdfb\ufe70\ufe72\ufe74\ufe76\ufe78\ufe7a\ufe7c\ufe7e"
	notAtStart     = "\u0e33\u0eb3\uff9e\uff9f"
	alsoAtStart    = "\u1885\u1886\u2118\u212e"
	alsoAfterwards = "\u00b7\u0387\u1369\u136a\u136b\u136c\u136d\u136e\u136f\u1370\u1371\u19da"
)

func isIdentifier(s string) bool {
	for i, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if !isCased(r) && r != '_' && (i == 0 || r < '0' || r > '9') {
				return false
			}
		case strings.ContainsRune(alsoAtStart, r), i > 0 && strings.ContainsRune(alsoAfterwards, r):
		case strings.ContainsRune(notIdentifiers, r), i == 0 && strings.ContainsRune(notAtStart, r):
			return false
		case unicode.In(r, unicode.L, unicode.Nl):
		case i == 0 || !unicode.In(r, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Pc):
			return false
		}
	}
	return s != ""
}

func notUpper(r rune) bool { return isCased(r) && !isUpperLetter(r) }
func notLower(r rune) bool { return isCased(r) && !isLowerLetter(r) }
func isUpperLetter(r rune) bool {
	return unicode.IsUpper(r) || r >= utf8.RuneSelf && unicode.Is(unicode.Other_Uppercase, r)
}
func isLowerLetter(r rune) bool {
	return unicode.IsLower(r) || r >= utf8.RuneSelf && unicode.Is(unicode.Other_Lowercase, r)
}

func isTitle(s string, _ []Value) (Value, error) {
	prev, any := false, false
	for _, r := range s {
		switch {
		case isUpperLetter(r) || unicode.IsTitle(r):
			if prev {
				return False, nil
			}
			prev, any = true, true
		case isLowerLetter(r):
			if !prev {
				return False, nil
			}
		default:
			prev = false
		}
	}
	return Bool(any), nil
}

func textList(parts []string) *List {
	items := make([]Value, len(parts))
	for i, p := range parts {
		items[i] = Str(p)
	}
	return &List{items}
}

// textArg returns an argument that must be a str.
func textArg(v Value) (string, error) {
	s, ok := AsStr(v)
	if !ok {
		return "", Errorf("TypeError", "must be str, not %s", v.TypeName())
	}
	return s, nil
}

// intArg returns an argument that must be an int of 64 bits; larger ones than any text's
// length are clamped.
func intArg(v Value) (int, error) {
	if _, big := v.(*Big); big {
		return 0, Errorf("OverflowError", "Python int too large to convert to C ssize_t")
	}
	n, ok := AsInt(v)
	if !ok {
		return 0, Errorf("TypeError", "'%s' object cannot be interpreted as an integer", v.TypeName())
	}
	return int(max(min(n, MaxLen+1), -MaxLen-1)), nil
}

func stripWith(left, right func(string, func(rune) bool) string) func(string, []Value) (Value, error) {
	return func(s string, args []Value) (Value, error) {
		cut := IsSpace
		if len(args) == 1 && args[0] != None {
			set, err := textArg(args[0])
			if err != nil {
				return nil, err
			}
			cut = func(r rune) bool { return strings.ContainsRune(set, r) }
			if len(set) > 16 {
				members := make(map[rune]bool, len(set))
				for _, r := range set {
					members[r] = true
				}
				cut = func(r rune) bool { return members[r] }
			}
		}
		if left != nil {
			s = left(s, cut)
		}
		if right != nil {
			s = right(s, cut)
		}
		return Str(s), nil
	}
}

func split(s string, args []Value, fromRight bool) (Value, error) {
	limit := -1
	if len(args) == 2 {
		n, err := intArg(args[1])
		if err != nil {
			return nil, err
		}
		limit = n
	}
	if len(args) == 0 || args[0] == None {
		return textList(splitSpace(s, limit, fromRight)), nil
	}
	sep, err := textArg(args[0])
	if err != nil {
		return nil, err
	}
	if sep == "" {
		return nil, Errorf("ValueError", "empty separator")
	}
	if limit < 0 {
		return textList(strings.Split(s, sep)), nil
	}
	if !fromRight {
		return textList(strings.SplitN(s, sep, limit+1)), nil
	}
	var parts []string
	for limit > 0 {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append(parts, s[i+len(sep):])
		s = s[:i]
		limit--
	}
	parts = append(parts, s)
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return textList(parts), nil
}

func splitSpace(s string, limit int, fromRight bool) []string {
	if limit < 0 {
		return Fields(s)
	}
	var parts []string
	if !fromRight {
		for s = strings.TrimLeftFunc(s, IsSpace); s != ""; s = strings.TrimLeftFunc(s, IsSpace) {
			i := strings.IndexFunc(s, IsSpace)
			if i < 0 || len(parts) == limit {
				return append(parts, s)
			}
			parts = append(parts, s[:i])
			s = s[i:]
		}
		return parts
	}
	for s = strings.TrimRightFunc(s, IsSpace); s != ""; s = strings.TrimRightFunc(s, IsSpace) {
		i := strings.LastIndexFunc(s, IsSpace)
		if i < 0 || len(parts) == limit {
			parts = append(parts, s)
			break
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		parts = append(parts, s[i+n:])
		s = s[:i]
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return parts
}

func join(s string, args []Value) (Value, error) {
	items, err := Items(nil, args[0])
	if err != nil {
		return nil, Errorf("TypeError", "can only join an iterable")
	}
	size := 0
	texts := make([]string, len(items))
	for i, it := range items {
		t, ok := AsStr(it)
		if !ok {
			return nil, Errorf("TypeError", "sequence item %d: expected str instance, %s found", i, it.TypeName())
		}
		texts[i] = t
		if size += len(t) + len(s); size > MaxLen {
			return nil, errTooLong
		}
	}
	return Str(strings.Join(texts, s)), nil
}

func replace(s string, args []Value) (Value, error) {
	old, err := textArg(args[0])
	if err != nil {
		return nil, err
	}
	repl, err := textArg(args[1])
	if err != nil {
		return nil, err
	}
	limit := -1
	if len(args) == 3 {
		if limit, err = intArg(args[2]); err != nil {
			return nil, err
		}
	}
	n := strings.Count(s, old)
	if limit >= 0 {
		n = min(n, limit)
	}
	if err := checkLen(len(s) + n*max(len(repl)-len(old), 0)); err != nil {
		return nil, err
	}
	return Str(strings.Replace(s, old, repl, n)), nil
}

// window returns s[start:end] for the methods that take bounds, with the number of
// code points before it; ok is false if the start lies behind the end.
func window(s string, bounds []Value) (part string, before int, ok bool, err error) {
	if len(bounds) == 0 {
		return s, 0, true, nil
	}
	n := utf8.RuneCountInString(s)
	from, err := clampBound(bounds[0], 0, n, false)
	if err != nil {
		return "", 0, false, err
	}
	to := n
	if len(bounds) == 2 {
		if to, err = clampBound(bounds[1], n, n, false); err != nil {
			return "", 0, false, err
		}
	}
	if f, small := AsInt(bounds[0]); small && f > int64(n) {
		return "", 0, false, nil
	}
	return sliceText(s, n, from, to, 1), from, from <= to, nil
}

func affix(name, s string, args []Value, has func(s, x string) bool) (Value, error) {
	part, _, ok, err := window(s, args[1:])
	if err != nil {
		return nil, err
	}
	options := []Value{args[0]}
	if t, isTuple := args[0].(*Tuple); isTuple {
		options = t.Items
	}
	for _, o := range options {
		x, isText := AsStr(o)
		if !isText {
			if len(options) > 0 && options[0] == args[0] {
				return nil, Errorf("TypeError", "%s first arg must be str or a tuple of str, not %s", name, o.TypeName())
			}
			return nil, Errorf("TypeError", "tuple for %s must only contain str, not %s", name, o.TypeName())
		}
		if ok && has(part, x) {
			return True, nil
		}
	}
	return False, nil
}

func find(s string, args []Value, index func(s, x string) int, missing string) (Value, error) {
	x, err := textArg(args[0])
	if err != nil {
		return nil, err
	}
	part, before, ok, err := window(s, args[1:])
	if err != nil {
		return nil, err
	}
	i := -1
	if ok {
		i = index(part, x)
	}
	if i < 0 {
		if missing != "" {
			return nil, Errorf("ValueError", "%s", missing)
		}
		return Int(-1), nil
	}
	return Int(before + utf8.RuneCountInString(part[:i])), nil
}

func countIn(s string, args []Value) (Value, error) {
	x, err := textArg(args[0])
	if err != nil {
		return nil, err
	}
	part, _, ok, err := window(s, args[1:])
	if err != nil || !ok {
		return Int(0), err
	}
	return Int(strings.Count(part, x)), nil
}

func justify(s string, args []Value, side byte) (Value, error) {
	width, err := intArg(args[0])
	if err != nil {
		return nil, err
	}
	fill := " "
	if len(args) == 2 {
		if fill, err = textArg(args[1]); err != nil || utf8.RuneCountInString(fill) != 1 {
			return nil, Errorf("TypeError", "The fill character must be exactly one character long")
		}
	}
	n := utf8.RuneCountInString(s)
	pad := max(width-n, 0)
	if err := checkLen(len(s) + pad*len(fill)); err != nil {
		return nil, err
	}
	left := 0
	switch side {
	case 'r':
		left = pad
	case 'c':
		left = pad/2 + (pad & width & 1)
	}
	return Str(strings.Repeat(fill, left) + s + strings.Repeat(fill, pad-left)), nil
}

func zfill(s string, args []Value) (Value, error) {
	width, err := intArg(args[0])
	if err != nil {
		return nil, err
	}
	pad := max(width-utf8.RuneCountInString(s), 0)
	if err := checkLen(len(s) + pad); err != nil {
		return nil, err
	}
	sign := ""
	if s != "" && (s[0] == '+' || s[0] == '-') {
		sign, s = s[:1], s[1:]
	}
	return Str(sign + strings.Repeat("0", pad) + s), nil
}

func partition(s string, args []Value, index func(s, x string) int, right bool) (Value, error) {
	sep, err := textArg(args[0])
	if err != nil {
		return nil, err
	}
	if sep == "" {
		return nil, Errorf("ValueError", "empty separator")
	}
	switch i := index(s, sep); {
	case i >= 0:
		return NewTuple(Str(s[:i]), Str(sep), Str(s[i+len(sep):])), nil
	case right:
		return NewTuple(Str(""), Str(""), Str(s)), nil
	}
	return NewTuple(Str(s), Str(""), Str("")), nil
}

func remove(name, s string, args []Value, trim func(s, x string) string) (Value, error) {
	x, ok := AsStr(args[0])
	if !ok {
		return nil, Errorf("TypeError", "%s() argument must be str, not %s", name, args[0].TypeName())
	}
	return Str(trim(s, x)), nil
}

func expandTabs(m *meter.Meter, s string, args []Value) (Value, error) {
	size := 8
	if len(args) == 1 {
		n, err := intArg(args[0])
		if err != nil {
			return nil, err
		}
		size = n
	}
	if n := strings.Count(s, "\t"); n > 0 {
		if err := checkLen(len(s) + n*max(size, 0)); err != nil {
			return nil, err
		}
		if err := m.SpendBytes(n*max(size, 0), 2*copyNanos); err != nil {
			return nil, err
		}
	}
	var b strings.Builder
	col := 0
	for _, r := range s {
		switch r {
		case '\t':
			if size > 0 {
				n := size - col%size
				b.WriteString(strings.Repeat(" ", n))
				col += n
			}
		case '\n', '\r':
			b.WriteRune(r)
			col = 0
		default:
			b.WriteRune(r)
			col++
		}
	}
	return Str(b.String()), nil
}
