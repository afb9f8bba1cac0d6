// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// joined returns an f-string's text. As in simpleeval a conversion (!r) has no
// effect, and each part is bounded.
func (e *evaluator) joined(parts []textPart) (string, error) {
	var b strings.Builder
	run := 0 // length of the literal text since the last field
	for _, p := range parts {
		text := e.part(p)
		if p.field != nil {
			v, err := e.formatted(p.field)
			if err != nil {
				return "", faultAt(err, p.field.pos)
			}
			text, run = v, 0
		}
		if run += utf8.RuneCountInString(text); run > maxString {
			return "", faultf(IterableTooLong, -1, "a part of the f'…' text is longer than %d", maxString)
		}
		if p.field != nil {
			run = 0
		}
		if err := e.grow(len(text)); err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (e *evaluator) formatted(f *field) (string, error) {
	e.frames += 2
	defer func() { e.frames -= 2 }()
	spec := ""
	if f.spec != nil {
		v, err := e.eval(f.spec)
		if err != nil {
			return "", err
		}
		spec, _ = python.AsStr(v)
	}
	v, err := e.eval(f.value)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(spec, "{}") {
		return "", valueError("there is a brace in a format specifier")
	}
	return e.format(v, spec)
}

// formatSpec is [[fill]align][sign][z][#][0][width][grouping][.precision][type].
type formatSpec struct {
	fill                 rune
	align, sign          byte
	noNegZero, alt, zero bool
	width, precision     int
	grouping, verb       byte
}

func parseSpec(s string) (formatSpec, error) {
	f := formatSpec{fill: ' ', precision: -1}
	bad := valueError("there is something wrong in a format specifier")
	isAlign := func(i int) bool { return i < len(s) && strings.IndexByte("<>=^", s[i]) >= 0 }
	if r, n := utf8.DecodeRuneInString(s); n > 0 && isAlign(n) {
		f.fill, f.align = r, s[n]
		s = s[n+1:]
	} else if isAlign(0) {
		f.align = s[0]
		s = s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		f.sign = s[0]
		s = s[1:]
	}
	flag := func(c byte) bool {
		if s != "" && s[0] == c {
			s = s[1:]
			return true
		}
		return false
	}
	f.noNegZero = flag('z')
	f.alt = flag('#')
	if f.zero = flag('0'); f.zero && f.align == 0 {
		f.fill = '0'
	}
	number := func() (int, bool) {
		n := 0
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		v, err := strconv.Atoi(s[:n])
		s = s[n:]
		return v, err == nil && v <= maxString
	}
	var ok bool
	if s != "" && isDigit(s[0]) {
		if f.width, ok = number(); !ok {
			return f, faultf(IterableTooLong, -1, "a width in a format specifier is too large")
		}
	}
	if flag(',') {
		f.grouping = ','
	} else if flag('_') {
		f.grouping = '_'
	}
	if s != "" && (s[0] == ',' || s[0] == '_') {
		return f, bad
	}
	if flag('.') {
		if s == "" || !isDigit(s[0]) {
			return f, valueError("a format specifier lacks its precision")
		}
		if f.precision, ok = number(); !ok {
			return f, faultf(IterableTooLong, -1, "a precision in a format specifier is too large")
		}
	}
	if len(s) > 1 || s == "\x00" {
		return f, bad
	}
	if len(s) == 1 {
		f.verb = s[0]
	}
	return f, nil
}

// format returns format(v, spec).
func (e *evaluator) format(v python.Value, spec string) (string, error) {
	if spec == "" {
		s, err := e.str(v)
		if err != nil {
			return "", err
		}
		text, _ := python.AsStr(s)
		return text, nil
	}
	if s, ok := v.(python.Str); ok {
		f, err := parseSpec(spec)
		if err != nil {
			return "", err
		}
		return f.text(string(s))
	}
	switch v := v.(type) {
	case python.Int, python.Bool, *python.Big, python.Float:
		if err := e.printable(v); err != nil {
			return "", err
		}
		f, err := parseSpec(spec)
		if err == nil {
			err = e.charge(f.width/16 + max(f.precision, 0))
		}
		if err != nil {
			return "", err
		}
		return f.number(v)
	case Complex:
		return "", faultf(FeatureNotAvailable, -1, "formatting complex numbers is not available")
	}
	return "", typeError("a value of type '%s' takes no format specifier", v.TypeName())
}

func (f formatSpec) wrongVerb(typ string) error {
	return valueError("the format code does not fit a value of type '%s'", typ)
}

func (f formatSpec) text(s string) (string, error) {
	if f.verb != 0 && f.verb != 's' {
		return "", f.wrongVerb("str")
	}
	if f.sign != 0 || f.alt || f.noNegZero || f.grouping != 0 || f.align == '=' {
		return "", valueError("this format specifier is not allowed for a text")
	}
	if f.precision >= 0 {
		n := 0
		for i := range s {
			if n == f.precision {
				s = s[:i]
				break
			}
			n++
		}
	}
	if f.align == 0 {
		f.align = '<'
	}
	return f.pad("", s), nil
}

func (f formatSpec) number(v python.Value) (string, error) {
	if f.align == 0 {
		f.align = '>'
		if f.zero {
			f.align = '='
		}
	}
	_, isFloat := v.(python.Float)
	if !isFloat {
		switch f.verb {
		case 'e', 'E', 'f', 'F', 'g', 'G', '%':
			isFloat = true
		}
	}
	if isFloat {
		x, err := python.ToFloat(v)
		if err != nil {
			return "", err
		}
		return f.float(x, v.TypeName())
	}
	n, _ := python.AsBig(v)
	return f.integer(n, v.TypeName())
}

func (f formatSpec) signOf(negative bool) string {
	switch {
	case negative:
		return "-"
	case f.sign == '+' || f.sign == ' ':
		return string(f.sign)
	}
	return ""
}

func (f formatSpec) integer(n *big.Int, typ string) (string, error) {
	if f.precision >= 0 {
		return "", valueError("a precision is not allowed in the format of a whole number")
	}
	if f.noNegZero {
		return "", valueError("'z' is not allowed in the format of a whole number")
	}
	base, prefix, group := 10, "", 3
	switch f.verb {
	case 0, 'd', 'n':
		if f.verb == 'n' && f.grouping != 0 {
			return "", valueError("grouping and 'n' can't go together")
		}
	case 'b':
		base, prefix, group = 2, "0b", 4
	case 'o':
		base, prefix, group = 8, "0o", 4
	case 'x', 'X':
		base, prefix, group = 16, "0"+string(f.verb), 4
	case 'c':
		if f.sign != 0 || f.alt || f.grouping != 0 {
			return "", valueError("this format specifier is not allowed with 'c'")
		}
		if !n.IsInt64() || n.Sign() < 0 || n.Int64() > utf8.MaxRune {
			return "", faultf("OverflowError", -1, "%%c arg not in range(0x110000)")
		}
		return f.pad("", string(rune(n.Int64()))), nil
	default:
		return "", f.wrongVerb(typ)
	}
	if f.grouping == ',' && base != 10 {
		return "", valueError("',' goes with decimal numbers only")
	}
	digits := new(big.Int).Abs(n).Text(base)
	if f.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	sign := f.signOf(n.Sign() < 0)
	if f.alt {
		sign += prefix
	}
	return f.padNumber(sign, digits, "", group), nil
}

func (f formatSpec) float(x float64, typ string) (string, error) {
	verb, tail := f.verb, ""
	prec := f.precision
	if prec > 5000 {
		return "", faultf(LimitExceeded, -1, "a precision in a format specifier is too large")
	}
	negative := math.Signbit(x) && !math.IsNaN(x)
	abs := math.Abs(x)
	var text string
	switch verb {
	case 0:
		switch {
		case prec < 0:
			text = python.FloatRepr(abs)
			if i := strings.IndexByte(text, 'e'); f.alt && i >= 0 && !strings.Contains(text, ".") {
				text = text[:i] + "." + text[i:]
			}
		case math.IsInf(abs, 0) || math.IsNaN(abs):
			text = python.FormatFloat(abs, 'g', prec, false)
		default:
			text = shortFloat(abs, max(prec, 1))
		}
	case 'n', 'e', 'E', 'f', 'F', 'g', 'G', '%':
		if verb == 'n' {
			verb = 'g'
		}
		if verb == '%' {
			verb, tail = 'f', "%"
			abs *= 100
		}
		if prec < 0 {
			prec = 6
		}
		text = python.FormatFloat(abs, verb, prec, f.alt)
	default:
		return "", f.wrongVerb(typ)
	}
	if f.noNegZero && strings.Trim(text, "0.") == "" {
		negative = false
	}
	whole, rest := text, ""
	if i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		whole, rest = text[:i], text[i:]
	}
	return f.padNumber(f.signOf(negative), whole, rest+tail, 3), nil
}

// shortFloat returns the format of a float with a precision and no type: as 'g', but
// it always looks like a float.
func shortFloat(x float64, prec int) string {
	sci := strconv.FormatFloat(x, 'e', prec-1, 64)
	mantissa, exponent, _ := strings.Cut(sci, "e")
	e, _ := strconv.Atoi(exponent)
	if e < -4 || e >= prec-1 {
		if strings.Contains(mantissa, ".") {
			mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
		}
		return mantissa + "e" + exponent
	}
	text := python.FormatFloat(x, 'g', prec, false)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// padNumber puts separators between the digits and fills up to the width, with
// zeros that get separators too.
func (f formatSpec) padNumber(sign, digits, rest string, group int) string {
	grouped := func(d string) string {
		if f.grouping == 0 || len(d) <= group {
			return d
		}
		first := len(d) % group
		var parts []string
		if first > 0 {
			parts = append(parts, d[:first])
		}
		for i := first; i < len(d); i += group {
			parts = append(parts, d[i:i+group])
		}
		return strings.Join(parts, string(f.grouping))
	}
	if f.fill == '0' && f.align == '=' && digits != "" {
		want := f.width - len(sign) - len(rest)
		if f.grouping == 0 && len(digits) < want {
			digits = strings.Repeat("0", want-len(digits)) + digits
		} else if n := want - len(grouped(digits)); n > 0 {
			zeros := want - want/(group+1) - len(digits)
			if zeros > 0 {
				digits = strings.Repeat("0", zeros) + digits
			}
			if len(grouped(digits)) < want {
				digits = "0" + digits
			}
		}
		return sign + grouped(digits) + rest
	}
	return f.pad(sign, grouped(digits)+rest)
}

func (f formatSpec) pad(sign, text string) string {
	n := f.width - utf8.RuneCountInString(text) - len(sign)
	if n <= 0 {
		return sign + text
	}
	fill := func(k int) string { return strings.Repeat(string(f.fill), k) }
	switch f.align {
	case '<':
		return sign + text + fill(n)
	case '=':
		return sign + fill(n) + text
	case '^':
		return fill(n/2) + sign + text + fill(n-n/2)
	}
	return fill(n) + sign + text
}
