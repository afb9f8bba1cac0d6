// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "filesizeformat", Func: filesizeformat, IsSafe: true, Strict: StrictInput, Nanos: 40},
		&Filter{Name: "phone2numeric", Func: phone2numeric, IsSafe: true, CharWise: true, WideNanos: 60},
		&Filter{Name: "pluralize", Func: pluralize, Arg: OptionalArg, Strict: StrictInput, Choice: true, Reads: ReadsValue, Nanos: 40},
		&Filter{Name: "pprint", Func: pprint, IsSafe: true, Nanos: 20},
	)
}

const noBreakSpace = "\u00a0"

var fileSizeUnits = [...]string{"KB", "MB", "GB", "TB", "PB"}

func filesizeformat(c *Context, in, _ python.Value) (python.Value, error) {
	v, err := python.ToInt(in)
	if python.IsError(err, "TypeError", "ValueError") {
		return python.Str(c.locale.bytes(0)), nil
	}
	if err != nil {
		return nil, err
	}
	n, _ := python.AsBig(v)
	sign := ""
	if n.Sign() < 0 {
		sign, n = "-", new(big.Int).Neg(n)
	}
	if n.Cmp(big.NewInt(1024)) < 0 {
		return python.Str(sign + c.locale.bytes(n.Int64())), nil
	}
	unit := min((n.BitLen()-1)/10-1, len(fileSizeUnits)-1)
	size, err := python.TrueDiv(python.NewInt(n), python.NewInt(new(big.Int).Lsh(big.NewInt(1), uint(10*(unit+1)))))
	if err != nil {
		return nil, err
	}
	f, err := python.ToFloat(size)
	if err != nil {
		return nil, err
	}
	// One decimal, rounded to even as Python's round does on the exact value.
	s := strconv.FormatFloat(f, 'f', 1, 64)
	if f >= 1e16 {
		// Python prints such a float with an exponent, and Django the digits
		// that this shows.
		if s, err = plainNumber(python.Float(f)); err != nil {
			return nil, err
		}
		coefficient, exponent, scientific := strings.Cut(s, "e")
		if !scientific {
			s += ".0"
		} else if whole, fraction, found := strings.Cut(coefficient, "."); found {
			s = whole + "." + fraction[:1] + "e" + exponent
		} else {
			s = coefficient + ".0e" + exponent
		}
	}
	return python.Str(sign + avoidWrapping(fillText(c.locale.gettext("%s "+fileSizeUnits[unit]), c.locale.number(s, false)))), nil
}

const phoneKeys = "22233344455566677778889999" // for a to z

func phone2numeric(c *Context, in, _ python.Value) (python.Value, error) {
	s, ok := python.AsStr(in)
	if b, isBytes := in.(python.Bytes); isBytes { // they have a method lower, but their items are numbers
		if len(b) == 0 {
			return emptyText, nil
		}
		return nil, python.Errorf("TypeError", "sequence item 0: expected str instance, int found")
	}
	if !ok {
		return nil, noAttribute(in, "lower")
	}
	lowered, err := lower(c, python.Str(s), nil) // which looks at the deadline
	if err != nil {
		return nil, err
	}
	s, _ = python.AsStr(lowered)
	return python.Str(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return rune(phoneKeys[r-'a'])
		}
		return r
	}, s)), nil
}

// pluralize returns the suffix for one, or for any other number or length.
func pluralize(_ *Context, in, arg python.Value) (python.Value, error) {
	suffixes := "s"
	if arg != nil {
		var ok bool
		if suffixes, ok = python.AsStr(arg); !ok {
			return nil, python.Errorf("TypeError", "argument of type '%s' is not iterable", arg.TypeName())
		}
	}
	singular, plural, ok := strings.Cut(suffixes, ",")
	if !ok {
		singular, plural = "", suffixes
	}
	if strings.Contains(plural, ",") {
		return python.Str(""), nil
	}
	f, err := python.ToFloat(in)
	if python.IsError(err, "TypeError") {
		n, err := python.Len(unwrap(in))
		if err != nil {
			return python.Str(""), nil //nolint:nilerr // as in Django, what has no number has no plural
		}
		f = float64(n)
	} else if python.IsError(err, "ValueError") {
		return python.Str(""), nil
	} else if err != nil {
		return nil, err
	}
	if f == 1 {
		return python.Str(singular), nil
	}
	return python.Str(plural), nil
}

func pprint(c *Context, in, _ python.Value) (python.Value, error) {
	s, err := prettyPrint(c, in)
	if err != nil {
		return nil, err
	}
	return python.Str(s), nil
}
