// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// parameters are the names of the arguments of methods that accept keyword arguments.
var parameters = map[string][]string{
	"str.split":       {"sep", "maxsplit"},
	"str.rsplit":      {"sep", "maxsplit"},
	"str.splitlines":  {"keepends"},
	"str.expandtabs":  {"tabsize"},
	"str.encode":      {"encoding", "errors"},
	"bytes.decode":    {"encoding", "errors"},
	"int.to_bytes":    {"length", "byteorder", "signed"},
	"int.from_bytes":  {"bytes", "byteorder", "signed"},
	"bool.to_bytes":   {"length", "byteorder", "signed"},
	"bool.from_bytes": {"bytes", "byteorder", "signed"},
}

// defaults are the values of omitted arguments before a named argument.
var defaults = map[string]python.Value{"sep": python.None, "maxsplit": python.Int(-1)}

func (e *evaluator) callMethod(typ, name string, self python.Value, args arguments) (python.Value, error) {
	full := typ + "." + name
	if len(args.names) > 0 && full != "list.sort" && full != "dict.update" {
		spread, err := args.spread(full, parameters[full]...)
		if err != nil {
			return nil, err
		}
		for i := range spread {
			if spread[i] == nil {
				spread[i] = defaults[parameters[full][i]]
			}
		}
		for len(spread) > 0 && spread[len(spread)-1] == nil {
			spread = spread[:len(spread)-1]
		}
		args = arguments{positional: spread}
	}
	if err := e.chargeMethod(name, self, args.positional); err != nil {
		return nil, err
	}
	switch v := self.(type) {
	case python.Str:
		return e.textMethod(string(v), name, args.positional)
	case Bytes:
		return e.bytesMethod(v, name, args.positional)
	case *python.List:
		return e.listMethod(v, name, args)
	case *python.Dict:
		return e.dictMethod(v, name, args)
	case *python.Set:
		return e.setMethod(v, name, args)
	case *python.DictView:
		set, ok := e.viewSet(v).(*python.Set)
		if !ok {
			return nil, typeError("the dict holds what a set can't")
		}
		return e.setMethod(set, name, args)
	case Complex:
		return Complex(complex(real(v), -imag(v))), args.count(full, 0, 0)
	case nil:
		return e.classMethod(name, args.positional)
	}
	switch name {
	case "to_bytes":
		return toBytes(self, args.positional)
	case "from_bytes", "fromhex":
		return e.classMethod(name, args.positional)
	}
	return e.plainMethod(self, name, args.positional)
}

// plainMethod delegates the method to package python.
func (e *evaluator) plainMethod(self python.Value, name string, args []python.Value) (python.Value, error) {
	for i, a := range args {
		if a == nil {
			return nil, typeError("argument %d of %s() is missing", i+1, name)
		}
	}
	v, ok, err := python.CallMethod(&e.meter, self, name, args)
	if !ok {
		return nil, faultf(FeatureNotAvailable, -1, "the method '%s' is not available", name)
	}
	return v, err
}

// chargeMethod charges for the work of a method in advance.
func (e *evaluator) chargeMethod(name string, self python.Value, args []python.Value) error {
	if self == nil {
		self = python.None
	}
	switch name {
	case "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "popitem", "setdefault", "update", "add", "discard",
		"difference_update", "intersection_update", "symmetric_difference_update":
		e.changes++
	}
	work := python.Size(self) / 32
	for _, a := range args {
		if a == nil {
			continue
		}
		n, err := python.Weigh(&e.meter, a)
		if err != nil {
			return err
		}
		if n >= 64 {
			work += n * hashNanos / int(meter.StepTime)
		}
	}
	return e.charge(work)
}

// translateNanos is the time for translating a byte, in nanoseconds.
const translateNanos = 300
