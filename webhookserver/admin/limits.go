// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// Limits of what one company may store through the API. Notifications and layouts take
// space in etcd and in the manager's memory, which all companies share.
const (
	MaxNotifications = 500
	MaxLayouts       = 100
	// MaxTexts is the total size of their texts in bytes.
	MaxTexts = 8 << 20
)

// admit checks that an object fits into the company's limits, and that the company may
// write it now.
func (a *API) admit(ctx context.Context, r *rest.Request, object client.Object) error {
	if err := a.checkLimits(ctx, r, object); err != nil {
		return err
	}
	return a.AdmitWrite(r.Caller.Company, textSize(object))
}

// checkLimits returns a 400 if an object, together with the company's others, exceeds the
// limits. A change that doesn't make an object larger is always accepted.
func (a *API) checkLimits(ctx context.Context, r *rest.Request, object client.Object) error {
	activation := r.Caller.Activation
	rules, err := notifications.Of(ctx, a.Cache, activation)
	if err != nil {
		return unreadable(err)
	}
	var layouts v1alpha1.NotificationLayoutList
	if err := a.Cache.List(ctx, &layouts, client.InNamespace(activation.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return unreadable(err)
	}
	size := textSize(object)
	total, before, layoutCount := size, 0, 0
	add := func(other client.Object) {
		if other.GetUID() == object.GetUID() {
			before = textSize(other)
			return
		}
		total += textSize(other)
	}
	for i := range rules {
		add(rules[i].Rule)
	}
	for i := range layouts.Items {
		if company := layouts.Items[i].Spec.CompanyRef; company != nil && company.Name == activation.Name {
			layoutCount++
			add(&layouts.Items[i])
		}
	}
	isNew := object.GetUID() == ""
	_, isLayout := object.(*v1alpha1.NotificationLayout)
	switch {
	case isNew && isLayout && layoutCount >= MaxLayouts:
		return full(fmt.Sprintf("A company can have %d layouts. Delete one first.", MaxLayouts))
	case isNew && !isLayout && len(rules) >= MaxNotifications:
		return full(fmt.Sprintf("A company can have %d notifications. Delete one first.", MaxNotifications))
	case total > MaxTexts && size > before:
		return full(fmt.Sprintf("The notifications and layouts of a company can have %d MiB of text in total. Shorten or delete some first.", MaxTexts>>20))
	}
	return nil
}

func full(message string) error { return rest.InvalidField(nil, rest.NonFieldErrors, message) }

// textSize returns the size of an object's texts in bytes.
func textSize(object client.Object) int {
	n := len(object.GetAnnotations()[parkedAnnotation])
	switch o := object.(type) {
	case *v1alpha1.NotificationLayout:
		n += len(o.Spec.DisplayName) + len(o.Spec.Description) + len(o.Spec.HTML) + len(o.Spec.Text)
	case *v1alpha1.NotificationRule:
		spec := &o.Spec
		n += len(spec.DisplayName) + len(spec.Description) + len(spec.Expression)
		if m := spec.Email; m != nil {
			n += len(m.To) + len(m.ToUser) + len(m.From) + len(m.Subject) + len(m.Text) + len(m.HTML)
		}
		if m := spec.SMS; m != nil {
			n += len(m.To) + len(m.ToUser) + len(m.Message)
		}
		if m := spec.Push; m != nil {
			n += len(m.ToUser) + len(m.Title) + len(m.Message)
		}
		if m := spec.System; m != nil {
			n += len(m.ToUser) + len(m.Title) + len(m.Message)
		}
	}
	return n
}
