// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	NewWithT(t).Expect(k8s.Create(t.Context(), namespace)).To(Succeed())
	return namespace.Name
}

func declare(t *testing.T, namespace, name, company string) *v1alpha1.CompanyActivation {
	t.Helper()
	a := &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.CompanyActivationSpec{Company: company},
	}
	NewWithT(t).Expect(k8s.Create(t.Context(), a)).To(Succeed())
	return a
}

// all allows every namespace.
var all = AllNamespaces()

func TestFindReturnsTheOldestOfTheCompany(t *testing.T) {
	g := NewWithT(t)
	one, two := newNamespace(t), newNamespace(t)
	company := "company-" + one
	find := func() (*v1alpha1.CompanyActivation, error) { return all.Find(t.Context(), k8s, company) }
	g.Expect(find()).To(BeNil())

	first := declare(t, two, "b", company)
	declare(t, one, "another", "another-"+one)
	g.Expect(find()).To(HaveField("UID", first.UID))
	second := declare(t, two, "c", company)
	g.Expect(find()).To(HaveField("UID", first.UID))

	// While it is being deleted, it holds the company but is not in force.
	first.Finalizers = []string{v1alpha1.CompanyActivationFinalizer}
	g.Expect(k8s.Update(t.Context(), first)).To(Succeed())
	g.Expect(k8s.Delete(t.Context(), first)).To(Succeed())
	g.Expect(find()).To(BeNil())
	g.Expect(all.Holder(t.Context(), k8s, company)).To(HaveField("UID", first.UID))
	release(t, first)
	g.Expect(find()).To(HaveField("UID", second.UID))
}

// release removes an object's finalizers.
func release(t *testing.T, a *v1alpha1.CompanyActivation) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	NewWithT(t).Expect(client.IgnoreNotFound(k8s.Patch(t.Context(), a, patch))).To(Succeed())
}

// TestNamespacesDecideWhoHolds: the first person to declare a company in their own
// namespace must not receive its token.
func TestNamespacesDecideWhoHolds(t *testing.T) {
	g := NewWithT(t)
	own, foreign := newNamespace(t), newNamespace(t)
	company := "company-" + own
	squatter := declare(t, foreign, "shop", company)
	namespaces, err := NewNamespaces(own)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(namespaces.Find(t.Context(), k8s, company)).To(BeNil())

	ctx, cancel := context.WithCancel(t.Context())
	objects, err := cache.New(config, cache.Options{Scheme: k8s.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	index, err := NewIndex(ctx, objects, namespaces)
	g.Expect(err).NotTo(HaveOccurred())
	stopped := make(chan error, 1)
	go func() { stopped <- objects.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})
	g.Expect(index.Find(ctx, company)).To(BeNil())
	g.Expect(index.Find(ctx, "")).To(BeNil(), "the company without an identifier has no activations")

	mine := declare(t, own, "shop", company)
	g.Expect(namespaces.Find(t.Context(), k8s, company)).To(HaveField("UID", mine.UID), "though %s is older", squatter.Namespace)
	g.Eventually(func() (*v1alpha1.CompanyActivation, error) { return index.Find(ctx, company) }).
		WithTimeout(3 * time.Minute).Should(HaveField("UID", mine.UID))
}

func TestNamespaces(t *testing.T) {
	g := NewWithT(t)
	n, err := NewNamespaces("rehive", "team-a", "wallets-*", "acme=team-b", "acme=team-c", "bank-*=banks", "Bank.1=team-a")
	g.Expect(err).NotTo(HaveOccurred())
	for company, namespaces := range map[string]map[string]bool{
		"shop":   {"rehive": true, "team-a": true, "wallets-1": true, "wallets": false, "team-b": false, "banks": false, "": false},
		"acme":   {"rehive": true, "team-b": true, "team-c": true, "team-a": false, "wallets-1": false},
		"bank-1": {"rehive": true, "banks": true, "team-a": false},
		"Bank.1": {"rehive": true, "team-a": true, "wallets-1": false},
		"":       {"rehive": false, "team-a": false},
	} {
		for namespace, want := range namespaces {
			g.Expect(n.Allows(namespace, company)).To(Equal(want), "%s in %s", company, namespace)
		}
	}
	g.Expect(Namespaces{}.Allows("rehive", "shop")).To(BeFalse(), "the zero value allows none")
	g.Expect(all.Allows("any", "shop")).To(BeTrue())
	for _, entry := range []string{"", "=", "acme=", "=team-a", "Team", "team_a", "a=b=c", "a/b=c", "[a]", "a[=b", "team-a "} {
		_, err := NewNamespaces("rehive", entry)
		g.Expect(err).To(HaveOccurred(), "%q", entry)
	}
}

func TestOlder(t *testing.T) {
	g := NewWithT(t)
	early := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	late := metav1.NewTime(early.Add(time.Second))
	object := func(namespace, name string, created metav1.Time) *v1alpha1.CompanyActivation {
		return &v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: created}}
	}
	ordered := []*v1alpha1.CompanyActivation{
		object("z", "z", early), object("a", "b", late), object("a", "c", late), object("b", "a", late),
	}
	for i, a := range ordered {
		for j, b := range ordered {
			g.Expect(Older(a, b)).To(Equal(i < j), "%s/%s before %s/%s", a.Namespace, a.Name, b.Namespace, b.Name)
		}
	}
}

func TestNameFor(t *testing.T) {
	g := NewWithT(t)
	g.Expect(NameFor("shop-1", 0)).To(Equal("shop-1"))
	g.Expect(NameFor(strings.Repeat("a", 62)+"z", 0)).To(Equal(strings.Repeat("a", 62) + "z"))
	companies := []string{
		"Shop", "shop", "SHOP", "my_shop", "my-shop", "my.shop", "shop-", "shop_", "-", "_", "A",
		strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("_", 100), strings.Repeat("a", 99) + "b",
		"my-shop-6c8c0c216c",
	}
	// Companies may choose identifiers that collide with the names of others, repeatedly.
	for range 3 {
		for _, company := range companies {
			companies = append(companies, NameFor(company, 0), NameFor(company, 1))
		}
		slices.Sort(companies)
		companies = slices.Compact(companies)
	}
	names := make(map[string]string)
	for _, company := range companies {
		name := NameFor(company, 0)
		g.Expect(validation.IsDNS1123Label(name)).To(BeEmpty(), company)
		g.Expect(names).NotTo(HaveKey(name), "%s and %s share a name", company, names[name])
		names[name] = company
		for attempt := 1; attempt < 4; attempt++ {
			other := NameFor(company, attempt)
			g.Expect(validation.IsDNS1123Label(other)).To(BeEmpty(), company)
			g.Expect(other).NotTo(Equal(NameFor(company, attempt-1)))
		}
	}
}

func TestCompanyFieldIsSelectable(t *testing.T) {
	g := NewWithT(t)
	a := declare(t, newNamespace(t), "shop", "Selected_Company")
	var list v1alpha1.CompanyActivationList
	g.Expect(k8s.List(t.Context(), &list, client.MatchingFields{CompanyField: "Selected_Company"})).To(Succeed())
	g.Expect(list.Items).To(ConsistOf(HaveField("UID", a.UID)))
}

func TestIndexFollowsTheCache(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(3 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	objects, err := cache.New(config, cache.Options{Scheme: k8s.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	index, err := NewIndex(ctx, objects, all)
	g.Expect(err).NotTo(HaveOccurred())
	namespace := newNamespace(t)
	company := "company-" + namespace
	first := declare(t, namespace, "first", company)

	// Lookups wait until the cache has synced.
	waiting, end := context.WithCancel(ctx)
	end()
	_, err = index.Find(waiting, company)
	g.Expect(err).To(MatchError(context.Canceled))

	stopped := make(chan error, 1)
	go func() { stopped <- objects.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})
	find := func(company string) func() (*v1alpha1.CompanyActivation, error) {
		return func() (*v1alpha1.CompanyActivation, error) { return index.Find(ctx, company) }
	}
	g.Expect(find(company)()).To(HaveField("UID", first.UID))
	g.Expect(find("another-" + company)()).To(BeNil())

	second := declare(t, namespace, "second", company)
	first.Spec.State = v1alpha1.ActivationInactive
	g.Expect(k8s.Update(t.Context(), first)).To(Succeed())
	g.Eventually(find(company)).Should(And(HaveField("UID", first.UID), HaveField("Spec.State", v1alpha1.ActivationInactive)))

	// While it is being deleted, it is not in force, and neither is its successor.
	first.Finalizers = []string{v1alpha1.CompanyActivationFinalizer}
	g.Expect(k8s.Update(t.Context(), first)).To(Succeed())
	g.Expect(k8s.Delete(t.Context(), first)).To(Succeed())
	g.Eventually(find(company)).Should(BeNil())
	release(t, first)
	g.Eventually(find(company)).Should(HaveField("UID", second.UID))
	g.Expect(k8s.Delete(t.Context(), second)).To(Succeed())
	g.Eventually(find(company)).Should(BeNil())
}
