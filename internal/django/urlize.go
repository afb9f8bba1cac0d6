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
	// Trimming a word with references decodes it anew each round, so such
	// words, and the rounds, are bounded. Longer ones are no links.
	maxEntityWord   = 4 * maxURLLength
	maxEntityRounds = 100
)

// urlizer makes links of URLs and e-mail addresses in plain text.
type urlizer struct {
	meter  *meter.Meter
	limit  int  // characters of a link's text; negative for no limit
	escape bool // escape everything that isn't made here
}

func (u urlizer) urlize(text string, longest int) (string, error) {
	var b strings.Builder
	b.Grow(len(text) + len(text)/4)
	for i := 0; i < len(text); {
		if b.Len() > longest {
			return "", limitErrorf("a value would be longer than %d bytes", longest)
		}
		// White space, brackets and quotes part words.
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

// What looking at a word takes, in nanoseconds a byte: to quote a URL, and its
// host's Unicode to be normalised.
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

// firstRunes is s[:n] of Python, n >= 0.
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
// there is nothing more to move. A closing bracket stays if it is balanced.
func (u urlizer) trimPunctuation(word string) (lead, middle, trail string, err error) {
	middle = word
	var (
		start       int
		trails      []string // the outermost first
		hasEntities = strings.IndexByte(word, '&') >= 0
		balance     = map[byte]int{}
	)
	for _, c := range []byte("()[]") {
		balance[c] = strings.Count(word, string(c))
	}
	cutEnd := func(n int) {
		cut := middle[len(middle)-n:]
		for i := range len(cut) {
			if _, ok := balance[cut[i]]; ok {
				balance[cut[i]]--
			}
		}
		middle = middle[:len(middle)-n]
	}
	again := true
	for round := 0; again && (!hasEntities || round < maxEntityRounds); round++ {
		again = false
		for _, pair := range [...][2]byte{{'(', ')'}, {'[', ']'}} {
			if middle != "" && middle[0] == pair[0] {
				middle = middle[1:]
				start++
				balance[pair[0]]--
				again = true
			}
			if n := len(middle); n > 0 && middle[n-1] == pair[1] && balance[pair[1]] == balance[pair[0]]+1 {
				trails = append(trails, middle[n-1:])
				cutEnd(1)
				again = true
			}
		}
		if !hasEntities {
			if n := len(middle) - len(strings.TrimRight(middle, trailingPunctuation)); n > 0 {
				trails = append(trails, middle[len(middle)-n:])
				cutEnd(n)
				again = true
			}
			continue
		}
		if err := u.meter.SpendBytes(len(middle), 30); err != nil {
			return "", "", "", err
		}
		// A reference ends in ";": look at the text with references decoded.
		// Django then cuts both texts by lengths in characters, which can put
		// a part of the word in the trail twice.
		decoded := unescapeHTML(middle)
		stripped := strings.TrimRight(decoded, trailingPunctuation)
		if n := len(decoded) - len(stripped); n > 0 {
			trails = append(trails, middle[len(firstRunes(middle, runeCount(stripped))):])
			cutEnd(len(middle) - len(firstRunes(middle, max(runeCount(middle)-n, 0))))
			again = true
		}
	}
	var b strings.Builder
	for i := len(trails) - 1; i >= 0; i-- {
		b.WriteString(trails[i])
	}
	return word[:start], middle, b.String(), nil
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

// looksLikeHost tells what starts with "www.", or is a name under one of the
// original top-level domains with or without a path.
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

// looksLikeEmail is Django's simple check: one @ in the middle, and a dot in
// a domain of at most 63 characters.
func looksLikeEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") && runeCount(domain) <= 63 &&
		strings.Contains(domain, ".") && domain[0] != '.'
}
