// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive"
)

// ActivationLabel is on every Secret of an activation, with the activation's name as its
// value. The manager's cache holds only Secrets with this label.
const ActivationLabel = "extensions.rehive.com/activation"

// MinWebhookSecretLength is Rehive's recommendation for the secret of a webhook.
const MinWebhookSecretLength = 32

// ErrMissing means that an activation has no Secret.
var ErrMissing = errors.New("the Secret of the CompanyActivation does not exist")

// UnusableSecretError means that a Secret with the name of an activation's Secret cannot
// be used. It is neither read, changed nor deleted; a person must act.
type UnusableSecretError struct {
	// Secret is the Secret.
	Secret types.NamespacedName
	// Problem completes the sentence that begins with the Secret's name, and says what to
	// do.
	Problem string
}

// Error implements error.
func (e *UnusableSecretError) Error() string {
	return fmt.Sprintf("the Secret %s %s", e.Secret.Name, e.Problem)
}

// Credentials are the secrets of an activation. Printing or encoding them does not reveal
// them.
type Credentials struct {
	// Token is the service user's token; empty while the company is inactive.
	Token string `json:"-"`
	// WebhookSecret is sent by the platform with each webhook.
	WebhookSecret string `json:"-"`
	// ServiceUser is the identifier of the service user who activated the company, or of
	// the admin if no service user ever did. It is kept when the token is removed, and
	// empty if it is not known yet.
	ServiceUser string `json:"-"`

	// TokenReceived is when the platform sent the token, and TokenRotated when it last
	// replaced one through /api/rotate/, in whole seconds. They are zero if that is not
	// known, or never happened.
	TokenReceived, TokenRotated time.Time `json:"-"`

	// secret is the Secret that Get read, so that Save neither overwrites concurrent
	// changes nor drops unknown keys.
	secret *corev1.Secret
}

// ReceiveToken replaces the token by one that the platform sends. A token that is sent
// again keeps its time.
func (c *Credentials) ReceiveToken(token string, now time.Time) {
	if c.Token != token {
		c.Token, c.TokenReceived = token, now.UTC().Truncate(time.Second)
	}
}

// RecordUser records the user who activated the company. An admin who steps in does not
// replace the service user, because the platform keeps calling with that user's tokens.
func (c *Credentials) RecordUser(user *rehive.User) {
	if c.ServiceUser == "" || user.InGroup(GroupService) {
		c.ServiceUser = user.ID
	}
}

// IsImmutable reports whether the Secret accepts no other credentials.
func (c Credentials) IsImmutable() bool {
	return c.secret != nil && c.secret.Immutable != nil && *c.secret.Immutable
}

// String implements fmt.Stringer without revealing the credentials.
func (Credentials) String() string { return "Credentials(redacted)" }

// GoString implements fmt.GoStringer without revealing the credentials.
func (c Credentials) GoString() string { return c.String() }

// SecretName returns the name of an activation's Secret.
func SecretName(a *v1alpha1.CompanyActivation) string { return a.Name + secretSuffix }

const secretSuffix = "-rehive"

// NameOfSecret returns the name of the activation whose Secret has a name.
func NameOfSecret(name string) (activation string, ok bool) {
	return strings.CutSuffix(name, secretSuffix)
}

// Get reads an activation's credentials. The error is ErrMissing if there is no Secret,
// and an UnusableSecretError if the Secret of that name belongs to something else, or was deleted
// but is kept by finalizers, so that there can't be a new one.
// Credentials that the Secret lacks are empty.
func Get(ctx context.Context, r client.Reader, a *v1alpha1.CompanyActivation) (Credentials, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: a.Namespace, Name: SecretName(a)}
	switch err := r.Get(ctx, key, &secret); {
	case apierrors.IsNotFound(err):
		return Credentials{}, ErrMissing
	case err != nil:
		return Credentials{}, fmt.Errorf("reading the Secret %s: %w", key, err)
	}
	c, err := credentialsIn(&secret, a)
	if errors.Is(err, ErrMissing) && len(secret.Finalizers) > 0 {
		err = &UnusableSecretError{key, fmt.Sprintf("was deleted, but remains until its finalizers are removed: %s. Remove them, then activate the extension again in the dashboard of Rehive",
			strings.Join(secret.Finalizers, ", "))}
	}
	return c, err
}

// credentialsIn returns the credentials in a Secret, and keeps the Secret.
func credentialsIn(secret *corev1.Secret, a *v1alpha1.CompanyActivation) (Credentials, error) {
	if err := checkOwner(secret, a); err != nil {
		return Credentials{}, err
	}
	if !secret.DeletionTimestamp.IsZero() {
		return Credentials{}, ErrMissing
	}
	c := Credentials{
		Token:         valueIn(secret, v1alpha1.SecretKeyToken),
		WebhookSecret: valueIn(secret, v1alpha1.SecretKeyWebhookSecret),
		ServiceUser:   valueIn(secret, v1alpha1.SecretKeyServiceUser),
		secret:        secret,
	}
	// The time of a token that was since replaced manually is not that of the current one.
	if at, digest, _ := strings.Cut(secret.Annotations[tokenReceivedAnnotation], " "); c.Token != "" && digest == tokenDigest(c.Token) {
		c.TokenReceived = parseTime(at)
	}
	c.TokenRotated = parseTime(secret.Annotations[tokenRotatedAnnotation])
	return c, nil
}

// Annotations of the Secret.
const (
	// tokenReceivedAnnotation is the time at which the platform sent the token, in RFC 3339,
	// and the token's digest.
	tokenReceivedAnnotation = "extensions.rehive.com/token-received"
	// tokenRotatedAnnotation is the time of the last rotation, in RFC 3339.
	tokenRotatedAnnotation = "extensions.rehive.com/token-rotated"
)

// tokenDigest returns enough of a token's digest to recognize the token among a few, and
// too little to find it.
func tokenDigest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:4])
}

// parseTime returns a time in RFC 3339, zero if the text is something else.
func parseTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// annotateTimes records the times of the token.
func (c Credentials) annotateTimes(secret *corev1.Secret) {
	received, rotated := "", ""
	if c.Token != "" && !c.TokenReceived.IsZero() {
		received = c.TokenReceived.Format(time.RFC3339) + " " + tokenDigest(c.Token)
	}
	if !c.TokenRotated.IsZero() {
		rotated = c.TokenRotated.Format(time.RFC3339)
	}
	for key, value := range map[string]string{tokenReceivedAnnotation: received, tokenRotatedAnnotation: rotated} {
		if value == "" {
			delete(secret.Annotations, key)
			continue
		}
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, key, value)
	}
}

// valueIn returns the value of a key without surrounding space: values that people enter
// often end in a line break.
func valueIn(secret *corev1.Secret, key string) string {
	return strings.TrimSpace(string(secret.Data[key]))
}

// checkOwner returns an UnusableSecretError unless the activation owns the Secret.
func checkOwner(secret *corev1.Secret, a *v1alpha1.CompanyActivation) error {
	if metav1.IsControlledBy(secret, a) {
		return nil
	}
	unusable := &UnusableSecretError{Secret: client.ObjectKeyFromObject(secret)}
	switch owner := metav1.GetControllerOf(secret); {
	case owner == nil:
		unusable.Problem = "exists, but does not belong to this CompanyActivation. Delete or rename it, then activate the extension again in the dashboard of Rehive"
	case owner.Kind == "CompanyActivation" && owner.Name == a.Name:
		unusable.Problem = "still belongs to a deleted CompanyActivation of the same name. Kubernetes removes it by itself; if it stays, delete it. Then activate the extension again in the dashboard of Rehive"
	default:
		unusable.Problem = fmt.Sprintf("belongs to the %s %s. Create the CompanyActivation under another name", owner.Kind, owner.Name)
	}
	return unusable
}

// Save writes an activation's credentials to its Secret, which the activation owns. It
// creates the Secret if the credentials do not come from Get, and updates it otherwise.
// Empty credentials are removed.
//
// If the Secret was changed or created since Get, the error satisfies IsConflict: read
// and decide again. It is an UnusableSecretError if the Secret is immutable.
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
	put(secret.Data, v1alpha1.SecretKeyServiceUser, credentials.ServiceUser)
	credentials.annotateTimes(secret)

	if credentials.secret == nil {
		if err := c.Create(ctx, secret); err != nil {
			return fmt.Errorf("creating the Secret %s: %w", client.ObjectKeyFromObject(secret), err)
		}
		return nil
	}
	if equality.Semantic.DeepEqual(before, secret) {
		return nil
	}
	if secret.Immutable != nil && *secret.Immutable && !maps.EqualFunc(before.Data, secret.Data, equalBytes) {
		return &UnusableSecretError{client.ObjectKeyFromObject(secret),
			"is immutable, so nothing can be stored in it. Delete it, then activate the extension again in the dashboard of Rehive"}
	}
	if err := c.Update(ctx, secret); err != nil {
		return fmt.Errorf("updating the Secret %s: %w", client.ObjectKeyFromObject(secret), err)
	}
	return nil
}

func equalBytes(a, b []byte) bool { return string(a) == string(b) }

func put(data map[string][]byte, key, value string) {
	switch {
	case value == "":
		delete(data, key)
	case strings.TrimSpace(string(data[key])) != value: // a trailing line break may stay
		data[key] = []byte(value)
	}
}

// IsConflict reports whether the Secret was changed, created or deleted since it was
// read.
func IsConflict(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// IsTerminating reports whether a write failed because its namespace is being deleted.
func IsTerminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// IsOverQuota reports whether a write failed because a ResourceQuota of its namespace is used up.
func IsOverQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota")
}

// NewWebhookSecret returns a new secret for webhooks: 32 random bytes as 43 characters
// that never need escaping.
func NewWebhookSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand exits instead
	return base64.RawURLEncoding.EncodeToString(random[:])
}
