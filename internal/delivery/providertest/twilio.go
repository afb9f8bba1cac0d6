// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// NewTwilio is a fake of Twilio's Messages API. The user is the account's SID or an
// API key's.
func NewTwilio(accountSID, user, password string) *API {
	return newAPI(twilio{accountSID, user, password})
}

type twilio struct{ account, user, password string }

func (t twilio) authorized(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	return ok && same(user, t.user) && same(password, t.password)
}

func twilioError(status, code int, message string) answer {
	return answer{status: status, body: map[string]any{
		"code": code, "message": message, "status": status, "more_info": fmt.Sprintf("https://www.twilio.com/docs/errors/%d", code),
	}}
}

var (
	e164        = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	whatsApp    = regexp.MustCompile(`^whatsapp:\+[1-9][0-9]{6,14}$`)
	contentSID  = regexp.MustCompile(`^HX[0-9a-fA-F]{32}$`)
	servicePath = regexp.MustCompile(`^/v2/Services/VA[0-9a-fA-F]{32}/Verifications$`)
	customCode  = regexp.MustCompile(`^[0-9A-Za-z]{4,10}$`)
)

func (t twilio) send(r *http.Request, body []byte, n int) ([]Received, answer, bool) {
	if r.Method == http.MethodPost && servicePath.MatchString(r.URL.Path) {
		return t.verify(r, body, n)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/"+t.account+"/Messages.json" {
		return nil, answer{}, false
	}
	form, err := url.ParseQuery(string(body))
	got := Received{
		To: form.Get("To"), From: form.Get("From") + form.Get("MessagingServiceSid"), Text: form.Get("Body"),
		ContentSID: form.Get("ContentSid"), ContentVariables: form.Get("ContentVariables"),
	}
	if validity := form.Get("ValidityPeriod"); validity != "" {
		got.Validity, err = strconv.ParseInt(validity, 10, 64)
		if err != nil || got.Validity < 1 || got.Validity > 36_000 {
			return nil, twilioError(400, 21636, "The ValidityPeriod is invalid: "+validity), true
		}
	}
	isWhatsApp := whatsApp.MatchString(got.To)
	switch {
	case err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		return nil, twilioError(400, 20001, "Unknown parameters"), true
	case got.From == "":
		return nil, twilioError(400, 21603, "A 'From' phone number is required."), true
	case got.Text == "" && got.ContentSID == "":
		return nil, twilioError(400, 21602, "Message body is required."), true
	case got.ContentSID != "" && (!contentSID.MatchString(got.ContentSID) || got.Text != ""):
		return nil, twilioError(400, 21655, "The ContentSid is invalid: "+got.ContentSID), true
	case got.ContentVariables != "" && json.Unmarshal([]byte(got.ContentVariables), &map[string]string{}) != nil:
		return nil, twilioError(400, 21656, "The Content Variables parameter is invalid: "+got.ContentVariables), true
	case form.Get("From") != "" && isWhatsApp != whatsApp.MatchString(form.Get("From")):
		return nil, twilioError(400, 63007, "Twilio could not find a Channel with the specified From address"), true
	case isWhatsApp && got.Text != "":
		return nil, twilioError(400, 63016, "Failed to send freeform message because you are outside the allowed window."), true
	case !e164.MatchString(got.To) && !isWhatsApp:
		return nil, twilioError(400, 21211, "Invalid 'To' Phone Number: "+got.To), true
	case utf8.RuneCountInString(got.Text) > 1600:
		return nil, twilioError(400, 21617, "The concatenated message body exceeds the 1600 character limit."), true
	}
	return []Received{got}, answer{status: http.StatusCreated, body: map[string]any{
		"sid": fmt.Sprintf("SM%032x", n), "status": "queued", "error_code": nil, "to": got.To, "body": got.Text,
	}}, true
}

// verify answers a request for a verification with a code of the caller's.
func (t twilio) verify(r *http.Request, body []byte, n int) ([]Received, answer, bool) {
	form, err := url.ParseQuery(string(body))
	got := Received{To: form.Get("To"), Code: form.Get("CustomCode")}
	switch {
	case err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded", form.Get("Channel") != "sms", !customCode.MatchString(got.Code):
		return nil, twilioError(400, 60200, "Invalid parameter: "+string(body)), true
	case !e164.MatchString(got.To):
		return nil, twilioError(400, 60200, "Invalid parameter `To`: "+got.To), true
	}
	return []Received{got}, answer{status: http.StatusCreated, body: map[string]any{"sid": fmt.Sprintf("VE%032x", n), "status": "pending", "to": got.To}}, true
}

func (t twilio) other(r *http.Request, _ []byte) answer {
	switch path := "/2010-04-01/Accounts/" + t.account; {
	case r.Method != http.MethodGet:
	case r.URL.Path == path+".json" && t.user == t.account:
		return answer{status: http.StatusOK, body: map[string]any{"sid": t.account, "status": "active"}}
	case r.URL.Path == path+"/IncomingPhoneNumbers.json":
		return answer{status: http.StatusOK, body: map[string]any{"incoming_phone_numbers": []any{}}}
	case r.URL.Path == path+".json":
		return t.unauthorized(nil)
	}
	return twilioError(http.StatusNotFound, 20404, "The requested resource was not found")
}

func (t twilio) refused(body []byte) answer {
	return twilioError(http.StatusBadRequest, 21610, "Attempt to send to unsubscribed recipient "+string(body))
}

func (t twilio) unauthorized(body []byte) answer {
	return twilioError(http.StatusUnauthorized, 20003, "Authenticate "+t.password+string(body))
}

func (t twilio) throttled(body []byte) answer {
	return twilioError(http.StatusTooManyRequests, 20429, "Too Many Requests "+string(body))
}
