// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"math/rand/v2"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("lorem", parseLorem) }

// loremNode is {% lorem [count] [w|p|b] [random] %}: filler text.
type loremNode struct {
	count  *Expression
	method string
	random bool
}

const loremParagraph = "Lorem ipsum dolor sit amet, consectetur adipisicing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. " +
	"Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat. " +
	"Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur. " +
	"Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum."

// paragraphSteps is what making a paragraph takes.
const paragraphSteps = 60

// commonWords is how many of the words always come first.
const commonWords = 19

var loremWords = strings.Fields(strings.Map(func(r rune) rune {
	if r == ',' || r == '.' {
		return -1
	}
	return r
}, strings.ToLower(loremParagraph)))

func parseLorem(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	node := &loremNode{method: "b"}
	if words[len(words)-1] == "random" {
		node.random = true
		words = words[:len(words)-1]
	}
	if n := len(words); n > 0 && (words[n-1] == "w" || words[n-1] == "p" || words[n-1] == "b") {
		node.method = words[n-1]
		words = words[:n-1]
	}
	count := "1"
	if n := len(words); n > 1 {
		count = words[n-1]
		words = words[:n-1]
	}
	if node.count, err = p.CompileFilter(count); err != nil {
		return nil, err
	}
	if len(words) != 1 {
		return nil, p.Errorf("Incorrect format for 'lorem' tag")
	}
	return node, nil
}

func (n *loremNode) Render(c *Context) error {
	number, err := n.count.Value(c)
	if err == nil {
		number, err = python.ToInt(number)
	}
	if python.IsError(err, "TypeError", "ValueError") { // even those of filters
		number, err = python.Int(1), nil
	}
	if err != nil {
		return err
	}
	i, ok := python.AsInt(number)
	if !ok || i > 100_000 || i < -100_000 {
		return limitErrorf("lorem prints at most 100000 words")
	}
	count := int(i)
	steps := count
	if n.method != "w" {
		steps *= paragraphSteps
	}
	if err := c.Step(max(steps, 0)); err != nil {
		return err
	}
	if n.method == "w" {
		return c.WriteData(loremText(count, n.random))
	}
	for i := range count {
		text := loremParagraph
		if n.random || i > 0 {
			text = loremSentences()
		}
		if n.method == "p" {
			text = "<p>" + text + "</p>"
		}
		if i > 0 {
			text = "\n\n" + text
		}
		if err := c.WriteData(text); err != nil {
			return err
		}
	}
	return nil
}

// loremText returns a number of words. As in Django, a negative count omits as many of the
// common ones.
func loremText(count int, random bool) string {
	words := loremWords[:commonWords]
	if random {
		words = nil
	}
	if count <= len(words) {
		if count < 0 {
			count = max(len(words)+count, 0)
		}
		return strings.Join(words[:count], " ")
	}
	words = append([]string(nil), words...)
	for len(words) < count {
		words = append(words, loremWords[rand.IntN(len(loremWords))])
	}
	return strings.Join(words, " ")
}

func loremSentences() string {
	var sentences []string
	for range 1 + rand.IntN(4) {
		s := loremText(3+rand.IntN(20), true)
		sentences = append(sentences, strings.ToUpper(s[:1])+s[1:]+".")
	}
	return strings.Join(sentences, " ")
}
