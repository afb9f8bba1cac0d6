// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// maxLanguages is how many users' languages are kept, about 200 bytes each.
	maxLanguages = 20_000
	// languageTTL is how long a user's language is used before the platform is asked again.
	// People rarely change it, and each question is one of the company's platform calls.
	languageTTL = 24 * time.Hour
)

type languageKey struct{ company, user string }

type knownLanguage struct {
	language string
	until    time.Time
}

// languageCache keeps the languages of users that events don't name. It is safe for
// concurrent use.
type languageCache struct {
	known *lru.Cache[languageKey, knownLanguage]
}

func newLanguageCache() *languageCache {
	known, _ := lru.New[languageKey, knownLanguage](maxLanguages) // it fails for sizes below 1
	return &languageCache{known: known}
}

// languagesOf returns a function that reads the languages of a company's users, see
// [notify.Event.Languages].
func (d *Dispatcher) languagesOf(company *v1alpha1.CompanyActivation) func(context.Context, []string) (map[string]string, error) {
	return func(ctx context.Context, users []string) (map[string]string, error) {
		now := d.Clock.Now()
		found := make(map[string]string, len(users))
		var unknown []string
		for _, user := range users {
			if k, ok := d.languages.known.Get(languageKey{company.Spec.Company, user}); ok && now.Before(k.until) {
				found[user] = k.language
			} else {
				unknown = append(unknown, user)
			}
		}
		if len(unknown) == 0 {
			return found, nil
		}
		token, err := d.Catalog.Token(ctx, company)
		if err != nil {
			return nil, err
		}
		records, err := d.Platform.WithToken(token).Paced().UsersByID(ctx, unknown)
		if rehive.IsPermanent(err) && !rehive.IsUnauthorized(err) {
			// The platform won't say: the messages are sent in the rules' own language.
			records, err = nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading users: %w", err)
		}
		for i := range records {
			if len(records[i].Language) <= notify.MaxLanguage {
				found[strings.ToLower(records[i].ID)] = records[i].Language
			}
		}
		for _, user := range unknown { // also those whom the company doesn't have
			d.languages.known.Add(languageKey{company.Spec.Company, user}, knownLanguage{found[user], now.Add(languageTTL)})
		}
		return found, nil
	}
}
