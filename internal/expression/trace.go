// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/python"
)

// Trace records how an expression reached its verdict. It contains the event's data, so
// only people with access to that may see it.
type Trace struct {
	// Text is the rendered template of the expression, the input of Python, truncated to 16
	// KiB.
	Text string
	// Result is the expression's value as Python prints it, truncated to 1 KiB; empty if
	// there was a fault.
	Result string
	// Comparisons are the first 50 evaluated comparisons, in order. Those that "and" and
	// "or" short-circuited are not included.
	Comparisons []Comparison
	// More says that there were further comparisons.
	More bool
}

// Comparison is one comparison with the values of both sides, such as 'a' == 'b'.
type Comparison struct {
	// Left and Right are the values as Python prints them, truncated to 1 KiB.
	Left, Operator, Right string
	// Holds is the comparison's result.
	Holds bool
}

// Limits of a trace.
const (
	maxTraced      = 50
	maxTracedText  = 16 << 10 // bytes
	maxTracedValue = 1 << 10  // bytes
)

var comparisonSigns = [...]string{
	opEq: "==", opNotEq: "!=", opLt: "<", opLtE: "<=", opGt: ">", opGtE: ">=",
	opIn: "in", opNotIn: "not in", opIs: "is", opIsNot: "is not",
}

// render keeps the rendered text.
func (t *Trace) render(segments []django.Segment) {
	var b strings.Builder
	for _, s := range segments {
		if b.Len() > maxTracedText {
			break
		}
		b.WriteString(s.Text[:min(len(s.Text), maxTracedText+1)])
	}
	t.Text = cutText(b.String(), maxTracedText)
}

// compare keeps a comparison.
func (t *Trace) compare(op compareOp, left, right python.Value, holds bool) {
	if len(t.Comparisons) == maxTraced {
		t.More = true
		return
	}
	t.Comparisons = append(t.Comparisons, Comparison{Left: shown(left), Operator: comparisonSigns[op], Right: shown(right), Holds: holds})
}

// shown returns a value as Python prints it, truncated. The cost depends on the result, not
// on the size of the value.
func shown(v python.Value) string {
	return cutText(string(appendShown(nil, v, 0)), maxTracedValue)
}

func appendShown(b []byte, v python.Value, depth int) []byte {
	const maxDepth = 4
	items := func(open, end string, n int, at func(i int) []byte) []byte {
		b = append(b, open...)
		for i := range n {
			if i > 0 {
				b = append(b, ", "...)
			}
			if len(b) > maxTracedValue {
				return b // it is truncated before the end
			}
			b = at(i)
		}
		return append(b, end...)
	}
	switch v := v.(type) {
	case python.Str:
		text := string(v)
		if len(text) > maxTracedValue {
			text = cutText(text, maxTracedValue)
		}
		return append(b, python.Repr(python.Str(text))...)
	case Bytes:
		return append(b, python.Repr(v[:min(len(v), maxTracedValue)])...)
	case *python.Big:
		if tooLongToPrint(v.Int()) {
			return fmt.Appendf(b, "a number of more than %d digits", maxDigits)
		}
	case *python.List:
		if depth < maxDepth {
			return items("[", "]", len(v.Items), func(i int) []byte { return appendShown(b, v.Items[i], depth+1) })
		}
		return append(b, "[…]"...)
	case *python.Tuple:
		if depth < maxDepth {
			end := ")"
			if len(v.Items) == 1 {
				end = ",)"
			}
			return items("(", end, len(v.Items), func(i int) []byte { return appendShown(b, v.Items[i], depth+1) })
		}
		return append(b, "(…)"...)
	case *python.Dict:
		if depth < maxDepth {
			return items("{", "}", v.Len(), func(i int) []byte {
				key, value := v.At(i)
				b = append(appendShown(b, key, depth+1), ": "...)
				return appendShown(b, value, depth+1)
			})
		}
		return append(b, "{…}"...)
	case python.Bool, python.Int, python.Float, python.NoneType, Complex:
	default: // sets, views and values without a literal
		return fmt.Appendf(b, "<%s>", v.TypeName())
	}
	return append(b, python.Repr(v)...)
}

// cutText truncates a text to about limit bytes of valid UTF-8.
func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
