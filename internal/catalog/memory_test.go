// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

func heap() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // empties pools
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// TestCompiledRulesAreBounded checks that the compiled rules of a company stay within their
// memory, and that other companies' rules are still compiled.
func TestCompiledRulesAreBounded(t *testing.T) {
	g := NewWithT(t)
	const size = 256 << 10
	worst := []string{
		strings.Repeat("{{a}}{{a}} ", 4900), strings.Repeat("{% if a %}{% endif %}", 9900), strings.Repeat("{{a.b.c}}", 9900),
		strings.Repeat("{% cycle "+strings.Repeat("a ", 3990)+"%}", 10), "{% if a %}" + strings.Repeat("{% elif a %}", 19_000) + "{% endif %}",
		strings.Repeat("{{a|title|title}}", 9900), strings.Repeat("{% for a in b %}{% endfor %}", 9000), strings.Repeat("{% with "+strings.Repeat("a=a ", 990)+"%}{% endwith %}", 30),
	}
	rule := func(activation string, i int) *v1alpha1.NotificationRule {
		html := worst[i%len(worst)]
		g.Expect(len(html)).To(BeNumerically("<=", size))
		return &v1alpha1.NotificationRule{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: fmt.Sprint(i), UID: types.UID(activation + fmt.Sprint(i))},
			Spec: v1alpha1.NotificationRuleSpec{
				CompanyRef: v1alpha1.CompanyActivationReference{Name: activation},
				NotificationSpec: v1alpha1.NotificationSpec{
					Expression: "[" + strings.Repeat("1,", 4000) + "]",
					Email:      &v1alpha1.EmailMessage{To: "a@example.com", Subject: "s", Text: "t", HTML: html},
				},
			},
		}
	}
	c := &Catalog{compiled: make(map[types.UID]compiledRule), layouts: make(map[types.UID]compiledLayout), memory: newMemory()}
	before, refused := heap(), []*v1alpha1.NotificationRule{}
	for i := range 2 * len(worst) {
		r := rule("greedy", i)
		if found := c.compile(r, nil); found.Compiled.Rule == nil {
			g.Expect(found.Compiled.Problems.Error()).To(ContainSubstring("more than 64 MiB of memory"))
			refused = append(refused, r)
		}
	}
	held := heap() - before
	t.Logf("%d rules are refused; the others take %d MiB and count as %d", len(refused), held>>20, c.memory.held["n/greedy"]>>20)
	g.Expect(refused).NotTo(BeEmpty())
	g.Expect(held).To(BeNumerically("<", MaxCompiled*5/4))
	g.Expect(c.compile(rule("modest", 0), nil).Compiled.Rule).NotTo(BeNil())

	// A deleted rule makes room for another one, which is compiled again only then.
	g.Expect(c.compile(refused[0], nil)).To(BeIdenticalTo(c.compile(refused[0], nil)))
	for i := range 4 {
		c.forget(rule("greedy", i))
	}
	g.Expect(c.compile(refused[0], nil).Compiled.Rule).NotTo(BeNil())
	for i := range 2 * len(worst) {
		c.forget(rule("greedy", i))
	}
	g.Expect(c.memory.held).To(HaveLen(1))
	runtime.KeepAlive(c)
}
