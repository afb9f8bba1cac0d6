// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

var lifecyclePaths = []string{"/api/activate/", "/api/deactivate/", "/api/rotate/"}

// TestLifecycleInput checks that a malformed request is refused without a call to the
// platform.
func TestLifecycleInput(t *testing.T) {
	f := newFixture(t)
	for name, test := range map[string]struct {
		body    string
		field   string
		message string
	}{
		"no body":         {"", "token", "This field is required."},
		"an empty object": {"{}", "token", "This field is required."},
		"another case":    {`{"Token":"x"}`, "token", "This field is required."},
		"null":            {`{"token":null}`, "token", "This field may not be null."},
		"blank":           {`{"token":" "}`, "token", "This field may not be blank."},
		"a list":          {`{"token":["x"]}`, "token", "Not a valid string."},
		"an object":       {`{"token":{}}`, "token", "Not a valid string."},
		"a bool":          {`{"token":true}`, "token", "Not a valid string."},
		"too long":        {`{"token":"` + strings.Repeat("x", 1025) + `"}`, "token", "Ensure this field has no more than 1024 characters."},
		"a NUL":           {`{"token":"a\u0000"}`, "token", "Null characters are not allowed."},
		"not an object":   {`[]`, "non_field_errors", "Invalid data. Expected a dictionary, but got list."},
		"null itself":     {`null`, "non_field_errors", "No data provided"},
		"not JSON":        {`token=x`, "", "JSON parse error - Expecting value: line 1 column 1 (char 0)"},
		"invalid UTF-8":   {"{\"token\":\"\xc3\"}", "", "JSON parse error - the body is not valid UTF-8"},
		"deep nesting":    {strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), "", "JSON parse error - nested deeper than 128 levels"},
	} {
		for _, path := range lifecyclePaths {
			t.Run(name+" "+path, func(t *testing.T) {
				f := f.in(t)
				f.expectError(f.post(path, test.body), http.StatusBadRequest, test.field, test.message)
			})
		}
	}
	f.expectError(f.post("/api/deactivate/", `{"token":"x","purge":"maybe"}`), 400, "purge", "Must be a valid boolean.")
	f.expectError(f.post("/api/deactivate/", `{"token":"x","purge":null}`), 400, "purge", "This field may not be null.")
	r := f.post("/api/deactivate/", `{"purge":2}`)
	f.Expect(r.body).To(gomega.MatchJSON(`{"status":"error","message":"This field is required. Must be a valid boolean.",
		"data":{"token":["This field is required."],"purge":["Must be a valid boolean."]}}`))
	for _, request := range f.platform.Requests() {
		t.Errorf("the platform was called: %s %s", request.Method, request.Path)
	}
}

// TestTokenVerification checks that the platform identifies the token's user. As on Rehive,
// every failure is answered as an invalid user.
func TestTokenVerification(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	customer := f.addUser(f.company, "user")
	manager := f.addUser(f.company, "manager")
	for _, path := range lifecyclePaths {
		f.expectError(f.post(path, object{"token": "planted-unknown-token"}), 400, "token", "Invalid user.")
		f.expectError(f.post(path, object{"token": 12345}), 400, "token", "Invalid user.")
		f.expectError(f.post(path, object{"token": "planted with\r\nX-Header: 1"}), 400, "token", "Invalid user.")
		f.expectError(f.post(path, object{"token": customer.Token}), 400, "token", "Invalid admin user.")
		f.expectError(f.post(path, object{"token": manager.Token}), 400, "token", "Invalid admin user.")
	}
	f.Expect(f.activation().IsActive()).To(gomega.BeTrue())
	f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
}

// platformFaults are the ways in which a call to the platform can fail.
var platformFaults = map[string]rehivetest.Fault{
	"401":          {Kind: rehivetest.FaultStatus, Status: 401, Message: "Invalid token."},
	"403":          {Kind: rehivetest.FaultStatus, Status: 403, Message: "Permission denied."},
	"404":          {Kind: rehivetest.FaultStatus, Status: 404, Message: "Not found."},
	"429":          {Kind: rehivetest.FaultStatus, Status: 429, Message: "Request was throttled.", RetryAfter: "1"},
	"500":          {Kind: rehivetest.FaultStatus, Status: 500, Message: "A server error occurred."},
	"503":          {Kind: rehivetest.FaultStatus, Status: 503},
	"a web page":   {Kind: rehivetest.FaultGarbage},
	"an empty 200": {Kind: rehivetest.FaultGarbage, Body: "{}"},
	"a null":       {Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":null}`},
	"wrong types":  {Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":{"id":[],"company":{"id":"planted"},"groups":"admin"}}`},
	"a redirect":   {Kind: rehivetest.FaultStatus, Status: 302, Location: "http://127.0.0.1:1/"},
	"a cut":        {Kind: rehivetest.FaultClose},
	"huge":         {Kind: rehivetest.FaultHuge},
	"a hang":       {Kind: rehivetest.FaultHang},
}

func TestPlatformFailsAtAuth(t *testing.T) {
	t.Parallel() // it waits
	f := newFixture(t, func(o *Options) { o.Limits.PlatformCall, o.Limits.TurnTime = time.Second, time.Minute })
	for name, fault := range platformFaults {
		for _, path := range lifecyclePaths {
			t.Run(name+" "+path, func(t *testing.T) {
				f := f.in(t)
				token, err := f.platform.IssueToken(f.company, f.admin.ID) // a token that is not throttled yet
				f.Expect(err).NotTo(gomega.HaveOccurred())
				fault.Path = "/3/auth/"
				defer f.platform.InjectFault(fault)()
				f.expectError(f.post(path, object{"token": token}), 400, "token", "Invalid user.")
			})
		}
	}
	f.Expect(f.activation()).To(gomega.BeNil())
}

func TestPlatformFailsAtCompany(t *testing.T) {
	t.Parallel() // it waits
	f := newFixture(t, func(o *Options) { o.Limits.PlatformCall = 5 * time.Second })
	for name, fault := range platformFaults {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			token, err := f.platform.IssueToken(f.company, f.admin.ID)
			f.Expect(err).NotTo(gomega.HaveOccurred())
			fault.Path = "/3/admin/company/"
			defer f.platform.InjectFault(fault)()
			f.expectError(f.activate(token), 400, "token", "Invalid company.")
		})
	}
	t.Run("another company", func(t *testing.T) {
		f := f.in(t)
		defer f.platform.InjectFault(rehivetest.Fault{
			Path: "/3/admin/company/", Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":{"id":"another"}}`,
		})()
		f.expectError(f.activate(f.admin.Token), 400, "token", "Invalid company.")
	})
	t.Run("no permission to see it", func(t *testing.T) {
		f := f.in(t)
		f.expectError(f.activate(f.addUser(f.company, "service").Token), 400, "token", "Invalid company.")
	})
	t.Run("an impossible identifier", func(t *testing.T) {
		f := f.in(t)
		for path, data := range map[string]string{
			"/3/auth/":          `{"id":"1","company":"a/b","groups":[{"name":"admin"}]}`,
			"/3/admin/company/": `{"id":"a/b"}`,
		} {
			defer f.platform.InjectFault(rehivetest.Fault{
				Path: path, Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":` + data + `}`,
			})()
		}
		f.expectError(f.activate(f.admin.Token), 400, "token", "Invalid company.")
		f.expectError(f.post("/api/rotate/", object{"token": f.admin.Token}), 400, "token", "Company has not been activated yet.")
	})
	f.Expect(f.activation()).To(gomega.BeNil())
}

// TestHangingPlatform checks that the server answers within the platform's time limit even
// if both calls to the platform almost time out.
func TestHangingPlatform(t *testing.T) {
	t.Parallel() // it waits
	f := newFixture(t, func(o *Options) {
		o.Limits.PlatformCall = 30 * time.Second
		o.Limits.LifecycleBudget = 10 * time.Second
		o.Limits.RollbackReserve = 500 * time.Millisecond
	})
	f.stub.decide(f.company, silent)
	for _, path := range []string{"/3/auth/", "/3/admin/company/"} {
		defer f.platform.InjectFault(rehivetest.Fault{Path: path, Kind: rehivetest.FaultDelay, Delay: 700 * time.Millisecond})()
	}
	start := time.Now()
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(time.Since(start)).To(gomega.BeNumerically("<", time.Minute), "the controller never answers")
	f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
}

func TestActivate(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.post("/api/activate/", object{"token": "  " + f.admin.Token + "\n", "id": 7, "secret": []any{}, "push_enabled": nil}))
	a := f.activation()
	f.Expect(a.Namespace).To(gomega.Equal(namespace))
	f.Expect(a.Name).To(gomega.Equal(f.company))
	f.Expect(a.Spec.State).To(gomega.Equal(v1alpha1.ActivationActive))
	f.Expect(a.Status.LastHandledRequestedAt).To(gomega.Equal(a.Annotations[v1alpha1.RequestedAtAnnotation]))
	first := f.credentials()
	f.Expect(first.Token).To(gomega.Equal(f.admin.Token))

	t.Run("is idempotent", func(t *testing.T) {
		f := f.in(t)
		f.expectSuccess(f.activate(f.admin.Token))
		f.Expect(f.activation().UID).To(gomega.Equal(a.UID))
		f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(first.WebhookSecret))
	})
	t.Run("replaces the token of another service user", func(t *testing.T) {
		f := f.in(t)
		f.expectSuccess(f.activate(f.addUser(f.company, "admin").Token))
		f.expectSuccess(f.activate(f.second.Token))
		f.Expect(f.activation().UID).To(gomega.Equal(a.UID))
		f.Expect(f.credentials().Token).To(gomega.Equal(f.second.Token))
		f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(first.WebhookSecret))
	})
	t.Run("lets webhooks in at once", func(t *testing.T) {
		f := f.in(t)
		f.expectSuccess(f.webhook("Secret "+first.WebhookSecret, f.event(1)))
	})
}

// TestPlatformDrivenLifecycle runs the whole life of an extension as driven by the
// platform, with its time limits and service users.
func TestPlatformDrivenLifecycle(t *testing.T) {
	f := newFixture(t)
	service, err := f.platform.AddService(f.company, rehivetest.Service{URL: f.url + "/api/"})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	token := func() string {
		current, err := f.platform.Service(f.company, service.ID)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		return current.Token
	}
	f.Expect(f.platform.Activate(t.Context(), f.company, service.ID)).To(gomega.Succeed())
	secret := f.credentials().WebhookSecret
	f.Expect(f.credentials().Token).To(gomega.Equal(token()))
	f.Expect(f.platform.RotateToken(t.Context(), f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.credentials().Token).To(gomega.Equal(token()))
	f.Expect(f.platform.Deactivate(t.Context(), f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.credentials().Token).To(gomega.BeEmpty())

	f.stub.decide(f.company, refused)
	err = f.platform.Activate(t.Context(), f.company, service.ID)
	f.Expect(err).To(gomega.MatchError("Unable to configure event webhooks. " + refusalMessage))
	f.stub.decide(f.company, registered)
	f.Expect(f.platform.Activate(t.Context(), f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.credentials().Token).To(gomega.Equal(token()))
	f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(secret))
	f.Expect(f.platform.RemoveCompany(t.Context(), f.company)).To(gomega.Succeed())
	f.Expect(f.activation()).To(gomega.BeNil())
}

func TestActivateAdoptsDeclaredActivation(t *testing.T) {
	f := newFixture(t)
	declared := f.declare("team-a", "wallet")
	f.expectError(f.post("/api/rotate/", object{"token": f.admin.Token}), 400, "token", "Company has not been activated yet.")
	f.expectError(f.post("/api/deactivate/", object{"token": f.admin.Token}), 400, "token", "Company has not been activated yet.")
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(f.activation().UID).To(gomega.Equal(declared.UID))
	f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
	var list v1alpha1.CompanyActivationList
	f.Expect(f.mgr.GetAPIReader().List(t.Context(), &list, client.MatchingFields{activation.CompanyField: f.company})).To(gomega.Succeed())
	f.Expect(list.Items).To(gomega.HaveLen(1))
}

// TestActivateNames checks company identifiers that aren't valid Kubernetes names.
func TestActivateNames(t *testing.T) {
	f := newFixture(t)
	for _, prefix := range []string{"Acme", "acme_co", "acme.co", "acme"} {
		f := *f
		f.company = f.addCompany(prefix)
		f.expectSuccess(f.activate(f.addUser(f.company, "admin").Token))
		f.Expect(f.activation().Spec.Company).To(gomega.Equal(f.company))
	}
}

func TestActivateConcurrently(t *testing.T) {
	f := newFixture(t)
	tokens := []string{f.admin.Token, f.second.Token}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if r := f.activate(tokens[i%2]); r.status != 200 {
				t.Errorf("answered %s", r)
			}
		})
	}
	wg.Wait()
	var list v1alpha1.CompanyActivationList
	f.Expect(f.mgr.GetAPIReader().List(t.Context(), &list, client.MatchingFields{activation.CompanyField: f.company})).To(gomega.Succeed())
	f.Expect(list.Items).To(gomega.HaveLen(1))
	f.Expect(tokens).To(gomega.ContainElement(f.credentials().Token))
}

func TestActivateWhenWebhooksAreRefused(t *testing.T) {
	t.Run("a new company", func(t *testing.T) {
		f := newFixture(t)
		f.stub.decide(f.company, refused)
		f.expectError(f.activate(f.admin.Token), 400, "non_field_errors", "Unable to configure event webhooks.", refusalMessage)
		f.Expect(f.activation().Spec.State).To(gomega.Equal(v1alpha1.ActivationInactive))
		f.Expect(f.credentials().Token).To(gomega.BeEmpty())
		f.expectError(f.webhook("Secret "+f.credentials().WebhookSecret, f.event(1)), 400, "company", "Invalid company.")

		f.stub.decide(f.company, registered)
		f.expectSuccess(f.activate(f.admin.Token))
		f.Expect(f.activation().IsActive()).To(gomega.BeTrue())
	})
	t.Run("an active company", func(t *testing.T) {
		f := newFixture(t)
		f.expectSuccess(f.activate(f.admin.Token))
		f.stub.decide(f.company, refused)
		f.expectError(f.activate(f.second.Token), 400, "non_field_errors", "Unable to configure event webhooks.", refusalMessage)
		f.Expect(f.activation().IsActive()).To(gomega.BeTrue())
		f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
	})
	t.Run("a declared company", func(t *testing.T) {
		f := newFixture(t)
		f.declare("team-b", "wallet")
		f.stub.decide(f.company, refused)
		f.expectError(f.activate(f.admin.Token), 400, "non_field_errors", "Unable to configure event webhooks.", refusalMessage)
		f.Expect(f.activation().Spec.State).To(gomega.Equal(v1alpha1.ActivationActive))
		f.Expect(f.credentials().Token).To(gomega.BeEmpty())
	})
	t.Run("its token", func(t *testing.T) {
		f := newFixture(t)
		f.stub.decide(f.company, tokenRefused)
		f.expectError(f.activate(f.admin.Token), 400, "token", "Invalid user.")
		f.Expect(f.credentials().Token).To(gomega.BeEmpty())
	})
}

// TestActivateDuringAnOutage checks that an outage delays an activation but doesn't fail
// it.
func TestActivateDuringAnOutage(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.LifecycleBudget = 5 * time.Minute })
	f.stub.decide(f.company, outage)
	start := time.Now()
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(time.Since(start)).To(gomega.BeNumerically("<", 3*time.Minute), "the server must not wait for its timeout")
	f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
}

func TestDeactivate(t *testing.T) {
	f := newFixture(t)
	deactivate := func(token string) response { return f.post("/api/deactivate/", object{"token": token}) }
	f.expectError(deactivate(f.admin.Token), 400, "token", "Company has not been activated yet.")

	f.expectSuccess(f.activate(f.admin.Token))
	secret := f.credentials().WebhookSecret
	f.expectSuccess(f.webhook("Secret "+secret, f.event(1)))
	f.expectSuccess(deactivate(f.admin.Token))
	f.Expect(f.activation().Spec.State).To(gomega.Equal(v1alpha1.ActivationInactive))
	f.Expect(f.credentials().Token).To(gomega.BeEmpty())
	f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(secret))
	f.expectError(f.webhook("Secret "+secret, f.event(2)), 400, "company", "Invalid company.")

	f.expectSuccess(deactivate(f.second.Token)) // repeating it is fine
	f.expectError(f.post("/api/rotate/", object{"token": f.admin.Token}), 400, "token", "Company has not been activated yet.")
	f.Expect(f.credentials().Token).To(gomega.BeEmpty())

	f.expectSuccess(f.activate(f.second.Token))
	f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(secret), "the webhook secret survives a reactivation")
	f.expectSuccess(f.webhook("Secret "+secret, f.event(3)))
}

func TestDeactivateOfAnotherCompany(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	stranger := f.addUser(f.addCompany("other"), "admin")
	for _, path := range []string{"/api/deactivate/", "/api/rotate/"} {
		f.expectError(f.post(path, object{"token": stranger.Token}), 400, "token", "Company has not been activated yet.")
	}
	f.Expect(f.activation().IsActive()).To(gomega.BeTrue())
	f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
}

func TestPurge(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	first := f.activation()
	f.expectSuccess(f.post("/api/deactivate/", object{"token": f.admin.Token, "purge": true}))
	err := f.mgr.GetAPIReader().Get(t.Context(), client.ObjectKeyFromObject(first), first.DeepCopy())
	f.Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue(), "%v", err)
	f.expectError(f.post("/api/deactivate/", object{"token": f.admin.Token, "purge": "true"}), 400, "token", "Company has not been activated yet.")

	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(f.activation().UID).NotTo(gomega.Equal(first.UID))
}

// TestActivateWaitsForPurge checks that an activation waits until the previous one is
// deleted, and says so if that takes too long.
func TestActivateWaitsForPurge(t *testing.T) {
	t.Parallel() // it waits
	f := newFixture(t, func(o *Options) {
		o.Limits.LifecycleBudget = 10 * time.Second
		o.Limits.RollbackReserve = 5 * time.Second
	})
	f.expectSuccess(f.activate(f.admin.Token))
	first := f.activation()
	f.stub.decide(f.company, silent)
	f.expectSuccess(f.post("/api/deactivate/", object{"token": f.admin.Token, "purge": true}))
	f.Expect(f.mgr.GetAPIReader().Get(t.Context(), client.ObjectKeyFromObject(first), first)).To(gomega.Succeed())
	f.Expect(first.Annotations).To(gomega.HaveKeyWithValue(v1alpha1.PurgeAnnotation, "true"))
	f.Expect(first.DeletionTimestamp.IsZero()).To(gomega.BeFalse())

	r := f.activate(f.admin.Token)
	f.expectError(r, 503, "", "The company's earlier activation is still being removed. Try again later.")
	f.Expect(r.header.Get("Retry-After")).To(gomega.Equal("10"))

	// Complete the deletion while the next activation waits for it.
	f.stub.decide(f.company, registered)
	time.AfterFunc(100*time.Millisecond, func() {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"touched":"yes"}}}`))
		_ = f.client.Patch(context.Background(), first.DeepCopy(), patch)
	})
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(f.activation().UID).NotTo(gomega.Equal(first.UID))
}

func TestRotate(t *testing.T) {
	f := newFixture(t)
	rotate := func(token string) response { return f.post("/api/rotate/", object{"token": token}) }
	f.expectError(rotate(f.admin.Token), 400, "token", "Company has not been activated yet.")
	f.expectSuccess(f.activate(f.admin.Token))
	secret, asked := f.credentials().WebhookSecret, f.activation().Annotations[v1alpha1.RequestedAtAnnotation]
	f.Expect(f.credentials().TokenReceived).To(gomega.BeTemporally("~", time.Now(), time.Minute))
	f.Expect(f.credentials().TokenRotated).To(gomega.BeZero())

	next, err := f.platform.IssueToken(f.company, f.admin.ID)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.expectSuccess(rotate(next))
	f.Expect(f.credentials().Token).To(gomega.Equal(next))
	f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(secret))
	f.Expect(f.credentials().TokenRotated).To(gomega.BeTemporally("~", time.Now(), time.Minute))
	f.Expect(f.credentials().TokenReceived).To(gomega.Equal(f.credentials().TokenRotated))
	f.Expect(f.activation().Annotations[v1alpha1.RequestedAtAnnotation]).NotTo(gomega.Equal(asked), "the controller is triggered")

	t.Run("brings a lost Secret back", func(t *testing.T) {
		f := f.in(t)
		var secrets = f.secretOf(f.activation())
		f.Expect(f.client.Delete(t.Context(), secrets)).To(gomega.Succeed())
		f.expectSuccess(rotate(f.admin.Token))
		f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
	})
}

// TestActivationOwnsItsSecret checks that the Secret with the token is deleted with the
// activation.
func TestActivationOwnsItsSecret(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	a := f.activation()
	f.Expect(metav1.IsControlledBy(f.secretOf(a), a)).To(gomega.BeTrue())
	encoded, err := jsonOf(a)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(encoded).NotTo(gomega.ContainSubstring(f.admin.Token))
}

// emptyCache is a cache that has not synced yet.
type emptyCache struct{ Activations }

func (emptyCache) Find(ctx context.Context, _ string) (*v1alpha1.CompanyActivation, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (emptyCache) FindSecret(ctx context.Context, _ string) (types.NamespacedName, error) {
	<-ctx.Done()
	return types.NamespacedName{}, ctx.Err()
}

// TestAPIServerUnavailable checks that a call fails if its result can't be stored.
func TestAPIServerUnavailable(t *testing.T) {
	for name, listen := range map[string]func(net.Listener){
		"refusing": func(l net.Listener) { _ = l.Close() },
		"hanging":  func(net.Listener) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			c := shared
			away, err := client.New(&rest.Config{Host: listener.Addr().String()}, client.Options{Scheme: testScheme, Mapper: c.mgr.GetRESTMapper()})
			if err != nil {
				t.Fatal(err)
			}
			listen(listener)
			f := newFixture(t, func(o *Options) {
				o.Client, o.APIReader, o.Activations = away, away, emptyCache{}
				o.Limits.LifecycleBudget = 10 * time.Second // the platform must answer within it
				o.Limits.RollbackReserve = time.Second
				o.Limits.WebhookBudget = 10 * time.Second
			})
			// All calls wait until the end of their budget.
			webhook := make(chan response, 1)
			go func() { webhook <- f.webhook("Secret planted", f.event(1)) }()
			answers := make(chan response, len(lifecyclePaths))
			for _, path := range lifecyclePaths {
				token := f.addUser(f.addCompany("away"), "admin").Token
				go func() { answers <- f.post(path, object{"token": token}) }()
			}
			for range lifecyclePaths {
				r := <-answers
				f.expectError(r, 503, "", "The cluster that holds this extension's state is not available. Try again later.")
				f.Expect(r.header.Get("Retry-After")).To(gomega.Equal("10"))
			}
			f.expectError(<-webhook, 503, "", "The company could not be looked up. Try again later.")
		})
	}
}

// TestTooManyLifecycleCalls checks that calls beyond the limit get a 503 with Retry-After.
func TestTooManyLifecycleCalls(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Limits.LifecycleCalls = 1
		o.Limits.QueueTime = 50 * time.Millisecond
	})
	unlock, err := f.server.companies.lock(t.Context(), f.company)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	first := make(chan response, 1)
	go func() { first <- f.activate(f.admin.Token) }()
	f.Eventually(func() int64 { return f.server.lifecycleSlots.Used() }).Should(gomega.Equal(int64(1)))
	f.expectError(f.activate(f.admin.Token), 503, "", "Too many calls are in progress. Try again later.")
	unlock()
	f.expectSuccess(<-first)
	f.Eventually(func() int64 { return f.server.lifecycleSlots.Used() }).Should(gomega.BeZero(), "after the answer")
	f.expectSuccess(f.activate(f.admin.Token))
}

// TestLifecycleCallsAreRateLimited checks that a flood of calls with made-up tokens doesn't
// flood the platform.
func TestLifecycleCallsAreRateLimited(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Limits.StrangerRate = 0.001
		o.Limits.TurnTime = 20 * time.Millisecond
		o.Limits.PlatformCall, o.Limits.LifecycleBudget = time.Minute, time.Minute
	})
	answers := map[int]int{}
	for range 50 {
		answers[f.post("/api/rotate/", object{"token": "planted"}).status]++
	}
	// How many depends a little on how soon each follows the one before.
	f.Expect(answers[400]).To(gomega.And(gomega.BeNumerically(">=", 3), gomega.BeNumerically("<=", rehive.StrangerBurst/2)))
	f.Expect(answers[503]).To(gomega.Equal(50 - answers[400]))
	f.Expect(f.platform.Requests()).To(gomega.HaveLen(answers[400]))
}

// TestLifecycleCallsAreSerializedPerCompany checks that a call waits for another call of
// its company, but not for calls of other companies.
func TestLifecycleCallsAreSerializedPerCompany(t *testing.T) {
	t.Parallel() // it waits
	f := newFixture(t)
	unlock, err := f.server.companies.lock(t.Context(), f.company)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.expectError(f.activate(f.admin.Token), 503, "", "Another call for this company is in progress. Try again later.")
	f.expectSuccess(f.activate(f.addUser(f.addCompany("other"), "admin").Token))
	f.Expect(f.activation()).To(gomega.BeNil())
	unlock()
	f.expectSuccess(f.activate(f.admin.Token))
}

// laggingActivations returns stale data for a number of reads.
type laggingActivations struct {
	Activations
	credentials, activations atomic.Int32 // number of stale reads left
}

func (l *laggingActivations) Find(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error) {
	a, err := l.Activations.Find(ctx, company)
	if a != nil && l.activations.Add(-1) >= 0 {
		a = a.DeepCopy()
		a.Spec.State = v1alpha1.ActivationActive
	}
	return a, err
}

func (l *laggingActivations) Credentials(ctx context.Context, a *v1alpha1.CompanyActivation) (activation.Credentials, error) {
	c, err := l.Activations.Credentials(ctx, a)
	if l.credentials.Add(-1) >= 0 {
		c = activation.Credentials{}
	}
	return c, err
}

// TestLifecycleWaitsForCache checks that the change is visible to webhooks once the call is
// answered.
func TestLifecycleWaitsForCache(t *testing.T) {
	late := &laggingActivations{}
	f := newFixture(t, func(o *Options) {
		late.Activations = o.Activations
		o.Activations = late
	})
	late.credentials.Store(5)
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(late.credentials.Load()).To(gomega.BeNumerically("<", 0), "the credentials in the cache were awaited")
	late.activations.Store(5)
	f.expectSuccess(f.post("/api/deactivate/", object{"token": f.admin.Token}))
	f.Expect(late.activations.Load()).To(gomega.BeNumerically("<", 0), "the state in the cache was awaited")
}
