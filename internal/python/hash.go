// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math"
	"math/big"
	"strconv"
)

// Key is a comparable Go value. The keys of two hashable Python values are equal exactly if
// the values are.
type Key struct {
	kind byte
	n    int64
	s    string
}

// HashKey returns the key of a value; an unhashable value is a TypeError.
func HashKey(v Value) (Key, error) { return hashKey(v, 0) }

func hashKey(v Value, depth int) (Key, error) {
	if depth > maxDepth {
		return Key{}, errTooDeep
	}
	switch v := v.(type) {
	case NoneType:
		return Key{kind: 'n'}, nil
	case Bool, Int:
		n, _ := AsInt(v)
		return Key{kind: 'i', n: n}, nil
	case *Big:
		return Key{kind: 'b', s: string(v.n.Bytes()), n: int64(v.n.Sign())}, nil
	case Float:
		return floatKey(float64(v)), nil
	case Str:
		return Key{kind: 's', s: string(v)}, nil
	case SafeStr:
		return Key{kind: 's', s: string(v)}, nil
	case Bytes:
		return Key{kind: 'y', s: string(v)}, nil
	case *Tuple:
		var s []byte
		for _, it := range v.Items {
			k, err := hashKey(it, depth+1)
			if err != nil {
				return Key{}, err
			}
			s = append(s, k.kind)
			s = strconv.AppendInt(s, k.n, 10)
			s = append(s, ':')
			s = strconv.AppendInt(s, int64(len(k.s)), 10)
			s = append(s, ':')
			s = append(s, k.s...)
			if len(s) > MaxLen {
				return Key{}, errTooLong
			}
		}
		return Key{kind: 't', s: string(s)}, nil
	case *Decimal:
		if n, ok := v.integer(); ok {
			return hashKey(NewInt(n), depth)
		}
		if f := v.Float(); v.Kind == Finite && cmpDecimal(v, decimalFromFloat(f)) == 0 {
			return floatKey(f), nil
		}
		return Key{kind: 'd', s: v.normalized()}, nil
	case *DateTime:
		if v.Aware {
			return Key{kind: 'A', n: v.T.UnixMicro()}, nil
		}
		return Key{kind: 'N', n: v.T.UnixMicro()}, nil
	case *Time:
		if micros, aware := v.offset(); aware {
			return Key{kind: 'T', n: int64(v.micros() - micros)}, nil
		}
		return Key{kind: 'D', s: temporalStr(v)}, nil
	case interface{ HashKey() Key }:
		return v.HashKey(), nil
	case *Date, *TimeDelta:
		return Key{kind: 'D', s: temporalRepr(v)}, nil
	default:
		return Key{}, Errorf("TypeError", "unhashable type: '%s'", v.TypeName())
	}
}

// ComplexKey returns the key of a complex number. One without an imaginary part equals its
// real part.
func ComplexKey(c complex128) Key {
	if imag(c) == 0 {
		return floatKey(real(c))
	}
	re := real(c) + 0 // -0 equals 0
	return Key{kind: 'c', n: int64(math.Float64bits(imag(c))), s: strconv.FormatFloat(re, 'x', -1, 64)}
}

func floatKey(f float64) Key {
	if f == math.Trunc(f) && !math.IsInf(f, 0) {
		if math.Abs(f) < 1<<63 {
			return Key{kind: 'i', n: int64(f)}
		}
		n, _ := big.NewFloat(f).Int(nil)
		return Key{kind: 'b', s: string(n.Bytes()), n: int64(n.Sign())}
	}
	return Key{kind: 'f', n: int64(math.Float64bits(f))}
}
