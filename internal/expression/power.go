// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math"
	"math/big"
)

// powerBits is the precision of roundedPower, which is enough for the last bit of a float64
// except for contrived numbers.
const powerBits = 160

// roundedPower returns x**y, rounded like in C: 8 ** (1/3) is 2.0, while math.Pow is off by
// a unit in the last place. For special values it returns the given result of math.Pow.
func roundedPower(x, y, approximate float64) float64 {
	if x == 0 || y == 0 || approximate == 0 || approximate-approximate != 0 || x-x != 0 || math.Abs(x) == 1 {
		return approximate
	}
	exact := bigExp(new(big.Float).Mul(bigLog(math.Abs(x)), newFloat(y)))
	f, _ := exact.Float64()
	return math.Copysign(f, approximate)
}

func newFloat(f float64) *big.Float { return new(big.Float).SetPrec(powerBits).SetFloat64(f) }

var log2 = func() *big.Float {
	third := newFloat(1)
	return atanhTwice(third.Quo(third, newFloat(3))) // ln 2 is 2 atanh(1/3)
}()

// atanhTwice returns 2 atanh(t) = ln((1+t)/(1-t)), for a small t.
func atanhTwice(t *big.Float) *big.Float {
	square := new(big.Float).Mul(t, t)
	power := new(big.Float).Set(t)
	sum := new(big.Float).Set(t)
	for k := 3.0; power.Sign() != 0 && sum.MantExp(nil)-power.MantExp(nil) < powerBits; k += 2 {
		power.Mul(power, square)
		sum.Add(sum, new(big.Float).Quo(power, newFloat(k)))
	}
	return sum.Mul(sum, newFloat(2))
}

// bigLog returns the natural logarithm of a positive number.
func bigLog(x float64) *big.Float {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	num, den := newFloat(m), newFloat(m)
	t := num.Sub(num, newFloat(1))
	t.Quo(t, den.Add(den, newFloat(1)))
	out := newFloat(float64(e))
	out.Mul(out, log2)
	if t.Sign() != 0 {
		out.Add(out, atanhTwice(t))
	}
	return out
}

// bigExp returns e**z for a z whose result fits a float64.
func bigExp(z *big.Float) *big.Float {
	f, _ := z.Float64()
	k := int(math.Round(f / math.Ln2))
	r := newFloat(float64(k))
	r.Sub(z, r.Mul(r, log2))
	const halvings = 8
	r.SetMantExp(r, -halvings)
	term, sum := newFloat(1), newFloat(1)
	for n := 1.0; n < 40; n++ {
		term.Mul(term, r)
		term.Quo(term, newFloat(n))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum.SetMantExp(sum, k)
}
