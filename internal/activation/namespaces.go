// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// NamespacesFlag is the manager's flag that sets Namespaces. Messages name it, so that a
// person knows what to change.
const NamespacesFlag = "--activation-namespaces"

// Namespaces defines which namespaces may hold the CompanyActivations of which companies.
// The token of a company is stored in the namespace of its activation, so this is a
// decision of the person who runs the operator, not of people who may create a
// CompanyActivation. The zero value allows none. It is safe for concurrent use.
type Namespaces struct {
	own      string
	patterns []string            // namespaces for every company without an entry of its own
	pinned   map[string][]string // patterns of namespaces, by company
	pinnings []pinning           // the same for patterns of companies
}

type pinning struct{ company, namespace string }

var companyEntry = regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9_.*-]{0,99}$`)

// NewNamespaces returns Namespaces that allow own for every company, and additionally the
// entries:
//
//   - "team-a" allows the namespace team-a to hold any company that has no entry of its own;
//   - "acme=team-a" allows team-a to hold the company acme, and keeps acme out of the
//     namespaces above.
//
// An asterisk matches any characters: "team-*", "*".
func NewNamespaces(own string, entries ...string) (Namespaces, error) {
	n := Namespaces{own: own, pinned: make(map[string][]string)}
	for _, entry := range entries {
		company, namespace, pinned := strings.Cut(entry, "=")
		if !pinned {
			namespace = entry
		}
		if len(validation.IsDNS1123Label(strings.ReplaceAll(namespace, "*", "x"))) > 0 {
			return Namespaces{}, fmt.Errorf("%q is not the name of a namespace", namespace)
		}
		switch {
		case !pinned:
			n.patterns = append(n.patterns, namespace)
		case !companyEntry.MatchString(company):
			return Namespaces{}, fmt.Errorf("%q is not the identifier of a company", company)
		case strings.Contains(company, "*"):
			n.pinnings = append(n.pinnings, pinning{company, namespace})
		default:
			n.pinned[company] = append(n.pinned[company], namespace)
		}
	}
	return n, nil
}

// AllNamespaces allows every namespace to hold every company.
func AllNamespaces() Namespaces { return Namespaces{patterns: []string{"*"}} }

// Allows reports whether a namespace may hold a company.
func (n Namespaces) Allows(namespace, company string) bool {
	if namespace == "" || company == "" {
		return false
	}
	if namespace == n.own {
		return true
	}
	matches := func(pattern string) bool { return match(pattern, namespace) }
	own, pinned := n.pinned[company]
	if slices.ContainsFunc(own, matches) {
		return true
	}
	for _, p := range n.pinnings {
		if match(p.company, company) {
			pinned = true
			if matches(p.namespace) {
				return true
			}
		}
	}
	return !pinned && slices.ContainsFunc(n.patterns, matches)
}

func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name) // neither has a slash
	return ok && err == nil
}

// Holder returns the CompanyActivation that holds a company: the oldest one in a
// namespace that may hold it. It holds the company until it is deleted, including while
// it is being deleted. Holder returns nil if there is none.
func (n Namespaces) Holder(ctx context.Context, r client.Reader, company string) (*v1alpha1.CompanyActivation, error) {
	var list v1alpha1.CompanyActivationList
	if err := r.List(ctx, &list, client.MatchingFields{CompanyField: company}); err != nil {
		return nil, fmt.Errorf("listing the CompanyActivations of a company: %w", err)
	}
	var candidates []*v1alpha1.CompanyActivation
	for i := range list.Items {
		if a := &list.Items[i]; n.Allows(a.Namespace, a.Spec.Company) {
			candidates = append(candidates, a)
		}
	}
	return oldest(candidates), nil
}

// Find returns the CompanyActivation in force for a company: its holder, unless that is
// being deleted. It returns nil if there is none. Hot paths use an [Index].
func (n Namespaces) Find(ctx context.Context, r client.Reader, company string) (*v1alpha1.CompanyActivation, error) {
	holder, err := n.Holder(ctx, r, company)
	return inForce(holder), err
}

// oldest returns the oldest candidate, or nil if there is none.
func oldest(candidates []*v1alpha1.CompanyActivation) (found *v1alpha1.CompanyActivation) {
	for _, candidate := range candidates {
		if found == nil || Older(candidate, found) {
			found = candidate
		}
	}
	return found
}

// inForce returns a holder unless it is being deleted. A younger activation does not take
// its place: the company's pending work must never be handled by the rules of another
// namespace.
func inForce(holder *v1alpha1.CompanyActivation) *v1alpha1.CompanyActivation {
	if holder == nil || !holder.DeletionTimestamp.IsZero() {
		return nil
	}
	return holder
}
