// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "addslashes", Func: addslashes, String: true, IsSafe: true, CharWise: true},
		&Filter{Name: "capfirst", Func: capfirst, String: true, IsSafe: true},
		&Filter{Name: "center", Func: justify(padBoth), Arg: RequiredArg, String: true, IsSafe: true},
		&Filter{Name: "cut", Func: cut, Arg: RequiredArg, String: true},
		&Filter{Name: "escapejs", Func: escapeJS, String: true, CharWise: true},
		&Filter{Name: "iriencode", Func: iriencode, String: true, IsSafe: true, CharWise: true},
		&Filter{Name: "linenumbers", Func: linenumbers, String: true, IsSafe: true, NeedsAutoescape: true},
		&Filter{Name: "ljust", Func: justify(padRight), Arg: RequiredArg, String: true, IsSafe: true},
		&Filter{Name: "lower", Func: lower, String: true, IsSafe: true, CharWise: true},
		&Filter{Name: "make_list", Func: makeList, String: true},
		&Filter{Name: "rjust", Func: justify(padLeft), Arg: RequiredArg, String: true, IsSafe: true},
		&Filter{Name: "slugify", Func: slugifyFilter, String: true, IsSafe: true},
		&Filter{Name: "stringformat", Func: stringformat, Arg: RequiredArg, IsSafe: true},
		&Filter{Name: "title", Func: title, String: true, IsSafe: true},
		&Filter{Name: "truncatechars", Func: truncate(truncateChars), Arg: RequiredArg, String: true, IsSafe: true},
		&Filter{Name: "truncatechars_html", Func: truncate(truncateCharsHTML), Arg: RequiredArg, String: true, IsSafe: true},
		&Filter{Name: "truncatewords", Func: truncate(truncateWords), Arg: RequiredArg, String: true, IsSafe: true},
		&Filter{Name: "truncatewords_html", Func: truncate(truncateWordsHTML), Arg: RequiredArg, String: true, IsSafe: true},
		&Filter{Name: "upper", Func: upper, String: true, CharWise: true},
		&Filter{Name: "urlencode", Func: urlencode, Arg: OptionalArg, String: true},
		&Filter{Name: "urlize", Func: urlize, String: true, IsSafe: true, NeedsAutoescape: true},
		&Filter{Name: "urlizetrunc", Func: urlizetrunc, Arg: RequiredArg, String: true, IsSafe: true, NeedsAutoescape: true},
		&Filter{Name: "wordcount", Func: wordcount, String: true},
		&Filter{Name: "wordwrap", Func: wordwrap, Arg: RequiredArg, String: true, IsSafe: true},
	)
}

// text is the input of a String filter.
func text(in python.Value) string {
	s, _ := python.AsStr(in)
	return s
}

func isSafe(v python.Value) bool {
	_, ok := v.(python.SafeStr)
	return ok
}

// intArg is int(arg), clamped to a size that no text or list reaches.
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

// work accounts for reading a text through.
func work(c *Context, s string) error {
	if len(s) < 100 {
		return nil
	}
	return c.Step(len(s) / 100)
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

// padBoth is CPython's str.center: an odd rest goes left if the width is odd.
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

func escapeJS(_ *Context, in, _ python.Value) (python.Value, error) {
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
		b.WriteString(s[last:i])
		fmt.Fprintf(&b, `\u%04X`, r)
		last = i + utf8.RuneLen(r)
	}
	b.WriteString(s[last:])
	return python.SafeStr(b.String()), nil
}

func iriencode(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.Str(quote(text(in), safeInIRI)), nil
}

func linenumbers(c *Context, in, _ python.Value) (python.Value, error) {
	lines := strings.Split(text(in), "\n")
	width := len(fmt.Sprint(len(lines)))
	if err := c.Grow(len(text(in)) + len(lines)*(width+2)); err != nil {
		return nil, err
	}
	escape := c.Autoescape() && !isSafe(in)
	for i, line := range lines {
		if escape {
			line = Escape(line)
		}
		lines[i] = fmt.Sprintf("%0*d. %s", width, i+1, line)
	}
	return python.SafeStr(strings.Join(lines, "\n")), nil
}

func lower(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.Str(python.Lower(text(in))), nil
}

func upper(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.Str(python.Upper(text(in))), nil
}

func makeList(c *Context, in, _ python.Value) (python.Value, error) {
	s := text(in)
	if err := c.Grow(len(s)); err != nil {
		return nil, err
	}
	items := make([]python.Value, 0, runeCount(s))
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		items = append(items, python.Str(s[i:i+size]))
		i += size
	}
	return python.NewList(items...), nil
}

func slugifyFilter(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.Str(slugify(text(in))), nil
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
	s, err := python.Format("%"+python.StrOf(arg), in)
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

// title is Python's title case, without the capitals it puts behind an
// apostrophe and behind a digit.
func title(_ *Context, in, _ python.Value) (python.Value, error) {
	s := text(in)
	if isASCII(s) {
		return python.Str(titleASCII(s)), nil
	}
	v, _, err := python.CallMethod(python.Str(s), "title", nil)
	if err != nil {
		return nil, err
	}
	titled := text(v)
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

// titleASCII is title for the usual text. A letter is lower case behind a
// letter or digit, and behind an apostrophe that at least two letters precede.
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

func truncate(cut func(s string, length int) string) FilterFunc {
	return func(c *Context, in, arg python.Value) (python.Value, error) {
		s := text(in)
		length, err := intArg(arg)
		if python.IsError(err, "ValueError") {
			return in, nil
		}
		if err != nil {
			return nil, err
		}
		if err := work(c, s); err != nil {
			return nil, err
		}
		return python.Str(cut(s, length)), nil
	}
}

func truncateCharsHTML(s string, length int) string { return truncateHTML(s, length, false) }
func truncateWordsHTML(s string, length int) string { return truncateHTML(s, length, true) }

func urlencode(_ *Context, in, arg python.Value) (python.Value, error) {
	s := text(in)
	if arg == nil || arg == python.None || s == "" {
		return python.Str(quote(s, safeInPath)), nil
	}
	safe, ok := python.AsStr(arg)
	if !ok { // bytes, to Python
		codes, err := python.Items(arg)
		if err != nil {
			return nil, err
		}
		for _, code := range codes {
			n, ok := python.AsInt(code)
			if !ok {
				return nil, python.Errorf("TypeError", "'<' not supported between instances of '%s' and 'int'", code.TypeName())
			}
			if n >= 0 && n < utf8.RuneSelf {
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
	if err := work(c, s); err != nil {
		return nil, err
	}
	u := urlizer{limit: limit, escape: c.Autoescape() && !isSafe(in)}
	out := u.urlize(s)
	if err := c.Grow(len(out)); err != nil {
		return nil, err
	}
	return python.SafeStr(out), nil
}

func wordcount(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.Int(len(python.Fields(text(in)))), nil
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
	if width <= 0 {
		return nil, python.Errorf("ValueError", "invalid width %d (must be > 0)", width)
	}
	// A tab becomes up to eight spaces.
	if err := c.Grow(len(s) + 7*strings.Count(s, "\t")); err != nil {
		return nil, err
	}
	return python.Str(wordWrap(s, width)), nil
}
