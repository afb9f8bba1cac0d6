// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// FieldManager is the field manager of the API's writes.
	FieldManager = "rehive-extension-api"

	// cacheWait is how long a write waits for the cache to show it, so that admins read
	// their own writes.
	cacheWait = 2 * time.Second
	cachePoll = 5 * time.Millisecond
)

// writer writes custom resources with server-side apply.
type writer struct {
	cluster client.Client
	cache   client.Reader
}

// mayChange returns a 403 for an object whose spec has another manager, such as Argo CD,
// Flux or kubectl: one of the two would revert the other's changes. The label
// v1alpha1.APIWritesLabel on the activation allows the change.
func mayChange(a *v1alpha1.CompanyActivation, object client.Object) error {
	manager := foreignManager(object)
	if manager == "" || a.Labels[v1alpha1.APIWritesLabel] == v1alpha1.APIWritesAllow {
		return nil
	}
	return managedBy(manager)
}

// foreignManager returns the field manager other than the API that owns fields of the
// object's spec, or "". The object must come from the API server, because the cache drops
// managed fields.
func foreignManager(object client.Object) string {
	for _, entry := range object.GetManagedFields() {
		if entry.Manager != FieldManager && entry.Manager != activation.FieldOwner && ownsSpec(&entry) {
			return entry.Manager
		}
	}
	return ""
}

// ownsSpec reports whether an entry of managed fields contains fields of the spec.
func ownsSpec(entry *metav1.ManagedFieldsEntry) bool {
	return entry.Subresource == "" && entry.FieldsV1 != nil && bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:spec":`))
}

// create creates an object. Its name must be new.
func (w *writer) create(ctx context.Context, object client.Object) error {
	return w.apply(ctx, object)
}

// update writes a changed object that was read from the API server. The error is a conflict
// if the object has changed since then.
func (w *writer) update(ctx context.Context, object client.Object) error {
	if !isApplied(object) {
		// An apply would not remove fields that another manager owns too.
		object.SetManagedFields(nil)
		if err := w.cluster.Update(ctx, object, client.FieldOwner(FieldManager)); err != nil {
			return err
		}
		return w.awaitCache(ctx, object)
	}
	return w.apply(ctx, object)
}

// isApplied reports whether the whole spec was set by the API's own server-side apply.
func isApplied(object client.Object) bool {
	for _, entry := range object.GetManagedFields() {
		isOwn := entry.Manager == FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply
		if !isOwn && ownsSpec(&entry) {
			return false
		}
	}
	return true
}

// apply applies the parts of an object that the API manages: metadata, spec and, for
// Secrets, data.
func (w *writer) apply(ctx context.Context, object client.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return fmt.Errorf("preparing an object: %w", err)
	}
	gvk, err := w.cluster.GroupVersionKindFor(object)
	if err != nil {
		return fmt.Errorf("preparing an object: %w", err)
	}
	applied := &unstructured.Unstructured{Object: map[string]any{}}
	applied.SetGroupVersionKind(gvk)
	applied.SetNamespace(object.GetNamespace())
	applied.SetName(object.GetName())
	applied.SetLabels(object.GetLabels())
	applied.SetAnnotations(object.GetAnnotations())
	applied.SetOwnerReferences(object.GetOwnerReferences())
	applied.SetResourceVersion(object.GetResourceVersion())
	for _, field := range []string{"spec", "data", "stringData", "type"} {
		if value, ok := content[field]; ok {
			applied.Object[field] = value
		}
	}
	if err := w.serverSideApply(ctx, applied, client.ForceOwnership); err != nil {
		return err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(applied.Object, object); err != nil {
		return fmt.Errorf("reading an object that was written: %w", err)
	}
	return w.awaitCache(ctx, object)
}

// serverSideApply applies a configuration as FieldManager and replaces it with the
// resulting object.
func (w *writer) serverSideApply(ctx context.Context, configuration *unstructured.Unstructured, options ...client.PatchOption) error {
	body, err := configuration.MarshalJSON()
	if err != nil {
		return fmt.Errorf("preparing an object: %w", err)
	}
	patch := client.RawPatch(types.ApplyYAMLPatchType, escapeForYAML(body))
	return w.cluster.Patch(ctx, configuration, patch, append(options, client.FieldOwner(FieldManager))...)
}

// escapeForYAML escapes the characters in JSON that YAML rejects or treats as line breaks,
// because the API server parses an apply as YAML. They can only occur in strings.
func escapeForYAML(text []byte) []byte {
	isEscaped := func(r rune) bool {
		return r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff
	}
	if bytes.IndexFunc(text, isEscaped) < 0 {
		return text
	}
	escaped := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if isEscaped(r) {
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		} else {
			escaped = append(escaped, text[:size]...)
		}
		text = text[size:]
	}
	return escaped
}

// remove deletes an object unless it has changed since it was read.
func (w *writer) remove(ctx context.Context, object client.Object) error {
	uid, version := object.GetUID(), object.GetResourceVersion()
	err := w.cluster.Delete(ctx, object, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	gone := func(ctx context.Context) (bool, error) {
		found := object.DeepCopyObject().(client.Object)
		err := w.cache.Get(ctx, client.ObjectKeyFromObject(object), found)
		return apierrors.IsNotFound(err) || err == nil && (found.GetUID() != uid || !found.GetDeletionTimestamp().IsZero()), nil
	}
	// It was deleted, whether or not the cache shows that in time.
	_ = wait.PollUntilContextTimeout(ctx, cachePoll, cacheWait, true, gone)
	return nil
}

// awaitCache waits for up to cacheWait until the cache shows an object as it was written.
func (w *writer) awaitCache(ctx context.Context, written client.Object) error {
	shown := func(ctx context.Context) (bool, error) {
		found := written.DeepCopyObject().(client.Object)
		if err := w.cache.Get(ctx, client.ObjectKeyFromObject(written), found); err != nil {
			return false, nil //nolint:nilerr // not there yet
		}
		return atLeast(found.GetResourceVersion(), written.GetResourceVersion()), nil
	}
	// It was written, whether or not the cache shows that in time.
	_ = wait.PollUntilContextTimeout(ctx, cachePoll, cacheWait, true, shown)
	return nil
}

// atLeast reports whether a resource version equals another or is later.
func atLeast(version, other string) bool {
	a, errA := strconv.ParseUint(version, 10, 64)
	b, errB := strconv.ParseUint(other, 10, 64)
	return version == other || errA == nil && errB == nil && a > b
}

// writeError converts an error of the API server to an answer. Names maps the paths of
// fields to the API's names.
func writeError(err error, names func(path string) string) error {
	var refused *rest.Error
	var status apierrors.APIStatus
	switch {
	case err == nil || errors.As(err, &refused):
		return err
	case apierrors.IsConflict(err):
		return fmt.Errorf("%w: %w", rest.ErrStale, err)
	case apierrors.IsInvalid(err) && errors.As(err, &status) && status.Status().Details != nil:
		return invalid(err, status.Status().Details.Causes, names)
	case apierrors.IsRequestEntityTooLargeError(err),
		strings.Contains(err.Error(), "request is too large"),    // etcd says
		strings.Contains(err.Error(), "message larger than max"): // its client says, of 2 MiB and more
		return rest.InvalidField(err, rest.NonFieldErrors, "This is too large to be stored. Shorten its texts.")
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return &rest.Error{Status: 503, Message: "The company's namespace is being deleted.", Cause: err}
	case activation.IsOverQuota(err):
		return &rest.Error{Status: 503, Message: "A quota of the company's namespace in Kubernetes is used up. Delete what you don't need, or ask your platform team to raise it.", Cause: err}
	case apierrors.IsForbidden(err):
		return &rest.Error{Status: 503, Message: "The extension is not allowed to write this to Kubernetes. Ask your platform team to check its permissions.", Cause: err}
	}
	return rest.Unavailable(err, "The change could not be stored. Try again later.")
}

// invalid returns a 400 with the fields that the API server found invalid.
func invalid(err error, causes []metav1.StatusCause, names func(string) string) error {
	var fields []rest.FieldError
	for _, cause := range causes {
		if strings.Contains(cause.Message, "some validation rules were not checked") {
			continue // it accompanies other causes
		}
		field := rest.NonFieldErrors
		if name := names(cause.Field); name != "" {
			field = name
		}
		message := causeMessage(cause)
		if part, ok := strings.CutPrefix(cause.Field, throttlePath+".digest."); ok {
			message = "digest." + part + ": " + message
		}
		fields = append(fields, rest.FieldError{Field: field, Messages: []string{message}})
	}
	if len(fields) == 0 {
		return rest.Unavailable(err, "The change could not be stored. Try again later.")
	}
	refused := rest.InvalidFields(fields...)
	refused.Cause = err
	return refused
}

// The API server's words about limits of a schema. It counts characters, but calls them bytes.
var (
	tooLong    = regexp.MustCompile(`^Too long: may not be more than (\d+) bytes$`)
	tooMany    = regexp.MustCompile(`^Too many: \d+: must have at most (\d+) items$`)
	outOfRange = regexp.MustCompile(`in body should be (less|greater) than or equal to (\d+)$`)
)

// causeMessage returns the API server's message without the value, which may be long.
func causeMessage(cause metav1.StatusCause) string {
	if limit := tooLong.FindStringSubmatch(cause.Message); limit != nil {
		return "Ensure this field has no more than " + limit[1] + " characters."
	}
	if limit := tooMany.FindStringSubmatch(cause.Message); limit != nil {
		return "Ensure this field has no more than " + limit[1] + " elements."
	}
	if limit := outOfRange.FindStringSubmatch(cause.Message); limit != nil {
		return "Ensure this value is " + limit[1] + " than or equal to " + limit[2] + "."
	}
	message := strings.TrimPrefix(cause.Message, "Invalid value: ")
	if strings.HasPrefix(message, `"`) {
		if value, err := strconv.QuotedPrefix(message); err == nil {
			message = strings.TrimPrefix(message[len(value):], ": ")
		}
	}
	if message == "" {
		return "This value is invalid."
	}
	return strings.ToUpper(message[:1]) + strings.TrimSuffix(message[1:], ".") + "."
}

// newName returns a unique, readable name for an object of an activation: the activation's
// name, the display name, and a random suffix.
func newName(a *v1alpha1.CompanyActivation, displayName string) string {
	const maxReadable = 100
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, displayName)
	parts := strings.FieldsFunc(readable[:min(len(readable), maxReadable)], func(r rune) bool { return r == '-' })
	suffix := strings.ToLower(rand.Text()[:8])
	return strings.Join(append(append([]string{a.Name}, parts...), suffix), "-")
}
