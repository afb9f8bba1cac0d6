// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Use is a place in a template that reads a variable from the data.
type Use struct {
	// Path is the variable's dotted path.
	Path string
	// Filter is the first filter that is applied to it; empty if there is none.
	Filter string
	// Line and Column are where its tag begins, in characters from 1.
	Line, Column int
}

// Remark is about something in a template that is valid, but probably not what the author
// meant.
type Remark struct {
	Message string
	// Line and Column are where its tag begins, in characters from 1.
	Line, Column int
}

// read is a variable that is read, with its place.
type read struct {
	variable *variable
	filter   string
	pos      int32
	partial  bool // in a part that is printed elsewhere, where its names may be set
}

// remark is a Remark without its line.
type remark struct {
	message string
	pos     int32
}

// remark adds a remark about the tag that is being parsed.
func (p *Parser) remark(message string) {
	r := &p.template.reads
	if len(r.remarks) < maxRemarks {
		r.remarks = append(r.remarks, remark{message, p.at})
	}
}

// maxRemarks limits the remarks about a template.
const maxRemarks = 20

// Uses returns the places in the template that read its data, in order. It doesn't include
// those of included templates and of partials, which may read what is set where they are used.
func (t *Template) Uses() []Use {
	uses := make([]Use, 0, len(t.reads.paths))
	places := t.source.placer()
	for _, r := range t.reads.paths {
		if r.partial {
			continue
		}
		use := Use{Path: r.variable.path, Filter: r.filter}
		use.Line, use.Column = places.at(r.pos)
		uses = append(uses, use)
	}
	return uses
}

// Remarks returns up to twenty remarks about the template itself.
func (t *Template) Remarks() []Remark {
	remarks := make([]Remark, len(t.reads.remarks))
	places := t.source.placer()
	for i, r := range t.reads.remarks {
		remarks[i] = Remark{Message: r.message}
		remarks[i].Line, remarks[i].Column = places.at(r.pos)
	}
	return remarks
}

// placer converts offsets to lines and columns, in total time that doesn't depend on their
// number.
type placer struct {
	text  string
	lines []int // where each begins
}

func (s *source) placer() *placer {
	p := &placer{text: s.text, lines: []int{0}}
	for i := range len(s.text) {
		if s.text[i] == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	return p
}

// maxColumn bounds the characters that are counted for one column.
const maxColumn = 4096

func (p *placer) at(pos int32) (line, column int) {
	offset := min(int(pos), len(p.text))
	line, found := slices.BinarySearch(p.lines, offset)
	if found {
		line++
	}
	before := p.text[p.lines[line-1]:offset]
	if len(before) > maxColumn {
		return line, len(before) + 1
	}
	return line, utf8.RuneCountInString(before) + 1
}

// nestedTag is the hint for a tag in a tag.
const nestedTag = "within a tag, write the name of a variable without braces"

// remainderHint returns what the author probably meant by text that could not be parsed, or
// "".
func remainderHint(text, rest string) string {
	trimmed := strings.TrimSpace(rest)
	switch {
	case strings.ContainsAny(text, "‘’‚“”„«»"):
		return `write straight quotes (' or ")`
	case strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "}}"):
		return nestedTag
	case strings.HasPrefix(trimmed, "===") || strings.HasPrefix(trimmed, "!=="):
		return foreignOperators[trimmed[:3]]
	case strings.HasPrefix(trimmed, "??") || rest != trimmed && (strings.HasPrefix(trimmed, "||") || strings.HasPrefix(trimmed, "or ")):
		return "write a value for what is missing or empty as in name|default:'value'" // with a space, it is within {{ }}
	case strings.HasPrefix(trimmed, "&&") || strings.HasPrefix(trimmed, "||"):
		return foreignOperators[trimmed[:2]]
	case rest == text && foreignTag(rest) != "":
		return foreignTag(rest)
	case rest == text && strings.HasPrefix(rest, "!") && !strings.HasPrefix(rest, "!="):
		return foreignOperators["!"]
	case slices.ContainsFunc([]string{"==", "!=", "<=", ">=", "<", ">"}, func(op string) bool { return strings.HasPrefix(trimmed, op) }):
		return "comparisons need a space on both sides, and are allowed in {% if %} only"
	case strings.HasPrefix(trimmed, "="):
		return "write == to compare, with a space on both sides"
	case strings.HasPrefix(rest, "["):
		switch {
		case rest == text:
			return "templates have no lists: compare with each value, and join the comparisons with 'or'"
		case len(rest) > 2 && (rest[1] == '\'' || rest[1] == '"'):
			return "write .key for ['key']"
		}
		return "write .0 for [0]"
	case strings.HasPrefix(rest, "("):
		name, _, _ := strings.Cut(text, "(")
		switch {
		case rest == text:
			return "templates have no parentheses: put one {% if %} into another instead"
		case strings.HasPrefix(rest, "()"):
			return "write the name without (): templates call it themselves"
		case strings.Contains(name, "|"):
			return "write the filter's argument after a colon, as in value|filter:argument"
		case name == "len" || name == "length" || name == "count":
			return "write value|length"
		}
		return "templates call no functions with arguments: use a filter"
	case strings.HasPrefix(rest, "->"):
		return "write . for ->"
	case strings.HasPrefix(rest, "?."):
		return "write . for ?.: a missing variable prints nothing"
	case trimmed != "" && strings.ContainsRune("+-*/%", rune(trimmed[0])):
		return "templates don't calculate: use the filter add, or computed"
	case strings.HasPrefix(rest, " ") && trimmed != "" && isLetter(trimmed[0]):
		return "a name has no spaces; text needs no braces, and within a tag it needs quotes"
	}
	return ""
}

// foreignTag returns what to write instead of a variable that begins as a tag of another
// template language does, or "".
func foreignTag(text string) string {
	switch {
	case strings.HasPrefix(text, "!--") || strings.HasPrefix(text, "! ") || strings.HasPrefix(text, "/*"):
		return "write a comment as {# comment #}"
	case strings.HasPrefix(text, "#if ") || strings.HasPrefix(text, "#unless ") || strings.HasPrefix(text, "^"):
		return "write {% if name %}…{% else %}…{% endif %}"
	case strings.HasPrefix(text, "#each "):
		return "write {% for item in items %}…{% endfor %}"
	case strings.HasPrefix(text, "#") || strings.HasPrefix(text, "/"):
		return "write {% if name %} or {% for item in items %}, and {% endif %} or {% endfor %} at the end"
	case strings.HasPrefix(text, "{"):
		return "write two braces, as in {{ name }}"
	case strings.HasPrefix(text, "- ") || strings.HasSuffix(text, " -"):
		return "write {{ name }} without dashes"
	case strings.HasPrefix(text, "$"), strings.HasPrefix(text, "@"), strings.HasPrefix(text, "&"):
		return "write the name alone, as in {{ name }}"
	}
	return ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }
