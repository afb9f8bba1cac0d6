// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
// write it now. It ends the call's work: what follows is the write.
func (a *API) admit(ctx context.Context, r *rest.Request, object client.Object) error {
	if err := a.checkLimits(ctx, r, object); err != nil {
		return err
	}
	r.EndWork()
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

// textSize returns the size of an object's texts in bytes: of all strings in its spec, so that
// no field is forgotten, and of the values that the API keeps beside it.
func textSize(object client.Object) int {
	n := len(object.GetAnnotations()[parkedAnnotation])
	switch o := object.(type) {
	case *v1alpha1.NotificationLayout:
		n += stringsIn(reflect.ValueOf(&o.Spec))
	case *v1alpha1.NotificationRule:
		n += stringsIn(reflect.ValueOf(&o.Spec))
	}
	return n
}

// stringsIn returns the length of all strings in a value, keys of maps included.
func stringsIn(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return stringsIn(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[metav1.Time]() {
			return 0 // it points to a time zone
		}
		for i := range v.NumField() {
			n += stringsIn(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			n += stringsIn(v.Index(i))
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			n += stringsIn(entries.Key()) + stringsIn(entries.Value())
		}
	default: // numbers and booleans
	}
	return n
}
