// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/outbound"
	"github.com/rehive/extension-operator/internal/phone"
)

// TwilioBaseURL is Twilio's API in its default region. Others are named as in
// https://api.dublin.ie1.twilio.com.
const TwilioBaseURL = "https://api.twilio.com"

// maxSMSLength is the most characters that Twilio takes for one message.
const maxSMSLength = 1600

// TwilioConfig is how to send through Twilio. AccountSID, AuthToken and From are
// needed; the other zero fields have defaults.
type TwilioConfig struct {
	// AccountSID begins with AC.
	AccountSID string
	// KeySID is that of an API key (SK...) if AuthToken is an API key's secret; empty
	// if it is the account's own token.
	KeySID string
	// AuthToken is the account's token or the API key's secret.
	AuthToken string
	// From is the sender of messages that name none: a number, a short code, an
	// alphanumeric sender, or the SID of a messaging service (MG...).
	From string
	// DefaultRegion is the region of numbers without a country code, such as ZA; such
	// numbers are refused if it is empty.
	DefaultRegion string
	// BaseURL is TwilioBaseURL if empty.
	BaseURL string
	// Client makes the calls; one with outbound's defaults if nil.
	Client *outbound.Client
}

// Twilio sends SMS through Twilio's Messages API, which has no idempotency keys
// and nowhere to put the message's Key: a message whose outcome is unknown (the
// reason OutcomeUnknown) and that is sent again may arrive twice.
type Twilio struct {
	api     *api
	account string
	from    url.Values
	region  string
	key     bool
}

var (
	twilioSID          = regexp.MustCompile(`^[A-Z]{2}[0-9a-fA-F]{32}$`)
	twilioShortCode    = regexp.MustCompile(`^[0-9]{3,8}$`)
	twilioAlphanumeric = regexp.MustCompile(`^[A-Za-z0-9 +&_-]{1,11}$`)
)

// NewTwilio checks the configuration. It makes no call.
func NewTwilio(c TwilioConfig) (*Twilio, error) {
	if !twilioSID.MatchString(c.AccountSID) || !strings.HasPrefix(c.AccountSID, "AC") {
		return nil, errors.New("the Twilio account SID must be AC and 32 hexadecimal digits")
	}
	if c.KeySID != "" && (!twilioSID.MatchString(c.KeySID) || !strings.HasPrefix(c.KeySID, "SK")) {
		return nil, errors.New("the SID of the Twilio API key must be SK and 32 hexadecimal digits")
	}
	if !headerValue(c.AuthToken) {
		return nil, errors.New("the Twilio auth token is empty or has characters that no token has")
	}
	c.DefaultRegion = strings.ToUpper(c.DefaultRegion)
	if c.DefaultRegion != "" && !phone.IsRegion(c.DefaultRegion) {
		return nil, errors.New("the default region of Twilio numbers must be an ISO 3166 code such as ZA")
	}
	if c.BaseURL == "" {
		c.BaseURL = TwilioBaseURL
	}
	t := &Twilio{account: c.AccountSID, region: c.DefaultRegion, key: c.KeySID != ""}
	if c.From != "" {
		var err error
		if t.from, err = t.sender(c.From); err != nil {
			return nil, fmt.Errorf("the default sender of Twilio %w", err)
		}
	}
	user := c.AccountSID
	if t.key {
		user = c.KeySID
	}
	var err error
	t.api, err = newAPI("Twilio", c.BaseURL, c.Client,
		http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+c.AuthToken))}})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// sender makes the form fields of a sender. Its error is the end of a sentence.
func (t *Twilio) sender(from string) (url.Values, error) {
	switch {
	case twilioSID.MatchString(from) && strings.HasPrefix(from, "MG"):
		return url.Values{"MessagingServiceSid": {from}}, nil
	case twilioShortCode.MatchString(from):
		return url.Values{"From": {from}}, nil
	case twilioAlphanumeric.MatchString(from) && strings.ContainsFunc(from, func(r rune) bool { return r >= 'A' }):
		return url.Values{"From": {from}}, nil
	}
	number, err := phone.E164(from, t.region)
	if err != nil {
		return nil, errors.New("must be a phone number, a short code, up to 11 letters and digits, or the SID of a messaging service")
	}
	return url.Values{"From": {number}}, nil
}

// Send implements [Provider]. It sends the message's Text. The receipt's ID is
// Twilio's message SID.
func (t *Twilio) Send(ctx context.Context, m Message) (Receipt, error) {
	to, err := phone.E164(m.To, t.region)
	if err != nil {
		return Receipt{}, Permanent("RecipientInvalid", "The recipient "+err.Error()+".")
	}
	sender := t.from
	if m.From != "" {
		if sender, err = t.sender(m.From); err != nil {
			return Receipt{}, Permanent("SenderInvalid", "The sender "+err.Error()+".")
		}
	}
	if sender == nil {
		return Receipt{}, Misconfigured("SenderMissing", "Neither the message nor the Twilio provider names a sender.")
	}
	text := strings.ToValidUTF8(m.Text, "\uFFFD")
	switch {
	case strings.TrimSpace(text) == "":
		return Receipt{}, Permanent("MessageEmpty", "The message has no text.")
	case utf8.RuneCountInString(text) > maxSMSLength:
		return Receipt{}, Permanent("MessageTooBig", fmt.Sprintf("The text is longer than the %d characters that Twilio takes.", maxSMSLength))
	}
	form := url.Values{"To": {to}, "Body": {text}}
	for name, values := range sender {
		form[name] = values
	}
	resp, err := t.api.call(ctx, http.MethodPost, t.path("/Messages.json"), "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return Receipt{}, err
	}
	if resp.Status != http.StatusCreated {
		return Receipt{}, t.refusal(resp, m.OwnSender)
	}
	var message struct {
		SID       string `json:"sid"`
		Status    string `json:"status"`
		ErrorCode int    `json:"error_code"`
	}
	// 201 is the acceptance. Trying again for the sake of an unreadable body would
	// send the message twice.
	_ = json.Unmarshal(resp.Body, &message)
	if message.Status == "failed" || message.Status == "undelivered" {
		return Receipt{}, t.codeError(message.ErrorCode, resp, m.OwnSender)
	}
	return Receipt{ID: receiptID(message.SID)}, nil
}

// Check reads the account or, with an API key, which may not read the account, one
// of its numbers.
func (t *Twilio) Check(ctx context.Context) error {
	path := "/2010-04-01/Accounts/" + t.account + ".json"
	if t.key {
		path = t.path("/IncomingPhoneNumbers.json?PageSize=1")
	}
	resp, err := t.api.call(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return t.refusal(resp, false)
	}
	var account struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(resp.Body, &account); err != nil {
		return Transient("UnexpectedAnswer", "Twilio answered with something that isn't its API's.", 0)
	}
	if !t.key && account.Status != "active" {
		return Misconfigured("AccountInactive", "The Twilio account is suspended or closed.")
	}
	return nil
}

func (t *Twilio) path(resource string) string { return "/2010-04-01/Accounts/" + t.account + resource }

// refusal classes an answer that isn't a success by Twilio's own code.
func (t *Twilio) refusal(resp *outbound.Response, ownSender bool) error {
	var answer struct {
		Code int `json:"code"`
	}
	// An answer that is no JSON leaves the status to go by.
	_ = json.Unmarshal(resp.Body, &answer)
	return t.codeError(answer.Code, resp, ownSender)
}

// codeError classes the codes that say more than their HTTP status. The list
// (https://www.twilio.com/docs/api/errors) grows; a code that isn't here is classed
// by its status, and its number is told.
func (t *Twilio) codeError(code int, resp *outbound.Response, ownSender bool) error {
	told := fmt.Sprintf("Twilio (error %d)", code)
	switch code {
	case 21211, 21214, 21217, 21265, 21266, 21614, 21635, 21662, 30004, 30005, 30006, 60033:
		return Permanent("RecipientRefused", told+" can't send SMS to the recipient's number.")
	case 21610:
		return Permanent("Unsubscribed", told+": the recipient has opted out of messages from this sender.")
	case 21612:
		return Permanent("RecipientRefused", told+" has no way from this sender to the recipient.")
	case 21602, 21619:
		return Permanent("MessageEmpty", told+": the message has no text.")
	case 21605, 21617:
		return Permanent("MessageTooBig", told+": the text is too long.")
	case 30007, 30038:
		return Permanent("Filtered", told+": the message was filtered as unwanted.")
	case 30003:
		return Deferred("RecipientDeferred", told+" can't reach the recipient's phone now.", 0)
	case 14101, 14102, 14108, 21210, 21212, 21267, 21401, 21601, 21603, 21606, 21607, 21659, 21660, 21661, 21701, 21702, 21703, 21704, 21705, 21712,
		30024, 30032, 30033, 30034, 30035, 30036, 30040, 30041, 30042, 63007:
		if ownSender {
			return Permanent("SenderRefused", told+" refuses the sender that the rule names.")
		}
		return Misconfigured("SenderRefused", told+" refuses the provider's sender.")
	case 21408:
		return Permanent("RegionNotEnabled", told+": Twilio's geographic permissions of the account don't include the recipient's country.")
	case 10002, 21608, 572005:
		return Misconfigured("AccountRestricted", told+": a trial or unapproved account sends to verified numbers only.")
	case 20003, 20004, 20005, 20006, 20007, 20008, 20010, 10001, 30002, 30037, 90010:
		return Misconfigured("CredentialsRefused", told+" refuses the credentials, or the account isn't active.")
	case 20404:
		return Misconfigured("NotFound", told+" doesn't know the account.")
	case 30023, 30027, 60728, 63038:
		return Misconfigured("QuotaExceeded", told+": the account's limit of messages is reached.")
	case 20429, 14107, 21611, 30001, 30022, 63017, 63018:
		return Transient("Throttled", told+" asks to send more slowly.", retryAfter(resp.Header, time.Now()))
	}
	if resp.Status == http.StatusCreated {
		return Permanent("MessageRefused", told+" could not send the message.")
	}
	detail := ""
	if code > 0 {
		detail = fmt.Sprintf("error %d", code)
	}
	return t.api.statusError(resp, detail)
}
