// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// template is a NotificationTemplate in the API's form.
type template struct {
	object *v1alpha1.NotificationTemplate
	message

	id                   string
	layout               *layout
	isDefault, deletable bool
}

func (t *template) created() time.Time { return t.object.CreationTimestamp.Time }
func (t *template) updated() time.Time { return activation.LastChange(t.object) }

var (
	reducedTemplateSerializer = &rest.Serializer[template]{Name: "AdminReducedTemplate", Fields: []rest.Field[template]{
		rest.Char("id", func(t *template) *string { return &t.id }).ReadOnly(),
		rest.Boolean("default", func(t *template) *bool { return &t.isDefault }).ReadOnly(),
		rest.Boolean("deletable", func(t *template) *bool { return &t.deletable }).ReadOnly(),
	}}
	reducedLayoutTemplateSerializer = &rest.Serializer[layout]{Name: "ReducedLayoutTemplate", Fields: reducedLayoutFields()}
	templateSerializer              = &rest.Serializer[template]{Name: "AdminTemplate", Fields: templateFields()}
)

func templateFields() []rest.Field[template] {
	fields := []rest.Field[template]{
		rest.Char("id", func(t *template) *string { return &t.id }).ReadOnly(),
		rest.Char("type", func(t *template) *string { return &t.kind }).Choices(channels...).ReadOnly(),
	}
	fields = append(fields, messageFields(func(t *template) *message { return &t.message })...)
	for _, f := range sendingFields(func(t *template) *sending { return &t.sending }) {
		fields = append(fields, f.ReadOnly())
	}
	return append(fields,
		rest.Nested("layout", reducedLayoutTemplateSerializer, func(t *template) *layout { return t.layout }).Nullable(),
		rest.Boolean("use_twilio_verify", func(t *template) *bool { return &t.useTwilioVerify }).ReadOnly(),
		rest.Char("expires_after", func(t *template) *string { return &t.expiresAfter }).ReadOnly(),
		rest.Boolean("sensitive", func(t *template) *bool { return &t.sensitive }).ReadOnly(),
		rest.JSON(translationsField, func(t *template) *json.RawMessage { return &t.translations }, nil).Nullable().ReadOnly().
			Describe(describeTranslations),
		rest.Boolean("default", func(t *template) *bool { return &t.isDefault }).ReadOnly(),
		rest.Boolean("deletable", func(t *template) *bool { return &t.deletable }).ReadOnly(),
		rest.Timestamp("created", (*template).created),
		rest.Timestamp("updated", (*template).updated),
	)
}

func (a *API) templates() *rest.Resource[template] {
	return &rest.Resource[template]{
		Path: "admin/templates/", Param: "template_id", For: rest.Admins, Serializer: templateSerializer, Work: rest.HeavyWork,
		Filters: []rest.Filter{
			rest.TextFilter("event"), rest.TextFilter("layout"), rest.TextFilter("name"), rest.ChoiceFilter("type", channels...),
		},
		Orderings: []string{"created"},
		Position:  func(t *template) string { return t.id },
		List:      a.listTemplates, FindsLast: true,
		Retrieve: func(ctx context.Context, r *rest.Request) (*template, error) {
			t, err := a.templateNamed(ctx, r.ID)
			if err != nil {
				return nil, unreadable(err)
			}
			if t == nil {
				return nil, rest.NotFound()
			}
			return t, nil
		},
	}
}

func (a *API) listTemplates(ctx context.Context, _ *rest.Request, q *rest.Query) (rest.List[template], error) {
	var found v1alpha1.NotificationTemplateList
	if err := a.Cache.List(ctx, &found, client.InNamespace(a.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return rest.List[template]{}, unreadable(err)
	}
	slices.SortFunc(found.Items, func(x, y v1alpha1.NotificationTemplate) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), strings.Compare(x.Name, y.Name))
	})
	event, layout, name, kind := q.Text("event"), q.Text("layout"), q.Text("name"), q.Choices("type")
	var templates []template
	for i := range found.Items {
		spec := &found.Items[i].Spec.NotificationSpec
		if (event == "" || event == spec.Event) && (layout == "" || layout == spec.Layout()) &&
			(name == "" || name == spec.DisplayName) && (kind == nil || kind[0] == string(spec.Channel())) {
			templates = append(templates, referToTemplate(&found.Items[i]))
		}
	}
	page := rest.Slice(templates, q.Page, func(t *template) string { return t.id })
	for i := range page.Items {
		t, err := a.readTemplate(ctx, page.Items[i].object)
		if err != nil {
			return rest.List[template]{}, unreadable(err)
		}
		page.Items[i] = t
	}
	return page, nil
}

// templateNamed returns a template from the cache, or nil if none has this name.
func (a *API) templateNamed(ctx context.Context, name string) (*template, error) {
	t, err := a.templateReference(ctx, name)
	if t == nil || err != nil {
		return nil, err
	}
	read, err := a.readTemplate(ctx, t.object)
	return &read, err
}

// templateReference is like templateNamed, but doesn't read the template's texts, for
// [reducedTemplateSerializer].
func (a *API) templateReference(ctx context.Context, name string) (*template, error) {
	object := new(v1alpha1.NotificationTemplate)
	err := a.Cache.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: name}, object, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // documented above
	}
	if err != nil {
		return nil, fmt.Errorf("reading a template: %w", err)
	}
	t := referToTemplate(object)
	return &t, nil
}

func referToTemplate(object *v1alpha1.NotificationTemplate) template {
	return template{object: object, id: object.Name, isDefault: object.Spec.Default, deletable: object.IsDeletable()}
}

func (a *API) readTemplate(ctx context.Context, object *v1alpha1.NotificationTemplate) (template, error) {
	rule := &object.Spec.NotificationSpec
	t := referToTemplate(object)
	t.message = message{
		kind: string(rule.Channel()), name: rule.DisplayName, description: rule.Description,
		event: rule.Event, expression: rule.Expression, layoutID: rule.Layout(),
		enabled: true, preferenceEnabled: rule.PreferenceEnabled, systemEnabled: rule.SystemEnabled,
		expiresAfter: cmp.Or(rule.ExpiresAfter, defaultValidity), sensitive: rule.Sensitive, sending: readSending(rule),
		translations: readTranslations(rule.Translations).encode(),
	}
	t.readChannel(rule.Email, rule.SMS, rule.Push, rule.System)
	var err error
	if t.layoutID != "" {
		t.layout, err = a.layoutReference(ctx, a.Namespace, t.layoutID)
	}
	return t, err
}
