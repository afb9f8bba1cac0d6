// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
)

const (
	// maxURLLength is Django's MAX_URL_LENGTH, in characters.
	maxURLLength = 2048
	// Trimming a word with character references decodes its end in each round, so such
	// words are limited. Longer ones don't become links.
	maxEntityWord = 4 * maxURLLength
)

// urlizer converts URLs and email addresses in plain text to links.
type urlizer struct {
	meter  *meter.Meter
	limit  int  // characters of a link's text; negative for no limit
	escape bool // escape all text except the created tags
}

func (u urlizer) urlize(text string, longest int) (string, error) {
	var b strings.Builder
	b.Grow(len(text) + len(text)/4)
	for i := 0; i < len(text); {
		if b.Len() > longest {
			return "", limitErrorf("a value would be longer than %d bytes", longest)
		}
		// White space, brackets and quotes separate words.
		j := i
		for j < len(text) && urlizeBreakAt(text, j) == 0 {
			_, size := utf8.DecodeRuneInString(text[j:])
			j += size
		}
		if err := u.word(&b, text[i:j]); err != nil {
			return "", err
		}
		i = j
		for j < len(text) {
			size := urlizeBreakAt(text, j)
			if size == 0 {
				break
			}
			j += size
		}
		b.WriteString(u.maybeEscape(text[i:j]))
		i = j
	}
	return b.String(), nil
}

func urlizeBreakAt(s string, i int) int {
	switch s[i] {
	case '<', '>', '"', '\'':
		return 1
	}
	return spaceAt(s, i)
}

func (u urlizer) maybeEscape(s string) string {
	if u.escape {
		return Escape(s)
	}
	return s
}

// Costs of examining a word, in nanoseconds per byte: for quoting a URL, and for
// normalizing the Unicode of its host.
const (
	urlNanos     = 100
	urlWideNanos = 1000
)

func (u urlizer) word(b *strings.Builder, word string) error {
	if !strings.ContainsAny(word, ".@:") || len(word) > maxEntityWord && strings.IndexByte(word, '&') >= 0 {
		b.WriteString(u.maybeEscape(word))
		return nil
	}
	lead, middle, trail, err := u.trimPunctuation(word)
	if err != nil {
		return err
	}
	nanos := urlNanos
	if !isASCII(middle) {
		nanos = urlWideNanos
	}
	if err := u.meter.SpendBytes(min(len(middle), utf8.UTFMax*maxURLLength), nanos); err != nil {
		return err
	}
	var url string
	rel := ` rel="nofollow"`
	short := runeCount(middle) <= maxURLLength
	switch {
	case short && looksLikeURL(middle):
		url = smartURLQuote(unescapeHTML(middle))
	case short && looksLikeHost(middle):
		url = smartURLQuote("http://" + unescapeHTML(middle))
	case !strings.Contains(middle, ":") && looksLikeEmail(middle):
		local, domain, _ := strings.Cut(middle, "@")
		host, err := idnaEncode(domain)
		if err != nil {
			// Django leaves such a word as it is, without escaping it. A word
			// has none of < > " ', so all that can stay is a bare "&".
			b.WriteString(word)
			return nil //nolint:nilerr // see above
		}
		url, rel = "mailto:"+local+"@"+host, ""
	default:
		b.WriteString(u.maybeEscape(word))
		return nil
	}
	b.WriteString(u.maybeEscape(lead))
	b.WriteString(`<a href="` + Escape(url) + `"` + rel + ">")
	b.WriteString(u.maybeEscape(u.trim(middle)))
	b.WriteString("</a>")
	b.WriteString(u.maybeEscape(trail))
	return nil
}

// trim shortens a link's text to the limit.
func (u urlizer) trim(s string) string {
	if u.limit < 0 || runeCount(s) <= u.limit {
		return s
	}
	return firstRunes(s, max(u.limit-1, 0)) + ellipsis
}

// firstRunes returns s[:n] of Python, n >= 0.
func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

const trailingPunctuation = ".,:;!"

// trimPunctuation moves wrapping and trailing punctuation out of a word, until
// there is nothing more to move. A closing bracket stays if it is balanced, and
// a semicolon if it ends a reference. It is that of Django 5.0.14, which counts
// the brackets of the whole word once, and cuts as many characters as there are
// closing brackets too many, whatever they are.
func (u urlizer) trimPunctuation(word string) (lead, middle, trail string, err error) {
	middle = strings.TrimLeft(word, "([")
	lead = word[:len(word)-len(middle)]
	end := len(middle)
	brackets := [...]struct {
		closing rune
		extra   int // closing ones more than opening ones
	}{
		{')', strings.Count(middle, ")") - strings.Count(middle, "(")},
		{']', strings.Count(middle, "]") - strings.Count(middle, "[")},
	}
	for trimmed := true; trimmed && middle != ""; {
		if err := u.meter.SpendBytes(len(middle), 10); err != nil {
			return "", "", "", err
		}
		before := len(middle)
		for i := range brackets {
			b := &brackets[i]
			if last, _ := utf8.DecodeLastRuneInString(middle); b.extra > 0 && last == b.closing {
				middle = withoutLastRunes(middle, b.extra)
				b.extra = 0
			}
		}
		amp := strings.LastIndexByte(middle, '&')
		if amp < 0 {
			middle = strings.TrimRight(middle, trailingPunctuation)
		} else if middle = strings.TrimRight(middle, ".,:!"); strings.HasSuffix(middle, ";") {
			reference := middle[amp:]
			if err := u.meter.SpendBytes(len(reference), 30); err != nil {
				return "", "", "", err
			}
			if text := unescapeHTML(reference); text == reference || strings.HasSuffix(text, ";") {
				rest := strings.TrimRight(middle, trailingPunctuation)
				if strings.HasSuffix(middle, ";;") {
					// The first semicolon may end a reference: check again.
					middle = middle[:len(rest)+strings.IndexByte(middle[len(rest):], ';')+1]
				} else {
					middle = rest
				}
			}
		}
		trimmed = len(middle) < before
	}
	return lead, middle, word[len(lead)+len(middle) : len(lead)+end], nil
}

// withoutLastRunes returns s[:-n] of Python, n > 0.
func withoutLastRunes(s string, n int) string {
	for ; n > 0 && s != ""; n-- {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// looksLikeURL matches ^https?://\[?\w, in any case.
func looksLikeURL(s string) bool {
	rest, ok := cutPrefixFold(s, "http")
	if !ok {
		return false
	}
	if after, ok := cutPrefixFold(rest, "s"); ok {
		rest = after
	}
	if rest, ok = strings.CutPrefix(rest, "://"); !ok {
		return false
	}
	r, _ := utf8.DecodeRuneInString(strings.TrimPrefix(rest, "["))
	return isWord(r)
}

// looksLikeHost reports whether s starts with "www.", or is a name under one of the
// original top-level domains, with or without a path.
func looksLikeHost(s string) bool {
	if _, ok := cutPrefixFold(s, "www."); ok {
		return true
	}
	if _, ok := cutPrefixFold(s, "http"); ok {
		return false
	}
	r, size := utf8.DecodeRuneInString(s)
	if !isWord(r) {
		return false
	}
	host := s
	if at := strings.IndexByte(s[size:], '@'); at >= 0 {
		host = s[:size+at]
	}
	// At least one character between the first one and the dot.
	_, second := utf8.DecodeRuneInString(host[size:])
	for i := size + second; second > 0 && i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		if i+1 == len(s) || strings.IndexByte("cegimnoCEGIMNO", s[i+1]) < 0 {
			continue
		}
		for _, tld := range [...]string{"com", "edu", "gov", "int", "mil", "net", "org"} {
			if rest, ok := cutPrefixFold(s[i+1:], tld); ok && (rest == "" || rest[0] == '/') {
				return true
			}
		}
	}
	return false
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// looksLikeEmail implements Django's simple check: one @ in the middle, and a dot in a
// domain of at most 63 characters.
func looksLikeEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") && runeCount(domain) <= 63 &&
		strings.Contains(domain, ".") && domain[0] != '.'
}
