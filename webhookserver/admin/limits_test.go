// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// fill sets every string of a value to one of 1000 bytes, in lists and maps of one element,
// and returns their number.
func fill(v reflect.Value, text string) (n int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return 1
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), text)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[metav1.Time]() {
			v.Set(reflect.ValueOf(metav1.NewTime(time.Now())))
			return 0
		}
		for i := range v.NumField() {
			n += fill(v.Field(i), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		n = fill(v.Index(0), text)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		n = fill(key, text) + fill(value, text)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	default:
	}
	return n
}

// TestTextSize checks that every text of an object counts towards the limits. Translations
// once did not: a company could store 500 notifications of more than a megabyte each.
func TestTextSize(t *testing.T) {
	text := string(make([]byte, 1000))
	rule, layout := &v1alpha1.NotificationRule{}, &v1alpha1.NotificationLayout{}
	for object, spec := range map[client.Object]any{rule: &rule.Spec, layout: &layout.Spec} {
		if size := textSize(object); size != 0 {
			t.Errorf("an empty %T has the size %d", object, size)
		}
		n := fill(reflect.ValueOf(spec).Elem(), text)
		object.SetAnnotations(map[string]string{parkedAnnotation: text})
		if size, want := textSize(object), (n+1)*len(text); size != want {
			t.Errorf("a %T with %d texts has the size %d, want %d", object, n, size, want)
		}
	}
	if value(rule.Spec.Email).HTML == "" || value(rule.Spec.SMS.WhatsApp).ContentVariables[text] == "" || value(rule.Spec.Translations[0].Email).HTML == "" {
		t.Error("the test doesn't fill all fields")
	}
}

// TestTooLarge checks that nobody is asked to repeat a write that can't succeed. The errors
// are those of an API server with etcd, for an object of 1.6 and of 2.3 MB.
func TestTooLarge(t *testing.T) {
	for _, message := range []string{
		"etcdserver: request is too large",
		"rpc error: code = ResourceExhausted desc = trying to send message larger than max (2376054 vs. 2097152)",
	} {
		var refusal *rest.Error
		err := writeError(apierrors.NewInternalError(errors.New(message)), func(string) string { return "" })
		if !errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest {
			t.Errorf("%q is answered with %v", message, err)
		}
	}
}

// TestSchemaLimits: the API server's words about limits become those of the API.
func TestSchemaLimits(t *testing.T) {
	for _, test := range []struct{ field, message, want string }{
		{"spec.throttle.digest.subject", "Too long: may not be more than 4096 bytes", "digest.subject: Ensure this field has no more than 4096 characters."},
		{"spec.throttle.messages", "Invalid value: 1001: spec.throttle.messages in body should be less than or equal to 1000", "Ensure this value is less than or equal to 1000."},
		{"spec.throttle.messages", "Invalid value: 0: spec.throttle.messages in body should be greater than or equal to 1", "Ensure this value is greater than or equal to 1."},
		{"spec.throttle.digest.translations", "Too many: 33: must have at most 32 items", "digest.translations: Ensure this field has no more than 32 elements."},
		{"spec.throttle.per", "Invalid value: \"1s\": must be from 1m to 720h", "Must be from 1m to 720h."},
	} {
		err := invalid(nil, []metav1.StatusCause{{Field: test.field, Message: test.message}}, func(string) string { return "throttle" })
		var refused *rest.Error
		if !errors.As(err, &refused) || refused.Message != test.want {
			t.Errorf("%s: %v, want %q", test.message, err, test.want)
		}
	}
}

// TestPastedCredentials: keys are often copied with a line break at their end.
func TestPastedCredentials(t *testing.T) {
	pasted := &credential{kind: "sendgrid", given: []byte(`{"sendgrid_api_key": " SG.abc\r\n", "sendgrid_from_email": "shop@acme.example\n"}`)}
	secrets, sender, err := pasted.values(false)
	if err != nil || sender != "shop@acme.example" || len(secrets) != 1 {
		t.Errorf("%v, %q, %v", secrets, sender, err)
	}
	for _, key := range secrets {
		if key != "SG.abc" {
			t.Errorf("the key is %q", key)
		}
	}
	broken := &credential{kind: "sendgrid", given: []byte(`{"sendgrid_api_key": "SG.a\nbc", "sendgrid_from_email": "shop@acme.example"}`)}
	if _, _, err := broken.values(false); err == nil {
		t.Error("a line break inside the key must be refused")
	}
}
