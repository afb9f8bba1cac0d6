// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// maxDigits is the maximum length of a text that is converted to an int, as in CPython.
const maxDigits = 4300

// ToInt returns int(v): of a str in base 10, of a float truncated.
func ToInt(v Value) (Value, error) {
	switch v := v.(type) {
	case Int, *Big:
		return v, nil
	case Bool:
		n, _ := AsInt(v)
		return Int(n), nil
	case Float:
		f := float64(v)
		switch {
		case math.IsNaN(f):
			return nil, Errorf("ValueError", "cannot convert float NaN to integer")
		case math.IsInf(f, 0):
			return nil, Errorf("OverflowError", "cannot convert float infinity to integer")
		case math.Abs(f) < 1<<63:
			return Int(f), nil
		}
		n, _ := big.NewFloat(f).Int(nil)
		return NewInt(n), nil
	case *Decimal:
		return v.truncate()
	case Bytes:
		return ParseInt(string(v))
	}
	s, ok := AsStr(v)
	if !ok {
		return nil, Errorf("TypeError", "int() argument must be a string, a bytes-like object or a real number, not '%s'", qualified(v))
	}
	return ParseInt(s)
}

// ParseInt returns int(s).
func ParseInt(s string) (Value, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Int(n), nil
	}
	t, ok := s, len(s) <= maxNumberText
	if ok {
		t, ok = plainNumber(s)
	}
	if ok {
		digits := strings.TrimLeft(t, "+-")
		ok = digits != "" && len(t)-len(digits) <= 1
		for i := 0; ok && i < len(digits); i++ {
			ok = '0' <= digits[i] && digits[i] <= '9'
		}
		if ok && len(digits) > maxDigits {
			return nil, Errorf("ValueError", "Exceeds the limit (%d digits) for integer string conversion", maxDigits)
		}
	}
	if ok {
		if n, good := new(big.Int).SetString(t, 10); good {
			return NewInt(n), nil
		}
	}
	return nil, Errorf("ValueError", "invalid literal for int() with base 10")
}

// maxNumberText is the maximum length of a text that is parsed as an integer, including
// white space and underscores.
const maxNumberText = 64 << 10

// plainNumber removes white space and the underscores between digits, and converts the
// digits of all scripts to ASCII; it returns false if underscores are misplaced.
func plainNumber(s string) (string, bool) {
	s = Strip(s)
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] == '_' || s[i] >= 0x80 {
			plain = false
			break
		}
	}
	if plain {
		return s, true
	}
	if len(s) > maxNumberText {
		return "", false
	}
	runes := []rune(s)
	out := make([]byte, 0, len(runes))
	for i, r := range runes {
		switch {
		case r == '_':
			if i == 0 || i == len(runes)-1 || !unicode.IsDigit(runes[i-1]) || !unicode.IsDigit(runes[i+1]) {
				return "", false
			}
		case r < 0x80:
			out = append(out, byte(r))
		case unicode.IsDigit(r):
			out = append(out, byte('0'+DigitValue(r)))
		default:
			return "", false
		}
	}
	return string(out), true
}

// DigitValue returns the value of a decimal digit of any script. In Unicode, each script's
// ten digits are consecutive, starting with zero.
func DigitValue(r rune) int {
	if '0' <= r && r <= '9' {
		return int(r - '0')
	}
	for _, rng := range unicode.Nd.R16 {
		if rune(rng.Lo) <= r && r <= rune(rng.Hi) {
			return int(r-rune(rng.Lo)) % 10
		}
	}
	for _, rng := range unicode.Nd.R32 {
		if rune(rng.Lo) <= r && r <= rune(rng.Hi) {
			return int(r-rune(rng.Lo)) % 10
		}
	}
	return 0
}

// ToFloat returns float(v).
func ToFloat(v Value) (float64, error) {
	if kindOf(v) != notNumber {
		return toFloat(v)
	}
	if b, ok := v.(Bytes); ok {
		return ParseFloat(string(b))
	}
	s, ok := AsStr(v)
	if !ok {
		return 0, Errorf("TypeError", "float() argument must be a string or a real number, not '%s'", qualified(v))
	}
	return ParseFloat(s)
}

// ParseFloat returns float(s).
func ParseFloat(s string) (float64, error) {
	t, ok := plainNumber(s)
	if ok {
		switch strings.ToLower(strings.TrimLeft(t, "+-")) {
		case "inf", "infinity", "nan":
			ok = len(t)-len(strings.TrimLeft(t, "+-")) <= 1
		default:
			ok = t != "" && strings.Trim(t, "0123456789+-.eE") == "" && len(t) <= MaxLen
			ok = ok && !strings.ContainsAny(t, "xXpP_")
		}
	}
	if ok {
		f, err := strconv.ParseFloat(t, 64)
		if err == nil || math.IsInf(f, 0) {
			return f, nil
		}
	}
	return 0, Errorf("ValueError", "could not convert string to float")
}
