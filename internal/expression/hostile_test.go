// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// hostileExpression is an expensive expression. In it, v and w are data outside quotes, and
// s and t are texts in quotes.
type hostileExpression struct {
	name, text string
	unit       string // what text repeats in a loop; empty if it does something else
}

// hostileOperators are the operators of the grammar.
var hostileOperators = []string{
	"+", "-", "*", "/", "//", "%", "**", "<<", ">>", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not", "and", "or", "&", "|", "^", "@",
}

func hostileExpressions(t *testing.T) []hostileExpression {
	t.Helper()
	var out []hostileExpression
	add := func(name, text string) { out = append(out, hostileExpression{name: name, text: text}) }
	loop := func(name, unit string) { out = append(out, hostileExpression{name, repeated(unit, 5000), unit}) }
	for _, op := range hostileOperators {
		for _, pair := range [][2]string{{"s", "t"}, {"v", "w"}, {"v", "3"}, {"s", "v"}, {"[s]", "[t]"}} {
			text := "(" + pair[0] + ") " + op + " (" + pair[1] + ")"
			loop("operator "+text, text)
			add("chain "+text, strings.Repeat("(", 100)+pair[0]+strings.Repeat(" "+op+" "+pair[1]+")", 100))
		}
	}
	for typ, names := range methodNames {
		self := map[string]string{"str": "s", "bytes": "s.encode()"}[typ]
		if self == "" {
			self = "v"
		}
		for name := range names {
			for _, args := range []string{"", "t", "w", "t, s", "100000", "lambda"} {
				if args == "lambda" {
					args = "key=str.lower"
				}
				call := self + "." + name + "(" + args + ")"
				loop("method "+call, call)
				add("kept "+call, "["+strings.TrimSuffix(strings.Repeat(call+", ", 100), ", ")+"] == 1")
				if args == "" {
					add("chain "+call, self+strings.Repeat("."+name+"()", 300))
				}
			}
		}
	}
	for name := range functions {
		for _, args := range []string{"", "s", "v", "s, 16", "s, 36"} {
			call := name + "(" + args + ")"
			loop("function "+call, call)
			add("kept "+call, "["+strings.TrimSuffix(strings.Repeat(call+", ", 100), ", ")+"] == 1")
		}
	}
	for _, text := range []string{
		"s s s s s s s s", "f'{s}{v}{s!r}'", "f'{s:>90000}'", "f'{v:,}'", "f'{v:.5000f}'", "f'{v:#x}'", "s[::-1]", "s[5]", "v[5]", "v[::2]", "s.encode()[::-1]", "-v", "not v", "{v: s}", "{s, t}", "{(s, t): 1}",
		"[x for x in v]", "[c for c in s]", "[x.append(x) for x in [[]]]", "[x.append(s.upper()) for x in [[]] for y in s]", "{}.fromkeys(v, s)", "{}.fromkeys(s)", "str.maketrans(s, s)", "s.translate(s.maketrans(t, t))", "(v, v) == (w, w)",
		"[x for x in [] if v] or v", "v if w else s", "'%s%s%r' % (s, t, v)", "s % v", "'%(a)s' % v", "dict(v)", "set(v) | set(w)", "(1).from_bytes(s.encode(), 'big') ** 3", "int(s[:4000]) ** 9", "2 ** 100000 % 7", "str(2 ** 10000)", "3.7 ** 0.3",
	} {
		loop("form "+text, text)
		add("kept "+text, "["+strings.TrimSuffix(strings.Repeat(text+", ", 100), ", ")+"] == 1")
	}
	slices.SortFunc(out, func(a, b hostileExpression) int { return strings.Compare(a.name, b.name) })
	return out
}

// repeated evaluates a text n times.
func repeated(text string, n int) string {
	return "[" + text + " for i in '" + strings.Repeat("x", n) + "'] == 1"
}

// source is the whole expression, with the data where it is named.
func (h hostileExpression) source() string { return withData(h.text) }

// withData puts the data where a text names it.
func withData(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		alone := (i == 0 || !isNameByte(text[i-1]) && text[i-1] != '\'' && text[i-1] != '%' && text[i-1] != ')') && (i+1 == len(text) || !isNameByte(text[i+1]) && text[i+1] != '\'')
		switch {
		case alone && (c == 's' || c == 't'):
			b.WriteString("'{{ " + string(c) + " }}'")
		case alone && (c == 'v' || c == 'w'):
			b.WriteString("{{ " + string(c) + " }}")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

const (
	hostileCPU     = 250 * time.Millisecond
	hostileMemory  = 64 << 20 // beyond the limits of the template and of the expression
	hostileOverrun = 50 * time.Millisecond
)

// TestHostile evaluates every operator, method, function and form over data that
// is hard for it, with a part of the budget (all of it if HOSTILE=full), and sees
// what that takes.
func TestHostile(t *testing.T) {
	size, share := 48<<10, 20
	if metertest.Slowdown > 1 {
		size = 32 << 10
	}
	if metertest.Full {
		size, share = 1<<20, 1
	}
	limits := (Limits{}).withDefaults()
	limits.Steps /= share
	bound := uint64(limits.Memory + 32<<20 + hostileMemory)
	inputs := metertest.Inputs()
	values := make([]python.Value, len(inputs))
	for i, in := range inputs {
		values[i] = in.Make(size)
	}
	var worst []string
	for _, h := range hostileExpressions(t) {
		if !h.sampled() {
			continue
		}
		x, err := Compile("main", h.source(), Options{Limits: limits, Template: django.Options{Limits: django.Limits{Steps: 1_000_000 / share}}})
		if err != nil {
			continue // not all combinations are Python
		}
		i := int(hashOf(h.name)) % len(inputs)
		in := inputs[i]
		data := python.NewDict(4)
		for _, name := range []string{"v", "w", "s", "t"} {
			data.SetStr(name, values[i])
		}
		if s, ok := python.AsStr(values[i]); ok { // as a literal, else it is refused
			data.SetStr("v", python.Str(python.Repr(python.Str(s))))
			data.SetStr("w", python.Str(python.Repr(python.Str(s[:len(s)/2]))))
		}
		var v Verdict
		evaluate := func(ctx context.Context) { v = x.Evaluate(ctx, data, EvaluateOptions{}) }
		where := fmt.Sprintf("%s of %q", h.name, in.Name)
		allowed := (hostileCPU/time.Duration(share) + 15*time.Millisecond) * time.Duration(metertest.Slowdown)
		cpu := metertest.MeasureWithin(allowed, func() { evaluate(context.Background()) })
		if cpu > allowed {
			t.Errorf("%s: took %s (%v)", where, cpu, v.Fault)
		}
		if v.Fault != nil && v.Fault.Kind == internalError {
			t.Errorf("%s: %v: %v", where, v.Fault, v.Fault.Err)
		}
		if cpu > hostileCPU/time.Duration(share)/2 {
			worst = append(worst, fmt.Sprintf("%8.2fms %s (%v)", cpu.Seconds()*1000, where, v.Fault))
		}
		if metertest.Full {
			if total, live := metertest.Allocated(bound, func() { evaluate(context.Background()) }); live > bound {
				t.Errorf("%s: held %d MiB, of %d MiB in all", where, live>>20, total>>20)
			}
		}
	}
	slices.Sort(worst)
	for _, w := range worst[max(len(worst)-40, 0):] {
		t.Log(w)
	}
}

// TestHostileDeadline sees how far evaluations overrun a deadline, with steps
// without end.
func TestHostileDeadline(t *testing.T) {
	const size = 1 << 20
	limits := (Limits{Steps: 1 << 40, Memory: 1 << 30}).withDefaults()
	values := map[string]python.Value{}
	inputs := metertest.Inputs()
	for i, h := range hostileExpressions(t) {
		if i%2 == 0 || !h.sampled() {
			continue
		}
		x, err := Compile("main", h.source(), Options{Limits: limits, Template: django.Options{Limits: django.Limits{Steps: 1 << 40, Memory: 1 << 30}}})
		if err != nil {
			continue
		}
		in := inputs[int(hashOf("deadline", h.name))%len(inputs)]
		if values[in.Name] == nil {
			values[in.Name] = in.Make(size)
		}
		data := python.NewDict(4)
		for _, name := range []string{"v", "w", "s", "t"} {
			data.SetStr(name, values[in.Name])
		}
		const deadline = 20 * time.Millisecond // rendering a mebibyte takes some of it
		took := func() time.Duration {
			return metertest.Measure(func() {
				x.Evaluate(metertest.Deadline{Context: context.Background(), At: metertest.CPU() + deadline}, data, EvaluateOptions{})
			})
		}
		allowed := (deadline + hostileOverrun) * time.Duration(metertest.Slowdown)
		cpu := took()
		if cpu > allowed {
			cpu = min(cpu, took())
		}
		if cpu > allowed {
			t.Errorf("%s of %q: took %s", h.name, in.Name, cpu)
		}
		if cpu > 50*time.Millisecond {
			t.Logf("%s of %q: %s", h.name, in.Name, cpu)
		}
	}
}

// sampled chooses the expressions for a quick run: each method, function,
// operator and form in at least one of its variants.
func (h hostileExpression) sampled() bool {
	n := uint32(5)
	if metertest.Slowdown > 1 {
		n = 40
	}
	return metertest.Full || hashOf(h.name)%n == 0 || n == 5 && strings.HasPrefix(h.name, "method") && strings.HasSuffix(h.name, "(t)")
}

func hashOf(texts ...string) uint32 {
	h := fnv.New32a()
	for _, s := range texts {
		_, _ = h.Write([]byte(s))
	}
	return h.Sum32() >> 3
}

// TestHostileOperators compares hostileOperators with the grammar, so that an operator that
// is added to the parser is tested as well.
func TestHostileOperators(t *testing.T) {
	grammar := []string{"and", "or", "in", "not in", "is", "is not", "**"}
	for op := range compareOps {
		grammar = append(grammar, op)
	}
	for _, level := range levels {
		grammar = append(grammar, level...)
	}
	tested := slices.Clone(hostileOperators)
	slices.Sort(grammar)
	slices.Sort(tested)
	if !slices.Equal(grammar, tested) {
		t.Errorf("the grammar has %q, hostileOperators %q", grammar, tested)
	}
	// Whatever else the lexer knows is not a binary operator.
	others := []string{"~", "(", ")", "[", "]", "{", "}", ",", ":", ".", "...", ";", "=", "->", ":=", "<>"}
	for _, op := range operators {
		if !slices.Contains(tested, op) && !slices.Contains(others, op) && !strings.HasSuffix(op, "=") {
			t.Errorf("hostileOperators lacks %s", op)
		}
	}
}
