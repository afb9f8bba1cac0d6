// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sendgrid

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/httpapi"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// Headers of SendGrid's signed event webhook.
const (
	signatureHeader = "X-Twilio-Email-Event-Webhook-Signature"
	timestampHeader = "X-Twilio-Email-Event-Webhook-Timestamp"
)

const (
	// referenceArg is the custom argument that an event repeats.
	referenceArg = "rehive_reference"
	// replayWindow is how old a signature may be. SendGrid tries for 24 hours to deliver
	// events. A repeated event has no effect, so the window need not be short.
	replayWindow = 25 * time.Hour
	// clockSkew is how far SendGrid's clock may be ahead.
	clockSkew = 10 * time.Minute
	// maxEvents is how many events one call may hold. SendGrid's have up to 768 KB.
	maxEvents = 5000
)

// parsePublicKey reads the verification key that SendGrid shows: the base64 of a
// SubjectPublicKeyInfo, with or without the lines of PEM.
func parsePublicKey(text string) (*ecdsa.PublicKey, error) {
	malformed := errors.New("the SendGrid verification key is not the base64 of an ECDSA public key: copy it from the settings of the event webhook")
	text = strings.TrimSpace(text)
	der, err := base64.StdEncoding.DecodeString(text)
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, malformed
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, malformed
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, malformed
	}
	return key, nil
}

// event is what is read of an event. SendGrid adds custom arguments as members.
type event struct {
	Event          string          `json:"event"`
	Type           string          `json:"type"`
	Reason         string          `json:"reason"`
	Status         string          `json:"status"`
	Classification string          `json:"bounce_classification"`
	Timestamp      json.RawMessage `json:"timestamp"`
	Reference      string          `json:"rehive_reference"`
}

// Reports implements [provider.Reporter] for SendGrid's signed event webhook.
func (p *Provider) Reports(c *provider.Callback) ([]provider.Report, error) {
	if !p.signed(c) {
		return nil, provider.ErrNotSigned
	}
	d := json.NewDecoder(bytes.NewReader(c.Body))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return nil, provider.ErrMalformed
	}
	var reports []provider.Report
	for n := 0; d.More(); n++ {
		var e event
		var other *json.UnmarshalTypeError
		if err := d.Decode(&e); n >= maxEvents || err != nil && !errors.As(err, &other) {
			return nil, provider.ErrMalformed
		}
		if r, ok := e.report(); ok {
			reports = append(reports, r)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, provider.ErrMalformed
	}
	return reports, nil
}

// signed reports whether SendGrid signed a call lately.
func (p *Provider) signed(c *provider.Callback) bool {
	stamp := c.Header.Get(timestampHeader)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if p.eventKey == nil || err != nil || len(stamp) > 20 {
		return false
	}
	if age := c.Now.Sub(time.Unix(seconds, 0)); age > replayWindow || age < -clockSkew {
		return false
	}
	signature, err := base64.StdEncoding.DecodeString(c.Header.Get(signatureHeader))
	if err != nil || len(signature) > 256 {
		return false
	}
	h := sha256.New()
	_, _ = h.Write([]byte(stamp))
	_, _ = h.Write(c.Body)
	return ecdsa.VerifyASN1(p.eventKey, h.Sum(nil), signature)
}

// report returns what an event says about a message of ours.
func (e *event) report() (r provider.Report, ok bool) {
	r.Reference = e.Reference
	if seconds, err := strconv.ParseInt(string(e.Timestamp), 10, 64); err == nil && seconds > 0 && seconds < 1<<40 {
		r.At = time.Unix(seconds, 0)
	}
	reason := strings.ToLower(e.Reason)
	switch e.Event {
	case "delivered":
		r.Outcome = provider.OutcomeDelivered
	case "open":
		r.Outcome = provider.OutcomeOpened
	case "spamreport":
		r.Outcome, r.Fault, r.Detail = provider.OutcomeComplained, provider.FaultSpamComplaint, "The recipient reported the message as spam."
	case "bounce":
		if e.Type == "blocked" || !e.isHard() {
			r.Outcome, r.Detail = provider.OutcomeBlocked, "The recipient's mail server refused the message"+e.code()+"."
			break
		}
		r.Outcome, r.Fault, r.Detail = provider.OutcomeBounced, provider.FaultHardBounce, "The recipient's mail server says that the address doesn't exist"+e.code()+"."
	case "dropped":
		r.Outcome = provider.OutcomeBlocked
		switch {
		case strings.Contains(reason, "bounced"), reason == "invalid":
			r.Outcome, r.Fault, r.Detail = provider.OutcomeBounced, provider.FaultHardBounce, "SendGrid didn't send the message, because the address is invalid or bounced before."
		case strings.Contains(reason, "spam report"):
			r.Fault, r.Detail = provider.FaultSpamComplaint, "SendGrid didn't send the message, because the recipient reported an earlier one as spam."
		case strings.Contains(reason, "unsubscribed"):
			r.Fault, r.Detail = provider.FaultStop, "SendGrid didn't send the message, because the recipient unsubscribed there."
		default:
			r.Detail = "SendGrid didn't send the message."
		}
	default:
		return r, false
	}
	return r, e.Reference != ""
}

// isHard reports whether a bounce is about the address. SendGrid classifies some bounces
// for other reasons.
func (e *event) isHard() bool {
	switch strings.ToLower(e.Classification) {
	case "content", "reputation", "technical", "frequency or volume too high", "mailbox unavailable":
		return strings.HasPrefix(e.Status, "5.1.1")
	}
	return true
}

// code returns the status code of a bounce for a sentence. SendGrid repeats the text of a
// mail server as well, which is anybody's.
func (e *event) code() string {
	if len(e.Status) > 12 || strings.Trim(e.Status, "0123456789.") != "" || e.Status == "" {
		return ""
	}
	return " (" + e.Status + ")"
}

// Find implements [provider.Asker]. It needs SendGrid's email activity, which is an add-on,
// and the scope email_activity.read.
func (p *Provider) Find(ctx context.Context, m provider.Message) (receipt provider.Receipt, found bool, err error) {
	if err := m.CheckKey(); err != nil {
		return receipt, false, err
	}
	query := url.Values{"limit": {"1"}, "query": {`(unique_args["rehive_delivery"]="` + m.Key + `")`}}
	var answer struct {
		Messages *[]struct {
			ID string `json:"msg_id"`
		} `json:"messages"`
	}
	if err := p.api.Read(ctx, "/v3/messages?"+query.Encode(), &answer, p.refusalToRead); err != nil {
		return receipt, false, err
	}
	if answer.Messages == nil {
		return receipt, false, p.api.UnexpectedAnswer()
	}
	for _, one := range *answer.Messages {
		return provider.Receipt{ID: httpapi.ReceiptID(one.ID)}, true, nil
	}
	return receipt, false, nil
}
