// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"math"
	"strconv"

	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("widthratio", parseWidthRatio) }

// widthRatioNode is {% widthratio value max width [as name] %}.
type widthRatioNode struct {
	value, max, width *Expression
	as                string
}

func parseWidthRatio(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	node := &widthRatioNode{}
	switch len(words) {
	case 4:
	case 6:
		if words[4] != "as" {
			return nil, p.Errorf("Invalid syntax in widthratio tag. Expecting 'as' keyword")
		}
		node.as = words[5]
	default:
		return nil, p.Errorf("widthratio takes at least three arguments")
	}
	for i, dst := range []**Expression{&node.value, &node.max, &node.width} {
		expr, err := p.CompileFilter(words[i+1])
		if err != nil {
			return nil, err
		}
		*dst = expr
	}
	if node.as != "" {
		p.bind(node.as)
	}
	return node, nil
}

func (n *widthRatioNode) Render(c *Context) error {
	text, err := n.ratio(c)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if n.as != "" {
		c.Set(n.as, python.Str(text), false)
		return nil
	}
	return c.WriteData(text)
}

// numberNanos is the time of reading a number, in nanoseconds per byte.
const numberNanos = 40

// notANumber is the error for a width that is not a number. Django reports it also when
// evaluating one of the other arguments fails.
func notANumber(err error) error {
	if python.IsError(err, "ValueError", "TypeError") {
		return syntaxErrorf("widthratio final argument must be a number")
	}
	return err
}

func (n *widthRatioNode) ratio(c *Context) (string, error) {
	var values [3]python.Value
	for i, expr := range []*Expression{n.value, n.max, n.width} {
		var err error
		if values[i], err = expr.Value(c); err != nil {
			return "", notANumber(err)
		}
		if err := c.meter.SpendBytes(python.Size(values[i]), numberNanos); err != nil {
			return "", err
		}
	}
	width, err := python.ToInt(values[2])
	if err != nil {
		return "", notANumber(err)
	}
	value, err := python.ToFloat(values[0])
	if err != nil {
		return "", nil //nolint:nilerr // prints nothing
	}
	most, err := python.ToFloat(values[1])
	if err != nil {
		return "", nil //nolint:nilerr // prints nothing
	}
	if most == 0 {
		return "0", nil
	}
	scale, err := python.ToFloat(width)
	ratio := math.RoundToEven(value / most * scale)
	if err != nil || math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return "", nil //nolint:nilerr // prints nothing
	}
	if math.Abs(ratio) < 1<<53 {
		return strconv.FormatInt(int64(ratio), 10), nil
	}
	whole, err := python.ToInt(python.Float(ratio))
	if err != nil {
		return "", err
	}
	return python.StrOf(whole), nil
}
