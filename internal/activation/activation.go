// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package activation finds the CompanyActivation in force for a company and
// keeps its credentials. It is the only code that reads or writes the Secret
// of an activation.
package activation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// CompanyField is the field that CompanyActivations are looked up by. It is a
// selectable field of the kind and, under the same name, an index of the
// manager's cache, so that Find works with either as its reader.
const CompanyField = "spec.company"

// RuleField is the field that the NotificationRules of a CompanyActivation are
// looked up by, within its namespace: by its name. It is a selectable field of the
// kind and an index of the manager's cache.
const RuleField = "spec.companyRef.name"

// Find returns the CompanyActivation in force for a company, in whatever
// namespace it is: the oldest one that is not being deleted. It returns nil
// when there is none. Who asks for each event or message has an [Index].
func Find(ctx context.Context, r client.Reader, company string) (*v1alpha1.CompanyActivation, error) {
	var list v1alpha1.CompanyActivationList
	if err := r.List(ctx, &list, client.MatchingFields{CompanyField: company}); err != nil {
		return nil, fmt.Errorf("listing the CompanyActivations of a company: %w", err)
	}
	candidates := make([]*v1alpha1.CompanyActivation, len(list.Items))
	for i := range list.Items {
		candidates[i] = &list.Items[i]
	}
	return inForce(candidates), nil
}

// inForce returns the oldest that is not being deleted, nil if there is none.
func inForce(candidates []*v1alpha1.CompanyActivation) (found *v1alpha1.CompanyActivation) {
	for _, candidate := range candidates {
		if candidate.DeletionTimestamp.IsZero() && (found == nil || Older(candidate, found)) {
			found = candidate
		}
	}
	return found
}

// Older says whether a precedes b: by creation, and among those of one second,
// which is all that the API server keeps, by namespace and name.
func Older(a, b *v1alpha1.CompanyActivation) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	if a.Namespace != b.Namespace {
		return a.Namespace < b.Namespace
	}
	return a.Name < b.Name
}

// MaxNameLength is the longest name a CompanyActivation can have: it is also
// the value of a label.
const MaxNameLength = validation.LabelValueMaxLength

// NameFor returns the name that a company's CompanyActivation gets when the
// operator creates it. It is the company's identifier where that is a valid
// name. A company's identifier may also have capitals, underscores and more
// characters than a name can hold; such a name ends in a digest of the
// identifier, so that two companies never share one.
func NameFor(company string) string {
	if len(company) <= MaxNameLength && len(validation.IsDNS1123Label(company)) == 0 {
		return company
	}
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, company)
	digest := sha256.Sum256([]byte(company))
	suffix := hex.EncodeToString(digest[:5])
	readable = strings.Trim(readable[:min(len(readable), MaxNameLength-len(suffix)-1)], "-")
	if readable == "" {
		return suffix
	}
	return readable + "-" + suffix
}
