// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
)

// Format returns format % args, printf-style. A tuple provides several args, a dict named
// ones. It charges m, which may be nil.
func Format(m *meter.Meter, format string, args Value) (string, error) {
	if err := m.SpendBytes(len(format), scanNanos); err != nil {
		return "", err
	}
	return newFormatter(m, format, args).run()
}

// FormatBytes returns format % args for bytes, where %s and %b take bytes only.
func FormatBytes(m *meter.Meter, format Bytes, args Value) (Bytes, error) {
	if err := m.SpendBytes(len(format), scanNanos); err != nil {
		return "", err
	}
	f := newFormatter(m, string(format), args)
	f.bytes = true
	out, err := f.run()
	return Bytes(out), err
}

func newFormatter(m *meter.Meter, format string, args Value) *formatter {
	f := &formatter{meter: m, src: format, args: []Value{args}}
	switch a := args.(type) {
	case *Tuple:
		f.args = a.Items
	case *Dict:
		f.dict = a
	}
	return f
}

type formatter struct {
	meter *meter.Meter
	src   string
	pos   int
	args  []Value
	next  int
	dict  *Dict
	bytes bool // the format is of bytes
	out   []byte
}

// spec is one conversion: its flags, width and precision.
type spec struct {
	left, plus, space, zero, alt bool
	width, prec                  int
	verb                         byte
}

func (f *formatter) run() (string, error) {
	for f.pos < len(f.src) {
		i := strings.IndexByte(f.src[f.pos:], '%')
		if i < 0 {
			f.out = append(f.out, f.src[f.pos:]...)
			break
		}
		f.out = append(f.out, f.src[f.pos:f.pos+i]...)
		f.pos += i + 1
		if err := f.conversion(); err != nil {
			return "", err
		}
		if len(f.out) > MaxLen {
			return "", errTooLong
		}
	}
	if f.next < len(f.args) && f.dict == nil {
		switch f.args[f.next].(type) {
		case *List: // a single list counts as a mapping, which may be unused
			if len(f.args) == 1 {
				return string(f.out), nil
			}
		}
		return "", Errorf("TypeError", "not all arguments converted during string formatting")
	}
	return string(f.out), nil
}

func (f *formatter) arg() (Value, error) {
	if f.next >= len(f.args) {
		return nil, Errorf("TypeError", "not enough arguments for format string")
	}
	f.next++
	return f.args[f.next-1], nil
}

func (f *formatter) peek() byte {
	if f.pos < len(f.src) {
		return f.src[f.pos]
	}
	return 0
}

func (f *formatter) conversion() error {
	if err := f.meter.Spend(2); err != nil {
		return err
	}
	if f.peek() == '%' {
		f.pos++
		f.out = append(f.out, '%')
		return nil
	}
	s := spec{prec: -1}
	var named Value
	if f.peek() == '(' {
		end := strings.IndexByte(f.src[f.pos:], ')')
		if end < 0 {
			return Errorf("ValueError", "incomplete format key")
		}
		if f.dict == nil {
			return Errorf("TypeError", "format requires a mapping")
		}
		key := f.src[f.pos+1 : f.pos+end]
		v, ok := f.dict.GetStr(key)
		if !ok {
			return Errorf("KeyError", "the dict has no such key")
		}
		named = v
		f.pos += end + 1
	}
	for flags := true; flags; {
		switch f.peek() {
		case '-':
			s.left = true
		case '+':
			s.plus = true
		case ' ':
			s.space = true
		case '0':
			s.zero = true
		case '#':
			s.alt = true
		default:
			flags = false
			continue
		}
		f.pos++
	}
	var err error
	if s.width, err = f.number(); err != nil {
		return err
	}
	if s.width < 0 {
		s.left, s.width = true, -s.width
	}
	if f.peek() == '.' {
		f.pos++
		if s.prec, err = f.number(); err != nil {
			return err
		}
		s.prec = max(s.prec, 0)
	}
	switch f.peek() {
	case 'h', 'l', 'L': // C's length modifiers are ignored
		f.pos++
	}
	if f.pos >= len(f.src) {
		return Errorf("ValueError", "incomplete format")
	}
	verb, n := utf8.DecodeRuneInString(f.src[f.pos:])
	f.pos += n
	if named == nil {
		if named, err = f.arg(); err != nil {
			return err
		}
	}
	if f.bytes && verb == 'b' {
		verb = 's'
	}
	if verb >= utf8.RuneSelf || strings.IndexByte("diuoxXeEfFgGcrsa", byte(verb)) < 0 {
		return Errorf("ValueError", "unsupported format character")
	}
	s.verb = byte(verb)
	return f.convert(s, named)
}

// number reads digits or *. A number that is too large is clamped to one that run rejects,
// after all other errors.
func (f *formatter) number() (int, error) {
	if f.peek() == '*' {
		f.pos++
		v, err := f.arg()
		if err != nil {
			return 0, err
		}
		if _, big := v.(*Big); big {
			return 0, Errorf("OverflowError", "Python int too large to convert to C ssize_t")
		}
		n, ok := AsInt(v)
		if !ok {
			return 0, Errorf("TypeError", "* wants int")
		}
		return int(min(max(n, -MaxLen-1), MaxLen+1)), nil
	}
	start := f.pos
	for c := f.peek(); '0' <= c && c <= '9'; c = f.peek() {
		f.pos++
	}
	if f.pos == start {
		return 0, nil
	}
	n, err := strconv.Atoi(f.src[start:f.pos])
	if err != nil {
		return 0, Errorf("ValueError", "width or precision too big")
	}
	return min(n, MaxLen+1), nil
}

func (f *formatter) convert(s spec, v Value) error {
	n, err := Weigh(f.meter, v)
	if err != nil {
		return err
	}
	if err := f.meter.SpendBytes(n+s.width+max(s.prec, 0), mapNanos); err != nil {
		return err
	}
	switch s.verb {
	case 's', 'r', 'a':
		var text string
		b, isBytes := v.(Bytes)
		switch {
		case s.verb == 's' && f.bytes && !isBytes:
			return Errorf("TypeError", "%%b requires a bytes-like object, or an object that implements __bytes__, not '%s'", v.TypeName())
		case s.verb == 's' && f.bytes:
			text = string(b)
		case s.verb == 's':
			text = StrOf(v)
		case s.verb == 'r' && !f.bytes:
			text = Repr(v)
		default:
			text = ASCII(v)
		}
		if s.prec >= 0 {
			text = sliceText(text, utf8.RuneCountInString(text), 0, min(s.prec, utf8.RuneCountInString(text)), 1)
		}
		f.pad(s, "", text, false)
	case 'c':
		if f.bytes {
			return f.byte(s, v)
		}
		if t, ok := AsStr(v); ok {
			if utf8.RuneCountInString(t) != 1 {
				return Errorf("TypeError", "%%c requires int or char")
			}
			f.pad(s, "", t, false)
			return nil
		}
		n, ok := AsInt(v)
		if _, big := v.(*Big); big {
			n, ok = -1, true
		}
		if !ok {
			return Errorf("TypeError", "%%c requires int or char")
		}
		if n < 0 || n > utf8.MaxRune {
			return Errorf("OverflowError", "%%c arg not in range(0x110000)")
		}
		f.pad(s, "", string(rune(n)), false)
	case 'd', 'i', 'u', 'o', 'x', 'X':
		return f.integer(s, v)
	default:
		return f.float(s, v)
	}
	return nil
}

// byte formats %c of bytes.
func (f *formatter) byte(s spec, v Value) error {
	if b, ok := v.(Bytes); ok && len(b) == 1 {
		f.pad(s, "", string(b), false)
		return nil
	}
	n, ok := AsInt(v)
	if !ok {
		return Errorf("TypeError", "%%c requires an integer in range(256) or a single byte")
	}
	if n < 0 || n > math.MaxUint8 {
		return Errorf("OverflowError", "%%c arg not in range(256)")
	}
	f.pad(s, "", string([]byte{byte(n)}), false)
	return nil
}

func (f *formatter) integer(s spec, v Value) error {
	n, ok := AsBig(v)
	if !ok {
		switch v.(type) {
		case Float, *Decimal:
			if s.verb == 'd' || s.verb == 'i' || s.verb == 'u' {
				t, err := ToInt(v)
				if err != nil {
					return err
				}
				n, _ = AsBig(t)
				break
			}
			return Errorf("TypeError", "%%%c format: an integer is required, not %s", s.verb, v.TypeName())
		default:
			want := "an integer is required"
			if s.verb == 'd' || s.verb == 'i' || s.verb == 'u' {
				want = "a real number is required"
			}
			return Errorf("TypeError", "%%%c format: %s, not %s", s.verb, want, v.TypeName())
		}
	}
	base, prefix := 10, ""
	switch s.verb {
	case 'o':
		base, prefix = 8, "0o"
	case 'x', 'X':
		base, prefix = 16, "0"+string(s.verb)
	}
	digits := new(big.Int).Abs(n).Text(base)
	if s.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	if s.prec > len(digits) {
		digits = strings.Repeat("0", s.prec-len(digits)) + digits
	}
	sign := s.sign(n.Sign() < 0)
	if s.alt {
		sign += prefix
	}
	if base == 10 && s.alt {
		sign = s.sign(n.Sign() < 0)
	}
	f.pad(s, sign, digits, true)
	return nil
}

func (s spec) sign(negative bool) string {
	switch {
	case negative:
		return "-"
	case s.plus:
		return "+"
	case s.space:
		return " "
	}
	return ""
}

func (f *formatter) float(s spec, v Value) error {
	if kindOf(v) == notNumber {
		return Errorf("TypeError", "must be real number, not %s", v.TypeName())
	}
	x, err := toFloat(v)
	if err != nil {
		return err
	}
	if s.prec < 0 {
		s.prec = 6
	}
	if s.prec > 5000 {
		return errTooLong
	}
	text := FormatFloat(math.Abs(x), s.verb, s.prec, s.alt)
	f.pad(s, s.sign(math.Signbit(x) && !math.IsNaN(x)), text, true)
	return nil
}

// FormatFloat returns format(f, '.<prec><verb>') for the verbs eEfFgG; alt is #.
func FormatFloat(f float64, verb byte, prec int, alt bool) string {
	lower := verb | 0x20
	var text string
	switch {
	case math.IsNaN(f):
		text = "nan"
	case math.IsInf(f, 1):
		text = "inf"
	case math.IsInf(f, -1):
		text = "-inf"
	case lower == 'g':
		text = formatGeneral(f, max(prec, 1), alt)
	default:
		text = strconv.FormatFloat(f, lower, prec, 64)
		if alt && prec == 0 {
			mant, exp, has := strings.Cut(text, "e")
			text = mant + "."
			if has {
				text += "e" + exp
			}
		}
	}
	if verb != lower {
		text = strings.ToUpper(text)
	}
	return text
}

// formatGeneral implements C's %g.
func formatGeneral(f float64, prec int, alt bool) string {
	sci := strconv.FormatFloat(f, 'e', prec-1, 64)
	mant, exp, _ := strings.Cut(sci, "e")
	e, _ := strconv.Atoi(exp)
	if e < -4 || e >= prec {
		if !alt && strings.Contains(mant, ".") {
			mant = strings.TrimRight(strings.TrimRight(mant, "0"), ".")
		}
		if alt && !strings.Contains(mant, ".") {
			mant += "."
		}
		return mant + "e" + exp
	}
	text := strconv.FormatFloat(f, 'f', prec-1-e, 64)
	if !alt && strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if alt && !strings.Contains(text, ".") {
		text += "."
	}
	return text
}

func (f *formatter) pad(s spec, sign, text string, number bool) {
	fill := s.width - utf8.RuneCountInString(text) - len(sign)
	if fill < 0 {
		fill = 0
	}
	switch {
	case s.left:
		f.out = append(append(f.out, sign...), text...)
		f.out = append(f.out, strings.Repeat(" ", fill)...)
	case s.zero && number:
		f.out = append(f.out, sign...)
		f.out = append(f.out, strings.Repeat("0", fill)...)
		f.out = append(f.out, text...)
	default:
		f.out = append(f.out, strings.Repeat(" ", fill)...)
		f.out = append(append(f.out, sign...), text...)
	}
}
