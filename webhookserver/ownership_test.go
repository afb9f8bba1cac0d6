// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

const anotherUser = "Invalid admin user."

// services activates the fixture's server as an extension. It returns its service, and the
// token of the service user of another extension of the same company.
func (f *fixture) services() (own rehivetest.Service, other string) {
	f.Helper()
	own, err := f.platform.AddService(f.company, rehivetest.Service{URL: f.url + "/api/"})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(f.platform.Activate(f.Context(), f.company, own.ID)).To(gomega.Succeed())
	own, err = f.platform.Service(f.company, own.ID)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return own, f.extension()
}

// extension returns the token of the service user of another extension.
func (f *fixture) extension() string {
	f.Helper()
	accepting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(success)) }))
	defer accepting.Close()
	service, err := f.platform.AddService(f.company, rehivetest.Service{Name: "Other", URL: accepting.URL})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(f.platform.Activate(f.Context(), f.company, service.ID)).To(gomega.Succeed())
	service, err = f.platform.Service(f.company, service.ID)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return service.Token
}

func (f *fixture) lifecycle(action, token string) response {
	f.Helper()
	switch action {
	case "purge":
		return f.post("/api/deactivate/", object{"token": token, "purge": true})
	default:
		return f.post("/api/"+action+"/", object{"token": token})
	}
}

// TestOtherExtensionsAreRefused checks that the service user of another extension of the
// same company can neither activate nor deactivate this one, nor read its log.
func TestOtherExtensionsAreRefused(t *testing.T) {
	f := newFixture(t)
	own, other := f.services()
	for _, action := range []string{"activate", "rotate", "deactivate", "purge"} {
		f.expectError(f.lifecycle(action, other), 400, "token", anotherUser)
	}
	f.Expect(f.activation().IsActive()).To(gomega.BeTrue())
	f.Expect(f.credentials().Token).To(gomega.Equal(own.Token))
	f.Eventually(func() int { return f.call(own.Token, "GET", "/api/admin/logs/", "").status }).Should(gomega.Equal(200))
	f.expectError(f.call(other, "GET", "/api/admin/logs/", ""), 403, "", "You do not have permission to perform this action.")
	f.expectError(f.call(other, "POST", "/api/admin/logs/send/", ""), 403, "", "You do not have permission to perform this action.")

	// An admin may do all of that without locking out the platform's service user.
	f.expectSuccess(f.lifecycle("activate", f.admin.Token))
	f.expectSuccess(f.lifecycle("rotate", f.second.Token))
	f.expectError(f.lifecycle("rotate", other), 400, "token", anotherUser)
	f.Expect(f.platform.RotateToken(t.Context(), f.company, own.ID)).To(gomega.Succeed())
	f.Expect(f.platform.Deactivate(t.Context(), f.company, own.ID)).To(gomega.Succeed())
	f.expectError(f.lifecycle("purge", other), 400, "token", anotherUser)
	f.expectSuccess(f.lifecycle("purge", f.admin.Token))
}

// TestNewServiceUserTakesOver checks that a new service user, which the platform may create
// at each activation, takes over once the previous user's token is invalid.
func TestNewServiceUserTakesOver(t *testing.T) {
	f := newFixture(t)
	own, other := f.services()

	// The stored token can't be verified.
	remove := f.platform.InjectFault(rehivetest.Fault{Path: "/3/auth/", Token: own.Token, Kind: rehivetest.FaultStatus, Status: 503})
	f.expectError(f.lifecycle("activate", other), 503, "", "Rehive could not be reached to verify the stored token. Try again later.")
	remove()
	f.Expect(f.credentials().Token).To(gomega.Equal(own.Token))

	// The platform has deleted the previous user without a notice.
	f.platform.RevokeToken(own.Token)
	f.expectSuccess(f.lifecycle("activate", other))
	f.Expect(f.credentials().Token).To(gomega.Equal(other))
	f.expectSuccess(f.lifecycle("rotate", other))

	// After a deactivation there is no token to replace.
	f.expectSuccess(f.lifecycle("deactivate", other))
	next := f.extension()
	f.expectError(f.lifecycle("purge", next), 400, "token", anotherUser)
	f.expectSuccess(f.lifecycle("activate", next))
	f.expectSuccess(f.lifecycle("purge", next))
	f.Expect(f.activation()).To(gomega.BeNil())
}

// TestSecretWithoutUser covers Secrets from versions that didn't record the user.
func TestSecretWithoutUser(t *testing.T) {
	f := newFixture(t)
	own, other := f.services()
	forget := func() {
		f.Helper()
		secret := f.secretOf(f.activation())
		before := secret.DeepCopy()
		delete(secret.Data, v1alpha1.SecretKeyServiceUser)
		f.Expect(f.client.Patch(t.Context(), secret, client.MergeFrom(before))).To(gomega.Succeed())
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"serviceUser":null}}`))
		f.Expect(f.client.Status().Patch(t.Context(), f.activation(), patch)).To(gomega.Succeed())
	}
	for _, action := range []string{"activate", "rotate", "deactivate", "purge"} {
		forget()
		f.expectError(f.lifecycle(action, other), 400, "token", anotherUser)
	}
	forget()
	f.Expect(f.platform.RotateToken(t.Context(), f.company, own.ID)).To(gomega.Succeed())
	forget()
	f.Expect(f.platform.Deactivate(t.Context(), f.company, own.ID)).To(gomega.Succeed())
}

// TestForeignActivationReceivesNothing checks that a CompanyActivation that somebody
// created for the company in another namespace receives nothing.
func TestForeignActivationReceivesNothing(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		var err error
		if o.Namespaces, err = activation.NewNamespaces(namespace, "team-allowed"); err != nil {
			t.Fatal(err)
		}
	})
	squatter := f.declare("squatters", "wallet")
	f.expectSuccess(f.activate(f.admin.Token))
	held, err := activation.Get(t.Context(), f.mgr.GetAPIReader(), squatter)
	f.Expect(err).To(gomega.MatchError(activation.ErrMissing), "%v", held)
	var own v1alpha1.CompanyActivation
	f.Expect(f.mgr.GetAPIReader().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: f.company}, &own)).To(gomega.Succeed())
	held, err = activation.Get(t.Context(), f.mgr.GetAPIReader(), &own)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(held.Token).To(gomega.Equal(f.admin.Token))
}

// TestDuplicateDoesNotTakeOver checks that a duplicate doesn't replace a deleted holder
// until the platform activates the company again.
func TestDuplicateDoesNotTakeOver(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	holder := f.activation()
	second := f.declare("zz-duplicates", "wallet")
	annotate := []byte(`{"metadata":{"annotations":{"` + v1alpha1.RequestedAtAnnotation + `":"now"}}}`) // as a user of kubectl would
	f.Expect(f.client.Patch(t.Context(), second, client.RawPatch("application/merge-patch+json", annotate))).To(gomega.Succeed())
	f.Expect(f.client.Delete(t.Context(), holder)).To(gomega.Succeed())
	f.Eventually(func() string {
		if a := f.activation(); a != nil {
			return a.Namespace
		}
		return ""
	}).Should(gomega.Equal("zz-duplicates"))
	for _, action := range []string{"rotate", "deactivate", "purge"} {
		f.expectError(f.lifecycle(action, f.admin.Token), 400, "token", "Company has not been activated yet.")
	}
	f.Expect(f.credentials().Token).To(gomega.BeEmpty())
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(f.credentials().Token).To(gomega.Equal(f.admin.Token))
}

// TestActivationNameCollision checks that an activation gets a different name if another
// company's activation has the usual one.
func TestActivationNameCollision(t *testing.T) {
	f := newFixture(t)
	mine, theirs := f.company, f.addCompany("other")
	f.company = theirs
	occupant := f.declare(namespace, mine)
	f.company = mine
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(f.activation().Name).NotTo(gomega.Equal(occupant.Name))
	f.expectSuccess(f.activate(f.second.Token))
	f.Expect(f.credentials().Token).To(gomega.Equal(f.second.Token))
	f.expectSuccess(f.lifecycle("purge", f.admin.Token))
	f.Expect(f.client.Get(t.Context(), client.ObjectKeyFromObject(occupant), occupant)).To(gomega.Succeed())
}

// TestUnusableSecret checks that a call fails if its token can't be stored.
func TestUnusableSecret(t *testing.T) {
	const message = "The company's token cannot be stored. Ask the operator of this extension to look at the company's CompanyActivation, then try again."
	t.Run("ownerless", func(t *testing.T) {
		f := newFixture(t)
		foreign := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: f.company + "-rehive"},
			StringData: map[string]string{"token": "not-ours"},
		}
		f.Expect(f.client.Create(t.Context(), foreign)).To(gomega.Succeed())
		f.expectError(f.activate(f.admin.Token), 503, "", message)
		f.expectError(f.lifecycle("rotate", f.admin.Token), 400, "token", "Company has not been activated yet.")
		var left corev1.Secret
		f.Expect(f.mgr.GetAPIReader().Get(t.Context(), client.ObjectKeyFromObject(foreign), &left)).To(gomega.Succeed())
		f.Expect(left.ResourceVersion).To(gomega.Equal(foreign.ResourceVersion))
		f.Expect(f.client.Delete(t.Context(), foreign)).To(gomega.Succeed())
		f.expectSuccess(f.activate(f.admin.Token))
	})
	t.Run("immutable", func(t *testing.T) {
		f := newFixture(t)
		f.expectSuccess(f.activate(f.admin.Token))
		secret, immutable := f.secretOf(f.activation()), true
		before := secret.DeepCopy()
		secret.Immutable = &immutable
		f.Expect(f.client.Patch(t.Context(), secret, client.MergeFrom(before))).To(gomega.Succeed())
		f.expectSuccess(f.activate(f.admin.Token)) // nothing to store
		f.expectError(f.activate(f.second.Token), 503, "", message)
		f.Expect(f.activation().Annotations).To(gomega.HaveKey(v1alpha1.TokenNotStoredAnnotation))
		f.expectSuccess(f.activate(f.admin.Token))
		f.Expect(f.activation().Annotations).NotTo(gomega.HaveKey(v1alpha1.TokenNotStoredAnnotation))
		f.expectError(f.lifecycle("rotate", f.second.Token), 503, "", message)
		f.Expect(f.activation().Annotations).To(gomega.HaveKey(v1alpha1.TokenNotStoredAnnotation))
		f.expectError(f.lifecycle("deactivate", f.admin.Token), 503, "", message)
		f.Expect(f.activation().IsActive()).To(gomega.BeFalse(), "events must be refused anyway")
		f.expectSuccess(f.lifecycle("purge", f.admin.Token))
	})
	t.Run("in a namespace whose quota is used up", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Namespace = "full" })
		f.Expect(client.IgnoreAlreadyExists(f.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "full"}}))).To(gomega.Succeed())
		none := corev1.ResourceList{"count/secrets": resource.MustParse("0")}
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "full", Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}
		f.Expect(f.client.Create(t.Context(), quota)).To(gomega.Succeed())
		quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none} // as the quota controller does
		f.Expect(f.client.Status().Update(t.Context(), quota)).To(gomega.Succeed())
		try := func() error {
			return f.client.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "full", Name: "probe"}}, client.DryRunAll)
		}
		f.Eventually(try).Should(gomega.Satisfy(apierrors.IsForbidden), "the API server must have noticed")
		f.expectError(f.activate(f.admin.Token), 503, "",
			"A quota of the namespace that holds this extension's state is used up. Ask the operator of this extension to raise it, then try again.")
		f.Expect(f.client.Delete(t.Context(), quota)).To(gomega.Succeed())
		f.Eventually(try).Should(gomega.Succeed())
		f.expectSuccess(f.activate(f.admin.Token))
	})
	t.Run("in a namespace that is being deleted", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Namespace = "ending" })
		ending := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ending"}}
		f.Expect(client.IgnoreAlreadyExists(f.client.Create(t.Context(), ending))).To(gomega.Succeed())
		f.Expect(f.client.Delete(t.Context(), ending)).To(gomega.Succeed()) // it stays in Terminating, because no namespace controller runs
		f.expectError(f.activate(f.admin.Token), 503, "",
			"The namespace that holds this extension's state is being deleted. Ask the operator of this extension to restore it, then try again.")
	})
}

// TestRollbackKeepsLaterActivation checks that the rollback of a refused activation keeps a
// later activation that another replica has accepted meanwhile.
func TestRollbackKeepsLaterActivation(t *testing.T) {
	f := newFixture(t)
	f.stub.decide(f.company, silent)
	first := make(chan response, 1)
	go func() { first <- f.activate(f.admin.Token) }()
	requested := ""
	f.Eventually(func() string {
		if a := f.activation(); a != nil {
			requested = a.Annotations[v1alpha1.RequestedAtAnnotation]
		}
		return requested
	}).ShouldNot(gomega.BeEmpty())

	credentials := f.credentials()
	credentials.Token = f.second.Token
	a := f.activation()
	f.Expect(activation.Save(t.Context(), f.client, a, credentials)).To(gomega.Succeed())
	f.stub.decide(f.company, refused)
	annotate := []byte(`{"metadata":{"annotations":{"` + v1alpha1.RequestedAtAnnotation + `":"later"}}}`)
	f.Expect(f.client.Patch(t.Context(), a, client.RawPatch("application/merge-patch+json", annotate))).To(gomega.Succeed())
	f.Expect((<-first).status).To(gomega.Equal(400))
	f.Expect(f.credentials().Token).To(gomega.Equal(f.second.Token))
	f.Expect(f.activation().IsActive()).To(gomega.BeTrue())
}

// TestPurgeGracePeriod checks that a new activation within the grace period undoes a purge,
// that the data is deleted after it, and that it can't be read in between.
func TestPurgeGracePeriod(t *testing.T) {
	f, service := newRealFixture(t, func(o *Options) { o.PurgeGrace = time.Hour })
	ctx := t.Context()
	f.Expect(f.platform.Activate(ctx, f.company, service.ID)).To(gomega.Succeed())
	first, secret := f.activation(), f.credentials().WebhookSecret
	f.expectSuccess(f.lifecycle("purge", f.admin.Token))
	f.Expect(f.credentials().Token).To(gomega.BeEmpty())
	f.Eventually(func() string { return f.condition(v1alpha1.ReadyCondition).Reason }).Should(gomega.Equal(v1alpha1.PurgePendingReason))
	f.expectError(f.call(f.admin.Token, "GET", "/api/admin/logs/", ""), 400, "non_field_errors", "Inactive company.")
	f.expectError(f.webhook("Secret "+secret, f.event(1)), 400, "company", "Invalid company.")
	due := f.activation().Annotations[v1alpha1.PurgeAfterAnnotation]
	f.expectSuccess(f.lifecycle("purge", f.admin.Token))
	f.Expect(f.activation().Annotations[v1alpha1.PurgeAfterAnnotation]).To(gomega.Equal(due), "repeating the purge doesn't postpone it")

	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(f.activation().UID).To(gomega.Equal(first.UID))
	f.Expect(f.activation().Annotations).NotTo(gomega.HaveKey(v1alpha1.PurgeAfterAnnotation))
	f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(secret))
	f.expectSuccess(f.webhook("Secret "+secret, f.event(1)))

	f.expectSuccess(f.lifecycle("purge", f.admin.Token))
	over := []byte(`{"metadata":{"annotations":{"` + v1alpha1.PurgeAfterAnnotation + `":"2026-01-01T00:00:00Z"}}}`)
	f.Expect(f.client.Patch(ctx, f.activation(), client.RawPatch("application/merge-patch+json", over))).To(gomega.Succeed())
	f.Eventually(func() bool {
		return apierrors.IsNotFound(f.mgr.GetAPIReader().Get(context.WithoutCancel(ctx), client.ObjectKeyFromObject(first), first))
	}).Should(gomega.BeTrue())
	var rules v1alpha1.NotificationRuleList
	f.Expect(f.mgr.GetAPIReader().List(ctx, &rules, client.InNamespace(first.Namespace))).To(gomega.Succeed())
	f.Expect(rules.Items).To(gomega.BeEmpty())
}
