// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package activation decides which CompanyActivation holds a company, carries out the
// platform's requests – activate, deactivate, rotate, purge – and keeps the credentials.
// It is the only code that reads or writes the Secret of an activation.
package activation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// FieldOwner is the owner, in managedFields, of the fields that the operator itself
// writes. Admins may change them through the API.
const FieldOwner = "rehive-extension-operator"

// NewClient creates a manager's client, which writes as FieldOwner.
func NewClient(config *rest.Config, options client.Options) (client.Client, error) {
	c, err := client.New(config, options)
	if err != nil {
		return nil, fmt.Errorf("creating the Kubernetes client: %w", err)
	}
	return client.WithFieldOwner(c, FieldOwner), nil
}

// CompanyField is the field by which CompanyActivations are looked up. It is a selectable
// field of the kind and, under the same name, an index of the manager's cache, so that
// Find can use either as its reader.
const CompanyField = "spec.company"

// RuleField is the field by which the NotificationRules of a CompanyActivation are looked
// up within its namespace. It is a selectable field of the kind and an index of the
// manager's cache.
const RuleField = "spec.companyRef.name"

// Older reports whether a precedes b: by creation time or, because the API server keeps
// whole seconds only, by namespace and name.
func Older(a, b *v1alpha1.CompanyActivation) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	if a.Namespace != b.Namespace {
		return a.Namespace < b.Namespace
	}
	return a.Name < b.Name
}

// MaxNameLength is the maximum length of a CompanyActivation's name, which is also used
// as the value of a label.
const MaxNameLength = validation.LabelValueMaxLength

const digestLength = 20 // hexadecimal digits: 80 bits

// digested matches names that look as if NameFor had appended a digest.
var digested = regexp.MustCompile(`^(.*-)?[0-9a-f]{` + strconv.Itoa(digestLength) + `}$`)

// NameFor returns a name for the CompanyActivation of a company. At the first attempt, 0,
// it is the company's identifier if that is a valid name. Identifiers may also have
// capitals, underscores and more characters than a name can hold; the name then ends in a
// digest of the identifier. So does that of an identifier that looks as if it ended in a
// digest, so that no two companies have the same name.
//
// A name may be taken by another object. Further attempts return other names for the same
// company. A company is therefore never looked up by name.
func NameFor(company string, attempt int) string {
	plain := len(company) <= MaxNameLength && len(validation.IsDNS1123Label(company)) == 0 && !digested.MatchString(company)
	if plain && attempt == 0 {
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
	seed := company
	if attempt > 0 {
		seed += "\n" + strconv.Itoa(attempt) // identifiers have no line breaks
	}
	digest := sha256.Sum256([]byte(seed))
	suffix := hex.EncodeToString(digest[:digestLength/2])
	readable = strings.Trim(readable[:min(len(readable), MaxNameLength-len(suffix)-1)], "-")
	if readable == "" {
		return suffix
	}
	return readable + "-" + suffix
}

// LastChange returns when an object's metadata or spec was last written, in whole
// seconds; writes of its status do not count. It reads the object's managed fields, of
// which the manager's cache keeps only that time, for the kinds that show it.
func LastChange(object client.Object) time.Time {
	changed := object.GetCreationTimestamp().Time
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "" && entry.Time != nil && entry.Time.After(changed) {
			changed = entry.Time.Time
		}
	}
	return changed
}
