// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	encoding "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/unicode/norm"
)

// Characters that quote doesn't encode, in addition to letters, digits and "_.-~".
const (
	safeInPath = "/"                        // urllib.parse.quote's default
	safeInIRI  = "/#%[]=:;$&()+,!?*@'~"     // django.utils.encoding.iri_to_uri
	safeInURL  = "!$&'()*+,;=" + ":/?#[]@~" // smart_urlquote: RFC 3986's delimiters
)

// quote implements urllib.parse.quote: UTF-8 bytes that are neither unreserved nor in safe
// become %XX. Only ASCII characters in safe count.
func quote(s, safe string) string {
	var unquoted [utf8.RuneSelf]bool
	for i := range len(safe) {
		if c := safe[i]; c < utf8.RuneSelf {
			unquoted[c] = true
		}
	}
	i := 0
	for i < len(s) && isUnquoted(s[i], &unquoted) {
		i++
	}
	if i == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, i, len(s)+2*(len(s)-i))
	copy(b, s)
	for ; i < len(s); i++ {
		if c := s[i]; isUnquoted(c, &unquoted) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

func isUnquoted(c byte, safe *[utf8.RuneSelf]bool) bool {
	return isASCIIAlnum(c) || c == '_' || c == '.' || c == '-' || c == '~' || c < utf8.RuneSelf && safe[c]
}

// percentDecode implements urllib.parse.unquote: it decodes %XX, and bytes that are not
// UTF-8 become U+FFFD.
func percentDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && s[j] >= utf8.RuneSelf {
			j++
		}
		b.WriteString(s[i:j])
		// Python decodes each run of ASCII separately.
		for i = j; j < len(s) && s[j] < utf8.RuneSelf; {
			j++
		}
		decoded := percentDecodeBytes(s[i:j])
		if utf8.Valid(decoded) {
			b.Write(decoded)
		} else if fixed, err := encoding.UTF8.NewDecoder().Bytes(decoded); err == nil {
			b.Write(fixed)
		}
		i = j
	}
	return b.String()
}

func percentDecodeBytes(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHexDigit(s[i+1]) && isHexDigit(s[i+2]) {
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return b
}

func unhex(c byte) byte {
	if isASCIIDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// smartURLQuote quotes a URL that may be quoted already.
func smartURLQuote(url string) string {
	requote := func(s string) string { return quote(percentDecode(s), safeInURL) }
	u, err := splitURL(url)
	if err != nil {
		return requote(url)
	}
	host, err := idnaEncode(u.host)
	if err != nil {
		return requote(url)
	}
	var b strings.Builder
	path := requote(u.path)
	if u.scheme != "" {
		b.WriteString(u.scheme + ":")
	}
	// The schemes that reach here, http and https, always have a host part.
	if host != "" || u.scheme != "" && !strings.HasPrefix(path, "//") {
		b.WriteString("//" + host)
		if path != "" && path[0] != '/' {
			b.WriteByte('/')
		}
	}
	b.WriteString(path)
	if query := requoteQuery(u.query); query != "" {
		b.WriteString("?" + query)
	}
	if fragment := requote(u.fragment); fragment != "" {
		b.WriteString("#" + fragment)
	}
	return b.String()
}

type splitURLParts struct{ scheme, host, path, query, fragment string }

var errBadURL = errors.New("not a URL")

var (
	urlUnsafe      = strings.NewReplacer("\t", "", "\r", "", "\n", "")
	hostDelimiters = strings.NewReplacer("@", "", ":", "", "#", "", "?", "")
	domainDots     = strings.NewReplacer("。", ".", "．", ".", "｡", ".")
)

// splitURL implements urllib.parse.urlsplit, which hardly validates.
func splitURL(url string) (u splitURLParts, err error) {
	url = strings.TrimLeftFunc(url, func(r rune) bool { return r <= ' ' })
	url = urlUnsafe.Replace(url)
	if i := strings.IndexByte(url, ':'); i > 0 && isASCIILetter(url[0]) {
		valid := true
		for _, c := range []byte(url[:i]) {
			valid = valid && (isASCIIAlnum(c) || c == '+' || c == '-' || c == '.')
		}
		if valid {
			u.scheme, url = strings.ToLower(url[:i]), url[i+1:]
		}
	}
	if rest, ok := strings.CutPrefix(url, "//"); ok {
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		u.host, url = rest[:end], rest[end:]
		if err := checkHost(u.host); err != nil {
			return u, err
		}
	}
	url, u.fragment, _ = strings.Cut(url, "#")
	u.path, u.query, _ = strings.Cut(url, "?")
	return u, nil
}

// checkHost refuses unbalanced brackets and characters that normalise to
// delimiters.
func checkHost(host string) error {
	if strings.Contains(host, "[") != strings.Contains(host, "]") {
		return errBadURL
	}
	if strings.Contains(host, "[") {
		if err := checkBracketedHost(host); err != nil {
			return err
		}
	}
	if isASCII(host) {
		return nil
	}
	bare := hostDelimiters.Replace(host)
	if folded := norm.NFKC.String(bare); folded != bare && strings.ContainsAny(folded, "/?#@:") {
		return errBadURL
	}
	return nil
}

// checkBracketedHost requires an IPv6 address, or an IPvFuture address, in the brackets.
func checkBracketedHost(host string) error {
	host = host[strings.LastIndexByte(host, '@')+1:]
	before, bracketed, found := strings.Cut(host, "[")
	name, port, _ := strings.Cut(bracketed, "]")
	if !found {
		name, _, _ = strings.Cut(host, ":")
	} else if before != "" || port != "" && port[0] != ':' {
		return errBadURL
	}
	if version, rest, ok := strings.Cut(name, "."); ok && len(version) > 1 && version[0] == 'v' && rest != "" &&
		strings.Trim(version[1:], "0123456789abcdefABCDEF") == "" {
		return nil
	}
	if ip, err := netip.ParseAddr(name); err != nil || ip.Is4() {
		return errBadURL
	}
	return nil
}

// requoteQuery decodes a query and encodes it again as a form, without changing the values.
func requoteQuery(query string) string {
	var b strings.Builder
	for _, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		name, value, _ := strings.Cut(strings.ReplaceAll(pair, "+", " "), "=")
		// Unquoted twice, as Django does.
		b.WriteString(quotePlus(percentDecode(percentDecode(name))) + "=" + quotePlus(percentDecode(percentDecode(value))))
	}
	return b.String()
}

func quotePlus(s string) string {
	return strings.ReplaceAll(quote(s, " "), " ", "+")
}

// idnaEncode implements Python's "idna" codec (RFC 3490): ASCII labels are unchanged, and
// the others are normalized and converted to Punycode.
func idnaEncode(domain string) (string, error) {
	ascii := isASCII(domain)
	if !ascii {
		domain = domainDots.Replace(domain)
	}
	labels := strings.Split(domain, ".")
	for i, label := range labels {
		if label == "" && i == len(labels)-1 {
			break
		}
		if !ascii {
			var err error
			if label, err = idnaLabel(label); err != nil {
				return "", err
			}
			labels[i] = label
		}
		if label == "" || len(label) > 63 {
			return "", errBadURL
		}
	}
	return strings.Join(labels, "."), nil
}

func idnaLabel(label string) (string, error) {
	if isASCII(label) {
		return label, nil
	}
	label = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.Map(dropFromDomain, label))))
	for _, r := range label {
		if unicode.Is(unicode.Co, r) || r >= utf8.RuneSelf && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Zs, r)) ||
			r >= 0xfff9 && r <= 0xffff || r >= 0x2ff0 && r <= 0x2ffb || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e {
			return "", errBadURL
		}
	}
	if isASCII(label) {
		return label, nil
	}
	if strings.HasPrefix(label, "xn--") {
		return "", errBadURL
	}
	return idna.Punycode.ToASCII(label)
}

// dropFromDomain removes what nameprep maps to nothing: soft hyphens, joiners,
// variation selectors.
func dropFromDomain(r rune) rune {
	switch {
	case r == 0xad, r == 0x34f, r == 0x1806, r >= 0x180b && r <= 0x180d,
		r >= 0x200b && r <= 0x200d, r == 0x2060, r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff:
		return -1
	}
	return r
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
