// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"context"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// company is a CompanyActivation in the API's form.
type company struct {
	activation *v1alpha1.CompanyActivation

	id, secret, mode, bimi string
	pushEnabled            bool
	quotas                 Quotas
	profile                v1alpha1.CompanyProfile
}

// Quotas are how many messages a company may send on one day (UTC); -1 is unlimited.
type Quotas struct{ SMS, Email int64 }

var quotasSerializer = &rest.Serializer[Quotas]{Name: "Quotas", Fields: []rest.Field[Quotas]{
	rest.Integer("sms", func(q *Quotas) int64 { return q.SMS }),
	rest.Integer("email", func(q *Quotas) int64 { return q.Email }),
}}

var companySerializer = &rest.Serializer[company]{Name: "AdminCompany", Fields: companyFields()}

func companyFields() []rest.Field[company] {
	text := func(name string, limit int, at func(*v1alpha1.CompanyProfile) *string) rest.Field[company] {
		return rest.Char(name, func(c *company) *string { return at(&c.profile) }).Nullable().Blank().MaxLength(limit)
	}
	return []rest.Field[company]{
		rest.Char("id", func(c *company) *string { return &c.id }).ReadOnly(),
		rest.Char("secret", func(c *company) *string { return &c.secret }).ReadOnly().
			Describe("The secret that the platform sends with each webhook."),
		rest.Boolean("push_enabled", func(c *company) *bool { return &c.pushEnabled }),
		rest.Char("mode", func(c *company) *string { return &c.mode }).Choices("test", "production").ReadOnly(),
		rest.Nested("quotas", quotasSerializer, func(c *company) *Quotas { return &c.quotas }),
		rest.Char("bimi_selector_header", func(c *company) *string { return &c.bimi }).Nullable().Blank().MaxLength(255),
		text("name", 1024, func(p *v1alpha1.CompanyProfile) *string { return &p.Name }),
		text("website", 2048, func(p *v1alpha1.CompanyProfile) *string { return &p.Website }),
		text("system_email", 320, func(p *v1alpha1.CompanyProfile) *string { return &p.SystemEmail }),
		text("support_email", 320, func(p *v1alpha1.CompanyProfile) *string { return &p.SupportEmail }),
		text("contact_email", 320, func(p *v1alpha1.CompanyProfile) *string { return &p.ContactEmail }),
		text("logo", 2048, func(p *v1alpha1.CompanyProfile) *string { return &p.Logo }),
		text("icon", 2048, func(p *v1alpha1.CompanyProfile) *string { return &p.Icon }),
	}
}

func (a *API) company() *rest.Resource[company] {
	return &rest.Resource[company]{
		Path: "admin/company/", For: rest.Admins, Serializer: companySerializer,
		Retrieve: func(ctx context.Context, r *rest.Request) (*company, error) {
			return a.readCompany(ctx, r.Caller.Activation)
		},
		Update: a.updateCompany,
	}
}

func (a *API) readCompany(ctx context.Context, activation *v1alpha1.CompanyActivation) (*company, error) {
	secret, err := a.WebhookSecret(ctx, activation)
	if err != nil {
		return nil, rest.Unavailable(err, "The company could not be read. Try again later.")
	}
	c := &company{
		activation: activation, id: activation.Spec.Company, secret: secret,
		mode: cmp.Or(activation.Status.CompanyInfo.Mode, "production"), bimi: activation.Spec.BIMISelector,
		pushEnabled: activation.IsPushEnabled(), profile: activation.Profile(),
	}
	c.quotas = a.Quotas(activation)
	return c, nil
}

// updateCompany stores the fields in the request. Setting a text to null or "" restores the
// platform's value.
func (a *API) updateCompany(ctx context.Context, r *rest.Request, c *company) error {
	var invalid []rest.FieldError
	fields := map[string]any{}
	set := func(name, path string, value *string, check func(string) bool, message string) {
		if !r.Given(name) {
			return
		}
		if *value == "" {
			fields[path] = nil
			return
		}
		if check != nil && !check(*value) {
			invalid = append(invalid, rest.FieldError{Field: name, Messages: []string{message}})
			return
		}
		fields[path] = *value
	}
	const notAnEmail, notAURL = "Enter a valid email address.", "Enter a valid URL."
	p := &c.profile
	set("name", "companyInfo.name", &p.Name, nil, "")
	set("website", "companyInfo.website", &p.Website, isWebURL, notAURL)
	set("system_email", "companyInfo.systemEmail", &p.SystemEmail, isEmail, notAnEmail)
	set("support_email", "companyInfo.supportEmail", &p.SupportEmail, isEmail, notAnEmail)
	set("contact_email", "companyInfo.contactEmail", &p.ContactEmail, isEmail, notAnEmail)
	set("logo", "companyInfo.logo", &p.Logo, isWebURL, notAURL)
	set("icon", "companyInfo.icon", &p.Icon, isWebURL, notAURL)
	set("bimi_selector_header", "bimiSelector", &c.bimi, isBIMISelector, "Enter a BIMI selector, such as v=BIMI1; s=default.")
	if r.Given("push_enabled") {
		fields["pushEnabled"] = c.pushEnabled
	}
	if len(invalid) > 0 {
		return rest.InvalidFields(invalid...)
	}
	if len(fields) == 0 {
		return nil
	}
	written, err := a.writer.setFields(ctx, a.APIReader, c.activation, fields)
	if err != nil {
		return writeError(err, companyName)
	}
	r.Log.Info("Changed a company", "company", r.Caller.Company, "user", r.Caller.User)
	fresh, err := a.readCompany(ctx, written)
	if err != nil {
		return err
	}
	*c = *fresh
	return nil
}

// companyName returns the API's name of the field at a path of an activation.
func companyName(path string) string {
	return map[string]string{
		"spec.companyInfo.name": "name", "spec.companyInfo.website": "website", "spec.companyInfo.systemEmail": "system_email",
		"spec.companyInfo.supportEmail": "support_email", "spec.companyInfo.contactEmail": "contact_email",
		"spec.companyInfo.logo": "logo", "spec.companyInfo.icon": "icon",
		"spec.bimiSelector": "bimi_selector_header", "spec.pushEnabled": "push_enabled",
	}[path]
}

func isBIMISelector(text string) bool {
	_, ok := v1alpha1.BIMIHeader(text)
	return ok
}

func isEmail(text string) bool {
	_, err := address.ParseBare(text)
	return err == nil
}
