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
	// maxPaused is how many companies' failures are remembered.
	maxPaused = 4096
	// languageTTL is how long a user's language is used before the platform is asked again.
	// People rarely change it, and each question is one of the company's platform calls.
	languageTTL = 24 * time.Hour
	// languageTimeout is how long a lookup may take, waiting for its turn included.
	languageTimeout = 3 * time.Second
	// languageWait is the age of an event up to which its messages wait for the turn of a
	// lookup that was held back, because the company's calls are paced.
	languageWait = 2 * time.Minute
	// languagePause is how long no language is looked up for a company after a failure.
	languagePause = time.Minute
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
	// paused are the companies for which a lookup failed, each until a time.
	paused *lru.Cache[string, time.Time]
	// timeout is languageTimeout, except in tests.
	timeout time.Duration
}

func newLanguageCache() *languageCache {
	known, _ := lru.New[languageKey, knownLanguage](maxLanguages) // it fails for sizes below 1
	paused, _ := lru.New[string, time.Time](maxPaused)
	return &languageCache{known: known, paused: paused, timeout: languageTimeout}
}

// languagesOf returns a function that reads the languages of a company's users, see
// [notify.Event.Languages]. A receipt in another language is better than none, so if the
// platform doesn't answer soon, the messages are sent in the rules' own language. Age is how
// long ago the event was received.
func (d *Dispatcher) languagesOf(company *v1alpha1.CompanyActivation, age time.Duration) func(context.Context, []string) (map[string]string, error) {
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
		if until, ok := d.languages.paused.Get(company.Spec.Company); len(unknown) == 0 || ok && now.Before(until) {
			return found, nil
		}
		token, err := d.Catalog.Token(ctx, company)
		if err != nil {
			return nil, err
		}
		records, err := d.lookUpUsers(ctx, token, unknown)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil, fmt.Errorf("reading users: %w", err)
		case rehive.IsPermanent(err) && !rehive.IsUnauthorized(err):
			records = nil // the platform won't say, so it isn't asked again
		case rehive.IsHeldBack(err) && age < languageWait:
			return nil, fmt.Errorf("reading users: %w", err)
		default:
			d.languages.paused.Add(company.Spec.Company, now.Add(languagePause))
			d.Log.Info("Sending in the rules' own language, because the users' languages could not be read",
				"company", company.Spec.Company, "reason", err.Error(), "pause", languagePause.String())
			return found, nil
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

// lookUpUsers reads users from the platform within the cache's time limit.
func (d *Dispatcher) lookUpUsers(ctx context.Context, token string, users []string) ([]rehive.UserRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, d.languages.timeout)
	defer cancel()
	return d.Platform.WithToken(token).Paced().UsersByID(ctx, users)
}
