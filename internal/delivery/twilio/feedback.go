// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package twilio

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio signs with HMAC-SHA1, for which SHA-1 is still good
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/delivery/httpapi"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/phone"
)

const (
	signatureHeader = "X-Twilio-Signature"
	// maxParams is how many parameters a callback may have; Twilio sends about thirty.
	maxParams = 200
	// findWindow is how long after its decision a message is looked for at Twilio.
	findWindow = time.Hour
	// findPage is how many messages to a recipient are searched.
	findPage = 100
)

// errNotSearchable is the error of a message of which Twilio's list of messages says nothing.
var errNotSearchable = provider.Permanent("NotSearchable", "Twilio can't be asked about this message.")

// Reports implements [provider.Reporter] for Twilio's status callbacks, and for incoming
// messages by which a recipient asks for messages again.
func (p *Provider) Reports(c *provider.Callback) ([]provider.Report, error) {
	params, err := url.ParseQuery(string(c.Body)) // the signature is of the parsed parameters
	if err != nil || len(params) > maxParams {
		return nil, provider.ErrNotSigned
	}
	if !p.signed(c, params) || params.Get("AccountSid") != p.account {
		return nil, provider.ErrNotSigned
	}
	if c.Reference == "" {
		return optIn(params), nil
	}
	r := provider.Report{Reference: c.Reference}
	switch status := params.Get("MessageStatus"); status {
	case "delivered":
		r.Outcome = provider.OutcomeDelivered
	case "read":
		r.Outcome = provider.OutcomeOpened
	case "undelivered", "failed":
		r.Outcome, r.Detail = provider.OutcomeBlocked, "Twilio could not deliver the message"
		if code, err := strconv.Atoi(params.Get("ErrorCode")); err == nil && code > 0 {
			r.Detail += " (error " + strconv.Itoa(code) + ")"
			if r.Fault = faultOf(code); r.Fault == provider.FaultHardBounce {
				r.Outcome = provider.OutcomeBounced
			}
		}
		r.Detail += "."
	default:
		return nil, nil
	}
	return []provider.Report{r}, nil
}

// optIn reads an incoming message: whether its sender wants messages again. Twilio itself
// keeps who asked for none.
func optIn(params url.Values) []provider.Report {
	word := params.Get("OptOutType")
	if word == "" {
		word = strings.ToUpper(strings.TrimSpace(params.Get("Body")))
		if word == "UNSTOP" {
			word = "START"
		}
	}
	number, err := phone.E164(strings.TrimPrefix(params.Get("From"), whatsAppPrefix), "")
	if word != "START" || err != nil {
		return nil
	}
	return []provider.Report{{OptedIn: number}}
}

// signed verifies the signature of a callback: of its URL and its sorted parameters. Some of
// Twilio's servers sign the URL with its port, and others without.
func (p *Provider) signed(c *provider.Callback, params url.Values) bool {
	given, err := base64.StdEncoding.DecodeString(c.Header.Get(signatureHeader))
	if err != nil || len(p.signingKey) == 0 || len(given) != sha1.Size {
		return false
	}
	var rest strings.Builder
	for _, name := range slices.Sorted(maps.Keys(params)) {
		values := slices.Clone(params[name])
		slices.Sort(values)
		for _, value := range slices.Compact(values) {
			rest.WriteString(name)
			rest.WriteString(value)
		}
	}
	for _, address := range withAndWithoutPort(c.URL) {
		h := hmac.New(sha1.New, p.signingKey)
		_, _ = h.Write([]byte(address + rest.String()))
		if hmac.Equal(h.Sum(nil), given) {
			return true
		}
	}
	return false
}

func withAndWithoutPort(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	standard := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	scheme, rest, _ := strings.Cut(address, "://")
	_, path, _ := strings.Cut(rest, "/")
	switch u.Port() {
	case "":
		return []string{address, scheme + "://" + u.Host + ":" + standard + "/" + path}
	case standard:
		return []string{address, scheme + "://" + strings.TrimSuffix(u.Host, ":"+standard) + "/" + path}
	}
	return []string{address}
}

// faultOf returns what an error code says about the recipient's number. The codes of
// WhatsApp are not among them: the number may take an SMS all the same.
func faultOf(code int) provider.Fault {
	switch code {
	case 21211, 21217, 21614, 30005:
		return provider.FaultHardBounce
	case 21610:
		return provider.FaultStop
	}
	return ""
}

// Find implements [provider.Asker]. Twilio has no identifiers of ours, so a message is
// recognized by its recipient, its text and its time. Nobody knows whether Twilio has a message
// that may have been sent after findWindow, or before everything on the page.
func (p *Provider) Find(ctx context.Context, m provider.Message) (receipt provider.Receipt, found bool, err error) {
	to, err := phone.E164(m.To, p.region)
	text := strings.TrimSpace(m.Text)
	if err != nil || m.SMS.Verify || m.SMS.ContentSID != "" || text == "" || !utf8.ValidString(text) {
		return receipt, false, errNotSearchable
	}
	query := url.Values{"To": {to}, "PageSize": {strconv.Itoa(findPage)}, "DateSent>": {m.Date.Add(-time.Hour).UTC().Format(time.DateOnly)}}
	var answer struct {
		Messages *[]struct {
			SID     string `json:"sid"`
			Body    string `json:"body"`
			Created string `json:"date_created"`
			Status  string `json:"status"`
		} `json:"messages"`
	}
	if err := p.api.Read(ctx, p.path("/Messages.json?"+query.Encode()), &answer, p.refusalToRead); err != nil {
		return receipt, false, err
	}
	if answer.Messages == nil {
		return receipt, false, p.api.UnexpectedAnswer()
	}
	from, until := m.Date.Add(-time.Minute), m.Date.Add(findWindow)
	complete := len(*answer.Messages) < findPage
	for _, one := range *answer.Messages { // the latest first
		created, err := time.Parse(time.RFC1123Z, one.Created)
		complete = complete || err == nil && created.Before(from)
		if err != nil || created.Before(from) || created.After(until) || one.Status == "failed" || one.Status == "canceled" {
			continue
		}
		// Trial accounts put a text before ours.
		if strings.HasSuffix(strings.TrimSpace(one.Body), text) {
			return provider.Receipt{ID: httpapi.ReceiptID(one.SID)}, true, nil
		}
	}
	if !complete || time.Now().After(until) {
		return receipt, false, errNotSearchable
	}
	return receipt, false, nil
}
