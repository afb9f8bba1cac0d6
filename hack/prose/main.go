// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command prose checks the English of the repository: Markdown, Go comments and
// strings, YAML and scripts. It reports phrases of the list in phrases.go, each with
// what to write instead, and fails if there are any. `make lint` runs it.
//
// vale would do the same, but its Go module needs cgo, and this repository builds with
// Go, git and make alone.
package main

import (
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

func main() {
	root := flag.String("root", ".", "`directory` to check")
	flag.Parse()
	failures, err := run(*root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(2)
	}
	for _, f := range failures {
		fmt.Println(f)
	}
	if len(failures) > 0 {
		fmt.Fprintf(os.Stderr, "prose: %d findings; exceptions go into hack/prose/exceptions.txt, with a reason\n", len(failures))
		os.Exit(1)
	}
}

// run checks every file under root and returns the findings, sorted by place.
func run(root string) ([]string, error) {
	exceptions, err := readList(filepath.Join(root, "hack/prose/exceptions.txt"))
	if err != nil {
		return nil, err
	}
	used := make(map[string]bool)
	var failures []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if skipped(name) {
				return filepath.SkipDir
			}
			return nil
		}
		blocks, err := read(path)
		if err != nil || len(blocks) == 0 {
			return err
		}
		for _, f := range check(blocks) {
			if entry := excepted(exceptions, name, f.sentence); entry != "" {
				used[entry] = true
				continue
			}
			failures = append(failures, fmt.Sprintf("%s:%d: %q: %s", name, f.line, f.text, f.advice))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(failures)
	for _, entry := range exceptions {
		if !used[entry] {
			failures = append(failures, fmt.Sprintf("hack/prose: the exception %q is no longer used: remove it", entry))
		}
	}
	return failures, nil
}

// skipped reports whether a directory holds no text of ours.
func skipped(name string) bool {
	switch name {
	case ".git", "bin", ".run", "dist", "hack/prose", "config/crd/bases":
		return true
	}
	return strings.HasSuffix(name, "testdata") || strings.Contains(name, "node_modules")
}

// readList reads a file of entries, one to a line. Comments begin with #.
func readList(path string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	var entries []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			entries = append(entries, line)
		}
	}
	return entries, nil
}

// excepted returns the exception "file: words: reason" that covers a sentence.
func excepted(exceptions []string, name, sentence string) string {
	for _, entry := range exceptions {
		parts := strings.SplitN(entry, ": ", 3)
		if len(parts) == 3 && (parts[0] == "*" || parts[0] == name) && strings.Contains(sentence, parts[1]) {
			return entry
		}
	}
	return ""
}

// A block is running text: a paragraph, a comment or a string. Its line breaks are
// kept, so that an offset leads to a line.
type block struct {
	line int
	text string
}

// A finding is a phrase to be replaced.
type finding struct {
	line     int
	text     string
	sentence string
	advice   string
}

// read returns the blocks of a file; none if it is of a kind that isn't checked.
func read(path string) ([]block, error) {
	kind := filepath.Ext(path)
	base := filepath.Base(path)
	switch {
	case strings.HasPrefix(base, "zz_generated"):
		return nil, nil
	case kind == ".md", kind == ".go", kind == ".yaml", kind == ".yml", kind == ".sh", kind == ".env", base == "Makefile", base == "Dockerfile":
	default:
		return nil, nil
	}
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	switch kind {
	case ".md":
		return markdown(string(raw)), nil
	case ".go":
		return goText(raw, strings.HasSuffix(path, "_test.go")), nil
	}
	return plain(string(raw)), nil
}

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	linkTarget = regexp.MustCompile(`\]\([^)]*\)`)
	quotation  = regexp.MustCompile(`“[^”]*”`)
)

// markdown returns the paragraphs of a page, without code. Headings, list items and
// table cells are paragraphs of their own.
func markdown(page string) []block {
	var blocks []block
	var current block
	flush := func() {
		if strings.TrimSpace(current.text) != "" {
			for _, pattern := range []*regexp.Regexp{inlineCode, linkTarget, quotation} {
				current.text = pattern.ReplaceAllStringFunc(current.text, blank)
			}
			blocks = append(blocks, current)
		}
		current = block{}
	}
	fenced := false
	number := 0
	for line := range strings.Lines(page) {
		number++
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			flush()
			fenced = !fenced
			continue
		case fenced || strings.HasPrefix(line, "    ") && current.text == "":
			continue
		case trimmed == "" || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "<!--"):
			flush()
			continue
		case strings.HasPrefix(trimmed, "|"):
			flush()
			for cell := range strings.SplitSeq(trimmed, " | ") {
				current = block{line: number, text: cell}
				flush()
			}
			continue
		case strings.HasPrefix(trimmed, "- ") || strings.HasPrefix(trimmed, "* "):
			flush()
			line = strings.TrimLeft(line, " -*")
		}
		if current.text == "" {
			current.line = number
		}
		current.text += line
	}
	flush()
	return blocks
}

// blank replaces code by a placeholder that matches no phrase and keeps line breaks.
func blank(code string) string { return "§" + strings.Repeat("\n", strings.Count(code, "\n")) }

// goText returns the comments of a Go file, the names of its tests, and its strings unless
// it is a test, whose strings are data.
func goText(source []byte, test bool) []block {
	var blocks []block
	var s scanner.Scanner
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(source))
	s.Init(file, source, nil, scanner.ScanComments)
	last := -1 // the line of the comment before
	var previous token.Token
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			return blocks
		}
		line := file.Line(pos)
		if kind == token.IDENT && previous == token.FUNC {
			if name := testName(literal); name != "" {
				blocks = append(blocks, block{line, name})
			}
		}
		previous = kind
		switch kind {
		case token.COMMENT:
			text, isLine := strings.CutPrefix(literal, "//")
			if !isLine {
				blocks = append(blocks, block{line, strings.Trim(literal, "/*")})
				continue
			}
			if text != "" && text[0] != ' ' || strings.HasPrefix(text, " +") {
				continue // a directive or a marker
			}
			if line == last+1 && strings.TrimSpace(text) != "" {
				blocks[len(blocks)-1].text += "\n" + text
			} else {
				blocks = append(blocks, block{line, text})
			}
			last = line
		case token.STRING:
			if !test {
				blocks = append(blocks, block{line, strings.Trim(literal, "\"`")})
			}
		}
	}
}

var (
	testFunction = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark)(\p{Lu}.*)$`)
	nameWord     = regexp.MustCompile(`\p{Lu}+[^\p{Lu}_]*`)
)

// testName returns the words of a test's name as a sentence; empty for other functions.
func testName(function string) string {
	match := testFunction.FindStringSubmatch(function)
	if match == nil {
		return ""
	}
	words := nameWord.FindAllString(match[1], -1)
	for i := 1; i < len(words); i++ {
		words[i] = strings.ToLower(words[i])
	}
	return strings.Join(words, " ")
}

// plain returns the lines of a configuration or script, with comments of several lines
// as one block.
func plain(text string) []block {
	var blocks []block
	number, inComment := 0, false
	for line := range strings.Lines(text) {
		number++
		trimmed := strings.TrimSpace(line)
		comment := strings.HasPrefix(trimmed, "#")
		trimmed = strings.TrimLeft(trimmed, "# ")
		if comment && inComment && trimmed != "" {
			blocks[len(blocks)-1].text += "\n" + trimmed
		} else {
			blocks = append(blocks, block{number, trimmed})
		}
		inComment = comment && trimmed != ""
	}
	return blocks
}

var spaces = regexp.MustCompile(`\s+`)

// check returns the phrases that the blocks hold.
func check(blocks []block) []finding {
	var findings []finding
	for _, b := range blocks {
		// Spaces and line breaks become one byte each, so that phrases match across
		// lines; starts holds the line of each byte.
		var flat strings.Builder
		var lines []int
		line := b.line
		for i := 0; i < len(b.text); {
			if at := spaces.FindStringIndex(b.text[i:]); at != nil && at[0] == 0 {
				lines = append(lines, line)
				flat.WriteByte(' ')
				line += strings.Count(b.text[i:i+at[1]], "\n")
				i += at[1]
				continue
			}
			lines = append(lines, line)
			flat.WriteByte(b.text[i])
			i++
		}
		text := flat.String()
		for _, p := range phrases {
			for _, at := range p.pattern.FindAllStringIndex(text, -1) {
				sentence := sentenceAround(text, at[0], at[1])
				if p.unless != nil && p.unless.MatchString(sentence) {
					continue
				}
				findings = append(findings, finding{line: lines[at[0]], text: strings.TrimSpace(text[at[0]:at[1]]), sentence: sentence, advice: p.advice})
			}
		}
	}
	return findings
}

// sentenceAround returns the sentence that holds text[from:to].
func sentenceAround(text string, from, to int) string {
	if from < len(text) && strings.ContainsRune(".!", rune(text[from])) {
		from++ // the match begins with the end of the sentence before
	}
	start, end := 0, len(text)
	if i := strings.LastIndexAny(text[:from], ".!?"); i >= 0 {
		start = i + 1
	}
	if i := strings.IndexAny(text[to:], ".!?"); i >= 0 {
		end = to + i + 1
	}
	return strings.TrimSpace(text[start:end])
}
