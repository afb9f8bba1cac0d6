// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/sendgrid"
	"github.com/rehive/extension-operator/internal/delivery/twilio"
	"github.com/rehive/extension-operator/internal/feedback"
	"github.com/rehive/extension-operator/internal/ledger"
)

const (
	feedbackAccount = "AC0123456789abcdef0123456789abcdef"
	feedbackToken   = "a-planted-auth-token"
	feedbackPublic  = "https://notify.example.com"
)

// reporters are the providers of a feedback fixture, by name.
type reporters struct {
	all       map[string]*v1alpha1.DeliveryProvider
	reporter  map[string]provider.Reporter
	companies []string
	opens     bool
	asked     atomic.Int64 // how often Reporter was called
}

func (r *reporters) Reporter(_ context.Context, key types.NamespacedName) (*v1alpha1.DeliveryProvider, provider.Reporter, error) {
	r.asked.Add(1)
	return r.all[key.Name], r.reporter[key.Name], nil
}

func (r *reporters) UsedBy(context.Context, *v1alpha1.DeliveryProvider) ([]string, error) {
	return r.companies, nil
}

func (r *reporters) Activation(context.Context, string) (*v1alpha1.CompanyActivation, error) {
	return &v1alpha1.CompanyActivation{Spec: v1alpha1.CompanyActivationSpec{RecordOpens: r.opens}}, nil
}

// feedbackFixture is a server to which a SendGrid and a Twilio provider report.
type feedbackFixture struct {
	*fixture
	reporters  *reporters
	references *feedback.References
	key        *ecdsa.PrivateKey
}

func newFeedbackFixture(t *testing.T) *feedbackFixture {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	mail, err := sendgrid.New(sendgrid.Config{APIKey: "key", EventKey: base64.StdEncoding.EncodeToString(der)})
	if err != nil {
		t.Fatal(err)
	}
	sms, err := twilio.New(twilio.Config{AccountSID: feedbackAccount, AuthToken: feedbackToken, SigningKey: feedbackToken})
	if err != nil {
		t.Fatal(err)
	}
	made := func(name string, spec v1alpha1.DeliveryProviderSpec) *v1alpha1.DeliveryProvider {
		return &v1alpha1.DeliveryProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}, Spec: spec}
	}
	r := &reporters{
		all: map[string]*v1alpha1.DeliveryProvider{
			"mail": made("mail", v1alpha1.DeliveryProviderSpec{SendGrid: &v1alpha1.SendGridProvider{}}),
			"sms":  made("sms", v1alpha1.DeliveryProviderSpec{Twilio: &v1alpha1.TwilioProvider{}}),
		},
		reporter: map[string]provider.Reporter{"mail": mail, "sms": sms},
	}
	f := &feedbackFixture{reporters: r, references: feedback.NewReferences([]byte("a key"), feedbackPublic), key: key}
	f.fixture = newActiveFixture(t, func(o *Options) {
		receiver, err := feedback.New(feedback.Options{References: f.references, Providers: r, Companies: r, Ledger: o.Ledger.(feedback.Ledger)})
		if err != nil {
			t.Fatal(err)
		}
		o.Feedback = receiver
	})
	return f
}

// path is the path of a provider's URL.
func (f *feedbackFixture) path(name string) string {
	return strings.TrimPrefix(f.references.URL(f.reporters.all[name]), feedbackPublic)
}

// sent stores a message that a provider accepted, and returns its number and reference.
func (f *feedbackFixture) sent(name, event, channel, recipient string) (id int64, reference string) {
	f.Helper()
	f.received(f.company, event, "transaction.execute", ledger.NewDelivery{
		RuleName: namespace + "/paid", Channel: channel, Recipient: recipient, Content: ledger.Content{Text: "You paid."},
	})
	claimed, err := f.store.ClaimDeliveries(f.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(claimed).To(gomega.HaveLen(1))
	f.Expect(f.store.MarkSent(f.Context(), claimed[0], "x")).To(gomega.Succeed())
	m := provider.Message{Delivery: claimed[0].ID, Key: delivery.Key(&claimed[0].Delivery)}
	return claimed[0].ID, f.references.For(f.reporters.all[name])(&m)
}

// events posts SendGrid's events.
func (f *feedbackFixture) events(path, body string) response {
	f.Helper()
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	digest := sha256.Sum256([]byte(stamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, f.key, digest[:])
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return f.send(http.MethodPost, path, strings.NewReader(body), http.Header{
		"Content-Type": {"application/json"}, "X-Twilio-Email-Event-Webhook-Timestamp": {stamp},
		"X-Twilio-Email-Event-Webhook-Signature": {base64.StdEncoding.EncodeToString(signature)},
	})
}

// status posts a status callback of Twilio.
func (f *feedbackFixture) status(path string, form url.Values) response {
	f.Helper()
	form.Set("AccountSid", feedbackAccount)
	text := feedbackPublic + path
	for _, name := range slices.Sorted(maps.Keys(form)) {
		text += name + form.Get(name)
	}
	h := hmac.New(sha1.New, []byte(feedbackToken))
	_, _ = h.Write([]byte(text))
	return f.send(http.MethodPost, path, strings.NewReader(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "X-Twilio-Signature": {base64.StdEncoding.EncodeToString(h.Sum(nil))},
	})
}

// outcome returns what the API shows of a message.
func (f *feedbackFixture) outcome(id int64) string {
	f.Helper()
	l := f.admined("adminLogsRetrieve", "GET", fmt.Sprintf("/api/admin/logs/%d/", id), "", 200)
	return fmt.Sprint(l["state"], " ", l["outcome"])
}

func TestFeedbackOfSendGrid(t *testing.T) {
	f := newFeedbackFixture(t)
	id, reference := f.sent("mail", "e-1", ledger.ChannelEmail, "Zoe@example.com")
	_, foreign := f.sent("sms", "e-2", ledger.ChannelSMS, "+27820000001")
	event := func(reference, fields string) string {
		return `[{"email":"zoe@example.com","timestamp":1513299569,"rehive_reference":"` + reference + `",` + fields + `}]`
	}
	path := f.path("mail")
	f.Expect(f.outcome(id)).To(gomega.Equal("sent <nil>"))
	// Opens are recorded if the company wants it; otherwise they say that it was delivered.
	for range 2 {
		f.expectSuccess(f.events(path, event(reference, `"event":"open"`)))
		f.Expect(f.outcome(id)).To(gomega.Equal("sent delivered"))
	}
	f.reporters.opens = true
	f.expectSuccess(f.events(path, event(reference, `"event":"open"`)))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent opened"))
	f.expectSuccess(f.events(path, event(reference, `"event":"delivered"`)))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent opened"), "it comes late")

	// A bounce suppresses the address, once.
	bounce := event(reference, `"event":"bounce","type":"bounce","status":"5.1.1","reason":"550 no such user zoe@example.com"`)
	f.expectSuccess(f.events(path, bounce))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent bounced"))
	list := f.admined("adminSuppressionsList", "GET", "/api/admin/suppressions/?recipient=ZOE@example.com", "", 200)["results"].([]any)
	f.Expect(list).To(gomega.HaveLen(1))
	f.Expect(list[0]).To(gomega.And(gomega.HaveKeyWithValue("reason", "HardBounce"), gomega.HaveKeyWithValue("source", "Feedback"), gomega.HaveKeyWithValue("type", "email")))
	f.admined("adminSuppressionsDestroy", "DELETE", fmt.Sprintf("/api/admin/suppressions/%.0f/", list[0].(map[string]any)["id"]), "", 200)
	f.expectSuccess(f.events(path, bounce))
	f.Expect(f.admined("adminSuppressionsList", "GET", "/api/admin/suppressions/", "", 200)["results"]).To(gomega.BeEmpty())
	found := f.admined("adminLogsList", "GET", "/api/admin/logs/?outcome=bounced", "", 200)["results"].([]any)
	f.Expect(found).To(gomega.HaveLen(1))
	f.Expect(found[0].(map[string]any)["outcome_message"]).To(gomega.And(gomega.ContainSubstring("5.1.1"), gomega.Not(gomega.ContainSubstring("zoe"))))

	// Unknown messages, and those of other providers, change nothing and succeed.
	for _, unknown := range []string{foreign, "AAAA", "", strings.Repeat("A", 32)} {
		f.expectSuccess(f.events(path, event(unknown, `"event":"bounce","type":"bounce"`)))
	}
	f.Expect(f.admined("adminSuppressionsList", "GET", "/api/admin/suppressions/", "", 200)["results"]).To(gomega.BeEmpty())
	purged := id
	f.Expect(f.store.PurgeCompany(t.Context(), f.company)).To(gomega.Succeed())
	f.expectSuccess(f.events(path, event(reference, `"event":"spamreport"`)))
	_, err := f.store.LogEntry(t.Context(), f.company, purged)
	f.Expect(err).To(gomega.MatchError(ledger.ErrNotFound))
}

func TestFeedbackOfTwilio(t *testing.T) {
	f := newFeedbackFixture(t)
	id, reference := f.sent("sms", "e-1", ledger.ChannelSMS, "+27820000001")
	path := f.path("sms") + reference + "/"
	f.expectSuccess(f.status(path, url.Values{"MessageStatus": {"sent"}}))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent <nil>"))
	f.expectSuccess(f.status(path, url.Values{"MessageStatus": {"delivered"}, "Body": {"ä + &"}}))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent delivered"))
	f.expectSuccess(f.status(path, url.Values{"MessageStatus": {"failed"}, "ErrorCode": {"21610"}}))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent blocked"))
	count := func() int {
		return len(f.admined("adminSuppressionsList", "GET", "/api/admin/suppressions/?reason=Stop", "", 200)["results"].([]any))
	}
	f.Expect(count()).To(gomega.Equal(1))
	// START ends it, at the companies that use the provider.
	start := url.Values{"OptOutType": {"START"}, "From": {"+27820000001"}}
	f.expectSuccess(f.status(f.path("sms"), start))
	f.Expect(count()).To(gomega.Equal(1))
	f.reporters.companies = []string{"another", f.company}
	f.expectSuccess(f.status(f.path("sms"), start))
	f.Expect(count()).To(gomega.BeZero())

	r := f.status(path, url.Values{"MessageStatus": {strings.Repeat("x", callbackBody)}})
	f.Expect(r.status).To(gomega.Equal(http.StatusRequestEntityTooLarge))
}

// TestFeedbackOfStrangers tests that nothing is told to, and nothing taken from, who doesn't
// know the URL or can't sign.
func TestFeedbackOfStrangers(t *testing.T) {
	f := newFeedbackFixture(t)
	id, reference := f.sent("mail", "e-1", ledger.ChannelEmail, "zoe@example.com")
	body := `[{"event":"spamreport","rehive_reference":"` + reference + `"}]`
	path := f.path("mail")
	delete(f.reporters.reporter, "sms")
	for _, wrong := range []string{
		"/api/feedback/ns/mail/guess/", "/api/feedback/ns/none/guess/", "/api/feedback/other/mail/guess/", strings.Replace(path, "/mail/", "/sms/", 1), f.path("sms"),
		"/api/feedback/ns/mail/", "/api/feedback/", path + reference + "/more/",
	} {
		f.Expect(f.events(wrong, body).status).To(gomega.Equal(http.StatusNotFound), wrong)
	}
	f.Expect(f.send(http.MethodGet, path, nil, nil).status).To(gomega.Equal(http.StatusMethodNotAllowed))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.key, key = key, f.key
	f.Expect(f.events(path, body).status).To(gomega.Equal(http.StatusForbidden))
	f.Expect(f.post(path, body).status).To(gomega.Equal(http.StatusForbidden))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent <nil>"))
	f.key = key
	f.Expect(f.events(path, "{").status).To(gomega.Equal(http.StatusBadRequest))
	f.expectSuccess(f.events(path, body))
	f.Expect(f.outcome(id)).To(gomega.Equal("sent complained"))
}

// TestSlowFeedback checks that reports that don't arrive keep no others from being handled.
func TestSlowFeedback(t *testing.T) {
	f := newFeedbackFixture(t)
	for i := range feedbackCalls {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
		f.Expect(err).NotTo(gomega.HaveOccurred())
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "POST "+f.path([]string{"mail", "sms"}[i%2])+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[")
		f.Expect(err).NotTo(gomega.HaveOccurred())
	}
	f.Eventually(f.reporters.asked.Load).Should(gomega.BeEquivalentTo(feedbackCalls))
	f.expectSuccess(f.events(f.path("mail"), "[]"))
}
