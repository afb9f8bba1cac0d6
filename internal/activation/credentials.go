// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// ActivationLabel is on every Secret of an activation, with the activation's
// name as its value. The manager's cache holds the Secrets with this label and
// no others.
const ActivationLabel = "extensions.rehive.com/activation"

// MinWebhookSecretLength is what Rehive recommends for the secret of a webhook.
const MinWebhookSecretLength = 32

// ErrMissing says that an activation has no Secret.
var ErrMissing = errors.New("the Secret of the CompanyActivation does not exist")

// Credentials are what an activation keeps secret. Printing or encoding them
// shows neither.
type Credentials struct {
	// Token is the service user's token; empty while the company is inactive.
	Token string `json:"-"`
	// WebhookSecret is what the platform sends with each webhook.
	WebhookSecret string `json:"-"`

	// secret is what Get read, so that Save neither overwrites what somebody
	// else wrote meanwhile nor drops what it doesn't know.
	secret *corev1.Secret
}

// String implements fmt.Stringer without the credentials.
func (Credentials) String() string { return "Credentials(redacted)" }

// GoString implements fmt.GoStringer without the credentials.
func (c Credentials) GoString() string { return c.String() }

// SecretName returns the name of an activation's Secret.
func SecretName(a *v1alpha1.CompanyActivation) string { return a.Name + "-rehive" }

// Get reads an activation's credentials. The error is ErrMissing when there is
// no Secret; a Secret may lack either credential, which is empty then.
func Get(ctx context.Context, r client.Reader, a *v1alpha1.CompanyActivation) (Credentials, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: a.Namespace, Name: SecretName(a)}
	switch err := r.Get(ctx, key, &secret); {
	case apierrors.IsNotFound(err):
		return Credentials{}, ErrMissing
	case err != nil:
		return Credentials{}, fmt.Errorf("reading the Secret %s: %w", key, err)
	}
	return credentialsIn(&secret)
}

// credentialsIn reads a Secret, which it keeps.
func credentialsIn(secret *corev1.Secret) (Credentials, error) {
	if !secret.DeletionTimestamp.IsZero() {
		return Credentials{}, ErrMissing
	}
	return Credentials{
		// A Secret written by hand often ends in a line break.
		Token:         strings.TrimSpace(string(secret.Data[v1alpha1.SecretKeyToken])),
		WebhookSecret: strings.TrimSpace(string(secret.Data[v1alpha1.SecretKeyWebhookSecret])),
		secret:        secret,
	}, nil
}

// Save writes an activation's credentials into its Secret, which the
// activation owns: it creates the Secret when the credentials don't come from
// Get, and updates it otherwise. An empty credential is removed.
//
// When the Secret was written by somebody else since Get, or appeared, the
// error satisfies IsConflict: read again and decide again.
func Save(ctx context.Context, c client.Client, a *v1alpha1.CompanyActivation, credentials Credentials) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: SecretName(a)}}
	if credentials.secret != nil {
		secret = credentials.secret.DeepCopy()
	}
	before := secret.DeepCopy()
	if secret.Labels == nil {
		secret.Labels = make(map[string]string)
	}
	secret.Labels[ActivationLabel] = a.Name
	if err := controllerutil.SetControllerReference(a, secret, c.Scheme()); err != nil {
		return fmt.Errorf("taking the Secret %s: %w", client.ObjectKeyFromObject(secret), err)
	}
	if secret.Data == nil {
		secret.Data = make(map[string][]byte)
	}
	put(secret.Data, v1alpha1.SecretKeyToken, credentials.Token)
	put(secret.Data, v1alpha1.SecretKeyWebhookSecret, credentials.WebhookSecret)

	if credentials.secret == nil {
		if err := c.Create(ctx, secret); err != nil {
			return fmt.Errorf("creating the Secret %s: %w", client.ObjectKeyFromObject(secret), err)
		}
		return nil
	}
	if equality.Semantic.DeepEqual(before, secret) {
		return nil
	}
	if err := c.Update(ctx, secret); err != nil {
		return fmt.Errorf("updating the Secret %s: %w", client.ObjectKeyFromObject(secret), err)
	}
	return nil
}

func put(data map[string][]byte, key, value string) {
	if value == "" {
		delete(data, key)
		return
	}
	data[key] = []byte(value)
}

// IsConflict says that somebody else wrote, created or deleted the Secret since
// it was read.
func IsConflict(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// NewWebhookSecret returns a fresh secret for webhooks: 32 random bytes as 43
// characters that need no escaping anywhere.
func NewWebhookSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(random[:])
}
