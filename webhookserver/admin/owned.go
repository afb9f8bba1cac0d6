// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// setFields sets fields of an activation's spec, by their paths below spec, without
// touching fields that others manage. A nil value removes a field that the API set before.
// The error is a 403 that names the manager if another one manages a field.
func (w *writer) setFields(ctx context.Context, reader client.Reader, a *v1alpha1.CompanyActivation, fields map[string]any) (*v1alpha1.CompanyActivation, error) {
	current := new(v1alpha1.CompanyActivation)
	if err := reader.Get(ctx, client.ObjectKeyFromObject(a), current); err != nil {
		return nil, fmt.Errorf("reading the company's activation: %w", err)
	}
	spec, err := ownSpec(current)
	if err != nil {
		return nil, err
	}
	for path, value := range fields {
		parts := strings.Split(path, ".")
		if value == nil {
			remove(spec, parts)
		} else if err := unstructured.SetNestedField(spec, value, parts...); err != nil {
			return nil, fmt.Errorf("setting spec.%s of the company's activation: %w", path, err)
		}
	}
	applied := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("CompanyActivation"))
	applied.SetNamespace(a.Namespace)
	applied.SetName(a.Name)
	// Without the UID, the call would recreate an activation that was deleted meanwhile.
	applied.SetUID(current.UID)
	var options []client.PatchOption
	if current.Labels[v1alpha1.APIWritesLabel] == v1alpha1.APIWritesAllow {
		options = append(options, client.ForceOwnership)
	}
	result := applied.DeepCopy()
	err = w.serverSideApply(ctx, result, options...)
	switch manager := conflictingManager(err); {
	case manager == activation.FieldOwner:
		// The operator set the field when it created the activation.
		result = applied.DeepCopy()
		err = w.serverSideApply(ctx, result, append(options, client.ForceOwnership)...)
	case manager != "":
		return nil, managedBy(manager)
	}
	if err != nil {
		return nil, err
	}
	written := new(v1alpha1.CompanyActivation)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(result.Object, written); err != nil {
		return nil, fmt.Errorf("reading the activation that was written: %w", err)
	}
	return written, w.awaitCache(ctx, written)
}

// ownSpec returns the part of an activation's spec that the API has set. An apply must
// repeat it, because it removes the owned fields that it omits.
func ownSpec(a *v1alpha1.CompanyActivation) (map[string]any, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
	if err != nil {
		return nil, fmt.Errorf("preparing the company's activation: %w", err)
	}
	for _, entry := range a.GetManagedFields() {
		if entry.Manager != FieldManager || entry.Subresource != "" || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		var owned map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
			return nil, fmt.Errorf("reading the managed fields of the company's activation: %w", err)
		}
		fields, _ := owned["f:spec"].(map[string]any)
		spec, _ := content["spec"].(map[string]any)
		return restrict(spec, fields), nil
	}
	return map[string]any{}, nil
}

// restrict returns the members of an object that the managed fields list.
func restrict(object, fields map[string]any) map[string]any {
	kept := map[string]any{}
	for key, below := range fields {
		name, isField := strings.CutPrefix(key, "f:")
		value, ok := object[name]
		if !isField || !ok {
			continue
		}
		inner, isObject := value.(map[string]any)
		deeper, _ := below.(map[string]any)
		if isObject && len(deeper) > 0 {
			value = restrict(inner, deeper)
		}
		kept[name] = value
	}
	return maps.Clone(kept)
}

// remove removes a field, and the enclosing objects that this leaves empty.
func remove(object map[string]any, path []string) {
	if inner, ok := object[path[0]].(map[string]any); ok && len(path) > 1 {
		if remove(inner, path[1:]); len(inner) > 0 {
			return
		}
	}
	delete(object, path[0])
}

// conflictingManager returns the field manager that an apply conflicted with, preferably
// one other than the operator, or "" if there was no conflict.
func conflictingManager(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) {
		return ""
	}
	found := ""
	for _, cause := range status.Status().Details.Causes {
		// conflict with "kubectl" using extensions.rehive.com/v1alpha1
		_, rest, _ := strings.Cut(cause.Message, "conflict with ")
		quoted, _ := strconv.QuotedPrefix(rest)
		manager, err := strconv.Unquote(quoted)
		if err != nil {
			manager = "another manager"
		}
		if found = manager; found != activation.FieldOwner {
			return found
		}
	}
	return found
}

// managedBy returns the 403 for changing a field that another manager owns.
func managedBy(manager string) error {
	return rest.Forbidden(fmt.Sprintf("This is managed by %s in Kubernetes and can't be changed here. Change it there, or ask your platform team to allow changes through the API.", manager))
}
