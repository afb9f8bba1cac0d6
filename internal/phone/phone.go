// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package phone writes phone numbers in the one form that providers take.
package phone

import (
	"errors"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// E164 writes a phone number as E.164 (+27840000000). A number without a country
// code belongs to the region, an ISO 3166 code such as ZA; without a region it is
// an error. The error is the end of a sentence and doesn't repeat the number.
//
// It checks that the number's length is one that its country uses, and no more:
// the lists of assigned ranges are always older than the newest range, and what a
// list gets wrong can't be sent to at all.
func E164(number, region string) (string, error) {
	number = strings.TrimSpace(number)
	// The parser finds numbers in any text: letters as on a keypad, extensions,
	// tel: URIs. Here the whole must be one number.
	if len(number) > 40 || strings.ContainsFunc(number, func(r rune) bool { return !strings.ContainsRune("0123456789+-.() \u00a0", r) }) {
		return "", errors.New("is not a phone number")
	}
	if region == "" && !strings.HasPrefix(number, "+") {
		return "", errors.New("is a phone number without a country code, and no default region is set")
	}
	parsed, err := phonenumbers.Parse(number, strings.ToUpper(region))
	if err != nil || !phonenumbers.IsPossibleNumber(parsed) {
		return "", errors.New("is not a phone number")
	}
	return phonenumbers.Format(parsed, phonenumbers.E164), nil
}

// IsRegion tells whether region is an ISO 3166 code, in capitals, whose numbers
// [E164] knows.
func IsRegion(region string) bool { return phonenumbers.GetSupportedRegions()[region] }
