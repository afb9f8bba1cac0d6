// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

func TestSaveAndGet(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "save-and-get")
	_, err := Get(t.Context(), k8s, a)
	g.Expect(err).To(MatchError(ErrMissing))

	g.Expect(Save(t.Context(), k8s, a, Credentials{Token: "token-1", WebhookSecret: "secret-1", ServiceUser: "user-1"})).To(Succeed())
	credentials, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(credentials.Token).To(Equal("token-1"))
	g.Expect(credentials.WebhookSecret).To(Equal("secret-1"))
	g.Expect(credentials.ServiceUser).To(Equal("user-1"))

	var secret corev1.Secret
	key := client.ObjectKey{Namespace: a.Namespace, Name: SecretName(a)}
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	g.Expect(metav1.IsControlledBy(&secret, a)).To(BeTrue())
	g.Expect(secret.Labels).To(Equal(map[string]string{ActivationLabel: "shop"}))

	// The token is removed; the webhook secret and other keys stay.
	secret.Data["note"] = []byte("mine")
	g.Expect(k8s.Update(t.Context(), &secret)).To(Succeed())
	credentials, err = Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	credentials.Token = ""
	g.Expect(Save(t.Context(), k8s, a, credentials)).To(Succeed())
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	g.Expect(secret.Data).To(Equal(map[string][]byte{"webhookSecret": []byte("secret-1"), "serviceUser": []byte("user-1"), "note": []byte("mine")}))

	// Saving unchanged credentials writes nothing.
	version := secret.ResourceVersion
	credentials, err = Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(Save(t.Context(), k8s, a, credentials)).To(Succeed())
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	g.Expect(secret.ResourceVersion).To(Equal(version))
}

// TestTimesOfToken checks that the Secret records when the platform sent the token, and
// that nothing is known of a token that was entered manually.
func TestTimesOfToken(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "times-of-token")
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	var c Credentials
	c.ReceiveToken("token-1", at.Add(time.Millisecond))
	c.TokenRotated = at
	g.Expect(Save(t.Context(), k8s, a, c)).To(Succeed())
	c, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect([]time.Time{c.TokenReceived, c.TokenRotated}).To(Equal([]time.Time{at, at}))
	c.ReceiveToken("token-1", at.Add(time.Hour))
	g.Expect(c.TokenReceived).To(Equal(at), "it was sent again")

	secret := c.secret.DeepCopy()
	secret.Data["token"] = []byte("token-2\n")
	g.Expect(k8s.Update(t.Context(), secret)).To(Succeed())
	c, err = Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.Token).To(Equal("token-2"))
	g.Expect(c.TokenReceived).To(BeZero())
	g.Expect(c.TokenRotated).To(Equal(at))
}

func TestSaveDoesNotOverwriteConcurrentChanges(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "unseen")
	g.Expect(Save(t.Context(), k8s, a, Credentials{Token: "first"})).To(Succeed())
	g.Expect(IsConflict(Save(t.Context(), k8s, a, Credentials{Token: "created again"}))).To(BeTrue())

	mine, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	theirs := mine
	theirs.Token = "theirs"
	g.Expect(Save(t.Context(), k8s, a, theirs)).To(Succeed())
	mine.Token = "mine"
	g.Expect(IsConflict(Save(t.Context(), k8s, a, mine))).To(BeTrue())

	mine, err = Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(mine.Token).To(Equal("theirs"))
	g.Expect(k8s.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: SecretName(a)}})).To(Succeed())
	mine.Token = "mine"
	g.Expect(IsConflict(Save(t.Context(), k8s, a, mine))).To(BeTrue(), "the Secret is gone")
}

// TestForeignSecretsAreLeftAlone checks that a Secret with the right name but another owner
// is neither read nor changed.
func TestForeignSecretsAreLeftAlone(t *testing.T) {
	isController := true
	owner := func(kind, name, uid string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: name, UID: types.UID(uid), Controller: &isController}}
	}
	for name, test := range map[string]struct {
		owners  []metav1.OwnerReference
		problem string
	}{
		"ownerless":     {nil, "exists, but does not belong to this CompanyActivation."},
		"of another":    {owner("ConfigMap", "other", "1"), "belongs to the ConfigMap other."},
		"predecessor's": {owner("CompanyActivation", "shop", "1"), "still belongs to a deleted CompanyActivation of the same name."},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			a := declare(t, newNamespace(t), "shop", "mine")
			secret := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: a.Namespace, Name: SecretName(a), OwnerReferences: test.owners, Labels: map[string]string{ActivationLabel: "shop"},
				},
				StringData: map[string]string{"token": "theirs", "webhookSecret": "theirs", "serviceUser": "theirs"},
			}
			g.Expect(k8s.Create(t.Context(), secret)).To(Succeed())
			credentials, err := Get(t.Context(), k8s, a)
			var unusable *UnusableSecretError
			g.Expect(errors.As(err, &unusable)).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring(test.problem)))
			g.Expect(credentials).To(Equal(Credentials{}))
			g.Expect(IsConflict(Save(t.Context(), k8s, a, Credentials{Token: "mine"}))).To(BeTrue())
			var left corev1.Secret
			g.Expect(k8s.Get(t.Context(), client.ObjectKeyFromObject(secret), &left)).To(Succeed())
			g.Expect(left.ResourceVersion).To(Equal(secret.ResourceVersion))
		})
	}
}

func TestImmutableSecret(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "immutable")
	g.Expect(Save(t.Context(), k8s, a, Credentials{Token: "first"})).To(Succeed())
	var secret corev1.Secret
	g.Expect(k8s.Get(t.Context(), client.ObjectKey{Namespace: a.Namespace, Name: SecretName(a)}, &secret)).To(Succeed())
	immutable := true
	secret.Immutable = &immutable
	g.Expect(k8s.Update(t.Context(), &secret)).To(Succeed())
	credentials, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(Save(t.Context(), k8s, a, credentials)).To(Succeed(), "it can be used as it is")
	credentials.Token = "second"
	var unusable *UnusableSecretError
	err = Save(t.Context(), k8s, a, credentials)
	g.Expect(errors.As(err, &unusable)).To(BeTrue(), "%v", err)
	g.Expect(err).To(MatchError(ContainSubstring("is immutable")))
}

// TestLostLabelIsRestored checks that an activation still owns its Secret if the label is
// missing.
func TestLostLabelIsRestored(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "no-label")
	g.Expect(Save(t.Context(), k8s, a, Credentials{Token: "token\n"})).To(Succeed())
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: a.Namespace, Name: SecretName(a)}
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	secret.Labels = nil
	g.Expect(k8s.Update(t.Context(), &secret)).To(Succeed())
	credentials, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(credentials.Token).To(Equal("token"), "a Secret written by hand often ends in a line break")
	g.Expect(Save(t.Context(), k8s, a, credentials)).To(Succeed())
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	g.Expect(secret.Labels).To(HaveKeyWithValue(ActivationLabel, "shop"))
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	g := NewWithT(t)
	credentials := Credentials{Token: "t0ken", WebhookSecret: "s3cret", secret: &corev1.Secret{Data: map[string][]byte{"token": []byte("t0ken")}}}
	encoded, err := json.Marshal(credentials)
	g.Expect(err).NotTo(HaveOccurred())
	printed := string(encoded) + fmt.Sprintf("%v %+v %#v %s %q", credentials, credentials, credentials, credentials, credentials) +
		fmt.Sprintf("%v %+v", &credentials, []Credentials{credentials})
	g.Expect(printed).NotTo(ContainSubstring("t0ken"))
	g.Expect(printed).NotTo(ContainSubstring("s3cret"))
}

func TestNewWebhookSecret(t *testing.T) {
	g := NewWithT(t)
	one, other := NewWebhookSecret(), NewWebhookSecret()
	g.Expect(one).To(MatchRegexp("^[A-Za-z0-9_-]{43}$"))
	g.Expect(len(one)).To(BeNumerically(">=", MinWebhookSecretLength))
	g.Expect(one).NotTo(Equal(other))
}
