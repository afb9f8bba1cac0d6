// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/admin"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// documents are those that were loaded, by their text. Loading one takes a second under the
// race detector, and nearly all servers have the same.
var documents sync.Map

// described loads the server's OpenAPI document like a client, once for each fixture.
func (f *fixture) described() *openapi3.T {
	f.Helper()
	if f.description == nil {
		f.description = f.loadDescription()
	}
	return f.description
}

func (f *fixture) loadDescription() *openapi3.T {
	f.Helper()
	r := f.send("GET", "/api/schema.json", nil, nil)
	f.Expect(r.status).To(gomega.Equal(200))
	if doc, ok := documents.Load(r.body); ok {
		return doc.(*openapi3.T)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(r.body))
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(doc.Validate(f.Context())).To(gomega.Succeed())
	documents.Store(r.body, doc)
	return doc
}

// admined makes a call as the company's admin, checks that the answer matches the document,
// and returns its data.
func (f *fixture) admined(operation, method, path, body string, status int) map[string]any {
	f.Helper()
	r := f.call(f.admin.Token, method, path, body)
	f.Expect(r.status).To(gomega.Equal(status), r.String())
	var found *openapi3.Operation
	for _, item := range f.described().Paths.Map() {
		for _, op := range item.Operations() {
			if op.OperationID == operation {
				found = op
			}
		}
	}
	f.Expect(found).NotTo(gomega.BeNil(), operation)
	response := found.Responses.Status(status)
	if response == nil {
		response = found.Responses.Default()
	}
	var envelope map[string]any
	f.Expect(json.Unmarshal([]byte(r.body), &envelope)).To(gomega.Succeed())
	f.Expect(response.Value.Content["application/json"].Schema.Value.VisitJSON(envelope, openapi3.EnableJSONSchema2020())).To(gomega.Succeed(), r.body)
	data, _ := envelope["data"].(map[string]any)
	return data
}

const welcome = `{"name":"Welcome","type":"email","event":"user.create","to_email":"{{ email }}","subject":"Hello {{ first_name }}","text_message":" Hi!\n","html_message":"<p>Hi</p>"}`

func TestNotifications(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)
	f.Expect(created).To(gomega.And(
		gomega.HaveKeyWithValue("name", "Welcome"), gomega.HaveKeyWithValue("type", "email"), gomega.HaveKeyWithValue("company", f.company),
		gomega.HaveKeyWithValue("text_message", " Hi!\n"), gomega.HaveKeyWithValue("enabled", true), gomega.HaveKeyWithValue("sms_message", gomega.BeNil()),
		gomega.HaveKeyWithValue("layout", gomega.BeNil()), gomega.HaveKeyWithValue("template", gomega.BeNil()),
	))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])

	// A read sees the preceding write.
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(gomega.Equal(created))
	list := f.admined("adminNotificationsList", "GET", "/api/admin/notifications/?name=Welcome&page=last", "", 200)
	f.Expect(list["results"]).To(gomega.ConsistOf(created))

	// A PATCH changes the named fields, and a PUT keeps the others.
	patched := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"enabled":"off","description":"d"}`, 200)
	f.Expect(patched).To(gomega.And(gomega.HaveKeyWithValue("enabled", false), gomega.HaveKeyWithValue("subject", "Hello {{ first_name }}")))
	f.Expect(f.call(f.admin.Token, "PATCH", path, "").status).To(gomega.Equal(200)) // without a body
	put := f.admined("adminNotificationsUpdate", "PUT", path, `{"name":"Welcome!"}`, 200)
	f.Expect(put).To(gomega.And(gomega.HaveKeyWithValue("name", "Welcome!"), gomega.HaveKeyWithValue("description", "d")))

	// Switching to another channel and back keeps the texts of both.
	sms := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"sms","to_mobile":"{{ mobile }}","sms_message":"Hi"}`, 200)
	f.Expect(sms).To(gomega.And(gomega.HaveKeyWithValue("type", "sms"), gomega.HaveKeyWithValue("html_message", "<p>Hi</p>")))
	rules := f.storedRules()
	f.Expect(rules).To(gomega.HaveLen(1))
	f.Expect(rules[0].Spec.Email).To(gomega.BeNil())
	f.Expect(rules[0].Spec.SMS.Message).To(gomega.Equal("Hi"))
	back := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"email"}`, 200)
	f.Expect(back).To(gomega.And(gomega.HaveKeyWithValue("html_message", "<p>Hi</p>"), gomega.HaveKeyWithValue("sms_message", "Hi")))

	f.expectSuccess(f.call(f.admin.Token, "DELETE", path, ""))
	f.expectError(f.call(f.admin.Token, "GET", path, ""), 404, "", "Not found.")
	f.expectError(f.call(f.admin.Token, "DELETE", path, ""), 404, "", "Not found.")
}

func TestInvalidNotificationsAreRefused(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	for _, test := range []struct{ change, field, message string }{
		{`"name":""`, "name", "This field may not be blank."},
		{`"type":"fax"`, "type", `"fax" is not a valid choice.`},
		{`"subject":null`, "subject", "A notification of the type email needs this field."},
		{`"html_message":"<p>\n{% if %}"`, "html_message", "Line 2, column 1: "},
		{`"expression":"{{ a }} =="`, "expression", "Line 1, column "},
		{`"event":"User.Create"`, "event", ""},
		{`"layout":"none"`, "layout", `Invalid pk "none" - object does not exist.`},
		{`"template":"none"`, "template", `Invalid pk "none" - object does not exist.`},
		{`"text_message":"` + strings.Repeat("a", 262145) + `"`, "text_message", "Ensure this field has no more than 262144 characters."},
	} {
		r := f.call(f.admin.Token, "POST", "/api/admin/notifications/", strings.TrimSuffix(welcome, "}")+","+test.change+"}")
		f.Expect(r.status).To(gomega.Equal(400), test.field+": "+r.String())
		var refused struct {
			Data map[string][]string `json:"data"`
		}
		f.Expect(json.Unmarshal([]byte(r.body), &refused)).To(gomega.Succeed())
		f.Expect(refused.Data).To(gomega.HaveKey(test.field), r.body)
		f.Expect(refused.Data[test.field][0]).To(gomega.HavePrefix(test.message))
		f.Expect(len(r.body)).To(gomega.BeNumerically("<", 1000))
	}
}

// TestForeignNotificationsAreReadOnly checks that objects managed by kubectl or GitOps
// tools are read-only, and that the error names the manager.
func TestForeignNotificationsAreReadOnly(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	rule := f.rule("declared", "Declared", nil)
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"description":"ours"}}`))
	f.Expect(f.client.Patch(t.Context(), rule, patch, client.FieldOwner("kubectl-client-side-apply"))).To(gomega.Succeed())
	list := f.admined("adminNotificationsList", "GET", "/api/admin/notifications/", "", 200)
	found := list["results"].([]any)[0].(map[string]any)
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", found["id"])
	for _, method := range []string{"PATCH", "DELETE"} {
		r := f.call(f.admin.Token, method, path, `{"name":"Mine"}`)
		f.Expect(r.status).To(gomega.Equal(403), r.String())
		f.Expect(r.body).To(gomega.ContainSubstring("This is managed by kubectl-client-side-apply "))
	}
	// A label on the activation allows the change.
	a := f.activation()
	labeled := a.DeepCopy()
	labeled.Labels = map[string]string{v1alpha1.APIWritesLabel: v1alpha1.APIWritesAllow}
	f.Expect(f.client.Patch(t.Context(), labeled, client.MergeFrom(a))).To(gomega.Succeed())
	f.Eventually(func() int { return f.call(f.admin.Token, "PATCH", path, `{"name":"Mine"}`).status }).Should(gomega.Equal(200))
	f.Expect(f.mgr.GetAPIReader().Get(t.Context(), client.ObjectKeyFromObject(rule), rule)).To(gomega.Succeed())
	f.Expect(rule.Spec.DisplayName).To(gomega.Equal("Mine"))
}

// TestConcurrentChangesAreMerged checks that two admins and a platform team can change
// different fields at the same time without losing a change.
func TestConcurrentChangesAreMerged(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])
	var changes sync.WaitGroup
	for i, change := range []string{`{"name":"A"}`, `{"subject":"B"}`, `{"description":"C"}`, `{"to_user":"D"}`} {
		token := f.admin.Token
		if i%2 == 0 {
			token = f.second.Token
		}
		changes.Go(func() {
			for {
				switch r := f.call(token, "PATCH", path, change); r.status {
				case 200:
					return
				case 409: // repeat
				default:
					t.Errorf("%s: %s", change, r)
					return
				}
			}
		})
	}
	changes.Wait()
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(gomega.And(
		gomega.HaveKeyWithValue("name", "A"), gomega.HaveKeyWithValue("subject", "B"),
		gomega.HaveKeyWithValue("description", "C"), gomega.HaveKeyWithValue("to_user", "D"),
	))
}

// TestTriggerNotification checks that a trigger is durable when it is answered, and runs
// once for an idempotency key.
func TestTriggerNotification(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)
	path := fmt.Sprintf("/api/admin/notifications/%.0f/trigger/", created["id"])
	pending := func(want int64) {
		t.Helper()
		stats, err := f.store.Stats(t.Context())
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(stats.PendingEvents).To(gomega.BeEquivalentTo(want))
	}
	const operation = "adminNotificationsTriggerCreate"
	f.admined(operation, "POST", path, "", 200) // without a body
	f.admined(operation, "POST", path, `{"data":null,"users":null,"groups":null,"id":"1","status":"pending"}`, 200)
	f.admined(operation, "POST", path, `{"data":{"code":"1"},"users":["u"],"groups":["vip"]}`, 200)
	pending(3)

	keyed := func(token, key, path string) response {
		t.Helper()
		return f.send("POST", path, strings.NewReader(`{"data":{"email":"zoe@example.com"}}`), http.Header{
			"Authorization": {"Token " + token}, "Content-Type": {"application/json"}, "Idempotency-Key": {key},
		})
	}
	first, again := keyed(f.admin.Token, "a", path), keyed(f.admin.Token, "a", path)
	f.expectSuccess(first)
	f.expectSuccess(again)
	f.Expect(first.header.Get("Idempotent-Replayed")).To(gomega.BeEmpty())
	f.Expect(again.header.Get("Idempotent-Replayed")).To(gomega.Equal("true"))
	pending(4)
	other := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)
	f.expectSuccess(keyed(f.admin.Token, "b", path))
	f.expectSuccess(keyed(f.second.Token, "a", path)) // another admin's key
	f.expectSuccess(keyed(f.admin.Token, "a", fmt.Sprintf("/api/admin/notifications/%.0f/trigger/", other["id"])))
	pending(7)
	f.expectError(keyed(f.admin.Token, strings.Repeat("a", 100), path), 400, "", "The header Idempotency-Key must be shorter than 100 characters.")

	users := strings.TrimSuffix(strings.Repeat(`"u",`, 1001), ",")
	for body, want := range map[string][2]string{
		`{"data":[]}`: {"data", `Expected a dictionary of items but got type "list".`},
		`{"data":{"a":[` + strings.TrimSuffix(strings.Repeat("1,", 100_001), ",") + `]}}`: {"data", "Ensure this field holds no more than 100000 values."},
		`{"users":"u"}`:             {"users", `Expected a list of items but got type "str".`},
		`{"users":[` + users + `]}`: {"users", "Ensure this field has no more than 1000 elements."},
	} {
		f.expectError(f.call(f.admin.Token, "POST", path, body), 400, want[0], want[1])
	}
	for body, want := range map[string]string{`{"groups":[[]]}`: "Not a valid string.", `{"groups":[""]}`: "This field may not be blank."} {
		f.Expect(f.call(f.admin.Token, "POST", path, body).String()).To(gomega.Equal(
			`400 {"status":"error","message":"Invalid request.","data":{"groups":{"0":["` + want + `"]}}}`))
	}
	f.expectError(f.call(f.admin.Token, "POST", "/api/admin/notifications/1/trigger/", ""), 404, "", "Not found.")
	f.Expect(f.call(f.addUser(f.company, "user").Token, "POST", path, "").status).To(gomega.Equal(403))
	pending(7)

	// Webhooks can't carry such an event.
	event := f.event("forged")
	event["event"] = notify.TriggerEvent
	f.expectError(f.webhook("Secret "+f.credentials().WebhookSecret, event), 400, "event", "This event can't be sent as a webhook.")
}

func TestLayouts(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	created := f.admined("adminLayoutsCreate", "POST", "/api/admin/layouts/", `{"name":"Frame","type":"email","html_layout":"<body>{{ content }}</body>"}`, 201)
	path := fmt.Sprintf("/api/admin/layouts/%s/", created["id"])
	f.Expect(f.admined("adminLayoutsRetrieve", "GET", path, "", 200)).To(gomega.HaveKeyWithValue("html_layout", "<body>{{ content }}</body>"))
	f.Expect(f.call(f.admin.Token, "PATCH", path, `{"html_layout":"no place"}`).body).To(gomega.ContainSubstring(`"html_layout":["`))

	body := strings.TrimSuffix(welcome, "}") + fmt.Sprintf(`,"layout":%q}`, created["id"])
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", body, 201)
	f.Expect(n["layout"]).To(gomega.HaveKeyWithValue("name", "Frame"))
	r := f.call(f.admin.Token, "DELETE", path, "")
	f.Expect(r.status).To(gomega.Equal(409), r.String())
	f.Expect(r.body).To(gomega.ContainSubstring("used by the notification Welcome"))
	f.admined("adminNotificationsPartialUpdate", "PATCH", fmt.Sprintf("/api/admin/notifications/%.0f/", n["id"]), `{"layout":null}`, 200)
	f.expectSuccess(f.call(f.admin.Token, "DELETE", path, ""))

	sms := f.admined("adminLayoutsCreate", "POST", "/api/admin/layouts/", `{"name":"Short","type":"sms","sms_layout":"{{ content }} Acme"}`, 201)
	r = f.call(f.admin.Token, "POST", "/api/admin/notifications/", strings.TrimSuffix(welcome, "}")+fmt.Sprintf(`,"layout":%q}`, sms["id"]))
	f.expectError(r, 400, "layout", "This layout is for notifications of the type sms.")
}

func TestTemplates(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	no := false
	template := &v1alpha1.NotificationTemplate{Spec: v1alpha1.NotificationTemplateSpec{
		Deletable: &no,
		NotificationSpec: v1alpha1.NotificationSpec{
			DisplayName: "Receipt",
			Event:       "transaction.execute",
			SMS:         &v1alpha1.SMSMessage{To: "{{ user.mobile }}", Message: "Paid"},
		},
	}}
	template.Namespace, template.Name = namespace, "receipt"
	f.Expect(f.client.Create(t.Context(), template)).To(gomega.Succeed())
	t.Cleanup(func() { _ = f.client.Delete(t.Context(), template) })
	f.Eventually(func() int { return f.call(f.admin.Token, "GET", "/api/admin/templates/receipt/", "").status }).Should(gomega.Equal(200))
	f.Expect(f.admined("adminTemplatesRetrieve", "GET", "/api/admin/templates/receipt/", "", 200)).To(gomega.And(
		gomega.HaveKeyWithValue("sms_message", "Paid"), gomega.HaveKeyWithValue("deletable", false),
	))
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", `{"name":"Mine","template":"receipt"}`, 201)
	f.Expect(n).To(gomega.And(gomega.HaveKeyWithValue("type", "sms"), gomega.HaveKeyWithValue("event", "transaction.execute"), gomega.HaveKeyWithValue("sms_message", "Paid")))
	r := f.call(f.admin.Token, "DELETE", fmt.Sprintf("/api/admin/notifications/%.0f/", n["id"]), "")
	f.Expect(r.status).To(gomega.Equal(403), r.String())
}

func TestCompany(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	const path = "/api/admin/company/"
	before := f.admined("adminCompanyRetrieve", "GET", path, "", 200)
	f.Expect(before).To(gomega.And(
		gomega.HaveKeyWithValue("id", f.company), gomega.HaveKeyWithValue("push_enabled", true),
		gomega.HaveKeyWithValue("secret", f.credentials().WebhookSecret),
	))
	changed := f.admined("adminCompanyPartialUpdate", "PATCH", path, `{"push_enabled":false,"name":"Acme & Co","logo":"https://acme.example/logo.png"}`, 200)
	f.Expect(changed).To(gomega.And(gomega.HaveKeyWithValue("push_enabled", false), gomega.HaveKeyWithValue("name", "Acme & Co")))
	// Another change keeps the first one, and null restores the platform's value.
	changed = f.admined("adminCompanyPartialUpdate", "PATCH", path, `{"name":null,"support_email":"help@acme.example"}`, 200)
	f.Expect(changed).To(gomega.And(
		gomega.HaveKeyWithValue("push_enabled", false), gomega.HaveKeyWithValue("logo", "https://acme.example/logo.png"),
		gomega.HaveKeyWithValue("name", gomega.BeNil()), gomega.HaveKeyWithValue("support_email", "help@acme.example"),
	))
	f.Expect(f.admined("adminCompanyRetrieve", "GET", path, "", 200)).To(gomega.Equal(changed))
	f.Expect(f.call(f.admin.Token, "PUT", path, "").status).To(gomega.Equal(200)) // without a body
	f.expectError(f.call(f.admin.Token, "PATCH", path, `{"system_email":"nobody"}`), 400, "system_email", "Enter a valid email address.")
	f.expectError(f.call(f.admin.Token, "PATCH", path, `{"logo":"javascript:alert(1)"}`), 400, "logo", "Enter a valid URL.")
	f.expectError(f.call(f.admin.Token, "PATCH", path, `{"bimi_selector_header":"v=BIMI2; s=one"}`), 400, "bimi_selector_header", "Enter a BIMI selector, such as v=BIMI1; s=default.")
	f.Expect(f.activation().Spec.State).To(gomega.Equal(v1alpha1.ActivationActive))
}

// TestForeignFieldsOfTheCompanyAreReadOnly checks that admins can't change fields that the
// platform team manages.
func TestForeignFieldsOfTheCompanyAreReadOnly(t *testing.T) {
	f := newFixture(t)
	a := f.declare(namespace, "declared-"+f.company)
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"pushEnabled":true,"bimiSelector":"v=BIMI1; s=one"}}`))
	f.Expect(f.client.Patch(t.Context(), a, patch, client.FieldOwner("argocd-controller"))).To(gomega.Succeed())
	f.expectSuccess(f.activate(f.admin.Token))
	r := f.call(f.admin.Token, "PATCH", "/api/admin/company/", `{"bimi_selector_header":"v=BIMI1; s=two"}`)
	f.Expect(r.status).To(gomega.Equal(403), r.String())
	f.Expect(r.body).To(gomega.ContainSubstring("managed by argocd-controller in Kubernetes"))
	f.admined("adminCompanyPartialUpdate", "PATCH", "/api/admin/company/", `{"website":"https://acme.example"}`, 200)
}

func TestCredentials(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	const path = "/api/admin/credentials/"
	f.expectError(f.call(f.admin.Token, "POST", path, `{"credential_type":"twilio","credentials":{"twilio_sid":"AC0123456789abcdef0123456789abcdef"}}`),
		400, "credentials", "twilio_from_number is required.", "twilio_token is required.")
	f.expectError(f.call(f.admin.Token, "POST", path, `{"credential_type":"sendgrid","credentials":{"sendgrid_api_key":"planted","sendgrid_from_email":"nobody"}}`),
		400, "credentials", "sendgrid_from_email must be an email address, such as no-reply@example.com or Example <no-reply@example.com>.")
	body := `{"credential_type":"twilio","credentials":{"twilio_sid":"AC0123456789abcdef0123456789abcdef","twilio_token":"planted-token","twilio_from_number":"+27820000001"}}`
	created := f.admined("adminCredentialsCreate", "POST", path, body, 201)
	f.Expect(created["credentials"]).To(gomega.Equal(map[string]any{"twilio_from_number": "+27820000001"}))
	f.Expect(f.call(f.admin.Token, "POST", path, body).status).To(gomega.Equal(400)) // only one of each type

	a := f.activation()
	f.Expect(a.Spec.Providers.SMS).NotTo(gomega.BeNil())
	provider := new(v1alpha1.DeliveryProvider)
	key := client.ObjectKey{Namespace: namespace, Name: a.Spec.Providers.SMS.Name}
	f.Expect(f.mgr.GetAPIReader().Get(t.Context(), key, provider)).To(gomega.Succeed())
	secret := func() map[string][]byte {
		secret := new(corev1.Secret)
		f.Expect(f.mgr.GetAPIReader().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: provider.Spec.SecretRef.Name}, secret)).To(gomega.Succeed())
		return secret.Data
	}
	f.Expect(secret()).To(gomega.HaveKeyWithValue(v1alpha1.SecretKeyAuthToken, []byte("planted-token")))

	// An answer can be sent back: missing secrets are kept.
	item := fmt.Sprintf("%s%.0f/", path, created["id"])
	f.admined("adminCredentialsUpdate", "PUT", item, `{"credential_type":"twilio","credentials":{"twilio_from_number":"+27820000002"}}`, 200)
	f.admined("adminCredentialsPartialUpdate", "PATCH", item, `{"credentials":{"twilio_token":"planted-other"}}`, 200)
	f.Expect(secret()).To(gomega.And(
		gomega.HaveKeyWithValue(v1alpha1.SecretKeyAuthToken, []byte("planted-other")), gomega.HaveKeyWithValue(v1alpha1.SecretKeyAccountSID, []byte("AC0123456789abcdef0123456789abcdef"))))
	list := f.call(f.admin.Token, "GET", path, "")
	f.Expect(list.body).To(gomega.ContainSubstring("+27820000002"))
	f.Expect(list.body).NotTo(gomega.ContainSubstring("planted"))

	f.expectSuccess(f.call(f.admin.Token, "DELETE", item, ""))
	f.Expect(f.activation().Spec.Providers.SMS).To(gomega.BeNil())
	f.Expect(apierrors.IsNotFound(f.mgr.GetAPIReader().Get(t.Context(), key, provider))).To(gomega.BeTrue())
	f.admined("adminCredentialsCreate", "POST", path, body, 201)
}

// TestCredentialsThatCanNeverWork checks that values that the DeliveryProvider would report as
// InvalidConfiguration, which callers of the API don't see, are refused, and that credentials
// that contain such values can be read, repaired and deleted.
func TestCredentialsThatCanNeverWork(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	const (
		path   = "/api/admin/credentials/"
		sid    = "AC0123456789abcdef0123456789abcdef"
		noSID  = "twilio_sid must be AC and 32 hexadecimal digits, such as AC0123456789abcdef0123456789abcdef."
		noKey  = "sendgrid_api_key must be the API key as SendGrid shows it: ASCII characters without spaces."
		noFrom = "twilio_from_number must be a phone number with its country code, a short code, up to 11 letters and digits, or the SID of a messaging service; for example +12025550123."
	)
	for _, test := range []struct {
		kind, credentials string
		want              []string
	}{
		{"twilio", `{"twilio_sid":"x","twilio_token":"planted token","twilio_from_number":"0840000000"}`, []string{
			noFrom, noSID, "twilio_token must be the token as Twilio shows it: ASCII characters without spaces.",
		}},
		{"twilio", `{"twilio_sid":"SK` + sid[2:] + `","twilio_token":"planted","twilio_from_number":"+27840000000"}`, []string{noSID}},
		{"twilio", `{"twilio_sid":"` + sid + `","twilio_token":"planted","twilio_from_number":"Twelve chars"}`, []string{noFrom}},
		{"sendgrid", `{"sendgrid_api_key":"Bearer planted","sendgrid_from_email":"a@acme.example"}`, []string{noKey}},
	} {
		f.expectError(f.call(f.admin.Token, "POST", path, fmt.Sprintf(`{"credential_type":%q,"credentials":%s}`, test.kind, test.credentials)), 400, "credentials", test.want...)
	}

	// All senders that the driver accepts.
	item := ""
	for _, sender := range []string{"+27 84 000 0000", "0027840000000", "12345", "Acme Pay", "MG" + sid[2:]} {
		body := fmt.Sprintf(`{"credential_type":"twilio","credentials":{"twilio_sid":" %s ","twilio_token":"planted","twilio_from_number":%q}}`, sid, sender)
		if item == "" {
			item = fmt.Sprintf("%s%.0f/", path, f.admined("adminCredentialsCreate", "POST", path, body, 201)["id"])
		} else {
			f.admined("adminCredentialsUpdate", "PUT", item, body, 200)
		}
	}

	// An earlier version stored anything.
	reader := f.mgr.GetAPIReader()
	provider, secret := new(v1alpha1.DeliveryProvider), new(corev1.Secret)
	key := client.ObjectKey{Namespace: namespace, Name: f.activation().Spec.Providers.SMS.Name}
	f.Expect(reader.Get(t.Context(), key, provider)).To(gomega.Succeed())
	f.Expect(reader.Get(t.Context(), key, secret)).To(gomega.Succeed())
	provider.Spec.Sender, secret.Data[v1alpha1.SecretKeyAccountSID] = "0840000000", []byte("x")
	f.Expect(f.client.Update(t.Context(), provider, client.FieldOwner(admin.FieldManager))).To(gomega.Succeed())
	f.Expect(f.client.Update(t.Context(), secret, client.FieldOwner(admin.FieldManager))).To(gomega.Succeed())
	f.Eventually(func() any { return f.admined("adminCredentialsRetrieve", "GET", item, "", 200)["credentials"] }).
		Should(gomega.Equal(map[string]any{"twilio_from_number": "0840000000"}))
	for _, method := range []string{"PUT", "PATCH"} {
		f.expectError(f.call(f.admin.Token, method, item, `{"credential_type":"twilio","credentials":{"twilio_sid":"x"}}`), 400, "credentials", noSID)
	}
	f.admined("adminCredentialsPartialUpdate", "PATCH", item, `{"credentials":{"twilio_token":"planted-other"}}`, 200)
	f.admined("adminCredentialsPartialUpdate", "PATCH", item, `{"credentials":{"twilio_from_number":"+27840000000"}}`, 200)
	f.expectSuccess(f.call(f.admin.Token, "DELETE", item, ""))
}

// TestUpdatedIsTheTimeOfTheLastChange checks for all objects and managers that updated is
// the time of the last change, in whole seconds as in Kubernetes, and that created doesn't
// change.
func TestUpdatedIsTheTimeOfTheLastChange(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	layout := f.admined("adminLayoutsCreate", "POST", "/api/admin/layouts/", `{"name":"Frame","type":"email","text_layout":"{{ content }}"}`, 201)
	layoutPath := fmt.Sprintf("/api/admin/layouts/%s/", layout["id"])
	body := strings.TrimSuffix(welcome, "}") + fmt.Sprintf(`,"layout":%q}`, layout["id"])
	notification := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", body, 201)
	credential := f.admined("adminCredentialsCreate", "POST", "/api/admin/credentials/",
		`{"credential_type":"sendgrid","credentials":{"sendgrid_api_key":"planted-key","sendgrid_from_email":"a@acme.example"}}`, 201)
	credentialPath := fmt.Sprintf("/api/admin/credentials/%.0f/", credential["id"])
	template := &v1alpha1.NotificationTemplate{Spec: v1alpha1.NotificationTemplateSpec{
		NotificationSpec: v1alpha1.NotificationSpec{
			DisplayName: "Dated",
			SMS:         &v1alpha1.SMSMessage{To: "{{ user.mobile }}", Message: "Paid"},
		},
	}}
	template.Namespace, template.Name = namespace, "dated"
	f.Expect(f.client.Create(t.Context(), template)).To(gomega.Succeed())
	t.Cleanup(func() { _ = f.client.Delete(context.Background(), template) })

	n := 0
	for name, test := range map[string]struct {
		change  func(text string)
		current func() map[string]any
	}{
		"a layout": {
			change: func(text string) {
				f.admined("adminLayoutsPartialUpdate", "PATCH", layoutPath, fmt.Sprintf(`{"description":%q}`, text), 200)
			},
			current: func() map[string]any { return f.admined("adminLayoutsRetrieve", "GET", layoutPath, "", 200) },
		},
		"the layout of a notification": {
			change: func(text string) {
				f.admined("adminLayoutsPartialUpdate", "PATCH", layoutPath, fmt.Sprintf(`{"description":%q}`, text), 200)
			},
			current: func() map[string]any {
				path := fmt.Sprintf("/api/admin/notifications/%.0f/", notification["id"])
				return f.admined("adminNotificationsRetrieve", "GET", path, "", 200)["layout"].(map[string]any)
			},
		},
		"credentials": {
			change: func(text string) {
				f.admined("adminCredentialsPartialUpdate", "PATCH", credentialPath, fmt.Sprintf(`{"credentials":{"sendgrid_from_email":"%s@acme.example"}}`, text), 200)
			},
			current: func() map[string]any { return f.admined("adminCredentialsRetrieve", "GET", credentialPath, "", 200) },
		},
		"secrets of credentials": {
			change: func(text string) {
				f.admined("adminCredentialsPartialUpdate", "PATCH", credentialPath, fmt.Sprintf(`{"credentials":{"sendgrid_api_key":"planted-%s"}}`, text), 200)
			},
			current: func() map[string]any { return f.admined("adminCredentialsRetrieve", "GET", credentialPath, "", 200) },
		},
		"a template, by kubectl": {
			change: func(text string) {
				patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"description":%q}}`, text))
				f.Expect(f.client.Patch(t.Context(), template, patch, client.FieldOwner("kubectl-edit"))).To(gomega.Succeed())
			},
			current: func() map[string]any {
				f.Eventually(func() int { return f.call(f.admin.Token, "GET", "/api/admin/templates/dated/", "").status }).Should(gomega.Equal(200))
				return f.admined("adminTemplatesRetrieve", "GET", "/api/admin/templates/dated/", "", 200)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			before := test.current()
			updated := before["updated"].(float64)
			f.Expect(updated).To(gomega.BeNumerically(">=", before["created"]))
			// Kubernetes stores whole seconds, so the first changes may share one.
			f.Eventually(func() any {
				n++
				test.change(fmt.Sprintf("change-%d", n))
				return test.current()["updated"]
			}).Should(gomega.BeNumerically(">", updated))
			after := test.current()
			f.Expect(after["created"]).To(gomega.Equal(before["created"]))
			f.Expect(after["updated"]).To(gomega.BeNumerically("~", time.Now().UnixMilli(), 60_000))
		})
	}

	// The answer to a change shows the same time as later reads.
	patched := f.admined("adminLayoutsPartialUpdate", "PATCH", layoutPath, `{"description":"last"}`, 200)
	f.Expect(f.admined("adminLayoutsRetrieve", "GET", layoutPath, "", 200)).To(gomega.Equal(patched))
}

// TestTextsAreStoredUnchanged checks characters that are valid in JSON but that YAML, the
// format of a server-side apply, rejects or reads as line breaks.
func TestTextsAreStoredUnchanged(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	odd := "a\u007f\u001b[31m b\u0085c \u0080\u009f\u00a0d\ue000 \ufeffe\u2028f\u2029g 😀\tλ \"'\\ <&> # {{ x }} - : | > \r\n  \nend\ufffe\uffff."
	text, err := json.Marshal(odd)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	body := strings.Replace(welcome, `"text_message":" Hi!\n"`, `"text_message":`+string(text), 1)
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", body, 201)
	f.Expect(created["text_message"]).To(gomega.Equal(odd))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)["text_message"]).To(gomega.Equal(odd))
	f.Expect(f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"description":`+string(text)+`}`, 200)["description"]).To(gomega.Equal(strings.TrimSpace(odd)))
	changed := f.admined("adminCompanyPartialUpdate", "PATCH", "/api/admin/company/", `{"name":`+string(text)+`}`, 200)
	f.Expect(changed["name"]).To(gomega.Equal(odd))
}

// TestReadYourWrites checks that admins' reads, which come from a lagging cache, reflect
// their own writes and deletions, even with many concurrent writers.
func TestReadYourWrites(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	type list struct{ Results []map[string]any }
	var admins sync.WaitGroup
	for admin := range 4 {
		admins.Go(func() {
			for n := range 8 {
				name := fmt.Sprintf("Write %d-%d", admin, n)
				find := func(name string) int {
					var found list
					f.data(f.call(f.admin.Token, "GET", "/api/admin/notifications/?name="+url.QueryEscape(name), ""), &found)
					return len(found.Results)
				}
				r := f.call(f.admin.Token, "POST", "/api/admin/notifications/", strings.Replace(welcome, "Welcome", name, 1))
				if r.status != 201 || find(name) != 1 {
					t.Errorf("%s was created (%d) but is listed %d times", name, r.status, find(name))
					return
				}
				var created struct{ Data struct{ ID int64 } }
				if err := json.Unmarshal([]byte(r.body), &created); err != nil {
					t.Error(err)
					return
				}
				path := fmt.Sprintf("/api/admin/notifications/%d/", created.Data.ID)
				patched := f.call(f.admin.Token, "PATCH", path, fmt.Sprintf(`{"name":"%s!"}`, name))
				if read := f.call(f.admin.Token, "GET", path, ""); read.body != patched.body || find(name+"!") != 1 || find(name) != 0 {
					t.Errorf("%s was changed to %s but is read as %s", name, patched, read)
				}
				f.expectSuccess(f.call(f.admin.Token, "DELETE", path, ""))
				if read := f.call(f.admin.Token, "GET", path, ""); read.status != 404 || find(name+"!") != 0 {
					t.Errorf("%s was deleted but is read as %s", name, read)
				}
			}
		})
	}
	admins.Wait()
}

// TestLayoutsKeepTheTextsOfOtherTypes checks that layouts, like notifications, keep the
// texts of other types.
func TestLayoutsKeepTheTextsOfOtherTypes(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	created := f.admined("adminLayoutsCreate", "POST", "/api/admin/layouts/", `{"name":"L","type":"email","html_layout":"<p>{{ content }}","sms_layout":"{{ content }} Acme"}`, 201)
	path := fmt.Sprintf("/api/admin/layouts/%s/", created["id"])
	f.Expect(created).To(gomega.HaveKeyWithValue("sms_layout", "{{ content }} Acme"))
	f.Expect(f.admined("adminLayoutsRetrieve", "GET", path, "", 200)).To(gomega.Equal(created))
	sms := f.admined("adminLayoutsPartialUpdate", "PATCH", path, `{"type":"sms"}`, 200)
	f.Expect(sms).To(gomega.And(gomega.HaveKeyWithValue("sms_layout", "{{ content }} Acme"), gomega.HaveKeyWithValue("html_layout", "<p>{{ content }}")))
	f.Expect(f.admined("adminLayoutsPartialUpdate", "PATCH", path, `{"html_layout":null}`, 200)).To(gomega.HaveKeyWithValue("html_layout", gomega.BeNil()))
}

// TestOversizedObjectsAreRefused checks that an object that is too large for Kubernetes
// gets a 400 that says what to do, instead of a 5xx.
func TestOversizedObjectsAreRefused(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	const path = "/api/admin/notifications/"
	body := func(name, text string, count int) string {
		return strings.TrimSuffix(welcome, "}") + fmt.Sprintf(`,%q:%q}`, name, strings.Repeat(text, count))
	}
	const tooLong = "The type email doesn't use this field, and its value is too long to be kept for another type. Shorten or clear it."
	f.expectError(f.call(f.admin.Token, "POST", "/api/admin/layouts/", fmt.Sprintf(`{"name":"L","type":"email","text_layout":"{{ content }}","push_layout":%q}`, strings.Repeat("é", 130_000))), 400, "push_layout", tooLong)
	f.expectError(f.call(f.admin.Token, "POST", path, strings.Replace(body("html_message", "é", 130_000), `"type":"email"`, `"type":"sms","to_mobile":"a","sms_message":"a"`, 1)),
		400, "html_message", strings.Replace(tooLong, "email", "sms", 1))
	// The API server stores "<" as \u003c.
	f.expectError(f.call(f.admin.Token, "POST", path, strings.Replace(body("html_message", "<", 262_144), `" Hi!\n"`, `"`+strings.Repeat("<", 262_144)+`"`, 1)),
		400, rest.NonFieldErrors, "This is too large to be stored. Shorten its texts.")
}

func TestListsAreOrdered(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	for _, name := range []string{"A", "B", "C"} {
		f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", strings.Replace(welcome, "Welcome", name, 1), 201)
	}
	names := func(query string) (names []string) {
		list := f.admined("adminNotificationsList", "GET", "/api/admin/notifications/?"+query, "", 200)
		for _, n := range list["results"].([]any) {
			names = append(names, n.(map[string]any)["name"].(string))
		}
		return names
	}
	oldest := names("orderby=created")
	f.Expect(oldest).To(gomega.ConsistOf("A", "B", "C"))
	f.Expect(names("")).To(gomega.Equal(oldest))
	newest := slices.Clone(oldest)
	slices.Reverse(newest)
	f.Expect(names("orderby=-created")).To(gomega.Equal(newest))
	f.Expect(names("orderby=-created&page_size=2&page=last")).To(gomega.Equal(newest[2:]))
	f.Expect(names("orderby=-created&pagination=cursor")).To(gomega.Equal(newest))
}
