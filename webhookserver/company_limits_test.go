// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/webhookserver/admin"
)

// createAll creates objects concurrently and waits until a list in the cache has the given
// length.
func (f *fixture) createAll(objects []client.Object, shown int, list client.ObjectList, options ...client.ListOption) {
	f.Helper()
	next := make(chan client.Object)
	errs := make(chan error, len(objects))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for object := range next {
				errs <- f.client.Create(f.Context(), object)
			}
		})
	}
	for _, object := range objects {
		next <- object
	}
	close(next)
	wg.Wait()
	close(errs)
	for err := range errs {
		f.Expect(err).NotTo(gomega.HaveOccurred())
	}
	f.Eventually(func() (int, error) {
		err := f.client.List(f.Context(), list, append(options, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)...)
		switch l := list.(type) {
		case *v1alpha1.NotificationRuleList:
			return len(l.Items), err
		case *v1alpha1.NotificationLayoutList:
			return len(l.Items), err
		}
		return 0, err
	}, "2m").Should(gomega.BeNumerically(">=", shown))
}

func ruleOf(a *v1alpha1.CompanyActivation, name, html string) *v1alpha1.NotificationRule {
	return &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: a.Name},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: name,
				Event:       "user.create",
				Expression:  "True",
				Email:       &v1alpha1.EmailMessage{To: "{{ email }}", Subject: "Hello", Text: "Hi", HTML: html},
			},
		},
	}
}

// TestCompanyLimits checks the limits of what one company can store through the API.
func TestCompanyLimits(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	a := f.activation()
	of := client.MatchingFields{activation.RuleField: a.Name}
	id := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)["id"].(float64)
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", id)

	var large []client.Object
	for i := range admin.MaxTexts/(256<<10) - 1 {
		large = append(large, ruleOf(a, fmt.Sprintf("%s-large-%d", f.company, i), strings.Repeat("x", 256<<10)))
	}
	f.createAll(large, len(large)+1, &v1alpha1.NotificationRuleList{}, of)
	fill := func(n int) string {
		body, _ := json.Marshal(map[string]string{"html_message": strings.Repeat("x", n)})
		return string(body)
	}
	const tooMuch = "The notifications and layouts of a company can have 8 MiB of text in total. Shorten or delete some first."
	f.expectError(f.call(f.admin.Token, "PATCH", path, fill(256<<10)), 400, "non_field_errors", tooMuch)
	f.expectError(f.call(f.admin.Token, "POST", "/api/admin/layouts/", `{"name":"L","type":"sms","sms_layout":"{{ content }}`+strings.Repeat("x", 256<<10-20)+`"}`), 400, "non_field_errors", tooMuch)
	f.Expect(f.call(f.admin.Token, "PATCH", path, fill(10)).status).To(gomega.Equal(200))

	// A company beyond the limit, because somebody used kubectl, can still reduce its
	// usage.
	f.createAll([]client.Object{ruleOf(a, f.company+"-beyond", strings.Repeat("x", 256<<10))}, len(large)+2, &v1alpha1.NotificationRuleList{}, of)
	f.Expect(f.call(f.admin.Token, "PATCH", path, fill(11)).status).To(gomega.Equal(400))
	f.Expect(f.call(f.admin.Token, "PATCH", path, fill(9)).status).To(gomega.Equal(200))

	var small []client.Object
	for i := range admin.MaxNotifications - len(large) - 2 {
		small = append(small, ruleOf(a, fmt.Sprintf("%s-small-%d", f.company, i), ""))
	}
	f.createAll(small, admin.MaxNotifications, &v1alpha1.NotificationRuleList{}, of)
	f.expectError(f.call(f.admin.Token, "POST", "/api/admin/notifications/", welcome), 400, "non_field_errors", "A company can have 500 notifications. Delete one first.")

	var layouts []client.Object
	for i := range admin.MaxLayouts {
		layouts = append(layouts, &v1alpha1.NotificationLayout{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", f.company, i), Labels: map[string]string{"of": f.company}},
			Spec:       v1alpha1.NotificationLayoutSpec{CompanyRef: &v1alpha1.CompanyActivationReference{Name: a.Name}, Channel: v1alpha1.ChannelSMS, Text: "{{ content }}"},
		})
	}
	f.createAll(layouts, len(layouts), &v1alpha1.NotificationLayoutList{}, client.MatchingLabels{"of": f.company})
	f.expectError(f.call(f.admin.Token, "POST", "/api/admin/layouts/", `{"name":"L","type":"sms","sms_layout":"{{ content }}"}`), 400, "non_field_errors",
		"A company can have 100 layouts. Delete one first.")
}

// TestWritesAreRateLimited checks that a company that writes to the API server too fast is
// throttled without affecting others.
func TestWritesAreRateLimited(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)["id"].(float64))
	body, err := json.Marshal(map[string]string{"html_message": strings.Repeat("x", 256<<10), "text_message": strings.Repeat("x", 256<<10)})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(f.call(f.admin.Token, "PATCH", path, string(body)).status).To(gomega.Equal(200))
	var last response
	for n := range 40 {
		// The company's writes are spent except for less than the object, however slowly this
		// machine writes.
		for f.server.writes.admit(f.company, 256<<10) == nil {
		}
		// Even a small change writes the whole object.
		if last = f.call(f.admin.Token, "PATCH", path, fmt.Sprintf(`{"subject":"%d"}`, n)); last.status != 200 {
			break
		}
	}
	f.expectError(last, 429, "", "Request was throttled.")
	f.Expect(last.header.Get("Retry-After")).To(gomega.MatchRegexp(`^[1-5]$`))
	f.Expect(f.call(f.admin.Token, "GET", path, "").status).To(gomega.Equal(200))

	other := f.addCompany("other")
	token := f.addUser(other, "admin").Token
	f.expectSuccess(f.activate(token))
	f.Expect(f.call(token, "POST", "/api/admin/notifications/", welcome).status).To(gomega.Equal(201))
}
