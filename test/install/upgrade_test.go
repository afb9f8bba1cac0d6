// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// releases returns the folders of testdata/released, each with the CRDs of a released
// version and objects that are valid in it. Add one with each release; never change one.
func releases(g *WithT) []string {
	folders, err := filepath.Glob("testdata/released/v*")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(folders).NotTo(BeEmpty())
	return folders
}

// TestUpgrade stores objects with the CRDs of each released version, applies today's CRDs
// and reads all objects back. Each must be unchanged, except for new defaults, and it must
// still be possible to write it.
func TestUpgrade(t *testing.T) {
	for _, folder := range releases(NewWithT(t)) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			g := NewWithT(t)
			ours := objects(g, "../../config/crd")
			t.Cleanup(func() { // the other tests need them
				for _, crd := range ours {
					g.Expect(apply(context.Background(), crd.DeepCopy())).To(Succeed())
				}
			})
			for _, crd := range readObjects(g, filepath.Join(folder, "crds.yaml")) {
				g.Expect(apply(t.Context(), crd.DeepCopy())).To(Succeed(), crd.GetName())
			}
			stored := readObjects(g, filepath.Join(folder, "objects.yaml"))
			for _, object := range stored {
				if object.GetNamespace() == "" {
					object.SetNamespace("team-a")
				}
				g.Eventually(func() error { return apply(t.Context(), object.DeepCopy()) }, 2*time.Minute, 100*time.Millisecond).Should(Succeed(), identity(object))
				t.Cleanup(func() {
					g.Expect(client.IgnoreNotFound(k8s.Delete(context.Background(), object.DeepCopy()))).To(Succeed())
				})
			}
			for _, crd := range ours {
				g.Expect(apply(t.Context(), crd.DeepCopy())).To(Succeed(), crd.GetName())
			}
			for _, object := range stored {
				read := &unstructured.Unstructured{}
				read.SetGroupVersionKind(object.GroupVersionKind())
				g.Expect(k8s.Get(t.Context(), client.ObjectKeyFromObject(object), read)).To(Succeed(), identity(object))
				g.Expect(missing(object.Object["spec"], read.Object["spec"], "spec")).To(BeEmpty(), identity(object))
				g.Eventually(func() error {
					written := read.DeepCopy()
					written.SetAnnotations(map[string]string{"example.com/touched": fmt.Sprint(time.Now().UnixNano())})
					err := k8s.Update(t.Context(), written)
					if apierrors.IsConflict(err) {
						return k8s.Get(t.Context(), client.ObjectKeyFromObject(object), read)
					}
					return err
				}, 2*time.Minute, 100*time.Millisecond).Should(Succeed(), identity(object))
			}
		})
	}
}

// missing returns what is in the first value and not, or not the same, in the second.
func missing(before, after any, at string) (found []string) {
	switch before := before.(type) {
	case map[string]any:
		later, _ := after.(map[string]any)
		for name, value := range before {
			found = append(found, missing(value, later[name], at+"."+name)...)
		}
	case []any:
		later, _ := after.([]any)
		if len(later) != len(before) {
			return []string{at}
		}
		for i, value := range before {
			found = append(found, missing(value, later[i], fmt.Sprintf("%s[%d]", at, i))...)
		}
	default:
		// As JSON, in which integers and floating-point numbers are the same.
		old, oldErr := json.Marshal(before)
		read, readErr := json.Marshal(after)
		if oldErr != nil || readErr != nil || string(old) != string(read) {
			return []string{at}
		}
	}
	return found
}

// TestCRDsStayCompatible compares the schemas with those of each released version: a field
// may be added, but not removed, get another type, become required or be restricted.
func TestCRDsStayCompatible(t *testing.T) {
	for _, folder := range releases(NewWithT(t)) {
		g := NewWithT(t)
		schemas := func(crds []*unstructured.Unstructured) map[string]map[string]any {
			found := make(map[string]map[string]any)
			for _, crd := range crds {
				versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
				g.Expect(err).NotTo(HaveOccurred())
				for _, version := range versions {
					schema, _, err := unstructured.NestedMap(version.(map[string]any), "schema", "openAPIV3Schema")
					g.Expect(err).NotTo(HaveOccurred())
					found[crd.GetName()+" "+version.(map[string]any)["name"].(string)] = schema
				}
			}
			return found
		}
		today := schemas(objects(g, "../../config/crd"))
		for name, schema := range schemas(readObjects(g, filepath.Join(folder, "crds.yaml"))) {
			g.Expect(today).To(HaveKey(name))
			for _, problem := range incompatible(schema, today[name], strings.Fields(name)[0]) {
				t.Errorf("%s: %s", filepath.Base(folder), problem)
			}
		}
	}
}

func incompatible(before, after map[string]any, at string) (problems []string) {
	if before["type"] != after["type"] && after["x-kubernetes-int-or-string"] == nil {
		problems = append(problems, fmt.Sprintf("%s was %v and is %v", at, before["type"], after["type"]))
	}
	problems = append(problems, restricted(before, after, at)...)
	required, _ := before["required"].([]any)
	now, _ := after["required"].([]any)
	old, _ := before["properties"].(map[string]any)
	properties, _ := after["properties"].(map[string]any)
	for _, field := range now {
		if !slices.Contains(required, field) {
			problems = append(problems, fmt.Sprintf("%s.%v became required", at, field))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		property, ok := properties[name].(map[string]any)
		if !ok {
			problems = append(problems, at+"."+name+" was removed")
			continue
		}
		problems = append(problems, incompatible(old[name].(map[string]any), property, at+"."+name)...)
	}
	for _, nested := range []string{"items", "additionalProperties"} {
		oldItems, ok := before[nested].(map[string]any)
		if !ok {
			continue
		}
		items, ok := after[nested].(map[string]any)
		if !ok {
			problems = append(problems, at+" lost its "+nested)
			continue
		}
		problems = append(problems, incompatible(oldItems, items, at+"[]")...)
	}
	return problems
}

// restricted compares the limits of one field.
func restricted(before, after map[string]any, at string) (problems []string) {
	number := func(value any) float64 {
		switch value := value.(type) {
		case int64:
			return float64(value)
		case float64:
			return value
		}
		return 0
	}
	for _, limit := range []string{"maxLength", "maxItems", "maximum", "maxProperties"} {
		if after[limit] != nil && (before[limit] == nil || number(after[limit]) < number(before[limit])) {
			problems = append(problems, fmt.Sprintf("%s has the lower %s %v", at, limit, after[limit]))
		}
	}
	for _, limit := range []string{"minLength", "minItems", "minimum", "minProperties"} {
		if after[limit] != nil && number(after[limit]) > number(before[limit]) {
			problems = append(problems, fmt.Sprintf("%s has the higher %s %v", at, limit, after[limit]))
		}
	}
	if values, ok := after["enum"].([]any); ok {
		old, had := before["enum"].([]any)
		if !had {
			problems = append(problems, at+" became an enumeration")
		}
		for _, value := range old {
			if !slices.Contains(values, value) {
				problems = append(problems, fmt.Sprintf("%s lost the value %v", at, value))
			}
		}
	}
	if after["pattern"] != nil && after["pattern"] != before["pattern"] {
		problems = append(problems, at+" has another pattern")
	}
	return problems
}

// readObjects reads a file with several YAML documents.
func readObjects(g *WithT, path string) (found []*unstructured.Unstructured) {
	text, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	for document := range strings.SplitSeq("\n"+string(text), "\n---\n") {
		object := &unstructured.Unstructured{}
		g.Expect(yaml.Unmarshal([]byte(document), &object.Object)).To(Succeed())
		if len(object.Object) > 0 {
			found = append(found, object)
		}
	}
	return found
}

// TestIncompatible checks that the comparison finds each kind of change.
func TestIncompatible(t *testing.T) {
	g := NewWithT(t)
	schema := func(text string) map[string]any {
		found := make(map[string]any)
		g.Expect(yaml.Unmarshal([]byte(text), &found)).To(Succeed())
		return found
	}
	before := schema(`{type: object, properties: {a: {type: string, maxLength: 5}, b: {type: array, items: {type: integer, minimum: 1}}, c: {type: string, enum: [x, y]}}}`)
	g.Expect(incompatible(before, before, "spec")).To(BeEmpty())
	g.Expect(incompatible(before, schema(`{type: object, properties: {a: {type: string, maxLength: 9}, b: {type: array, items: {type: integer}}, c: {type: string, enum: [x, y, z]}, d: {type: string, maxLength: 1}}}`), "spec")).To(BeEmpty())
	for name, after := range map[string]string{
		"a removed field":  `{type: object, properties: {b: {type: array, items: {type: integer, minimum: 1}}, c: {type: string, enum: [x, y]}}}`,
		"a required field": `{type: object, required: [a], properties: {a: {type: string, maxLength: 5}, b: {type: array, items: {type: integer, minimum: 1}}, c: {type: string, enum: [x, y]}}}`,
		"a shorter field":  `{type: object, properties: {a: {type: string, maxLength: 4}, b: {type: array, items: {type: integer, minimum: 1}}, c: {type: string, enum: [x, y]}}}`,
		"another type":     `{type: object, properties: {a: {type: integer}, b: {type: array, items: {type: integer, minimum: 1}}, c: {type: string, enum: [x, y]}}}`,
		"a higher minimum": `{type: object, properties: {a: {type: string, maxLength: 5}, b: {type: array, items: {type: integer, minimum: 2}}, c: {type: string, enum: [x, y]}}}`,
		"a lost value":     `{type: object, properties: {a: {type: string, maxLength: 5}, b: {type: array, items: {type: integer, minimum: 1}}, c: {type: string, enum: [x]}}}`,
		"a new pattern":    `{type: object, properties: {a: {type: string, maxLength: 5, pattern: x}, b: {type: array, items: {type: integer, minimum: 1}}, c: {type: string, enum: [x, y]}}}`,
	} {
		g.Expect(incompatible(before, schema(after), "spec")).To(HaveLen(1), name)
	}
}
