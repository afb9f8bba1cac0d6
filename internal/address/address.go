// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package address defines which email addresses are accepted, from rule authors, rendered
// text and data, and how they are written into headers.
package address

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits in bytes. The first two come from RFC 5321, section 4.5.3.1; the limit on names
// keeps From headers short.
const (
	MaxLength = 254
	maxLocal  = 64
	maxDomain = 253
	maxLabel  = 63
	maxName   = 300
)

// Address is one mailbox that mail can be sent to or from. The zero Address is not valid.
type Address struct {
	// Name is the display name, decoded and on one line; it may be empty.
	Name string
	// Local is the part before the @, a dot-atom. It may contain non-ASCII letters (RFC
	// 6531).
	Local string
	// Domain is in its ASCII form, in lower case.
	Domain string
}

// The errors of this package complete a sentence that begins with the parsed text, such as
// "The recipient". They don't repeat the text, except for the code point of an invisible
// character.
var (
	errNotOne = errors.New("is not exactly one email address")
	errName   = errors.New("must be an address alone, without a name")
	errLength = fmt.Errorf("is longer than the %d characters that an email address can have", MaxLength)
	errLocal  = errors.New("has a local part that mail servers don't accept")
	errDomain = errors.New("has a domain that can't receive mail")
)

// Parse parses one address with or without a display name, according to RFC 5322: a name
// with a comma must be in quotes. It is for text that a person typed, and for the output of
// [Address.String].
func Parse(text string) (Address, error) {
	if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		return Address{}, errNotOne
	}
	if err := checkVisible(text[strings.LastIndexByte(text, '<')+1:]); err != nil {
		return Address{}, err
	}
	// A fast path, because most senders are bare addresses.
	bare := text
	if inner, ok := strings.CutPrefix(text, "<"); ok {
		if inner, ok = strings.CutSuffix(inner, ">"); ok {
			bare = inner
		}
	}
	if a, err := ParseBare(bare); err == nil {
		return a, nil
	}
	parsed, err := mail.ParseAddress(text)
	if err == nil && strings.HasSuffix(strings.TrimSpace(text), ";") {
		return Address{}, errNotOne // a group of one
	}
	if err != nil {
		// For a bare address, only this package's rules apply.
		if a, bareErr := ParseBare(strings.TrimSpace(text)); bareErr == nil {
			return a, nil
		}
		return Address{}, errNotOne
	}
	a, err := split(parsed.Address)
	a.Name = cleanName(parsed.Name)
	return a, err
}

// ParseBare parses a bare address, without a display name, brackets, lists, comments or
// white space.
func ParseBare(text string) (Address, error) {
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00") {
		return Address{}, errNotOne
	}
	if err := checkVisible(text); err != nil {
		return Address{}, err
	}
	if strings.ContainsAny(text, "<>") {
		return Address{}, errName
	}
	return split(text)
}

// WithName returns the address with a display name, which may be any text.
func (a Address) WithName(name string) Address {
	a.Name = cleanName(name)
	return a
}

// Bare returns local@domain.
func (a Address) Bare() string {
	if a.IsZero() {
		return ""
	}
	return a.Local + "@" + a.Domain
}

// IsZero reports whether a is empty.
func (a Address) IsZero() bool { return a.Local == "" && a.Domain == "" }

// IsASCII reports whether every mail server can handle the address. Other addresses need
// the SMTP extension SMTPUTF8.
func (a Address) IsASCII() bool { return isASCII(a.Local) }

// String returns the address in the form of a header, with the name quoted or encoded as
// needed. [Parse] parses it again.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	if a.Name == "" {
		return a.Bare()
	}
	return (&mail.Address{Name: a.Name, Address: a.Bare()}).String()
}

// split splits an address at the @ and checks both parts.
func split(text string) (Address, error) {
	at := strings.LastIndexByte(text, '@')
	switch {
	case at <= 0 || at == len(text)-1 || strings.IndexByte(text, '@') != at || strings.ContainsAny(text, ",; \t"):
		return Address{}, errNotOne
	case len(text) > MaxLength:
		return Address{}, errLength
	case at > maxLocal:
		return Address{}, errLength
	}
	a := Address{Local: text[:at]}
	if !isDotAtom(a.Local) {
		return Address{}, errLocal
	}
	var err error
	if a.Domain, err = asciiDomain(text[at+1:]); err != nil {
		return Address{}, err
	}
	if len(a.Local)+1+len(a.Domain) > MaxLength {
		return Address{}, errLength
	}
	return a, nil
}

// isDotAtom rejects quoted local parts: they may contain spaces, brackets and line breaks,
// and hardly anybody uses them.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			return r <= ' ' || r == 0x7f || strings.ContainsRune("\"(),:;<>@[\\]\ufffd", r) || r > 0x7f && (!unicode.IsPrint(r) || isQuote(r))
		}) {
			return false
		}
	}
	return true
}

// isQuote reports whether a character is a quotation mark or a bracket. No mailbox has them:
// word processors put them around an address and for an apostrophe.
func isQuote(r rune) bool { return unicode.In(r, unicode.Pi, unicode.Pf, unicode.Ps, unicode.Pe) }

// toASCII maps a domain with non-ASCII letters as UTS 46 does for lookups, but allows the
// hyphens in positions 3 and 4 that some host names have.
var toASCII = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.CheckHyphens(false))

// asciiDomain returns the domain in ASCII and lower case. IDNA is not applied to ASCII
// domains, because DNS has more names than IDNA permits, such as r3---sn.example.
func asciiDomain(domain string) (string, error) {
	if !isASCII(domain) {
		if strings.ContainsFunc(domain, isQuote) {
			return "", errDomain
		}
		var err error
		if domain, err = toASCII.ToASCII(domain); err != nil {
			return "", errDomain
		}
	}
	if len(domain) > maxDomain {
		return "", errLength
	}
	domain = strings.ToLower(domain)
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, func(r rune) bool {
			// Underscores occur in real names, although no mail standard allows them.
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return "", errDomain
		}
	}
	// Customers don't have addresses at IP addresses, also not at abbreviated ones such as
	// 127.1. No top-level domain is a number.
	if top := domain[strings.LastIndexByte(domain, '.')+1:]; strings.Trim(top, "0123456789") == "" {
		return "", errDomain
	}
	return domain, nil
}

// checkVisible rejects invisible characters, with which one address could look like
// another.
func checkVisible(text string) error {
	for _, r := range text {
		if r > 0x7f && invisible(r) {
			return fmt.Errorf("has an invisible character (%U)", r)
		}
	}
	return nil
}

// invisible characters are Unicode's default ignorable ones (format characters,
// joiners, bidirectional controls, fillers, variation selectors) and the Braille
// blank.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800'
}

// cleanName makes a display name one bounded line of valid text without the
// characters that reorder what a reader sees.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case isBreak(r):
			return ' '
		case unicode.Is(unicode.Bidi_Control, r) && r != '\u200e' && r != '\u200f' && r != '\u061c':
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\ufffd"))
	name = strings.Join(strings.Fields(name), " ")
	// A mail program would decode text that looks like an encoded word, for example to
	// line breaks.
	name = strings.ReplaceAll(name, "=?", "=\u200b?")
	if len(name) > maxName {
		cut := maxName
		for !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	return name
}

func isBreak(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}
