// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package twilio sends SMS through Twilio.
package twilio

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/delivery/httpapi"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/outbound"
	"github.com/rehive/extension-operator/internal/phone"
)

// BaseURL is Twilio's API in its default region. Others are named as in
// https://api.dublin.ie1.twilio.com.
const BaseURL = "https://api.twilio.com"

// maxSMSLength is the largest number of characters that Twilio accepts in one message.
const maxSMSLength = 1600

// maxValidity is how long Twilio holds back a message at most.
const maxValidity = 36_000 * time.Second

// Config is how to send through Twilio. AccountSID and AuthToken are required; the other
// zero fields have defaults.
type Config struct {
	// AccountSID begins with AC.
	AccountSID string
	// KeySID is the SID of an API key (SK...) if AuthToken is the key's secret; empty if
	// AuthToken is the account's own token.
	KeySID string
	// AuthToken is the account's token or the API key's secret.
	AuthToken string
	// From is the sender of messages without one: a number, a short code, an
	// alphanumeric sender, or the SID of a messaging service (MG...).
	From string
	// DefaultRegion is the region of numbers without a country code, such as ZA; such
	// numbers are refused if it is empty.
	DefaultRegion string
	// VerifyServiceSID is the SID of a Verify service (VA...), through which codes are
	// sent; empty if there is none.
	VerifyServiceSID string
	// SigningKey is the account's own token, which signs status callbacks even if an API key
	// is used to send; without one, no reports are accepted.
	SigningKey string
	// StatusCallback, if not nil, returns the URL at which Twilio reports what happens to a
	// message.
	StatusCallback func(m *provider.Message) string
	// BaseURL defaults to the constant BaseURL. See [VerifyURL] for that of Verify.
	BaseURL string
	// Client makes the calls; one with outbound's defaults if nil.
	Client *outbound.Client
}

// Provider sends SMS through Twilio's Messages API, which has no idempotency keys and no
// place for the message's Key: a message that is sent again because its outcome is unknown
// may arrive twice.
type Provider struct {
	api     *httpapi.API
	account string
	from    url.Values
	region  string
	key     bool

	verify        *httpapi.API
	verifyService string

	signingKey     []byte
	statusCallback func(m *provider.Message) string
}

var (
	sidForm            = regexp.MustCompile(`^[A-Z]{2}[0-9a-fA-F]{32}$`)
	shortCode          = regexp.MustCompile(`^[0-9]{3,8}$`)
	alphanumericSender = regexp.MustCompile(`^[A-Za-z0-9 +&_-]{1,11}$`)
)

// CheckAccountSID returns why a text can't be the SID of an account. Its error completes a
// sentence that begins with the name of the SID.
func CheckAccountSID(sid string) error {
	if !sidForm.MatchString(sid) || !strings.HasPrefix(sid, "AC") {
		return errors.New("must be AC and 32 hexadecimal digits, such as AC0123456789abcdef0123456789abcdef")
	}
	return nil
}

// CheckAuthToken returns why a text can't be an account's token or the secret of an API key.
// Its error completes a sentence that begins with the name of the token.
func CheckAuthToken(token string) error {
	if !httpapi.IsHeaderValue(token) {
		return errors.New("must be the token as Twilio shows it: ASCII characters without spaces")
	}
	return nil
}

// CheckSender returns why a text can't be the default sender of a provider without a default
// region. Its error completes a sentence that begins with the name of the sender.
func CheckSender(from string) error {
	if _, err := sender(from, ""); err != nil {
		return fmt.Errorf("%w; for example +12025550123", err) // errors of Send contain no number, not even an example
	}
	return nil
}

// New checks the configuration. It makes no call.
func New(c Config) (*Provider, error) {
	if err := CheckAccountSID(c.AccountSID); err != nil {
		return nil, fmt.Errorf("the Twilio account SID %w", err)
	}
	if c.KeySID != "" && (!sidForm.MatchString(c.KeySID) || !strings.HasPrefix(c.KeySID, "SK")) {
		return nil, errors.New("the SID of the Twilio API key must be SK and 32 hexadecimal digits")
	}
	if c.VerifyServiceSID != "" && (!sidForm.MatchString(c.VerifyServiceSID) || !strings.HasPrefix(c.VerifyServiceSID, "VA")) {
		return nil, errors.New("the SID of the Twilio Verify service must be VA and 32 hexadecimal digits")
	}
	if err := CheckAuthToken(c.AuthToken); err != nil {
		return nil, fmt.Errorf("the Twilio auth token %w", err)
	}
	c.DefaultRegion = strings.ToUpper(c.DefaultRegion)
	if c.DefaultRegion != "" && !phone.IsRegion(c.DefaultRegion) {
		return nil, errors.New("the default region of Twilio numbers must be an ISO 3166 code such as ZA")
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	p := &Provider{account: c.AccountSID, region: c.DefaultRegion, key: c.KeySID != "", verifyService: c.VerifyServiceSID,
		signingKey: []byte(c.SigningKey), statusCallback: c.StatusCallback}
	if c.From != "" {
		var err error
		if p.from, err = sender(c.From, c.DefaultRegion); err != nil {
			return nil, fmt.Errorf("the default sender of Twilio (spec.sender) %w", err)
		}
	}
	user := c.AccountSID
	if p.key {
		user = c.KeySID
	}
	header := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+c.AuthToken))}}
	var err error
	if p.api, err = httpapi.New("Twilio", c.BaseURL, c.Client, header); err != nil {
		return nil, err
	}
	if p.verify, err = httpapi.New("Twilio Verify", VerifyURL(c.BaseURL), c.Client, header); err != nil {
		return nil, err
	}
	return p, nil
}

// sender returns the form fields that name a sender, whose number belongs to the region if it
// has no country code. Its error completes a sentence that begins with "the sender".
func sender(from, region string) (url.Values, error) {
	switch {
	case sidForm.MatchString(from) && strings.HasPrefix(from, "MG"):
		return url.Values{"MessagingServiceSid": {from}}, nil
	case shortCode.MatchString(from):
		return url.Values{"From": {from}}, nil
	case alphanumericSender.MatchString(from) && strings.ContainsFunc(from, func(r rune) bool { return r >= 'A' }):
		return url.Values{"From": {from}}, nil
	}
	number, err := phone.E164(from, region)
	if err != nil {
		return nil, errors.New("must be a phone number with its country code, a short code, up to 11 letters and digits, or the SID of a messaging service")
	}
	return url.Values{"From": {number}}, nil
}

// Send implements [provider.Provider]. It sends the message's Text, the content template
// that the message names, or the code in the text through Twilio Verify. The receipt's ID is
// Twilio's SID of the message or verification.
func (p *Provider) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	to, err := phone.E164(m.To, p.region)
	if err != nil {
		return provider.Receipt{}, provider.Permanent("RecipientInvalid", "The recipient "+err.Error()+".")
	}
	text := strings.ToValidUTF8(m.Text, "\uFFFD")
	if m.SMS.Verify {
		return p.sendCode(ctx, to, text)
	}
	from := p.from
	if m.From != "" {
		if from, err = sender(m.From, p.region); err != nil {
			return provider.Receipt{}, provider.Permanent("SenderInvalid", "The sender "+err.Error()+".")
		}
	}
	if from == nil {
		return provider.Receipt{}, provider.Misconfigured("SenderMissing", "Neither the message nor the Twilio provider names a sender.")
	}
	form := url.Values{"To": {to}}
	for name, values := range from {
		form[name] = values
	}
	switch {
	case m.SMS.ContentSID != "":
		if err := useWhatsApp(form, &m); err != nil {
			return provider.Receipt{}, err
		}
	case strings.TrimSpace(text) == "":
		return provider.Receipt{}, provider.Permanent("MessageEmpty", "The message has no text.")
	case utf8.RuneCountInString(text) > maxSMSLength:
		return provider.Receipt{}, provider.Permanent("MessageTooBig", fmt.Sprintf("The text is longer than the %d characters that Twilio accepts.", maxSMSLength))
	default:
		form.Set("Body", text)
		if m.ValidFor > 0 && m.ValidFor < maxValidity {
			form.Set("ValidityPeriod", strconv.Itoa(max(int(m.ValidFor/time.Second), 1)))
		}
	}
	if p.statusCallback != nil {
		form.Set("StatusCallback", p.statusCallback(&m))
	}
	return p.post(ctx, p.api, p.path("/Messages.json"), form, m.OwnSender)
}

// post makes a call that sends something.
func (p *Provider) post(ctx context.Context, api *httpapi.API, path string, form url.Values, ownSender bool) (provider.Receipt, error) {
	resp, err := api.Call(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return provider.Receipt{}, err
	}
	var sent struct {
		SID       string       `json:"sid"`
		Status    string       `json:"status"`
		ErrorCode httpapi.Code `json:"error_code"`
	}
	_ = httpapi.Decode(resp.Body, &sent)
	// The status 201 means that the message was accepted. Sending again because the body
	// is unreadable would send it twice. Another success with the SID of a message comes from
	// something in between.
	if resp.Status != http.StatusCreated && (resp.Status/100 != 2 || !sidForm.MatchString(sent.SID)) {
		return provider.Receipt{}, p.refusal(resp, ownSender)
	}
	if sent.Status == "failed" || sent.Status == "undelivered" {
		return provider.Receipt{}, p.codeError(int(sent.ErrorCode), resp, ownSender)
	}
	return provider.Receipt{ID: httpapi.ReceiptID(sent.SID)}, nil
}

// Check reads the account. An API key may not do that, so with one it reads one of the
// account's numbers.
func (p *Provider) Check(ctx context.Context) error {
	path := "/2010-04-01/Accounts/" + p.account + ".json"
	if p.key {
		path = p.path("/IncomingPhoneNumbers.json?PageSize=1")
	}
	var account struct {
		Status string `json:"status"`
	}
	if err := p.api.Read(ctx, path, &account, p.refusalToRead); err != nil {
		return err
	}
	if !p.key && account.Status != "active" {
		return provider.Misconfigured("AccountInactive", "The Twilio account is suspended or closed.")
	}
	return nil
}

func (p *Provider) path(resource string) string {
	return "/2010-04-01/Accounts/" + p.account + resource
}

// refusal classes an answer other than success by Twilio's own code.
func (p *Provider) refusal(resp *outbound.Response, ownSender bool) error {
	type refusal struct {
		Code      httpapi.Code `json:"code"`
		ErrorCode httpapi.Code `json:"error_code"`
	}
	var answer refusal
	// If the answer is not JSON, its status decides.
	if httpapi.Decode(resp.Body, &answer) != nil {
		var list []refusal
		if _ = httpapi.Decode(resp.Body, &list); len(list) > 0 {
			answer = list[0]
		}
	}
	return p.codeError(int(cmp.Or(answer.Code, answer.ErrorCode)), resp, ownSender)
}

// refusalToRead is refusal for calls that name no sender.
func (p *Provider) refusalToRead(resp *outbound.Response) error { return p.refusal(resp, false) }

// codeError classes the codes that say more than their HTTP status. The list
// (https://www.twilio.com/docs/api/errors) grows; a code that is missing here is classed
// by its status, and the error contains its number.
func (p *Provider) codeError(code int, resp *outbound.Response, ownSender bool) error {
	answer := fmt.Sprintf("Twilio (error %d)", code)
	switch fault := faultOf(code); fault {
	case provider.FaultHardBounce:
		return provider.Refused(fault, "RecipientRefused", answer+" can't send to the recipient's number.")
	case provider.FaultStop:
		return provider.Refused(fault, "Unsubscribed", answer+": the recipient has opted out of messages from this sender.")
	}
	switch code {
	case 14101, 21214, 21265, 21266, 21604, 21635, 21662, 30004, 30006, 30014, 60033, 60205, 63003, 63024, 63031, 63032, 63033, 63036:
		return provider.Permanent("RecipientRefused", answer+" can't send to the recipient's number.")
	case 21620, 21623, 21654, 21655, 21656, 63005, 63006, 63016, 63019, 63021, 63027, 63028, 63029, 63030, 63034, 63037, 63040, 63041, 63042, 92002, 92005, 92006, 92007, 92008:
		return provider.Permanent("ContentTemplateRefused", answer+": WhatsApp refuses the content template or its variables; check the template at Twilio and the rule's whatsApp.")
	case 60202, 60203, 60212:
		return provider.Deferred("RecipientDeferred", answer+": the recipient was sent too many codes in the last minutes.", httpapi.RetryAfter(resp.Header))
	case 60204:
		return provider.Misconfigured("VerifyRefused", answer+": the Twilio Verify service doesn't accept custom codes; ask Twilio to enable them.")
	case 60201, 60206, 60217, 60223, 60227, 60228, 60229:
		return provider.Misconfigured("VerifyRefused", answer+": the Twilio Verify service isn't set up for codes by SMS; check its settings at Twilio.")
	case 21612:
		return provider.Permanent("RecipientRefused", answer+" has no way from this sender to the recipient.")
	case 14103, 21602, 21619:
		return provider.Permanent("MessageEmpty", answer+": the message has no text.")
	case 21605, 21617, 30019:
		return provider.Permanent("MessageTooBig", answer+": the text is too long.")
	case 21618, 30007, 30038, 30039, 60238, 60410, 30453, 63013, 63014, 63026, 63049:
		return provider.Permanent("Filtered", answer+": the message was filtered as unwanted.")
	case 30036:
		return provider.Permanent("Expired", answer+": the message was not sent while it was valid.")
	case 30003, 30008, 30017:
		return provider.Deferred("RecipientDeferred", answer+" can't reach the recipient's phone now.", 0)
	case 30450:
		// Twilio's protection against toll fraud blocks a recipient for a quarter to half an hour.
		return provider.Deferred("RecipientDeferred", answer+" blocks the recipient's number for now.", 30*time.Minute)
	case 30410:
		return provider.Unknown(answer + " may or may not have sent the message: the carrier didn't answer.")
	case 20162, 20409, 20500, 20503, 21730, 30020, 30021, 30500, 60700, 63009, 63010, 63011, 63012, 63023:
		return provider.Transient("Unavailable", answer+" has a fault of its own.", httpapi.RetryAfter(resp.Header))
	case 14102, 14108, 21210, 21212, 21213, 21267, 21401, 21601, 21603, 21606, 21607, 21616, 21621, 21657, 21659, 21660, 21661, 21701, 21702, 21703, 21704, 21705, 21708, 21709, 21711, 21712, 21715,
		30015, 30016, 30018, 30024, 30032, 30033, 30034, 30035, 30040, 30041, 30042, 63002, 63007, 63008, 63020, 63022, 63035, 63051, 63112:
		if ownSender {
			return provider.Permanent("SenderRefused", answer+" refuses the sender that the rule names.")
		}
		return provider.Misconfigured("SenderRefused", answer+" refuses the provider's sender.")
	case 21408, 60220, 60605:
		return provider.Permanent("RegionNotEnabled", answer+": Twilio's geographic permissions of the account don't include the recipient's country.")
	case 10002, 14111, 21219, 21608, 21622, 30044, 63015, 572005:
		return provider.Misconfigured("AccountRestricted", answer+": a trial or unapproved account sends to verified numbers only.")
	case 20003, 20004, 20005, 20006, 20008, 20010, 20101, 20104, 20107, 20151, 20152, 20153, 20154, 20155, 20156, 20157, 20159, 20160, 20403, 21471, 21472, 21476, 21478, 21479, 10001, 30002, 30037, 63001, 90010:
		return provider.Misconfigured("CredentialsRefused", answer+" refuses the credentials, or the account isn't active.")
	case 21609, 48002:
		return provider.Misconfigured("CallbackRefused", answer+" refuses the URL to which it would report: --public-url must have a public host name without underscores.")
	case 20404:
		return provider.Misconfigured("NotFound", answer+" doesn't know the account or the Verify service.")
	case 30023, 30027, 60728, 63038:
		return provider.Misconfigured("QuotaExceeded", answer+": the account's limit of messages is reached.")
	case 20429, 14107, 21611, 30001, 30022, 60207, 63017, 63018:
		return provider.Transient(provider.ReasonThrottled, answer+" asks to send more slowly.", httpapi.RetryAfter(resp.Header))
	}
	if resp.Status == http.StatusCreated {
		return provider.Permanent("MessageRefused", answer+" could not send the message.")
	}
	detail := ""
	if code > 0 {
		detail = fmt.Sprintf("error %d", code)
	}
	return p.api.StatusError(resp, detail)
}
