// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "addslashes", Func: addslashes, String: true, IsSafe: true, CharWise: true, Nanos: 8},
		&Filter{Name: "capfirst", Func: capfirst, String: true, IsSafe: true, Nanos: 2},
		&Filter{Name: "center", Func: justify(padBoth), Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 4},
		&Filter{Name: "cut", Func: cut, Arg: RequiredArg, String: true, Strict: StrictArg, Nanos: 12},
		&Filter{Name: "escapejs", Func: escapeJS, String: true, CharWise: true, Nanos: 18},
		&Filter{Name: "iriencode", Func: iriencode, String: true, IsSafe: true, CharWise: true, Nanos: 8},
		&Filter{Name: "linenumbers", Func: linenumbers, String: true, IsSafe: true, NeedsAutoescape: true, Nanos: 20},
		&Filter{Name: "ljust", Func: justify(padRight), Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 4},
		&Filter{Name: "lower", Func: lower, String: true, IsSafe: true, CharWise: true, Nanos: 4, WideNanos: 60},
		&Filter{Name: "make_list", Func: makeList, String: true, Nanos: 40},
		&Filter{Name: "rjust", Func: justify(padLeft), Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 4},
		&Filter{Name: "slugify", Func: slugifyFilter, String: true, IsSafe: true, Nanos: 15, WideNanos: 60},
		&Filter{Name: "stringformat", Func: stringformat, Arg: RequiredArg, IsSafe: true, Nanos: 20},
		&Filter{Name: "title", Func: title, String: true, IsSafe: true, Nanos: 10, WideNanos: 60},
		&Filter{Name: "truncatechars", Func: truncate(truncateChars), Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 6, WideNanos: 150},
		&Filter{Name: "truncatechars_html", Func: truncate(truncateCharsHTML), Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 20, WideNanos: 150},
		&Filter{Name: "truncatewords", Func: truncate(truncateWords), Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 30},
		&Filter{Name: "truncatewords_html", Func: truncate(truncateWordsHTML), Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 30},
		&Filter{Name: "upper", Func: upper, String: true, CharWise: true, Nanos: 4, WideNanos: 60},
		&Filter{Name: "urlencode", Func: urlencode, Arg: OptionalArg, String: true, Strict: StrictArg, Nanos: 8},
		&Filter{Name: "urlize", Func: urlize, String: true, IsSafe: true, NeedsAutoescape: true, Nanos: 30},
		&Filter{Name: "urlizetrunc", Func: urlizetrunc, Arg: RequiredArg, String: true, IsSafe: true, NeedsAutoescape: true, Strict: StrictArg, Nanos: 30},
		&Filter{Name: "wordcount", Func: wordcount, String: true, Nanos: 12},
		&Filter{Name: "wordwrap", Func: wordwrap, Arg: RequiredArg, String: true, IsSafe: true, Strict: StrictArg, Nanos: 40},
	)
}

// text returns the input of a String filter.
func text(in python.Value) string {
	s, _ := python.AsStr(in)
	return s
}

func isSafe(v python.Value) bool {
	_, ok := v.(python.SafeStr)
	return ok
}

// intArg returns int(arg), clamped to a size that no text or list reaches.
func intArg(arg python.Value) (int, error) {
	v, err := python.ToInt(arg)
	if err != nil {
		return 0, err
	}
	n, ok := python.AsBig(v)
	const huge = 1 << 30
	switch {
	case !ok:
		return 0, python.Errorf("TypeError", "an integer is required")
	case n.CmpAbs(big.NewInt(huge)) < 0:
		return int(n.Int64()), nil
	case n.Sign() < 0:
		return -huge, nil
	}
	return huge, nil
}

var addslashesReplacer = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`)

func addslashes(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.Str(addslashesReplacer.Replace(text(in))), nil
}

func capfirst(_ *Context, in, _ python.Value) (python.Value, error) {
	s := text(in)
	_, size := utf8.DecodeRuneInString(s)
	return python.Str(python.Upper(s[:size]) + s[size:]), nil
}

func padLeft(n, _ int) (left, right int)  { return n, 0 }
func padRight(n, _ int) (left, right int) { return 0, n }

// padBoth implements CPython's str.center: odd padding goes left if the width is odd.
func padBoth(n, width int) (left, right int) {
	left = n/2 + n&width&1
	return left, n - left
}

func justify(pad func(n, width int) (left, right int)) FilterFunc {
	return func(c *Context, in, arg python.Value) (python.Value, error) {
		s := text(in)
		width, err := intArg(arg)
		if err != nil {
			return nil, err
		}
		if b, ok := arg.(*python.Big); ok {
			return nil, python.Errorf("OverflowError", "the width of %d bits is too large", b.Int().BitLen())
		}
		n := width - runeCount(s)
		if n <= 0 {
			return python.Str(s), nil
		}
		if err := c.Grow(len(s) + n); err != nil {
			return nil, err
		}
		left, right := pad(n, width)
		return python.Str(strings.Repeat(" ", left) + s + strings.Repeat(" ", right)), nil
	}
}

func cut(_ *Context, in, arg python.Value) (python.Value, error) {
	remove, ok := python.AsStr(arg)
	if !ok {
		return nil, python.Errorf("TypeError", "replace() argument 1 must be str, not %s", arg.TypeName())
	}
	s := text(in)
	if remove != "" {
		s = strings.ReplaceAll(s, remove, "")
	}
	// Without its semicolons an escaped text is no longer safe.
	if isSafe(in) && remove != ";" {
		return python.SafeStr(s), nil
	}
	return python.Str(s), nil
}

func escapeJS(c *Context, in, _ python.Value) (python.Value, error) {
	s := text(in)
	var b strings.Builder
	last := 0
	for i, r := range s {
		switch r {
		case '\\', '\'', '"', '>', '<', '&', '=', '-', ';', '`', 0x2028, 0x2029:
		default:
			if r >= ' ' {
				continue
			}
		}
		if b.Len() > c.limits.String {
			return nil, c.Grow(b.Len())
		}
		b.WriteString(s[last:i])
		b.WriteString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte("0123456789ABCDEF"[r>>shift&15])
		}
		last = i + utf8.RuneLen(r)
	}
	b.WriteString(s[last:])
	return python.SafeStr(b.String()), nil
}

func iriencode(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.Str(quote(text(in), safeInIRI)), nil
}

func linenumbers(c *Context, in, _ python.Value) (python.Value, error) {
	count := strings.Count(text(in), "\n") + 1
	width := len(strconv.Itoa(count))
	if err := c.Grow(len(text(in)) + count*(width+2)); err != nil {
		return nil, err
	}
	if err := c.Step(3 * count); err != nil {
		return nil, err
	}
	lines := strings.Split(text(in), "\n")
	escape := c.Autoescape() && !isSafe(in)
	for i, line := range lines {
		if escape {
			line = Escape(line)
		}
		lines[i] = fmt.Sprintf("%0*d. %s", width, i+1, line)
	}
	return python.SafeStr(strings.Join(lines, "\n")), nil
}

func lower(c *Context, in, _ python.Value) (python.Value, error) {
	return mapText(c, in, "lower")
}

// mapText maps the case of a text.
func mapText(c *Context, in python.Value, method string) (python.Value, error) {
	s, err := python.MapCase(&c.meter, method, text(in))
	return python.Str(s), err
}

func upper(c *Context, in, _ python.Value) (python.Value, error) {
	return mapText(c, in, "upper")
}

func makeList(c *Context, in, _ python.Value) (python.Value, error) {
	s := text(in)
	n := runeCount(s)
	held := c.meter.Held()
	if err := c.meter.Hold(n * python.ItemBytes); err != nil {
		return nil, err
	}
	c.meter.Release(held) // apply counts what is made
	list, err := python.Chars(&c.meter, s)
	if err != nil {
		return nil, err
	}
	return list, nil
}

func slugifyFilter(c *Context, in, _ python.Value) (python.Value, error) {
	s, err := slugify(c, text(in))
	return python.Str(s), err
}

func stringformat(c *Context, in, arg python.Value) (python.Value, error) {
	if t, ok := in.(*python.Tuple); ok {
		in = python.Str(python.StrOf(t))
	}
	if format, _ := python.AsStr(arg); format == "s" {
		if _, safe := in.(python.SafeStr); safe {
			return in, nil // as in Python, where '%s' % text is that very text
		}
	}
	s, err := python.Format(&c.meter, "%"+python.StrOf(arg), in)
	if python.IsError(err, "ValueError", "TypeError") {
		return python.Str(""), nil
	}
	if err != nil {
		return nil, err
	}
	if err := c.Grow(len(s)); err != nil {
		return nil, err
	}
	return python.Str(s), nil
}

// title returns Python's title case, without the capitals after apostrophes and digits.
func title(c *Context, in, _ python.Value) (python.Value, error) {
	s := text(in)
	if isASCII(s) {
		return python.Str(titleASCII(s)), nil
	}
	titled, err := python.MapCase(&c.meter, "title", s)
	if err != nil {
		return nil, err
	}
	t := []byte(titled)
	for i := 1; i < len(t); i++ {
		if titled[i] < 'A' || titled[i] > 'Z' {
			continue
		}
		before, size := utf8.DecodeLastRuneInString(titled[:i])
		switch {
		case before == '\'':
			before, _ = utf8.DecodeLastRuneInString(titled[:i-size])
			if before >= 'a' && before <= 'z' {
				t[i] = lowerASCII(t[i])
			}
		case unicode.Is(unicode.Nd, before):
			t[i] = lowerASCII(t[i])
		}
	}
	return python.Str(t), nil
}

// titleASCII is title for ASCII text. A letter is lower case after a letter or digit, and
// after an apostrophe that follows at least two letters.
func titleASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !isASCIILetter(c) {
			continue
		}
		inWord := i > 0 && (isASCIIAlnum(b[i-1]) ||
			b[i-1] == '\'' && i > 2 && isASCIILetter(b[i-2]) && isASCIILetter(b[i-3]))
		if inWord {
			b[i] = c | 0x20
		} else {
			b[i] = c &^ 0x20
		}
	}
	return string(b)
}

func truncate(cut func(c *Context, s string, length int) (string, error)) FilterFunc {
	return func(c *Context, in, arg python.Value) (python.Value, error) {
		s := text(in)
		length, err := intArg(arg)
		if python.IsError(err, "ValueError") {
			return in, nil
		}
		if err != nil {
			return nil, err
		}
		out, err := cut(c, s, length)
		return python.Str(out), err
	}
}

func truncateCharsHTML(c *Context, s string, length int) (string, error) {
	return truncateHTML(c, s, length, false)
}

func truncateWordsHTML(c *Context, s string, length int) (string, error) {
	return truncateHTML(c, s, length, true)
}

func urlencode(c *Context, in, arg python.Value) (python.Value, error) {
	s := text(in)
	if arg == nil || arg == python.None || s == "" {
		return python.Str(quote(s, safeInPath)), nil
	}
	if lazy, ok := arg.(lazyText); ok && python.Truth(lazy.text) {
		return nil, python.Errorf("TypeError", "'<' not supported between instances of 'str' and 'int'")
	}
	safe, ok := python.AsStr(arg)
	if _, lazy := arg.(lazyText); !ok && !lazy { // bytes, to Python
		codes, err := python.Items(&c.meter, arg)
		if err != nil {
			return nil, err
		}
		for _, code := range codes {
			n, ok := python.AsInt(code)
			if !ok {
				return nil, python.Errorf("TypeError", "'<' not supported between instances of '%s' and 'int'", code.TypeName())
			}
			if n >= 0 && n < utf8.RuneSelf && len(safe) < utf8.RuneSelf {
				safe += string(rune(n))
			}
		}
	}
	return python.Str(quote(s, safe)), nil
}

func urlize(c *Context, in, _ python.Value) (python.Value, error) {
	return urlizeWithin(c, in, -1)
}

func urlizetrunc(c *Context, in, arg python.Value) (python.Value, error) {
	limit, err := intArg(arg)
	if err != nil {
		return nil, err
	}
	return urlizeWithin(c, in, max(limit, 0))
}

func urlizeWithin(c *Context, in python.Value, limit int) (python.Value, error) {
	s := text(in)
	u := urlizer{meter: &c.meter, limit: limit, escape: c.Autoescape() && !isSafe(in)}
	out, err := u.urlize(s, c.limits.String)
	if err != nil {
		return nil, err
	}
	return python.SafeStr(out), nil
}

func wordcount(_ *Context, in, _ python.Value) (python.Value, error) {
	words, inWord := 0, false
	for _, r := range text(in) {
		space := python.IsSpace(r)
		if !space && !inWord {
			words++
		}
		inWord = !space
	}
	return python.Int(words), nil
}

func wordwrap(c *Context, in, arg python.Value) (python.Value, error) {
	s := text(in)
	width, err := intArg(arg)
	if err != nil {
		return nil, err
	}
	if s == "" {
		return python.Str(""), nil
	}
	out, err := wordWrap(c, s, width)
	return python.Str(out), err
}
