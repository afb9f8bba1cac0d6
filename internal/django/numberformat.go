// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// maxDigits is Django's cut-off: numbers with more digits, including those that an exponent
// adds, are printed unchanged or in scientific notation.
const maxDigits = 200

// decimalText prints a decimal as '{:f}'.format does: without an exponent.
func decimalText(neg bool, digits string, exp int) string {
	var s string
	switch {
	case exp >= 0:
		s = digits
		if digits != "0" {
			s += strings.Repeat("0", exp)
		}
	case len(digits) > -exp:
		s = digits[:len(digits)+exp] + "." + digits[len(digits)+exp:]
	default:
		s = "0." + strings.Repeat("0", -exp-len(digits)) + digits
	}
	if neg {
		return "-" + s
	}
	return s
}

// number is a decimal number: digits × 10**exp. Zero keeps its sign and digits.
type number struct {
	neg    bool
	digits string
	exp    int
}

// numberOf splits an int, float or Decimal. A float has the digits that Python prints.
func numberOf(v python.Value) (n number, ok bool) {
	var buf [32]byte
	switch v := v.(type) {
	case python.Int:
		b := strconv.AppendInt(buf[:0], int64(v), 10)
		if n.neg = b[0] == '-'; n.neg {
			b = b[1:]
		}
		n.digits = string(b)
	case python.Float:
		f := float64(v)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return n, false
		}
		b := strconv.AppendFloat(buf[:0], f, 'e', -1, 64) // -d.ddde-xx
		if n.neg = b[0] == '-'; n.neg {
			b = b[1:]
		}
		e := bytes.IndexByte(b, 'e')
		n.exp, _ = strconv.Atoi(string(b[e+1:]))
		if e > 1 { // the point goes
			n.exp -= e - 2
			copy(b[1:], b[2:e])
			e--
		}
		n.digits = string(b[:e])
	case *python.Big:
		n = number{v.Int().Sign() < 0, strings.TrimPrefix(v.Int().String(), "-"), 0}
	case *python.Decimal:
		if v.Kind != python.Finite {
			return n, false
		}
		n = number{v.Neg, v.Coef.String(), v.Exp}
	default:
		return n, false
	}
	return n, true
}

// size returns the number that Django limits: of digits, including those that the exponent
// adds.
func (n number) size() int { return len(n.digits) + max(n.exp, -n.exp) }

func (n number) isIntegral() bool {
	return n.exp >= 0 || strings.Trim(n.digits[max(len(n.digits)+n.exp, 0):], "0") == ""
}

// Ways to round a half.
const (
	halfUp   = false // away from zero
	halfEven = true  // to the even neighbour
)

// fixed formats the number with exactly places decimals, without its sign, and reports
// whether only zeros are left. The caller has limited both sizes.
func (n number) fixed(places int, even bool) (s string, isZero bool) {
	b := make([]byte, 0, len(n.digits)+max(n.exp, 0)+places+4)
	b = append(b, '0') // room for a carry
	keep := len(n.digits) + n.exp + places
	switch {
	case keep >= len(n.digits):
		b = append(b, n.digits...)
		for range keep - len(n.digits) {
			b = append(b, '0')
		}
	case keep >= 0:
		b = append(b, n.digits[:keep]...)
		if roundsUp(b[len(b)-1], n.digits[keep:], even) {
			i := len(b) - 1
			for ; b[i] == '9'; i-- {
				b[i] = '0'
			}
			b[i]++
		}
	}
	// At least one digit before the point, and no other leading zeros.
	if missing := places + 1 - len(b); missing > 0 {
		n := len(b)
		for range missing {
			b = append(b, '0')
		}
		copy(b[missing:], b[:n])
		for i := range missing {
			b[i] = '0'
		}
	}
	for len(b) > places+1 && b[0] == '0' {
		b = b[1:]
	}
	isZero = len(bytes.Trim(b, "0")) == 0
	if places > 0 {
		b = append(b, 0)
		point := len(b) - 1 - places
		copy(b[point+1:], b[point:])
		b[point] = '.'
	}
	return string(b), isZero
}

func roundsUp(last byte, rest string, even bool) bool {
	if rest[0] != '5' || !even || strings.Trim(rest[1:], "0") != "" {
		return rest[0] >= '5'
	}
	return last&1 == 1
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// plainNumber returns the text from which django.utils.numberformat.format starts: a float or
// Decimal without an exponent, unless that needs too many digits. A Decimal that is not a
// number is a TypeError, because it has no exponent.
func plainNumber(v python.Value) (string, error) {
	s := python.StrOf(v)
	switch v := v.(type) {
	case python.Float:
		if !strings.ContainsAny(s, "e") {
			return s, nil
		}
	case *python.Decimal:
		if v.Kind != python.Finite {
			return "", python.Errorf("TypeError", "the decimal %s is not a number that can be printed", s)
		}
	}
	n, ok := numberOf(v)
	if !ok {
		return s, nil
	}
	if n.size() > maxDigits {
		return scientific(n.neg, n.digits, n.exp), nil
	}
	return decimalText(n.neg, n.digits, n.exp), nil
}

// scientific returns '{:e}'.format(d).
func scientific(neg bool, digits string, exp int) string {
	exp += len(digits) - 1
	s := digits[:1]
	if len(digits) > 1 {
		s += "." + digits[1:]
	}
	s += "e"
	if exp >= 0 {
		s += "+"
	}
	s += strconv.Itoa(exp)
	if neg {
		return "-" + s
	}
	return s
}
