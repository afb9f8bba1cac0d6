// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

// MaskedVariable is the character that [Mask] writes instead of a variable. It occurs in no
// sensible source.
const MaskedVariable = '\x1a'

// Mask returns the source of a template without its tags, for a reader of the format that the
// template prints, such as HTML. Everything else keeps its position: each byte of a variable
// is replaced by [MaskedVariable], and those of other tags and of comments by spaces. Both
// branches of a condition are kept. Line breaks are kept everywhere. It also returns how many
// bytes were not replaced.
func Mask(source string) (masked string, kept int) {
	text := []byte(source)
	kept = len(text)
	fill := func(from, to int, with byte) {
		kept -= to - from
		for i := from; i < to; i++ {
			if text[i] != '\n' {
				text[i] = with
			}
		}
	}
	l := newLexer(source)
	comment := -1 // where an open {% comment %} begins
	for {
		tok, ok := l.next()
		if !ok {
			return string(text), kept
		}
		from := int(tok.pos)
		switch {
		case tok.kind == tokenText:
		case comment >= 0:
			if tok.kind == tokenBlock && tok.name() == "endcomment" {
				fill(comment, l.pos, ' ')
				comment = -1
			}
		case tok.kind == tokenVariable:
			fill(from, l.pos, MaskedVariable)
		default:
			fill(from, l.pos, ' ')
			if tok.kind == tokenBlock && tok.name() == "comment" {
				comment = l.pos
			}
		}
	}
}
