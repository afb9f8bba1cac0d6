// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// operation is an operation of the OpenAPI document, as a client sees it.
type operation struct {
	*openapi3.Operation
	method string
	path   string // with its parameters, such as /api/admin/logs/{log_id}/
}

func (o operation) String() string { return o.method + " " + o.path }

// isSecured reports whether the operation needs a token of the platform.
func (o operation) isSecured() bool { return o.Security == nil || len(*o.Security) > 0 }

func (o operation) isForAdmins() bool { return strings.HasPrefix(o.path, "/api/admin/") }

// collection returns the path of the list that contains the item of the operation's path
// parameter, or "" if the path has none.
func (o operation) collection() string {
	before, _, ok := strings.Cut(o.path, "{")
	if !ok {
		return ""
	}
	return before
}

// at returns the operation's path with a value for its parameter.
func (o operation) at(id string) string {
	before, after, ok := strings.Cut(o.path, "{")
	if !ok {
		return o.path
	}
	_, after, _ = strings.Cut(after, "}")
	return before + id + after
}

// bodySchema returns the schema of the body, or nil if the operation has none.
func (o operation) bodySchema() *openapi3.Schema {
	if o.RequestBody == nil {
		return nil
	}
	return o.RequestBody.Value.Content["application/json"].Schema.Value
}

// served reads the OpenAPI document from the server. It returns the document and its
// operations, sorted.
func (f *fixture) served() (*openapi3.T, []operation) {
	f.Helper()
	doc := f.described()
	var all []operation
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			all = append(all, operation{Operation: op, method: method, path: "/api" + path})
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.String(), b.String()) })
	return doc, all
}

// tenant is a company with at least one object of each kind that the API shows.
type tenant struct {
	id, marker           string
	admin, user, foreign rehivetest.User
}

// addTenant activates a company and creates one object of each kind for it. Every text that
// its admins or users can read contains the marker.
func (f *fixture) addTenant(name string) tenant {
	f.Helper()
	c := tenant{id: f.addCompany(name)}
	c.marker = "only-" + c.id + "-sees-this"
	c.admin, c.user = f.addUser(c.id, "admin"), f.addUser(c.id, "user")
	c.foreign = f.addUser(c.id, "service")
	f.expectSuccess(f.activate(c.admin.Token))
	f.Eventually(func() int { return f.call(c.admin.Token, "GET", "/api/admin/company/", "").status }).Should(gomega.Equal(200))
	f.stock(c)
	content := ledger.Content{From: "no-reply@acme.example", Subject: c.marker, Text: c.marker, HTML: c.marker}
	f.decided(c.id,
		ledger.NewDelivery{RuleName: c.marker, Channel: "email", Recipient: c.marker + "@acme.example", UserID: c.user.ID, Content: content},
		ledger.NewDelivery{RuleName: c.marker, Channel: "system", Recipient: c.user.ID, UserID: c.user.ID, Content: content})
	f.finishDeliveries()
	f.quarantined(c)
	return c
}

// stock creates a layout, a notification and credentials for a tenant, unless it has them.
func (f *fixture) stock(c tenant) {
	f.Helper()
	create := func(path string, body object) {
		f.Helper()
		if len(f.ids(c.admin.Token, path)) > 0 {
			return
		}
		text, err := json.Marshal(body)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		r := f.call(c.admin.Token, "POST", path, string(text))
		f.Expect(r.status).To(gomega.Equal(201), r.String())
	}
	create("/api/admin/layouts/", object{"name": c.marker, "type": "email", "text_layout": c.marker + " {{ content }}"})
	create("/api/admin/suppressions/", object{"type": "email", "recipient": "suppressed@" + c.marker + ".example", "note": c.marker})
	create("/api/admin/notifications/", object{
		"name": c.marker, "type": "email", "event": "user.create", "preference_enabled": true,
		"to_email": c.marker + "@acme.example", "subject": c.marker, "text_message": c.marker,
	})
	create("/api/admin/credentials/", object{"credential_type": "sendgrid", "credentials": object{"sendgrid_api_key": "planted", "sendgrid_from_email": c.marker + "@acme.example"}})
}

// forgetWrites resets the limits of writes, so that they don't affect a test.
func (f *fixture) forgetWrites() {
	f.server.writes.mu.Lock()
	defer f.server.writes.mu.Unlock()
	clear(f.server.writes.companies)
}

// quarantined creates a quarantined event for a tenant.
func (f *fixture) quarantined(c tenant) {
	f.Helper()
	_, err := f.store.AcceptEvent(f.Context(), ledger.Event{Company: c.id, ID: c.marker + "-quarantined", Name: "user.create", Data: fmt.Appendf(nil, `{"a":%q}`, c.marker)})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	claimed, err := f.store.ClaimEvents(f.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(claimed).To(gomega.HaveLen(1))
	f.Expect(f.store.QuarantineEvent(f.Context(), claimed[0], c.marker, c.marker)).To(gomega.Succeed())
}

// addPresets creates a template and a layout template, which every company sees.
func (f *fixture) addPresets() {
	f.Helper()
	template := &v1alpha1.NotificationTemplate{Spec: v1alpha1.NotificationTemplateSpec{
		NotificationSpec: v1alpha1.NotificationSpec{
			DisplayName: "Preset",
			Event:       "user.create",
			SMS:         &v1alpha1.SMSMessage{To: "{{ mobile }}", Message: "Hello"},
		},
	}}
	template.Namespace, template.Name = namespace, "preset-"+f.company
	layout := &v1alpha1.NotificationLayout{Spec: v1alpha1.NotificationLayoutSpec{Text: "{{ content }}"}}
	layout.Namespace, layout.Name = namespace, "preset-"+f.company
	layout.Labels = map[string]string{v1alpha1.LayoutTemplateLabel: "true"}
	f.Expect(f.client.Create(f.Context(), template)).To(gomega.Succeed())
	f.Expect(f.client.Create(f.Context(), layout)).To(gomega.Succeed())
	f.Cleanup(func() {
		_ = f.client.Delete(context.Background(), template)
		_ = f.client.Delete(context.Background(), layout)
	})
	for _, path := range []string{"templates", "layout-templates"} {
		f.Eventually(func() int {
			return f.call(f.admin.Token, "GET", "/api/admin/"+path+"/preset-"+f.company+"/", "").status
		}).Should(gomega.Equal(200))
	}
}

// token returns the token of the tenant's user who may call an operation.
func (c *tenant) token(o operation) string {
	if o.isForAdmins() {
		return c.admin.Token
	}
	return c.user.Token
}

// ids returns the ids of the items that a list shows to a caller, as used in paths.
func (f *fixture) ids(token, collection string) []string {
	f.Helper()
	var list struct {
		Results []struct {
			ID any `json:"id"`
		}
	}
	decoder := json.NewDecoder(strings.NewReader(string(f.raw(f.call(token, "GET", collection+"?page_size=250", "")))))
	decoder.UseNumber()
	f.Expect(decoder.Decode(&list)).To(gomega.Succeed())
	var ids []string
	for _, item := range list.Results {
		ids = append(ids, fmt.Sprint(item.ID))
	}
	return ids
}

// raw returns the undecoded data of a successful answer.
func (f *fixture) raw(r response) json.RawMessage {
	f.Helper()
	var data json.RawMessage
	f.data(r, &data)
	return data
}

// snapshot returns everything that the tenant can read of its own data.
func (f *fixture) snapshot(c tenant, operations []operation) map[string]string {
	f.Helper()
	shown := map[string]string{}
	for _, o := range operations {
		if o.method == http.MethodGet && o.collection() == "" && o.path != eventsPath {
			shown[o.path] = f.call(c.token(o), "GET", o.path, "").body
		}
	}
	return shown
}

// sharedCollections are the lists that are the same for every company.
var sharedCollections = []string{"/api/admin/templates/", "/api/admin/layout-templates/"}

// opened are the operations that don't need a token of the platform: they check the
// credentials in their body or, for webhooks, the company's secret.
var opened = []string{
	"POST /api/activate/", "POST /api/admin/webhook/", "POST /api/deactivate/", "POST /api/rotate/", "POST /api/webhook/",
}

// TestTenantIsolation checks that nobody can read or change data of another company or of
// another user, or without the right token. It calls every operation of the OpenAPI
// document, so that new ones are covered automatically.
func TestTenantIsolation(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.StreamTime = 50 * time.Millisecond })
	f.expectSuccess(f.activate(f.admin.Token))
	f.addPresets()
	owner, stranger := f.addTenant("owner"), f.addTenant("stranger")
	doc, operations := f.served()
	var openedNow []string
	routes := map[string]bool{}
	for _, o := range operations {
		routes[o.String()] = true
		if !o.isSecured() {
			openedNow = append(openedNow, o.String())
		}
	}
	f.Expect(openedNow).To(gomega.Equal(opened))
	operations = slices.DeleteFunc(operations, func(o operation) bool { return !o.isSecured() })

	t.Run("the document is complete", func(t *testing.T) {
		f := f.in(t)
		for _, rt := range append(f.server.table(), f.server.resources(f.server.operations())...) {
			for method := range rt.methods {
				f.Expect(routes[method+" "+rt.path] || rt.path == "/").To(gomega.BeTrue(), method+" "+rt.path)
			}
		}
		f.Expect(doc.Paths.Len()).To(gomega.BeNumerically(">", 20))
	})

	// The owner's items, by list. An empty list would prove nothing: addTenant must create
	// something that it shows.
	own := map[string][]string{}
	for _, o := range operations {
		if c := o.collection(); c != "" && own[c] == nil {
			own[c] = f.ids(owner.token(o), c)
			f.Expect(own[c]).NotTo(gomega.BeEmpty(), "the owner has nothing at "+c)
		}
	}
	before := f.snapshot(owner, operations)
	f.Expect(fmt.Sprint(before)).To(gomega.ContainSubstring(owner.marker))
	unchanged := func(f *fixture, what string) {
		f.Helper()
		f.Expect(f.snapshot(owner, operations)).To(gomega.Equal(before), what)
	}

	refused := map[string]struct {
		token   string
		refuses func(operation) bool
		status  int
		message string
	}{
		"no token":                {"", nil, 401, "Authentication credentials were not provided."},
		"junk":                    {"planted-junk", nil, 401, "Invalid token."},
		"a user":                  {owner.user.Token, operation.isForAdmins, 403, "You do not have permission to perform this action."},
		"another service user":    {owner.foreign.Token, operation.isForAdmins, 403, "You do not have permission to perform this action."},
		"an inactive one's admin": {f.addUser(f.addCompany("idle"), "admin").Token, nil, 400, "Inactive company."},
	}
	for name, caller := range refused {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			for _, o := range operations {
				if caller.refuses != nil && !caller.refuses(o) {
					continue
				}
				id := "1"
				if ids := own[o.collection()]; len(ids) > 0 {
					id = ids[0]
				}
				r := f.call(caller.token, o.method, o.at(id), "")
				f.Expect(r.status).To(gomega.Equal(caller.status), o.String()+": "+r.String())
				f.Expect(r.body).To(gomega.ContainSubstring(`"message":"`+caller.message+`"`), o.String())
			}
			unchanged(f, name)
		})
	}

	t.Run("another company's ids", func(t *testing.T) {
		f := f.in(t)
		for _, o := range operations {
			c := o.collection()
			if c == "" || slices.Contains(sharedCollections, c) {
				continue
			}
			for _, id := range own[c] {
				r := f.call(stranger.token(o), o.method, o.at(id), validBody(o))
				f.expectError(r, 404, "", "Not found.")
			}
			unchanged(f, o.String())
		}
	})

	t.Run("another user's ids", func(t *testing.T) {
		f := f.in(t)
		other := f.addUser(owner.id, "user")
		for _, o := range operations {
			// Notifications belong to the company; users only set their own preferences.
			if c := o.collection(); c != "" && !o.isForAdmins() && c != "/api/user/notifications/" {
				for _, id := range own[c] {
					f.expectError(f.call(other.Token, o.method, o.at(id), validBody(o)), 404, "", "Not found.")
				}
			}
		}
		for _, o := range operations {
			if !o.isForAdmins() && o.collection() != "" && o.method == http.MethodPatch {
				f.call(other.Token, "PATCH", o.at(own[o.collection()][0]), `{"enabled":false,"received":true}`)
			}
		}
		unchanged(f, "another user's choices")
	})

	// Use the owner's ids in each text of each body, and in each filter of each list.
	t.Run("another company's ids in bodies and filters", func(t *testing.T) {
		f := f.in(t)
		foreign := []string{owner.id, owner.user.ID, owner.marker + "-quarantined"}
		for _, c := range slices.Sorted(maps.Keys(own)) {
			if !slices.Contains(sharedCollections, c) && !slices.Contains(foreign, own[c][0]) {
				foreign = append(foreign, own[c][0])
			}
		}
		// An answer may repeat the stranger's input, but must not contain the owner's data.
		var pairs []string
		for _, value := range foreign {
			pairs = append(pairs, value, "")
		}
		repeated := strings.NewReplacer(pairs...)
		for _, o := range operations {
			f.forgetWrites()
			id := "none"
			if c := o.collection(); c != "" {
				ids := f.ids(stranger.token(o), c)
				if len(ids) > 0 {
					id = ids[len(ids)-1]
				}
			}
			for i, value := range foreign {
				for _, path := range withFilters(o, o.at(id), value, i == 0) {
					r := f.call(stranger.token(o), o.method, path, "")
					f.Expect(repeated.Replace(r.body)).NotTo(gomega.ContainSubstring(owner.marker), o.method+" "+path)
					f.Expect(r.status).To(gomega.BeNumerically("<", 500), o.method+" "+path+" "+r.String())
				}
				if o.method == http.MethodDelete {
					continue
				}
				for _, body := range withTexts(o, value, i == 0) {
					r := f.call(stranger.token(o), o.method, o.at(id), body)
					f.Expect(repeated.Replace(r.body)).NotTo(gomega.ContainSubstring(owner.marker), o.String()+" "+body)
					f.Expect(r.status).To(gomega.BeNumerically("<", 500), o.String()+" "+body+" "+r.String())
				}
			}
			if o.method != http.MethodGet {
				unchanged(f, o.String())
			}
		}
		unchanged(f, "reading")
	})
}

// validBody returns a body that the operation accepts, or almost.
func validBody(o operation) string {
	switch {
	case o.bodySchema() == nil:
		return ""
	case o.bodySchema().Properties["credentials"] != nil:
		return `{"credential_type":"sendgrid","credentials":{"sendgrid_api_key":"planted","sendgrid_from_email":"a@acme.example"}}`
	case o.bodySchema().Properties["note"] != nil:
		return `{"type":"email","recipient":"a@acme.example","note":"Stolen"}`
	case o.bodySchema().Properties["html_layout"] != nil:
		return `{"name":"Stolen","type":"email","text_layout":"{{ content }}"}`
	case o.bodySchema().Properties["to_email"] != nil:
		return `{"name":"Stolen","type":"email","event":"user.create","to_email":"a@acme.example","subject":"a","text_message":"a"}`
	}
	return `{"enabled":false,"received":true}`
}

// refersTo reports whether a value can identify something in a place with a schema, which
// only takes one of its constants, a number or a truth value otherwise.
func refersTo(schema *openapi3.Schema, value string) bool {
	switch {
	case len(schema.Enum) > 0 || schema.Type.Is("boolean"):
		return false
	case schema.Type.Includes("integer"):
		return strings.Trim(value, "0123456789") == ""
	}
	return true
}

// withTexts returns bodies for an operation that each have a value in one of the members.
// Unless all is set, it omits members to which the value can't be a reference.
func withTexts(o operation, value string, all bool) []string {
	schema := o.bodySchema()
	if schema == nil {
		return nil
	}
	var bodies []string
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name].Value
		if property.Type != nil && !property.Type.Includes("string") && !property.Type.Includes("array") {
			continue
		}
		if !all && !refersTo(property, value) {
			continue
		}
		members := map[string]any{}
		if json.Unmarshal([]byte(validBody(o)), &members) != nil {
			panic("validBody returned invalid JSON")
		}
		members[name] = value
		if property.Type != nil && property.Type.Includes("array") {
			members[name] = []string{value}
		}
		text, err := json.Marshal(members)
		if err != nil {
			panic(err)
		}
		bodies = append(bodies, string(text))
	}
	return bodies
}

// withFilters returns paths of an operation that each have a value for one of its filters.
// Unless all is set, it omits filters for which the value can't be a reference.
func withFilters(o operation, path, value string, all bool) []string {
	var paths []string
	for _, parameter := range o.Parameters {
		if parameter.Value.In == openapi3.ParameterInQuery && (all || refersTo(parameter.Value.Schema.Value, value)) {
			paths = append(paths, path+"?"+parameter.Value.Name+"="+value)
		}
	}
	return paths
}
