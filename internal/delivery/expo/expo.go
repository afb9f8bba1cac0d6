// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expo sends push messages through Expo's push service.
package expo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/delivery/httpapi"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/outbound"
)

// BaseURL is Expo's push service.
const BaseURL = "https://exp.host"

const (
	// maxBatch is the largest number of notifications that Expo accepts in one call.
	maxBatch = 100
	// maxPayload is the largest size of title, body and data together, as JSON in
	// bytes, that Apple and Google accept.
	maxPayload = 4096
	// maxTokens bounds the devices of one user.
	maxTokens = 1000
)

// Devices look up the push tokens of users' devices.
type Devices interface {
	// PushTokens lists the Expo push tokens of a user's apps. An error made by package
	// provider decides about the message; any other counts as transient.
	PushTokens(ctx context.Context, company, user string) ([]string, error)
}

// Feedback receives what becomes known about push messages after their deliveries ended.
// Its methods are called concurrently and must not block.
type Feedback interface {
	// DeadToken reports that the app was uninstalled or refuses notifications. Sending
	// to the token again makes Apple and Google distrust the sender.
	DeadToken(ctx context.Context, company, user, token string)
	// Undelivered reports that Apple or Google refused what Expo had accepted. Key is
	// the message's; reason is one of Expo's error codes, such as InvalidCredentials.
	Undelivered(ctx context.Context, company, key, reason string)
	// Outcomes reports the outcomes of messages, once for each call for receipts. It may
	// take some time. After an error, the receipts are requested again and reported again.
	Outcomes(ctx context.Context, outcomes []Outcome) error
}

// Outcome is the outcome of a message that Expo accepted.
type Outcome struct {
	// Company and Delivery identify the message.
	Company  string
	Delivery int64
	// Delivered is whether Apple or Google accepted it for one device at least. If not,
	// Reason is the last error.
	Delivered bool
	Reason    string
}

// Ticket is what Expo answered when it accepted a message before a restart: the ID of the
// [provider.Receipt].
type Ticket struct {
	ID string
	// Company, User, Key and Delivery are those of the message.
	Company, User, Key string
	Delivery           int64
	// Accepted is when Expo accepted it.
	Accepted time.Time
}

// Config configures the provider. Devices is required; the other zero fields have
// defaults.
type Config struct {
	Devices Devices
	// Feedback may be nil.
	Feedback Feedback
	// Dead stores the tokens that Expo reported dead. If nil, they are not remembered.
	Dead DeadTokens
	// AccessToken is needed if the Expo project requires one.
	AccessToken string
	// Report is whether the feedback receives the outcomes of messages.
	Report bool
	// Earlier, if not nil, returns the tickets since a time whose outcomes aren't known. With
	// Report, Run calls it until it succeeds once, so that receipts survive a restart.
	Earlier func(ctx context.Context, since time.Time) ([]Ticket, error)
	// ChannelID is the Android notification channel; the app's default if empty.
	ChannelID string
	// BaseURL defaults to the constant BaseURL.
	BaseURL string
	// Client makes the calls; one with outbound's defaults if nil.
	Client *outbound.Client
	// Clock decides when receipts are due; the real one if nil.
	Clock clock.WithTicker
}

// Provider sends push messages through Expo's push service to the devices of users. The
// recipients of its messages are users' ids.
//
// A message is for a user, not for a device: it counts as sent as soon as Expo has
// accepted it for one device, and is then never sent again. So no device that accepted it
// receives it twice, even if the operator restarts. The drawback is that a device which Expo
// throttled in the same call doesn't receive it. Expo has no idempotency keys; the message's
// Key is in the data as deliveryId, so that an app can drop a duplicate after an unknown
// outcome.
type Provider struct {
	api      *httpapi.API
	config   Config
	receipts pendingReceipts
}

// New checks the configuration. It makes no call.
func New(c Config) (*Provider, error) {
	if c.Devices == nil {
		return nil, errors.New("the Expo provider needs a source of devices")
	}
	header := http.Header{}
	if c.AccessToken != "" {
		if !httpapi.IsHeaderValue(c.AccessToken) {
			return nil, errors.New("the Expo access token contains characters that no token has")
		}
		header.Set("Authorization", "Bearer "+c.AccessToken)
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	api, err := httpapi.New("Expo", c.BaseURL, c.Client, header)
	if err != nil {
		return nil, err
	}
	return &Provider{api: api, config: c}, nil
}

type notification struct {
	To        string            `json:"to"`
	Title     string            `json:"title,omitempty"`
	Body      string            `json:"body,omitempty"`
	Data      map[string]string `json:"data"`
	Sound     string            `json:"sound"`
	ChannelID string            `json:"channelId,omitempty"`
	TTL       int64             `json:"ttl,omitempty"` // seconds
}

type ticket struct {
	Status  string        `json:"status"`
	ID      string        `json:"id"`
	Message string        `json:"message"`
	Details ticketDetails `json:"details"`
}

type ticketDetails struct {
	Error string `json:"error"`
	// Token is the device's token, which Expo repeats in some errors.
	Token string `json:"expoPushToken"`
	// APNs and FCM are what Apple and Google answered, in some errors.
	APNs struct {
		Reason string `json:"reason"`
	} `json:"apns"`
	FCM struct {
		Error string `json:"error"`
	} `json:"fcm"`
}

// unregistered is how Expo words DeviceNotRegistered where it gives no code.
var unregistered = regexp.MustCompile(`is not a registered push notification recipient|is not registered with (FCM|APNs)`)

// vendorCodes are Expo's codes for errors of Apple and Google, where Expo gives none.
var vendorCodes = map[string]string{
	"Unregistered": "DeviceNotRegistered", "ExpiredToken": "DeviceNotRegistered", "NotRegistered": "DeviceNotRegistered", "UNREGISTERED": "DeviceNotRegistered",
	"PayloadTooLarge": "MessageTooBig", "MessageTooBig": "MessageTooBig",
	"TooManyRequests": "MessageRateExceeded", "DeviceMessageRateExceeded": "MessageRateExceeded", "MessageRateExceeded": "MessageRateExceeded", "QUOTA_EXCEEDED": "MessageRateExceeded",
	"MismatchSenderId": "MismatchSenderId", "SENDER_ID_MISMATCH": "MismatchSenderId",
	"BadCertificate": "InvalidCredentials", "BadCertificateEnvironment": "InvalidCredentials", "ExpiredProviderToken": "InvalidCredentials", "InvalidProviderToken": "InvalidCredentials",
	"MissingProviderToken": "InvalidCredentials", "Forbidden": "InvalidCredentials", "THIRD_PARTY_AUTH_ERROR": "InvalidCredentials",
	"BadTopic": "DeveloperError", "DeviceTokenNotForTopic": "DeveloperError", "MissingTopic": "DeveloperError", "TopicDisallowed": "DeveloperError",
	"InternalServerError": "ProviderError", "ServiceUnavailable": "ProviderError", "Shutdown": "ProviderError", "Unavailable": "ProviderError", "UNAVAILABLE": "ProviderError", "INTERNAL": "ProviderError",
}

// error returns Expo's code of the error, or nothing.
func (t *ticket) error() string {
	if t.Details.Error == "" {
		if code := vendorCodes[cmp.Or(t.Details.APNs.Reason, t.Details.FCM.Error)]; code != "" {
			return code
		}
		if unregistered.MatchString(t.Message) {
			return "DeviceNotRegistered"
		}
	}
	return knownCode(t.Details.Error)
}

// tickets are a list of tickets, or a single one.
type tickets []ticket

// UnmarshalJSON implements json.Unmarshaler. Members of an unexpected type keep their zero
// values, so that one of them doesn't hide that Expo accepted the message.
func (t *tickets) UnmarshalJSON(b []byte) error {
	items := []json.RawMessage{b}
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &items); err != nil {
			return err
		}
	} else if len(b) == 0 || b[0] != '{' {
		return nil
	}
	*t = make(tickets, len(items))
	for i, item := range items {
		_ = json.Unmarshal(item, &(*t)[i])
	}
	return nil
}

// Send implements [provider.Provider]. The title of the notification is the message's
// Subject, the body its Text. The receipt's ID is that of Expo's first ticket.
func (p *Provider) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	if err := m.CheckKey(); err != nil {
		return provider.Receipt{}, err
	}
	n := notification{
		Title: m.SubjectLine(), Body: strings.ToValidUTF8(m.Text, "\uFFFD"),
		Data: map[string]string{"deliveryId": m.Key}, Sound: "default", ChannelID: p.config.ChannelID,
	}
	switch payload, err := httpapi.JSON(n); {
	case err != nil:
		return provider.Receipt{}, provider.Permanent("MessageInvalid", "The message can't be written as JSON.")
	case n.Title == "" && strings.TrimSpace(n.Body) == "":
		return provider.Receipt{}, provider.Permanent("MessageEmpty", "The message has neither title nor text.")
	case len(payload) > maxPayload:
		return provider.Receipt{}, provider.Permanent("MessageTooBig", fmt.Sprintf("Title and text are bigger than the %d bytes that a device accepts.", maxPayload))
	}
	if m.ValidFor > 0 {
		n.TTL = max(int64(m.ValidFor/time.Second), 1)
	}
	m.To = strings.TrimSpace(m.To)
	if m.To == "" || len(m.To) > 255 || strings.ContainsFunc(m.To, unicode.IsControl) || !utf8.ValidString(m.To) {
		return provider.Receipt{}, provider.Permanent("RecipientInvalid", "The recipient is not the id of a user.")
	}
	tokens, err := p.config.Devices.PushTokens(ctx, m.Company, m.To)
	if err != nil {
		var classed *provider.Error
		if errors.As(err, &classed) {
			return provider.Receipt{}, err
		}
		return provider.Receipt{}, provider.Transient(provider.ReasonDevicesUnavailable, "The user's devices can't be read from the platform.", 0)
	}
	tokens, err = p.alive(ctx, m.Company, m.To, validTokens(tokens))
	if err != nil {
		return provider.Receipt{}, provider.Transient(provider.ReasonDevicesUnavailable, "The list of devices that refuse messages can't be read.", 0)
	}
	if len(tokens) == 0 {
		return provider.Receipt{}, provider.Permanent("NoDevice", "The user has no device that accepts push messages.")
	}
	var sent outcome
	for batch := range slices.Chunk(tokens, maxBatch) {
		p.sendBatch(ctx, m, n, batch, &sent, true)
		if sent.broken {
			break
		}
	}
	if sent.accepted {
		return provider.Receipt{ID: sent.id}, nil
	}
	return provider.Receipt{}, sent.err
}

// outcome combines the tickets of one message.
type outcome struct {
	accepted bool
	id       string
	// err is the error if no device accepted the message. Of several errors, it is the one
	// after which another attempt is most likely to succeed; but an unknown outcome, which
	// may mean that a device has accepted the message, takes precedence.
	err error
	// broken means that a whole call failed, as the next one probably would.
	broken bool
}

func (o *outcome) failed(err error) {
	if o.err == nil || precedence(err) > precedence(o.err) {
		o.err = err
	}
}

// precedence orders the errors of one message, see [outcome.err].
func precedence(err error) int {
	switch {
	case provider.IsUnknown(err):
		return 3
	case provider.IsPermanent(err):
		return 0
	case provider.IsMisconfigured(err):
		return 1
	}
	return 2
}

// sendBatch sends the notification to one batch of tokens. If split is true and Expo requires
// it, it makes several calls.
func (p *Provider) sendBatch(ctx context.Context, m provider.Message, n notification, tokens []string, sent *outcome, split bool) {
	notifications := make([]notification, len(tokens))
	for i, token := range tokens {
		notifications[i] = n
		notifications[i].To = token
	}
	body, err := httpapi.JSON(notifications)
	if err != nil {
		sent.failed(provider.Permanent("MessageInvalid", "The message can't be written as JSON."))
		return
	}
	resp, err := p.api.Call(ctx, http.MethodPost, "/--/api/v2/push/send", "application/json", body)
	if err != nil {
		sent.broken = true
		sent.failed(err)
		return
	}
	var answer struct {
		Data   tickets         `json:"data"`
		Errors json.RawMessage `json:"errors"`
	}
	unreadable := httpapi.Decode(resp.Body, &answer)
	var failures httpapi.Texts
	code := ""
	if _ = json.Unmarshal(answer.Errors, &failures); len(failures) > 0 {
		code = failures[0].Code
	}
	switch {
	case strings.HasSuffix(code, "TOO_MANY_EXPERIENCE_IDS") && split:
		// The user has apps of several Expo projects, which a call must not mix.
		var projects []struct {
			Details map[string][]string `json:"details"`
		}
		if _ = json.Unmarshal(answer.Errors, &projects); len(projects) == 0 {
			projects = append(projects, struct {
				Details map[string][]string `json:"details"`
			}{})
		}
		for _, group := range groupTokens(tokens, projects[0].Details) {
			p.sendBatch(ctx, m, n, group, sent, false)
		}
		return
	case resp.Status/100 == 2 && len(answer.Data) == 0 && (unreadable != nil || len(failures) == 0):
		sent.broken = true
		sent.failed(provider.Unknown("Expo may or may not have accepted the message: its answer is not one of its API."))
		return
	case len(answer.Data) == 0:
		sent.broken = true
		sent.failed(p.callError(resp, code))
		return
	}
	for i, t := range answer.Data {
		token := ""
		if slices.Contains(tokens, t.Details.Token) {
			token = t.Details.Token
		}
		// Tickets are in the order of the notifications. If their number is wrong,
		// they can't be assigned, and the wrong device must not be declared dead.
		if len(answer.Data) == len(tokens) {
			token = tokens[i]
		}
		p.addTicket(ctx, m, t, token, sent)
	}
}

func (p *Provider) addTicket(ctx context.Context, m provider.Message, t ticket, token string, sent *outcome) {
	if t.Status == "ok" {
		id := httpapi.ReceiptID(t.ID)
		if !sent.accepted {
			sent.accepted, sent.id = true, id
		}
		if id != "" {
			p.receipts.add(p.config.Clock.Now(), pendingReceipt{id: id, company: m.Company, user: m.To, token: token, key: m.Key, delivery: m.Delivery})
		}
		return
	}
	switch code := t.error(); code {
	case "DeviceNotRegistered":
		p.markDead(ctx, m.Company, m.To, token)
		sent.failed(provider.Permanent("NoDevice", "The user has no device that accepts push messages: the app was removed."))
	case "MessageTooBig":
		sent.failed(provider.Permanent("MessageTooBig", "The message is too big for a device."))
	case "MessageRateExceeded":
		sent.failed(provider.Deferred(provider.ReasonThrottled, "Expo asks to send to the user's device more slowly.", 0))
	case "InvalidCredentials", "MismatchSenderId", "DeveloperError":
		sent.failed(provider.Misconfigured("CredentialsRefused", "Expo ("+code+"): fix the app's push credentials at Expo."))
	case "ExpoError", "ProviderError":
		sent.failed(provider.Transient("Unavailable", "Expo ("+code+") could not accept the message.", 0))
	default:
		if code != "" {
			code = " (" + code + ")"
		}
		sent.failed(provider.Permanent("MessageRefused", "Expo"+code+" refuses the message."))
	}
}

// callError classes the failure of a whole call.
func (p *Provider) callError(resp *outbound.Response, code string) error {
	code = knownCode(code)
	switch {
	case code == "TOO_MANY_REQUESTS" && resp.Status < 400:
		return provider.Transient(provider.ReasonThrottled, "Expo asks to send more slowly.", httpapi.RetryAfter(resp.Header))
	case code == "UNAUTHORIZED" && resp.Status < 500:
		return provider.Misconfigured("CredentialsRefused", "Expo (UNAUTHORIZED) refuses the access token, or the project requires one.")
	case resp.Status < 300 && (code == "" || code == "INTERNAL_SERVER_ERROR"):
		return p.api.UnexpectedAnswer()
	case resp.Status < 300:
		return provider.Permanent("MessageRefused", "Expo ("+code+") refuses the message.")
	}
	return p.api.StatusError(resp, code)
}

var codePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,59}$`)

// knownCode returns a code of an answer, or nothing if it doesn't look like one.
func knownCode(code string) string {
	if !codePattern.MatchString(code) {
		return ""
	}
	return code
}

// tokenPattern is the forms of Expo's push tokens, the old one of a UUID among them. Devices may
// have others (of FCM, say), and Expo refuses a whole call because of one of those.
var tokenPattern = regexp.MustCompile(`^(Expo(nent)?PushToken\[[\x21-\x5a\x5e-\x7e]{1,200}\]|[A-Za-z0-9]{8}(-[A-Za-z0-9]{4}){3}-[A-Za-z0-9]{12})$`)

// validTokens returns the valid tokens, each once.
func validTokens(tokens []string) []string {
	var valid []string
	for _, t := range tokens {
		if len(valid) < maxTokens && tokenPattern.MatchString(t) && !slices.Contains(valid, t) {
			valid = append(valid, t)
		}
	}
	return valid
}

// groupTokens groups tokens by the projects that Expo says they belong to. Those that it
// doesn't name form groups of one.
func groupTokens(tokens []string, projects map[string][]string) [][]string {
	rest := slices.Clone(tokens)
	var groups [][]string
	for _, named := range projects {
		var group []string
		rest = slices.DeleteFunc(rest, func(t string) bool {
			isNamed := slices.Contains(named, t)
			if isNamed {
				group = append(group, t)
			}
			return isNamed
		})
		if group != nil {
			groups = append(groups, group)
		}
	}
	for _, t := range rest {
		groups = append(groups, []string{t})
	}
	return groups
}
