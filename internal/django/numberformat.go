// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// maxDigits is Django's cut-off: numbers with more digits, counting those an
// exponent stands for, are printed as they are or in scientific notation.
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

// roundHalfUp rounds coef × 10**exp to places decimals, away from zero at a
// half, and returns the result times 10**places. The caller has bounded exp.
func roundHalfUp(coef *big.Int, exp, places int) *big.Int {
	return rounded(coef, exp, places, func(_ *big.Int, half int) bool { return half >= 0 })
}

// roundHalfEven is roundHalfUp, but a half goes to the even neighbour.
func roundHalfEven(coef *big.Int, exp, places int) *big.Int {
	return rounded(coef, exp, places, func(q *big.Int, half int) bool {
		return half > 0 || half == 0 && q.Bit(0) == 1
	})
}

func rounded(coef *big.Int, exp, places int, up func(q *big.Int, half int) bool) *big.Int {
	if shift := exp + places; shift >= 0 {
		return new(big.Int).Mul(coef, pow10(shift))
	} else if digits := len(coef.String()); -shift > digits+1 {
		return new(big.Int) // far below a half
	} else {
		divisor := pow10(-shift)
		q, r := new(big.Int).QuoRem(coef, divisor, new(big.Int))
		if up(q, r.Lsh(r, 1).Cmp(divisor)) {
			q.Add(q, big.NewInt(1))
		}
		return q
	}
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// fixedPoint prints n / 10**places with exactly places decimals.
func fixedPoint(n *big.Int, places int) string {
	digits := n.String()
	if len(digits) <= places {
		digits = strings.Repeat("0", places+1-len(digits)) + digits
	}
	if places == 0 {
		return digits
	}
	return digits[:len(digits)-places] + "." + digits[len(digits)-places:]
}

// groupThousands puts commas into the integer part of a number's text, by
// three characters, whatever they are.
func groupThousands(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, rest := s, ""
	if dot := strings.IndexByte(s, '.'); dot >= 0 {
		whole, rest = s[:dot], s[dot:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i := 0; i < len(whole); i++ {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(whole[i])
	}
	b.WriteString(rest)
	return b.String()
}

// plainNumber is the text that django.utils.numberformat.format starts from: a
// float or Decimal without an exponent, unless that needs too many digits.
func plainNumber(v python.Value) string {
	s := python.StrOf(v)
	switch v.(type) {
	case python.Float:
		if !strings.ContainsAny(s, "e") {
			return s
		}
	case *python.Decimal:
	default:
		return s
	}
	d, err := python.ToDecimal(python.Str(s))
	if err != nil || d.Kind != python.Finite {
		return s
	}
	digits := d.Coef.String()
	if len(digits)+max(d.Exp, -d.Exp) > maxDigits {
		return scientific(d.Neg, digits, d.Exp)
	}
	return decimalText(d.Neg, digits, d.Exp)
}

// scientific is '{:e}'.format of a Decimal.
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
