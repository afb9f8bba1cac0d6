// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"encoding/hex"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

func byteOrder(args []python.Value) (little, signed bool, err error) {
	if len(args) > 1 && args[1] != nil {
		switch args[1] {
		case python.Str("little"):
			little = true
		case python.Str("big"):
		default:
			return false, false, valueError("byteorder must be either 'little' or 'big'")
		}
	}
	return little, len(args) > 2 && args[2] != nil && truth(args[2]), nil
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

func toBytes(self python.Value, args []python.Value) (python.Value, error) {
	if len(args) > 3 {
		return nil, typeError("to_bytes() takes at most 3 arguments")
	}
	n, _ := python.AsBig(self)
	length := int64(1)
	if len(args) > 0 && args[0] != nil {
		var ok bool
		if length, ok = python.AsInt(args[0]); !ok {
			return nil, typeError("to_bytes() wants a whole number as length")
		}
	}
	if length < 0 {
		return nil, valueError("length argument must be non-negative")
	}
	if length > python.MaxLen {
		return nil, faultf(LimitExceeded, -1, "the bytes would become too long")
	}
	little, signed, err := byteOrder(args)
	if err != nil {
		return nil, err
	}
	bits := n.BitLen()
	if signed {
		if n.Sign() < 0 {
			bits = new(big.Int).Not(n).BitLen()
		}
		bits++
	} else if n.Sign() < 0 {
		return nil, faultf("OverflowError", -1, "can't convert negative int to unsigned")
	}
	if n.Sign() != 0 && int64(bits) > 8*length {
		return nil, faultf("OverflowError", -1, "int too big to convert")
	}
	out := make([]byte, length)
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*length)))
	}
	n.FillBytes(out)
	if little {
		reverse(out)
	}
	return Bytes(out), nil
}

func fromBytes(args []python.Value) (python.Value, error) {
	if len(args) < 1 || len(args) > 3 {
		return nil, typeError("from_bytes() takes 1 to 3 arguments")
	}
	b, ok := args[0].(Bytes)
	if !ok {
		return nil, typeError("from_bytes() wants bytes")
	}
	if len(b) > python.MaxIntBits/8 {
		return nil, faultf(LimitExceeded, -1, "the number would become too large")
	}
	little, signed, err := byteOrder(args)
	if err != nil {
		return nil, err
	}
	raw := []byte(b)
	if little {
		reverse(raw)
	}
	n := new(big.Int).SetBytes(raw)
	if signed && len(raw) > 0 && raw[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
	}
	return python.NewInt(n), nil
}

// bytesMethod applies the methods of str to ASCII bytes.
func (e *evaluator) bytesMethod(b Bytes, name string, args []python.Value) (python.Value, error) {
	switch name {
	case "decode":
		if len(args) > 2 {
			return nil, typeError("decode() takes at most 2 arguments")
		}
		args = append(append([]python.Value(nil), args...), nil, nil)
		return decodeBytes(b, args[0], args[1])
	case "hex":
		if len(args) > 0 {
			return nil, faultf(FeatureNotAvailable, -1, "hex() with arguments is not available")
		}
		if err := e.grow(2 * len(b)); err != nil {
			return nil, err
		}
		return python.Str(hex.EncodeToString([]byte(b))), nil
	case "fromhex":
		if len(args) != 1 {
			return nil, typeError("fromhex() takes one argument, not %d", len(args))
		}
		s, _ := python.AsStr(args[0])
		out, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			return nil, valueError("non-hexadecimal number found in fromhex() arg")
		}
		return Bytes(out), nil
	}
	plain := func(b Bytes) bool {
		return strings.IndexFunc(string(b), func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	}
	ok := plain(b)
	var toText func(v python.Value) (python.Value, error)
	toText = func(v python.Value) (python.Value, error) {
		switch v := v.(type) {
		case Bytes:
			ok = ok && plain(v)
			return python.Str(v), nil
		case python.Str:
			return nil, typeError("a bytes-like object is required, not 'str'")
		case *python.List, *python.Tuple:
			own, _ := python.Items(&e.meter, v)
			items := make([]python.Value, len(own))
			for i, it := range own {
				var err error
				if items[i], err = toText(it); err != nil {
					return nil, err
				}
			}
			if _, isList := v.(*python.List); isList {
				return &python.List{Items: items}, nil
			}
			return &python.Tuple{Items: items}, nil
		}
		return v, nil
	}
	texts := make([]python.Value, len(args))
	switch name {
	case "count", "find", "index", "rfind", "rindex": // also take one byte as a number
		if len(args) == 0 {
			break
		}
		if n, isInt := python.AsInt(args[0]); isInt {
			if n < 0 || n > math.MaxUint8 {
				return nil, valueError("byte must be in range(0, 256)")
			}
			args = append([]python.Value{Bytes([]byte{byte(n)})}, args[1:]...)
		}
	}
	for i, a := range args {
		var err error
		if texts[i], err = toText(a); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, faultf(FeatureNotAvailable, -1, "methods of bytes beyond ASCII are not available")
	}
	v, err := e.plainMethod(python.Str(b), name, texts)
	if err != nil {
		return nil, err
	}
	return asBytes(v), nil
}

func asBytes(v python.Value) python.Value {
	switch v := v.(type) {
	case python.Str:
		return Bytes(v)
	case *python.List:
		for i, it := range v.Items {
			v.Items[i] = asBytes(it)
		}
	case *python.Tuple:
		items := make([]python.Value, len(v.Items))
		for i, it := range v.Items {
			items[i] = asBytes(it)
		}
		return &python.Tuple{Items: items}
	}
	return v
}
