// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/meter/metertest"
)

// sharedCache returns its objects without copying them, like the manager's cache.
type sharedCache struct {
	client.Reader

	layout   v1alpha1.NotificationLayout
	template v1alpha1.NotificationTemplate
}

func (c *sharedCache) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	switch into := into.(type) {
	case *v1alpha1.NotificationLayout:
		*into = c.layout
	case *v1alpha1.NotificationTemplate:
		*into = c.template
	}
	return nil
}

// TestReferencesAreCheap checks that a notification is read without the texts of the layout
// and the template that it refers to: a list of notifications would read them for each.
func TestReferencesAreCheap(t *testing.T) {
	cache := new(sharedCache)
	text := strings.Repeat("x", 64<<10)
	cache.layout.Name, cache.template.Name = "frame", "welcome"
	cache.layout.Spec.HTML = text
	cache.template.Spec.Email = &v1alpha1.EmailMessage{HTML: text}
	for i := range maxTranslations {
		language := fmt.Sprintf("x%c%c", 'a'+i/26, 'a'+i%26)
		cache.layout.Spec.Translations = append(cache.layout.Spec.Translations, v1alpha1.LayoutTranslation{Language: language, HTML: text})
		cache.template.Spec.Translations = append(cache.template.Spec.Translations,
			v1alpha1.RuleTranslation{Language: language, Email: &v1alpha1.EmailTranslation{HTML: text}})
	}
	rule := new(v1alpha1.NotificationRule)
	rule.Spec.Email = &v1alpha1.EmailMessage{LayoutRef: &v1alpha1.NotificationLayoutReference{Name: "frame"}}
	rule.Spec.TemplateRef = &v1alpha1.NotificationTemplateReference{Name: "welcome"}

	a := New(Options{Cache: cache})
	var n notification
	var err error
	bytes, _ := metertest.Allocated(1<<30, func() { n, err = a.read(t.Context(), "acme", 1, rule) })
	if err != nil || n.layout == nil || n.layout.name != "frame" || n.template == nil || n.template.id != "welcome" {
		t.Fatalf("read %+v and %+v, %v", n.layout, n.template, err)
	}
	if bytes > uint64(len(text)) {
		t.Errorf("reading a notification allocates %d bytes", bytes)
	}
}
