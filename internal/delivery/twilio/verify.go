// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package twilio

import (
	"context"
	"net/url"
	"regexp"
	"strings"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// VerifyURL returns the URL of the Verify API that belongs to the URL of Twilio's API:
// https://verify.twilio.com and its regions, else the same URL.
func VerifyURL(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	if region, ok := strings.CutPrefix(u.Host, "api."); ok && strings.HasSuffix("."+region, ".twilio.com") {
		u.Host = "verify." + region
	}
	return u.String()
}

// digits matches a number of any length.
var digits = regexp.MustCompile(`[0-9]+`)

// codeIn returns the one-time code in a text: its only number of 4 to 10 digits.
func codeIn(text string) (code string, ok bool) {
	for _, number := range digits.FindAllString(text, -1) {
		if len(number) < 4 || len(number) > 10 {
			continue
		}
		if ok {
			return "", false
		}
		code, ok = number, true
	}
	return code, ok
}

// sendCode sends the code in a text through Twilio Verify. Twilio words the text itself:
// its API accepts a code of our own, and no text.
func (p *Provider) sendCode(ctx context.Context, to, text string) (provider.Receipt, error) {
	if p.verifyService == "" {
		return provider.Receipt{}, provider.Misconfigured("VerifyServiceMissing",
			"The rule sends through Twilio Verify, and its DeliveryProvider names no Verify service: set spec.twilio.verifyServiceSid, or turn useTwilioVerify off.")
	}
	code, ok := codeIn(text)
	if !ok {
		return provider.Receipt{}, provider.Permanent("VerifyCodeMissing",
			"Twilio Verify sends a code and no other text: the message must contain exactly one number of 4 to 10 digits.")
	}
	form := url.Values{"To": {to}, "Channel": {"sms"}, "CustomCode": {code}}
	return p.post(ctx, p.verify, "/v2/Services/"+p.verifyService+"/Verifications", form, false)
}
