// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package phone converts phone numbers to E.164, the form that providers accept.
package phone

import (
	"errors"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

const (
	// maxInput limits the input in bytes, and maxNumber the number without invisible
	// characters.
	maxInput  = 400
	maxNumber = 40

	// maxAreaCode is how many digits a country code and an area code have together. A slash
	// after more digits begins the last digits of a second number.
	maxAreaCode = 8

	mexico = 52
)

// E164 converts a phone number to E.164 (+27840000000). A number without a country code
// belongs to the region, an ISO 3166 code such as ZA; without a region it is an error. A
// number that begins with 00 has a country code unless the region reads it differently. The
// error completes a sentence and doesn't repeat the number.
//
// Characters that often come with copied numbers are accepted: direction marks, zero-width
// characters, any kind of space or dash, the separators of address books, and digits of
// other scripts.
//
// Only the length is checked against the country's plan. Lists of assigned ranges are
// always outdated, and a number that is missing from one could never receive a message.
func E164(number, region string) (string, error) {
	// The library finds numbers in any text, including keypad letters, extensions and tel:
	// URIs. Here the whole text must be one number.
	number, ok := plain(strings.TrimSpace(number))
	if !ok {
		return "", errors.New("is not a phone number")
	}
	international := strings.HasPrefix(number, "+")
	if region != "" || international {
		if found, ok := parse(number, strings.ToUpper(region)); ok {
			return found, nil
		}
	}
	if rest, ok := strings.CutPrefix(number, "00"); ok {
		if found, ok := parse("+"+rest, ""); ok {
			return found, nil
		}
	}
	if region == "" && !international {
		return "", errors.New("is a phone number without a country code, and no default region is set")
	}
	return "", errors.New("is not a phone number")
}

// parse returns a number in E.164 if its length is that of a complete number: without an
// area code, it can only be called from its own city.
func parse(number, region string) (string, bool) {
	parsed, err := phonenumbers.Parse(number, region)
	if err != nil {
		return "", false
	}
	if parsed.GetCountryCode() == mexico {
		// Mobile numbers began with a 1 until 2019, and are still stored like that.
		if national := parsed.GetNationalNumber(); national/1e10 == 1 {
			*parsed.NationalNumber = national % 1e10
		}
	}
	if phonenumbers.IsPossibleNumberWithReason(parsed) != phonenumbers.IS_POSSIBLE {
		return "", false
	}
	return phonenumbers.Format(parsed, phonenumbers.E164), true
}

// plain returns a number in ASCII; false if it contains characters that don't occur in
// phone numbers.
func plain(number string) (string, bool) {
	if len(number) > maxInput {
		return "", false
	}
	// Spreadsheets save numbers as decimal fractions.
	if whole, ok := strings.CutSuffix(number, ".0"); ok && !strings.ContainsFunc(whole, func(r rune) bool { return r != '+' && (r < '0' || r > '9') }) {
		number = whole
	}
	var ascii strings.Builder
	digits := 0
	for _, r := range number {
		switch {
		case unicode.Is(unicode.Nd, r):
			ascii.WriteByte('0' + digit(r))
			digits++
		case invisible(r):
		case r == '/' || r == '\uff0f':
			if digits > maxAreaCode {
				return "", false
			}
			ascii.WriteByte(' ')
		case r == '+' || r == '\uff0b' || r == '\ufe62': // and full-width and small plus signs
			ascii.WriteByte('+')
		case unicode.IsSpace(r) && r != '\n' && r != '\r', unicode.Is(unicode.Zs, r), unicode.Is(unicode.Pd, r), strings.ContainsRune(separators, r):
			ascii.WriteByte(' ')
		default:
			return "", false
		}
	}
	text := strings.TrimSpace(ascii.String())
	return text, text != "" && len(text) <= maxNumber
}

// separators are the characters, besides spaces, dashes and slashes, that separate groups of
// digits: in ASCII and its full-width forms, a minus sign, a long vowel mark and a hyphen
// bullet, which pass for dashes, and dots at half height.
const separators = ".()[]~" + "\uff0e\uff08\uff09\uff3b\uff3d\uff5e" + "\u2212\u30fc\u2043" + "\u00b7\u2022\u30fb\uff65\u2027\u2219\u22c5"

// invisible reports whether a character has no glyph: format characters, joiners, fillers,
// variation selectors and the Braille blank.
func invisible(r rune) bool {
	return r > 0x7f && (unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800')
}

// digit returns the value of a decimal digit of any script: Unicode assigns them in
// runs from 0 to 9.
func digit(r rune) byte {
	for _, run := range unicode.Nd.R16 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return byte((r - rune(run.Lo)) % 10)
		}
	}
	for _, run := range unicode.Nd.R32 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return byte((r - rune(run.Lo)) % 10)
		}
	}
	return 0
}

// IsRegion reports whether region is an uppercase ISO 3166 code whose numbers [E164]
// knows.
func IsRegion(region string) bool { return phonenumbers.GetSupportedRegions()[region] }

// Kind is a kind of number, by which messages are charged.
type Kind string

// The kinds of numbers. Messages to all except Ordinary may cost many times as much.
const (
	Ordinary   Kind = "ordinary"
	Premium    Kind = "premium"
	SharedCost Kind = "shared-cost"
	// Satellite numbers belong to a satellite or international network instead of a
	// country, such as those that begin with +870 and +881 to +883.
	Satellite Kind = "satellite"
)

// noCountry is the library's region of numbers without a country.
const noCountry = "001"

// Classify returns the country of an E.164 number, as an ISO 3166 code, and the number's
// kind. The country is empty for numbers without a country and for invalid numbers.
//
// Networks ignore digits after a complete number, so a number that no country has is
// classified as the longest valid number that it begins with. Without one, it counts as
// ordinary and, if several countries share its code, as one of the main country.
func Classify(number string) (country string, kind Kind) {
	parsed, err := phonenumbers.Parse(number, "")
	if err != nil {
		return "", Ordinary
	}
	kind = Ordinary
	numberType := phonenumbers.UNKNOWN
	for digits := parsed.GetNationalNumber(); digits > 0 && numberType == phonenumbers.UNKNOWN; digits /= 10 {
		parsed.NationalNumber = &digits
		numberType, country = phonenumbers.GetNumberType(parsed), phonenumbers.GetRegionCodeForNumber(parsed)
	}
	switch numberType {
	case phonenumbers.PREMIUM_RATE, phonenumbers.PERSONAL_NUMBER: // both can pay their owner
		kind = Premium
	case phonenumbers.SHARED_COST:
		kind = SharedCost
	}
	if country == "" {
		country = phonenumbers.GetRegionCodeForCountryCode(int(parsed.GetCountryCode()))
	}
	if country == noCountry {
		country = ""
		if kind == Ordinary {
			kind = Satellite
		}
	}
	return country, kind
}
