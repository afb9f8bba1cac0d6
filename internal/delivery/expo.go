// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
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

	"github.com/rehive/extension-operator/internal/outbound"
)

// ExpoBaseURL is Expo's push service.
const ExpoBaseURL = "https://exp.host"

const (
	// maxPushBatch is the most notifications that Expo takes in one call.
	maxPushBatch = 100
	// maxPushPayload is the most bytes of title, body and data together, as JSON,
	// that Apple and Google take.
	maxPushPayload = 4096
	// maxPushTokens bounds the devices of one user.
	maxPushTokens = 1000
)

// ReasonDevicesUnavailable is of a message whose devices the platform didn't tell. It
// says nothing about the push service.
const ReasonDevicesUnavailable = "DevicesUnavailable"

// Devices know the push tokens of users' devices.
type Devices interface {
	// PushTokens lists the Expo push tokens of a user's apps. Errors classed with
	// [Permanent], [Transient] and [Misconfigured] decide about the message; any other
	// counts as transient.
	PushTokens(ctx context.Context, company, user string) ([]string, error)
}

// PushFeedback is told what becomes of push messages beyond the user's own
// outcome. It is called from several goroutines and must not block.
type PushFeedback interface {
	// DeadToken says that the app was uninstalled or refuses notifications. Sending
	// to the token again makes Apple and Google distrust the sender.
	DeadToken(ctx context.Context, company, user, token string)
	// Undelivered says that Apple or Google didn't take what Expo had accepted. Key is
	// the message's; reason is one of Expo's words, such as InvalidCredentials.
	Undelivered(ctx context.Context, company, key, reason string)
}

// ExpoConfig is how to send through Expo. Devices is needed; the other zero fields
// have defaults.
type ExpoConfig struct {
	Devices Devices
	// Feedback may be nil.
	Feedback PushFeedback
	// Dead remembers tokens that Expo called dead; a memory of its own if nil. Several
	// Expos may share one.
	Dead *DeadTokens
	// AccessToken is needed where the Expo project demands one.
	AccessToken string
	// ChannelID is the Android notification channel; the app's default if empty.
	ChannelID string
	// BaseURL is ExpoBaseURL if empty.
	BaseURL string
	// Client makes the calls; one with outbound's defaults if nil.
	Client *outbound.Client
	// Clock says when receipts are due; the real one if nil.
	Clock clock.WithTicker
}

// Expo sends push messages through Expo's push service to the devices of users. One
// Expo serves many companies, each through [Expo.For].
//
// A message is for a user and not for a device: it counts as sent as soon as Expo
// has accepted it for one device, and is then never tried again, so a device that
// accepted it can't get it twice, whatever was restarted in between. The price is
// that a device which Expo throttled in that same call does without. Expo has no
// idempotency keys; the message's Key is in the data as deliveryId, by which an app
// can drop what it gets twice after an unknown outcome.
type Expo struct {
	api      *api
	config   ExpoConfig
	receipts pendingReceipts
}

// NewExpo checks the configuration. It makes no call.
func NewExpo(c ExpoConfig) (*Expo, error) {
	if c.Devices == nil {
		return nil, errors.New("the Expo provider needs to know where devices are listed")
	}
	header := http.Header{}
	if c.AccessToken != "" {
		if !headerValue(c.AccessToken) {
			return nil, errors.New("the Expo access token has characters that no token has")
		}
		header.Set("Authorization", "Bearer "+c.AccessToken)
	}
	if c.BaseURL == "" {
		c.BaseURL = ExpoBaseURL
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Dead == nil {
		c.Dead = NewDeadTokens()
	}
	a, err := newAPI("Expo", c.BaseURL, c.Client, header)
	if err != nil {
		return nil, err
	}
	return &Expo{api: a, config: c}, nil
}

// For returns the provider of a company's push messages, whose recipients are
// users' ids. It makes no call and costs nothing.
func (e *Expo) For(company string) Provider { return expoCompany{e, company} }

type expoCompany struct {
	*Expo
	company string
}

type expoMessage struct {
	To        string            `json:"to"`
	Title     string            `json:"title,omitempty"`
	Body      string            `json:"body,omitempty"`
	Data      map[string]string `json:"data"`
	Sound     string            `json:"sound"`
	ChannelID string            `json:"channelId,omitempty"`
}

type expoTicket struct {
	Status  string `json:"status"`
	ID      string `json:"id"`
	Details struct {
		Error string `json:"error"`
	} `json:"details"`
}

// Send implements [Provider]. The title is the message's Subject, the body its
// Text. The receipt's ID is that of Expo's first ticket.
func (e expoCompany) Send(ctx context.Context, m Message) (Receipt, error) {
	if err := checkKey(m.Key); err != nil {
		return Receipt{}, err
	}
	message := expoMessage{
		Title: tidySubject(m.Subject), Body: strings.ToValidUTF8(m.Text, "\uFFFD"),
		Data: map[string]string{"deliveryId": m.Key}, Sound: "default", ChannelID: e.config.ChannelID,
	}
	switch payload, err := toJSON(message); {
	case err != nil:
		return Receipt{}, Permanent("MessageInvalid", "The message can't be written as JSON.")
	case message.Title == "" && strings.TrimSpace(message.Body) == "":
		return Receipt{}, Permanent("MessageEmpty", "The message has neither title nor text.")
	case len(payload) > maxPushPayload:
		return Receipt{}, Permanent("MessageTooBig", fmt.Sprintf("Title and text are bigger than the %d bytes that a device takes.", maxPushPayload))
	}
	m.To = strings.TrimSpace(m.To)
	if m.To == "" || len(m.To) > 255 || strings.ContainsFunc(m.To, unicode.IsControl) || !utf8.ValidString(m.To) {
		return Receipt{}, Permanent("RecipientInvalid", "The recipient is not the id of a user.")
	}
	tokens, err := e.config.Devices.PushTokens(ctx, e.company, m.To)
	if err != nil {
		var classed *Error
		if errors.As(err, &classed) {
			return Receipt{}, err
		}
		return Receipt{}, Transient(ReasonDevicesUnavailable, "The user's devices can't be read from the platform.", 0)
	}
	tokens = e.config.Dead.alive(e.config.Clock.Now(), e.company, m.To, expoTokens(tokens))
	if len(tokens) == 0 {
		return Receipt{}, Permanent("NoDevice", "The user has no device that takes push messages.")
	}
	var sent expoOutcome
	for batch := range slices.Chunk(tokens, maxPushBatch) {
		e.send(ctx, m, message, batch, &sent, true)
		if sent.broken {
			break
		}
	}
	if sent.accepted {
		return Receipt{ID: sent.id}, nil
	}
	return Receipt{}, sent.err
}

// expoOutcome adds up the tickets of one message.
type expoOutcome struct {
	accepted bool
	id       string
	// err is what to do if no device accepted: the most hopeful class of the errors
	// met, because trying again can't hurt those that are beyond hope. That a device may
	// have accepted comes before all.
	err error
	// broken says that a call failed, so that the next would too.
	broken bool
}

func (o *expoOutcome) failed(err error) {
	hope := map[class]int{unknown: 3, transient: 2, misconfigured: 1, permanent: 0}
	if o.err == nil || hope[classOf(err)] > hope[classOf(o.err)] {
		o.err = err
	}
}

// send sends to one batch of tokens.
func (e expoCompany) send(ctx context.Context, m Message, message expoMessage, tokens []string, sent *expoOutcome, split bool) {
	messages := make([]expoMessage, len(tokens))
	for i, token := range tokens {
		messages[i] = message
		messages[i].To = token
	}
	body, err := toJSON(messages)
	if err != nil {
		sent.failed(Permanent("MessageInvalid", "The message can't be written as JSON."))
		return
	}
	resp, err := e.api.call(ctx, http.MethodPost, "/--/api/v2/push/send", "application/json", body)
	if err != nil {
		sent.broken = true
		sent.failed(err)
		return
	}
	var answer struct {
		Data   []expoTicket `json:"data"`
		Errors []struct {
			Code    string              `json:"code"`
			Details map[string][]string `json:"details"`
		} `json:"errors"`
	}
	unreadable := json.Unmarshal(resp.Body, &answer)
	code := ""
	if len(answer.Errors) > 0 {
		code = answer.Errors[0].Code
	}
	switch {
	case code == "PUSH_TOO_MANY_EXPERIENCE_IDS" && split:
		// The user has apps of several Expo projects, which a call must not mix.
		for _, group := range groupTokens(tokens, answer.Errors[0].Details) {
			e.send(ctx, m, message, group, sent, false)
		}
		return
	case resp.Status == http.StatusOK && unreadable != nil, resp.Status == http.StatusOK && len(answer.Data) == 0 && code == "":
		sent.broken = true
		sent.failed(Unknown("Expo may or may not have taken the message: its answer isn't its API's."))
		return
	case len(answer.Data) == 0:
		sent.broken = true
		sent.failed(e.callError(resp, code))
		return
	}
	for i, ticket := range answer.Data {
		token := ""
		// Tickets are in the order of the messages. If their number is wrong, nobody
		// knows whose they are, and the wrong device must not be called dead.
		if len(answer.Data) == len(tokens) {
			token = tokens[i]
		}
		e.ticket(ctx, m, ticket, token, sent)
	}
}

func (e expoCompany) ticket(ctx context.Context, m Message, ticket expoTicket, token string, sent *expoOutcome) {
	if ticket.Status == "ok" {
		id := receiptID(ticket.ID)
		if !sent.accepted {
			sent.accepted, sent.id = true, id
		}
		if id != "" {
			e.receipts.add(e.config.Clock.Now(), pendingReceipt{id: id, company: e.company, user: m.To, token: token, key: m.Key})
		}
		return
	}
	switch code := expoCode(ticket.Details.Error); code {
	case "DeviceNotRegistered":
		e.dead(ctx, e.company, m.To, token)
		sent.failed(Permanent("NoDevice", "The user has no device that takes push messages: the app was removed."))
	case "MessageTooBig":
		sent.failed(Permanent("MessageTooBig", "The message is too big for a device."))
	case "MessageRateExceeded":
		sent.failed(Deferred("Throttled", "Expo asks to send to the user's device more slowly.", 0))
	case "InvalidCredentials", "MismatchSenderId", "DeveloperError":
		sent.failed(Misconfigured("CredentialsRefused", "Expo ("+code+"): the app's push credentials at Expo need mending."))
	case "ExpoError", "ProviderError":
		sent.failed(Transient("Unavailable", "Expo ("+code+") could not take the message.", 0))
	default:
		if code != "" {
			code = " (" + code + ")"
		}
		sent.failed(Permanent("MessageRefused", "Expo"+code+" refuses the message."))
	}
}

func (e *Expo) dead(ctx context.Context, company, user, token string) {
	if token == "" {
		return
	}
	e.config.Dead.add(e.config.Clock.Now(), company, user, token)
	if e.config.Feedback != nil {
		e.config.Feedback.DeadToken(ctx, company, user, token)
	}
}

// callError classes the failure of a whole call.
func (e *Expo) callError(resp *outbound.Response, code string) error {
	code = expoCode(code)
	switch {
	case code == "TOO_MANY_REQUESTS" && resp.Status < 400:
		return Transient("Throttled", "Expo asks to send more slowly.", retryAfter(resp.Header, time.Now()))
	case resp.Status < 300 && code == "":
		return Transient("UnexpectedAnswer", "Expo answered with something that isn't its API's.", 0)
	case resp.Status < 300:
		return Permanent("MessageRefused", "Expo ("+code+") refuses the message.")
	}
	return e.api.statusError(resp, code)
}

var expoCodePattern = regexp.MustCompile(`^[A-Za-z_]{1,60}$`)

// expoCode is a code of an answer, if it looks like one.
func expoCode(code string) string {
	if !expoCodePattern.MatchString(code) {
		return ""
	}
	return code
}

// expoToken is the form of Expo's push tokens. Devices may hold others (of FCM, say),
// and one of those makes Expo refuse the whole call.
var expoToken = regexp.MustCompile(`^Expo(nent)?PushToken\[[\x21-\x5a\x5e-\x7e]{1,200}\]$`)

// expoTokens are the valid ones of tokens, each once.
func expoTokens(tokens []string) []string {
	var valid []string
	for _, t := range tokens {
		if len(valid) < maxPushTokens && expoToken.MatchString(t) && !slices.Contains(valid, t) {
			valid = append(valid, t)
		}
	}
	return valid
}

// groupTokens groups tokens as Expo says they belong to projects. Those that it
// doesn't name go one by one.
func groupTokens(tokens []string, projects map[string][]string) [][]string {
	rest := slices.Clone(tokens)
	var groups [][]string
	for _, named := range projects {
		var group []string
		rest = slices.DeleteFunc(rest, func(t string) bool {
			mine := slices.Contains(named, t)
			if mine {
				group = append(group, t)
			}
			return mine
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
