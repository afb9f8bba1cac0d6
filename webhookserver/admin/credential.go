// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/address"
	sendgriddriver "github.com/rehive/extension-operator/internal/delivery/sendgrid"
	twiliodriver "github.com/rehive/extension-operator/internal/delivery/twilio"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// credential is a DeliveryProvider with its Secret in the API's form: the vendor account
// that sends the company's messages.
type credential struct {
	provider *v1alpha1.DeliveryProvider

	id     int64
	kind   string
	given  json.RawMessage // write-only
	public json.RawMessage // the readable part
}

func (c *credential) created() time.Time { return c.provider.CreationTimestamp.Time }
func (c *credential) updated() time.Time { return activation.LastChange(c.provider) }

// Types of credentials.
const (
	twilio   = "twilio"
	sendgrid = "sendgrid"
)

// vendor describes how the credentials of a type are stored.
type vendor struct {
	channel v1alpha1.Channel
	// path is the field of the activation's spec that names the provider.
	path string
	// secrets maps the API's keys to those of the Secret.
	secrets map[string]string
	// sender is the API's key for the provider's sender.
	sender string
	// checks return why the value of one of the API's keys can never work. Their errors
	// complete a sentence that begins with the key.
	checks map[string]func(text string) error
}

var vendors = map[string]vendor{
	twilio: {
		channel: v1alpha1.ChannelSMS, path: "providers.sms.name", sender: "twilio_from_number",
		secrets: map[string]string{"twilio_sid": v1alpha1.SecretKeyAccountSID, "twilio_token": v1alpha1.SecretKeyAuthToken},
		checks: map[string]func(string) error{
			"twilio_sid": twiliodriver.CheckAccountSID, "twilio_token": twiliodriver.CheckAuthToken, "twilio_from_number": twiliodriver.CheckSender,
		},
	},
	sendgrid: {
		channel: v1alpha1.ChannelEmail, path: "providers.email.name", sender: "sendgrid_from_email",
		secrets: map[string]string{"sendgrid_api_key": v1alpha1.SecretKeyAPIKey},
		checks:  map[string]func(string) error{"sendgrid_api_key": sendgriddriver.CheckAPIKey, "sendgrid_from_email": checkEmail},
	},
}

var credentialSerializer = &rest.Serializer[credential]{Name: "AdminCredential", Fields: []rest.Field[credential]{
	rest.Integer("id", func(c *credential) int64 { return c.id }),
	rest.Char("credential_type", func(c *credential) *string { return &c.kind }).Required().Choices(twilio, sendgrid),
	rest.JSON("credentials", func(c *credential) *json.RawMessage { return &c.public }, nil).ReadOnly().
		Describe("The readable part of the credentials: secrets are never shown."),
	rest.JSON("credentials", func(c *credential) *json.RawMessage { return &c.given }, rest.IsObject).WriteOnly(),
	rest.Timestamp("created", (*credential).created),
	rest.Timestamp("updated", (*credential).updated),
}}

func (a *API) credentials() *rest.Resource[credential] {
	return &rest.Resource[credential]{
		Path: "admin/credentials/", Param: "credential_id", NumericID: true, For: rest.Admins,
		Serializer: credentialSerializer, Orderings: []string{"created"},
		Position: func(c *credential) string { return rest.NumberPosition(c.id) },
		List: func(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[credential], error) {
			all, err := a.companyCredentials(ctx, r.Caller.Activation)
			return rest.Slice(all, q.Page, func(c *credential) string { return rest.NumberPosition(c.id) }), err
		},
		FindsLast: true,
		Retrieve:  a.credential,
		Create:    a.createCredential,
		Update:    a.updateCredential,
		Delete:    a.deleteCredential,
	}
}

// companyCredentials returns the company's providers of the types that the API supports:
// those that its activation references, and those that were created here.
func (a *API) companyCredentials(ctx context.Context, activation *v1alpha1.CompanyActivation) ([]credential, error) {
	var found v1alpha1.DeliveryProviderList
	if err := a.Cache.List(ctx, &found, client.InNamespace(activation.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, rest.Unavailable(err, "The company's credentials could not be read. Try again later.")
	}
	slices.SortFunc(found.Items, func(x, y v1alpha1.DeliveryProvider) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), strings.Compare(x.Name, y.Name))
	})
	var all []credential
	for i := range found.Items {
		provider := &found.Items[i]
		kind, channel := provider.Spec.Type()
		_, known := vendors[kind]
		if !known || !provider.DeletionTimestamp.IsZero() {
			continue
		}
		if slices.Contains(activation.Spec.Providers.All(channel), provider.Name) || isFor(provider, activation) {
			all = append(all, readCredential(activation.Spec.Company, provider))
		}
	}
	return all, nil
}

// isFor reports whether the API created a provider for an activation.
func isFor(provider *v1alpha1.DeliveryProvider, activation *v1alpha1.CompanyActivation) bool {
	return metav1.IsControlledBy(provider, activation)
}

func readCredential(company string, provider *v1alpha1.DeliveryProvider) credential {
	kind, _ := provider.Spec.Type()
	public, err := json.Marshal(map[string]string{vendors[kind].sender: provider.Spec.Sender})
	if err != nil {
		public = nil // texts can always be encoded
	}
	return credential{
		provider: provider, id: notifications.Number(company, provider.Namespace+"/"+provider.Name), kind: kind, public: public,
	}
}

func (a *API) credential(ctx context.Context, r *rest.Request) (*credential, error) {
	all, err := a.companyCredentials(ctx, r.Caller.Activation)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(c credential) bool { return c.id == r.Number() })
	if at < 0 {
		return nil, rest.NotFound()
	}
	if isRead(r) {
		return &all[at], nil
	}
	provider := new(v1alpha1.DeliveryProvider)
	if err := a.APIReader.Get(ctx, client.ObjectKeyFromObject(all[at].provider), provider); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, rest.NotFound()
		}
		return nil, rest.Unavailable(err, "The company's credentials could not be read. Try again later.")
	}
	c := readCredential(r.Caller.Company, provider)
	return &c, nil
}

// values reads the credentials of a request. With partial, secrets are optional: a client
// that sends back what it read has none, because they are never shown.
func (c *credential) values(partial bool) (secrets map[string]string, sender string, err error) {
	var given map[string]json.RawMessage
	if len(c.given) > 0 {
		if err := json.Unmarshal(c.given, &given); err != nil {
			return nil, "", rest.InvalidField(err, "credentials", "Value must be valid JSON.")
		}
	}
	v := vendors[c.kind]
	keys := []string{v.sender}
	for key := range v.secrets {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	texts := map[string]string{}
	var problems []string
	for _, key := range keys {
		var text string
		raw, ok := given[key]
		switch {
		case ok && json.Unmarshal(raw, &text) != nil:
			problems = append(problems, key+" must be a string.")
		case len(text) > 4096 || strings.ContainsFunc(strings.TrimSpace(text), func(r rune) bool { return r < ' ' }):
			problems = append(problems, key+" is too long or has control characters.")
		case strings.TrimSpace(text) != "":
			texts[key] = strings.TrimSpace(text)
			if err := v.checks[key](texts[key]); err != nil {
				problems = append(problems, key+" "+err.Error()+".")
			}
		case !partial:
			problems = append(problems, key+" is required.")
		}
	}
	if len(problems) > 0 {
		return nil, "", rest.InvalidField(nil, "credentials", problems...)
	}
	secrets = map[string]string{}
	for key, name := range v.secrets {
		if text, ok := texts[key]; ok {
			secrets[name] = text
		}
	}
	return secrets, texts[v.sender], nil
}

// checkEmail returns an error for a text that isn't an email address, with or without a
// display name.
func checkEmail(text string) error {
	if _, err := address.Parse(text); err != nil {
		return errors.New("must be an email address, such as no-reply@example.com or Example <no-reply@example.com>")
	}
	return nil
}

func (a *API) createCredential(ctx context.Context, r *rest.Request, c *credential) error {
	activation := r.Caller.Activation
	all, err := a.companyCredentials(ctx, activation)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(other credential) bool { return other.kind == c.kind }) {
		return rest.InvalidField(nil, "credential_type", fmt.Sprintf("The company has credentials of the type %s already. Change those.", c.kind))
	}
	secrets, sender, err := c.values(false)
	if err != nil {
		return err
	}
	name := newName(activation, c.kind)
	owner := *metav1.NewControllerRef(activation, v1alpha1.GroupVersion.WithKind("CompanyActivation"))
	secret := &corev1.Secret{StringData: secrets}
	secret.Namespace, secret.Name = activation.Namespace, name
	secret.Labels = map[string]string{v1alpha1.ProviderSecretLabel: name}
	secret.OwnerReferences = []metav1.OwnerReference{owner}
	provider := &v1alpha1.DeliveryProvider{}
	provider.Namespace, provider.Name = activation.Namespace, name
	provider.OwnerReferences = []metav1.OwnerReference{owner}
	provider.Spec.Sender = sender
	provider.Spec.SecretRef = &v1alpha1.SecretReference{Name: name}
	switch c.kind {
	case twilio:
		provider.Spec.Twilio = &v1alpha1.TwilioProvider{}
	case sendgrid:
		provider.Spec.SendGrid = &v1alpha1.SendGridProvider{}
	}
	if err := a.Client.Create(ctx, secret, client.FieldOwner(FieldManager)); err != nil {
		return writeError(err, credentialName)
	}
	if err = a.writer.create(ctx, provider); err == nil {
		_, err = a.writer.setFields(ctx, a.APIReader, activation, map[string]any{vendors[c.kind].path: name})
	}
	if err != nil {
		a.discard(ctx, r, provider, secret)
		return writeError(err, credentialName)
	}
	*c = readCredential(r.Caller.Company, provider)
	r.Log.Info("Created credentials", "company", r.Caller.Company, "user", r.Caller.User, "provider", name)
	return nil
}

// discard deletes the objects that a failed call has created.
func (a *API) discard(ctx context.Context, r *rest.Request, objects ...client.Object) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for _, object := range objects {
		if err := a.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
			// The activation owns it, so it is deleted with the activation at the latest.
			r.Log.Error(err, "Could not delete an object that a failed call created", "name", object.GetName())
		}
	}
}

// mayChangeCredential returns a 403 for a provider that the API didn't create.
func mayChangeCredential(r *rest.Request, c *credential) error {
	if !isFor(c.provider, r.Caller.Activation) {
		if manager := foreignManager(c.provider); manager != "" {
			return managedBy(manager)
		}
		return rest.Forbidden("These credentials are shared by several companies and can't be changed here. Ask your platform team.")
	}
	return mayChange(r.Caller.Activation, c.provider)
}

// secretChangedAnnotation holds the time at which the API last changed the Secret of a
// provider. It turns a change of the secrets alone into a change of the provider, which
// "updated" shows.
const secretChangedAnnotation = "extensions.rehive.com/secret-changed"

func (a *API) updateCredential(ctx context.Context, r *rest.Request, c *credential) error {
	if err := mayChangeCredential(r, c); err != nil {
		return err
	}
	if kind, _ := c.provider.Spec.Type(); kind != c.kind {
		return rest.InvalidField(nil, "credential_type", "The type can't be changed. Delete these credentials and create others.")
	}
	secrets, sender, err := c.values(true)
	if err != nil {
		return err
	}
	if len(secrets) > 0 {
		secret := new(corev1.Secret)
		key := client.ObjectKey{Namespace: c.provider.Namespace, Name: c.provider.Spec.SecretRef.Name}
		if err := a.APIReader.Get(ctx, key, secret); err != nil {
			return writeError(err, credentialName)
		}
		if !metav1.IsControlledBy(secret, r.Caller.Activation) {
			return rest.Forbidden("The Secret of these credentials is managed elsewhere and can't be changed here. Ask your platform team.")
		}
		secret.StringData = secrets
		if err := a.Client.Update(ctx, secret, client.FieldOwner(FieldManager)); err != nil {
			return writeError(err, credentialName)
		}
	}
	if sender != "" {
		c.provider.Spec.Sender = sender
	}
	if len(secrets) > 0 {
		metav1.SetMetaDataAnnotation(&c.provider.ObjectMeta, secretChangedAnnotation, time.Now().UTC().Format(time.RFC3339Nano))
	}
	if err := a.writer.update(ctx, c.provider); err != nil {
		return writeError(err, credentialName)
	}
	*c = readCredential(r.Caller.Company, c.provider)
	r.Log.Info("Changed credentials", "company", r.Caller.Company, "user", r.Caller.User, "provider", c.provider.Name)
	return nil
}

// withoutProvider returns the reference to a channel's DeliveryProviders without one of them;
// nil if there is no other.
func withoutProvider(names []string, name string) any {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
	if len(names) == 0 {
		return nil
	}
	reference := map[string]any{"name": names[0]}
	var fallbacks []any
	for _, fallback := range names[1:] {
		fallbacks = append(fallbacks, fallback)
	}
	if fallbacks != nil {
		reference["fallbacks"] = fallbacks
	}
	return reference
}

func (a *API) deleteCredential(ctx context.Context, r *rest.Request, c *credential) error {
	if err := mayChangeCredential(r, c); err != nil {
		return err
	}
	v := vendors[c.kind]
	if names := r.Caller.Activation.Spec.Providers.All(v.channel); slices.Contains(names, c.provider.Name) {
		if _, err := a.writer.setFields(ctx, a.APIReader, r.Caller.Activation, map[string]any{strings.TrimSuffix(v.path, ".name"): withoutProvider(names, c.provider.Name)}); err != nil {
			return writeError(err, credentialName)
		}
	}
	if err := a.writer.remove(ctx, c.provider); err != nil {
		return writeError(err, credentialName)
	}
	if c.provider.Spec.SecretRef != nil {
		secret := new(corev1.Secret)
		err := a.APIReader.Get(ctx, client.ObjectKey{Namespace: c.provider.Namespace, Name: c.provider.Spec.SecretRef.Name}, secret)
		// A Secret that the API didn't create may have other users.
		if err == nil && metav1.IsControlledBy(secret, r.Caller.Activation) {
			a.discard(ctx, r, secret)
		}
	}
	r.Log.Info("Deleted credentials", "company", r.Caller.Company, "user", r.Caller.User, "provider", c.provider.Name)
	return nil
}

// credentialName returns the API's name of the field at a path of a provider.
func credentialName(path string) string {
	if path == "spec.sender" || strings.HasPrefix(path, "data") || strings.HasPrefix(path, "stringData") {
		return "credentials"
	}
	return ""
}
