// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// layout is a NotificationLayout in the API's form.
type layout struct {
	object *v1alpha1.NotificationLayout

	id, name, description, kind string
	html, text, sms, push       string
	inlineCSS                   bool
	translations                json.RawMessage // see the type translations; empty if there are none

	// The channel and the translations of the layout as they were read.
	storedKind         string
	storedTranslations json.RawMessage
}

func (l *layout) created() time.Time { return l.object.CreationTimestamp.Time }
func (l *layout) updated() time.Time { return activation.LastChange(l.object) }

// usableBy reports whether the rules of an activation may use the layout.
func (l *layout) usableBy(a *v1alpha1.CompanyActivation) bool {
	company := l.object.Spec.CompanyRef
	return l.object.Namespace == a.Namespace && l.object.DeletionTimestamp.IsZero() && (company == nil || company.Name == a.Name)
}

var (
	reducedLayoutSerializer = &rest.Serializer[layout]{Name: "ReducedNotificationLayout", Fields: reducedLayoutFields()}
	layoutSerializer        = &rest.Serializer[layout]{Name: "NotificationLayout", Fields: layoutFields()}
	layoutTemplates         = &rest.Serializer[layout]{Name: "LayoutTemplate", Fields: layoutFields()}
)

func reducedLayoutFields() []rest.Field[layout] {
	return []rest.Field[layout]{
		rest.Char("id", func(l *layout) *string { return &l.id }).ReadOnly(),
		rest.Char("name", func(l *layout) *string { return &l.name }).Required().MaxLength(maxName),
		rest.Char("description", func(l *layout) *string { return &l.description }).Nullable().Blank().MaxLength(maxLine),
		rest.Timestamp("created", (*layout).created),
		rest.Timestamp("updated", (*layout).updated),
	}
}

func layoutFields() []rest.Field[layout] {
	body := func(name string, field func(*layout) *string) rest.Field[layout] {
		return rest.Text(name, field).Nullable().Blank().MaxLength(maxBody)
	}
	fields := reducedLayoutFields()
	return append(fields[:3:3],
		rest.Char("type", func(l *layout) *string { return &l.kind }).Required().Choices(channels...),
		body("html_layout", func(l *layout) *string { return &l.html }),
		body("text_layout", func(l *layout) *string { return &l.text }),
		body("sms_layout", func(l *layout) *string { return &l.sms }),
		body("push_layout", func(l *layout) *string { return &l.push }),
		rest.Boolean("inline_css", func(l *layout) *bool { return &l.inlineCSS }).
			Describe("Whether the rules of style sheets are copied into style attributes, for email clients that ignore style sheets."),
		rest.JSON(translationsField, func(l *layout) *json.RawMessage { return &l.translations }, isTranslations(translatedLayouts)).Nullable().
			Describe(describeLayoutTranslations),
		fields[3], fields[4],
	)
}

// referToLayout returns a layout without its texts, which take most of the time and memory of
// reading it, for [reducedLayoutSerializer].
func referToLayout(object *v1alpha1.NotificationLayout) layout {
	spec := &object.Spec
	return layout{
		object: object, id: object.Name, name: cmp.Or(spec.DisplayName, object.Name), description: spec.Description,
		kind: string(spec.ForChannel()),
	}
}

func readLayout(object *v1alpha1.NotificationLayout) layout {
	spec := &object.Spec
	l := referToLayout(object)
	l.html, l.inlineCSS = spec.HTML, spec.InlineCSS
	l.storedKind = l.kind
	texts := parkedTexts(object)
	for name, field := range l.otherTexts() {
		*field = texts[name]
	}
	*l.body() = spec.Text
	translations := translations{}
	for i := range spec.Translations {
		t := &spec.Translations[i]
		translations[t.Language] = map[string]string{"html_layout": t.HTML, l.bodyName(): t.Text}
	}
	translations.unpark(texts, translatedLayouts, l.ownField)
	l.translations = translations.encode()
	l.storedTranslations = l.translations
	return l
}

// ownField reports whether the layout's type has a field.
func (l *layout) ownField(name string) bool {
	return name == l.bodyName() || name == "html_layout" && v1alpha1.Channel(l.kind) == v1alpha1.ChannelEmail
}

// writeTranslations stores the layout's translations in its object, those of other types
// excepted. Those that were not changed stay as they are.
func (l *layout) writeTranslations(all translations) {
	if !bytes.Equal(l.translations, l.storedTranslations) || l.kind != l.storedKind {
		l.object.Spec.Translations = nil
		for _, language := range slices.Sorted(maps.Keys(all)) {
			t := v1alpha1.LayoutTranslation{Language: language, Text: all[language][l.bodyName()]}
			if l.ownField("html_layout") {
				t.HTML = all[language]["html_layout"]
			}
			if t.HTML != "" || t.Text != "" {
				l.object.Spec.Translations = append(l.object.Spec.Translations, t)
			}
		}
	}
	l.translations = all.encode() // the answer shows what is stored
}

// otherTexts returns, by the API's names, the texts that the layout's channel doesn't use.
func (l *layout) otherTexts() map[string]*string {
	texts := map[string]*string{"html_layout": &l.html, "text_layout": &l.text, "sms_layout": &l.sms, "push_layout": &l.push}
	maps.DeleteFunc(texts, func(name string, _ *string) bool { return l.ownField(name) })
	return texts
}

// body returns the text of the layout's channel.
func (l *layout) body() *string {
	switch v1alpha1.Channel(l.kind) {
	case v1alpha1.ChannelSMS:
		return &l.sms
	case v1alpha1.ChannelPush:
		return &l.push
	case v1alpha1.ChannelEmail, v1alpha1.ChannelSystem:
	}
	return &l.text
}

// bodyName returns the API's name of the text of the layout's channel.
func (l *layout) bodyName() string {
	switch v1alpha1.Channel(l.kind) {
	case v1alpha1.ChannelSMS:
		return "sms_layout"
	case v1alpha1.ChannelPush:
		return "push_layout"
	case v1alpha1.ChannelEmail, v1alpha1.ChannelSystem:
	}
	return "text_layout"
}

var layoutFilters = []rest.Filter{rest.TextFilter("name"), rest.ChoiceFilter("type", channels...)}

func (a *API) layouts() *rest.Resource[layout] {
	return &rest.Resource[layout]{
		Path: "admin/layouts/", Param: "id", For: rest.Admins, Serializer: layoutSerializer, Work: rest.HeavyWork,
		Filters: layoutFilters, Orderings: []string{"created"},
		Position: func(l *layout) string { return l.id },
		List: func(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[layout], error) {
			return a.listLayouts(ctx, q, r.Caller.Activation.Namespace, func(l *layout) bool {
				return l.usableBy(r.Caller.Activation) && !isLayoutTemplate(l.object)
			})
		},
		FindsLast: true,
		Retrieve:  a.companyLayout,
		Create:    a.createLayout,
		Update:    a.updateLayout,
		Delete:    a.deleteLayout,
	}
}

func (a *API) layoutTemplates() *rest.Resource[layout] {
	return &rest.Resource[layout]{
		Path: "admin/layout-templates/", Param: "id", For: rest.Admins, Serializer: layoutTemplates, Work: rest.HeavyWork,
		Filters: layoutFilters, Orderings: []string{"created"},
		Position: func(l *layout) string { return l.id },
		List: func(ctx context.Context, _ *rest.Request, q *rest.Query) (rest.List[layout], error) {
			return a.listLayouts(ctx, q, a.Namespace, func(l *layout) bool { return isLayoutTemplate(l.object) })
		},
		FindsLast: true,
		Retrieve: func(ctx context.Context, r *rest.Request) (*layout, error) {
			l, err := a.layoutNamed(ctx, a.Namespace, r.ID)
			if err != nil {
				return nil, unreadable(err)
			}
			if l == nil || !isLayoutTemplate(l.object) {
				return nil, rest.NotFound()
			}
			return l, nil
		},
	}
}

func isLayoutTemplate(object *v1alpha1.NotificationLayout) bool {
	return object.Labels[v1alpha1.LayoutTemplateLabel] == "true"
}

func (a *API) listLayouts(ctx context.Context, q *rest.Query, namespace string, has func(*layout) bool) (rest.List[layout], error) {
	var found v1alpha1.NotificationLayoutList
	if err := a.Cache.List(ctx, &found, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return rest.List[layout]{}, unreadable(err)
	}
	slices.SortFunc(found.Items, func(x, y v1alpha1.NotificationLayout) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), strings.Compare(x.Name, y.Name))
	})
	name, kind := q.Text("name"), q.Choices("type")
	var layouts []layout
	for i := range found.Items {
		l := referToLayout(&found.Items[i])
		if has(&l) && (name == "" || name == l.name) && (kind == nil || kind[0] == l.kind) {
			layouts = append(layouts, l)
		}
	}
	page := rest.Slice(layouts, q.Page, func(l *layout) string { return l.id })
	for i := range page.Items {
		page.Items[i] = readLayout(page.Items[i].object)
	}
	return page, nil
}

// layoutNamed returns a layout from the cache, or nil if none has this name.
func (a *API) layoutNamed(ctx context.Context, namespace, name string) (*layout, error) {
	l, err := a.layoutReference(ctx, namespace, name)
	if l == nil || err != nil {
		return nil, err
	}
	read := readLayout(l.object)
	return &read, nil
}

// layoutReference is like layoutNamed, but doesn't read the layout's texts.
func (a *API) layoutReference(ctx context.Context, namespace, name string) (*layout, error) {
	object := new(v1alpha1.NotificationLayout)
	err := a.Cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // documented above
	}
	if err != nil {
		return nil, fmt.Errorf("reading a layout: %w", err)
	}
	l := referToLayout(object)
	return &l, nil
}

// companyLayout returns the layout that a request names.
func (a *API) companyLayout(ctx context.Context, r *rest.Request) (*layout, error) {
	activation := r.Caller.Activation
	l, err := a.layoutNamed(ctx, activation.Namespace, r.ID)
	if err != nil {
		return nil, unreadable(err)
	}
	if l == nil || !l.usableBy(activation) || isLayoutTemplate(l.object) {
		return nil, rest.NotFound()
	}
	if isRead(r) {
		return l, nil
	}
	object := new(v1alpha1.NotificationLayout)
	r.EndWork()
	err = a.APIReader.Get(ctx, client.ObjectKeyFromObject(l.object), object)
	if err := r.BeginWork(ctx); err != nil {
		return nil, err
	}
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil, rest.NotFound()
		}
		return nil, unreadable(err)
	}
	fresh := readLayout(object)
	if !fresh.usableBy(activation) {
		return nil, rest.NotFound()
	}
	return &fresh, nil
}

func (a *API) createLayout(ctx context.Context, r *rest.Request, l *layout) error {
	activation := r.Caller.Activation
	l.object = &v1alpha1.NotificationLayout{}
	l.object.Namespace, l.object.Name = activation.Namespace, newName(activation, l.name)
	l.object.Spec.CompanyRef = &v1alpha1.CompanyActivationReference{Name: activation.Name}
	if err := l.write(); err != nil {
		return err
	}
	if err := a.admit(ctx, r, l.object); err != nil {
		return err
	}
	if err := a.writer.create(ctx, l.object); err != nil {
		return writeError(err, l.apiName)
	}
	l.id = l.object.Name
	r.Log.Info("Created a layout", "company", r.Caller.Company, "user", r.Caller.User, "layout", l.id)
	return nil
}

// mayChangeLayout returns a 403 for a layout that other companies may use too.
func mayChangeLayout(r *rest.Request, l *layout) error {
	if l.object.Spec.CompanyRef == nil {
		return rest.Forbidden("This layout is shared by several companies and can't be changed here. Ask your platform team.")
	}
	return mayChange(r.Caller.Activation, l.object)
}

func (a *API) updateLayout(ctx context.Context, r *rest.Request, l *layout) error {
	if err := mayChangeLayout(r, l); err != nil {
		return err
	}
	if err := l.write(); err != nil {
		return err
	}
	if err := a.admit(ctx, r, l.object); err != nil {
		return err
	}
	if err := a.writer.update(ctx, l.object); err != nil {
		return writeError(err, l.apiName)
	}
	r.Log.Info("Changed a layout", "company", r.Caller.Company, "user", r.Caller.User, "layout", l.id)
	return nil
}

func (a *API) deleteLayout(ctx context.Context, r *rest.Request, l *layout) error {
	if err := mayChangeLayout(r, l); err != nil {
		return err
	}
	var rules v1alpha1.NotificationRuleList
	if err := a.Cache.List(ctx, &rules, client.InNamespace(l.object.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return unreadable(err)
	}
	for i := range rules.Items {
		if rules.Items[i].Spec.Layout() == l.id && rules.Items[i].Spec.CompanyRef.Name == r.Caller.Activation.Name {
			return rest.Conflict("This layout is used by the notification " + rules.Items[i].Spec.DisplayName + ". Choose another layout there first.")
		}
	}
	r.EndWork()
	if err := a.writer.remove(ctx, l.object); err != nil {
		return writeError(err, l.apiName)
	}
	r.Log.Info("Deleted a layout", "company", r.Caller.Company, "user", r.Caller.User, "layout", l.id)
	return nil
}

// write stores the layout's fields in its object. It returns a *rest.Error if any are
// invalid.
func (l *layout) write() error {
	spec := &l.object.Spec
	spec.DisplayName, spec.Description, spec.Channel = l.name, l.description, v1alpha1.Channel(l.kind)
	spec.HTML, spec.Text = "", *l.body()
	if spec.Channel == v1alpha1.ChannelEmail {
		spec.HTML = l.html
	}
	if spec.HTML == "" && spec.Text == "" {
		return rest.InvalidField(nil, l.bodyName(), fmt.Sprintf("A layout of the type %s needs this field.", l.kind))
	}
	spec.InlineCSS = l.inlineCSS
	translations, _ := decodeTranslations(l.translations) // checked when it was received
	l.writeTranslations(translations)
	others := map[string]string{}
	if parked := translations.without(l.ownField).encode(); parked != nil {
		others[translationsField] = string(parked)
	}
	for name, field := range l.otherTexts() {
		if *field != "" {
			others[name] = *field
		}
	}
	if err := checkParked(l.kind, others); err != nil {
		return err
	}
	park(l.object, others)
	_, problems := notify.CompileLayout(l.object)
	if len(problems) == 0 {
		return nil
	}
	invalid := make([]rest.FieldError, len(problems))
	for i := range problems {
		invalid[i] = problemError(&problems[i], l.apiName)
	}
	return rest.InvalidFields(invalid...)
}

// apiName returns the API's name of the field at a path of a layout, or "" if it has none.
func (l *layout) apiName(path string) string {
	switch path {
	case "spec.displayName":
		return "name"
	case "spec.description":
		return "description"
	case "spec.channel":
		return "type"
	case "spec.html":
		return "html_layout"
	case "spec.text":
		return l.bodyName()
	case "spec.inlineCSS":
		return "inline_css"
	}
	if strings.HasPrefix(path, translationsPath) {
		return translationsField
	}
	return ""
}
