// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package address holds the one rule for email addresses: what is accepted from an
// author, from rendered text and from data, and how it is written into a header.
package address

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits in bytes. The first two are those of RFC 5321, section 4.5.3.1; the name's
// keeps a From header short.
const (
	MaxLength = 254
	maxLocal  = 64
	maxDomain = 253
	maxLabel  = 63
	maxName   = 300
)

// Address is one mailbox that mail can be sent to or from. The zero Address is none.
type Address struct {
	// Name is the display name, decoded and on one line; it may be empty.
	Name string
	// Local is the part before the @. It is a dot-atom, which may hold letters beyond
	// ASCII (RFC 6531).
	Local string
	// Domain is in its ASCII form, in lower case.
	Domain string
}

// The errors of this package complete a sentence that begins with the parsed text, such
// as "The recipient". They repeat nothing of the text except the number of an invisible
// character.
var (
	errNotOne = errors.New("is not exactly one email address")
	errName   = errors.New("must be an address alone, without a name")
	errLength = fmt.Errorf("is longer than the %d characters that an email address can have", MaxLength)
	errLocal  = errors.New("has a local part that mail servers don't accept")
	errDomain = errors.New("has a domain that can't receive mail")
)

// Parse reads one address with or without a display name, as RFC 5322 writes it: a
// name with a comma must be in quotes. It is for what a person typed and for what
// [Address.String] wrote.
func Parse(text string) (Address, error) {
	if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		return Address{}, errNotOne
	}
	if err := checkVisible(text[strings.LastIndexByte(text, '<')+1:]); err != nil {
		return Address{}, err
	}
	// Most senders are an address alone, which each message pays for.
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
		// A bare address is judged by our own rule alone.
		if a, bareErr := ParseBare(strings.TrimSpace(text)); bareErr == nil {
			return a, nil
		}
		return Address{}, errNotOne
	}
	a, err := split(parsed.Address)
	a.Name = cleanName(parsed.Name)
	return a, err
}

// ParseBare reads an address alone: no display name, no brackets, no list, no
// comment, no white space.
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

// FromField reads a header field that a template rendered. The author wrote at most
// one address around what came from data, so everything before the last < is the
// display name, whatever it holds: commas, quotes, an @ or another address.
func FromField(rendered string) (Address, error) {
	text := strings.TrimSpace(strings.Map(func(r rune) rune {
		if isBreak(r) {
			return ' '
		}
		return r
	}, rendered))
	open := strings.LastIndexByte(text, '<')
	if open < 0 {
		return ParseBare(text)
	}
	inner, closed := strings.CutSuffix(text[open+1:], ">")
	if !closed {
		return Address{}, errNotOne
	}
	a, err := ParseBare(strings.TrimSpace(inner))
	if err != nil {
		return Address{}, err
	}
	name := strings.TrimSpace(text[:open])
	a.Name = cleanName(plainName(name))
	return a, nil
}

// plainName takes off the quotes that the author wrote around the whole name, as RFC
// 5322 asks for, and decodes encoded words.
func plainName(name string) string {
	quoted := len(name) > 1 && name[0] == '"' && name[len(name)-1] == '"'
	if !quoted && !strings.Contains(name, "=?") || len(name) > 4*maxName {
		return name
	}
	if parsed, err := mail.ParseAddress(name + " <a@a.example>"); err == nil {
		return parsed.Name
	}
	if quoted {
		return name[1 : len(name)-1]
	}
	return name
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

// String returns the address as a header holds it: the name quoted or encoded as
// needed. [Parse] reads it back.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	if a.Name == "" {
		return a.Bare()
	}
	return (&mail.Address{Name: a.Name, Address: a.Bare()}).String()
}

// split checks both sides of the @.
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

// isDotAtom accepts no quoted local parts: they can hold spaces, brackets and line
// ends, and hardly anybody has one.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			return r <= ' ' || r == 0x7f || strings.ContainsRune("\"(),:;<>@[\\]\ufffd", r) || r > 0x7f && !unicode.IsPrint(r)
		}) {
			return false
		}
	}
	return true
}

// toASCII maps a domain with letters beyond ASCII as UTS 46 does for a look-up, but
// allows the hyphens at places 3 and 4 that existing host names have.
var toASCII = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.CheckHyphens(false))

// asciiDomain returns the domain in ASCII and lower case. A domain that is in ASCII
// already needs no IDNA: DNS has more names than IDNA permits, such as
// r3---sn.example, and whether one exists is for DNS to say.
func asciiDomain(domain string) (string, error) {
	if !isASCII(domain) {
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
			// The underscore is in no standard of mail and in some real names.
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return "", errDomain
		}
	}
	// A machine by its number is nothing that a customer has.
	if _, err := netip.ParseAddr(domain); err == nil {
		return "", errDomain
	}
	return domain, nil
}

// checkVisible refuses characters that a reader can't see: what looks like an
// address would be another one.
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
