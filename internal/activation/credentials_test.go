// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"encoding/json"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestSaveAndGet(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "save-and-get")
	_, err := Get(t.Context(), k8s, a)
	g.Expect(err).To(MatchError(ErrMissing))

	g.Expect(Save(t.Context(), k8s, a, Credentials{Token: "token-1", WebhookSecret: "secret-1"})).To(Succeed())
	credentials, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(credentials.Token).To(Equal("token-1"))
	g.Expect(credentials.WebhookSecret).To(Equal("secret-1"))

	var secret corev1.Secret
	key := client.ObjectKey{Namespace: a.Namespace, Name: SecretName(a)}
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	g.Expect(metav1.IsControlledBy(&secret, a)).To(BeTrue())
	g.Expect(secret.Labels).To(Equal(map[string]string{ActivationLabel: "shop"}))

	// A token goes, the webhook secret and what others wrote stay.
	secret.Data["note"] = []byte("mine")
	g.Expect(k8s.Update(t.Context(), &secret)).To(Succeed())
	credentials, err = Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	credentials.Token = ""
	g.Expect(Save(t.Context(), k8s, a, credentials)).To(Succeed())
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	g.Expect(secret.Data).To(Equal(map[string][]byte{"webhookSecret": []byte("secret-1"), "note": []byte("mine")}))

	// Saving what stands writes nothing.
	version := secret.ResourceVersion
	credentials, err = Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(Save(t.Context(), k8s, a, credentials)).To(Succeed())
	g.Expect(k8s.Get(t.Context(), key, &secret)).To(Succeed())
	g.Expect(secret.ResourceVersion).To(Equal(version))
}

func TestSaveNeverOverwritesUnseen(t *testing.T) {
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

func TestSaveRefusesTheSecretOfAnother(t *testing.T) {
	g := NewWithT(t)
	namespace := newNamespace(t)
	a, owner := declare(t, namespace, "shop", "mine"), declare(t, namespace, "other", "other")
	isController := true
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName(a), OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, Controller: &isController,
	}}}}
	g.Expect(k8s.Create(t.Context(), secret)).To(Succeed())
	credentials, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(Save(t.Context(), k8s, a, credentials)).To(MatchError(ContainSubstring("taking the Secret")))
}

func TestGetTrimsWhatHandsWrite(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "by-hand")
	g.Expect(k8s.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: SecretName(a)},
		StringData: map[string]string{"token": "written-by-hand\n"},
	})).To(Succeed())
	credentials, err := Get(t.Context(), k8s, a)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(credentials.Token).To(Equal("written-by-hand"))
	g.Expect(credentials.WebhookSecret).To(BeEmpty())
}

func TestCredentialsArePrintedNowhere(t *testing.T) {
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
