// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

// parkedAnnotation holds, as a JSON object, the texts that an object's channel doesn't use.
// The API's notifications and layouts have the texts of all channels side by side, and keep
// them when they are switched to another channel and back.
const parkedAnnotation = "extensions.rehive.com/parked-fields"

// maxParked is the largest value of parkedAnnotation in bytes. Kubernetes allows 256 KiB
// for all annotations of an object.
const maxParked = 240 << 10

// parkedTexts returns the parked texts of an object, by the API's names of their fields.
func parkedTexts(object metav1.Object) map[string]string {
	var texts map[string]string
	if json.Unmarshal([]byte(object.GetAnnotations()[parkedAnnotation]), &texts) != nil {
		return nil // there are none, or the annotation was edited manually
	}
	return texts
}

// park replaces the parked texts of an object; without texts it removes them.
func park(object metav1.Object, texts map[string]string) {
	annotations := maps.Clone(object.GetAnnotations())
	delete(annotations, parkedAnnotation)
	if len(texts) > 0 {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[parkedAnnotation] = encodeParked(texts)
	}
	object.SetAnnotations(annotations)
}

func encodeParked(texts map[string]string) string {
	text, err := json.Marshal(texts)
	if err != nil {
		return "" // texts can always be encoded
	}
	return string(text)
}

// checkParked returns a 400 if the texts are too long to be parked.
func checkParked(kind string, texts map[string]string) error {
	if len(texts) == 0 || len(encodeParked(texts)) <= maxParked {
		return nil
	}
	if others := texts[translationsField]; len(others) > maxParked/2 {
		return rest.InvalidField(nil, translationsField, fmt.Sprintf("The texts of other types than %s are too long to be kept for them. Shorten or remove them.", kind))
	}
	longest := slices.MaxFunc(slices.Sorted(maps.Keys(texts)), func(a, b string) int { return len(texts[a]) - len(texts[b]) })
	return rest.InvalidField(nil, longest, fmt.Sprintf("The type %s doesn't use this field, and its value is too long to be kept for another type. Shorten or clear it.", kind))
}
