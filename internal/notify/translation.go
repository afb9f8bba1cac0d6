// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/python"
)

// texts are the texts of a rule in one language.
type texts struct {
	language string // a language tag; empty for the rule's own texts
	text     *field
	subject  *field // nil: no subject or title
	html     *field // nil: no HTML part

	contentSID   string        // of an SMS through WhatsApp
	placeholders []placeholder // of contentSID
}

// translation parses the texts of one translation of a rule, as far as it has any; the others
// are the rule's own.
func (c *compiler) translation(r *Rule, of *v1alpha1.RuleTranslation) {
	path := "spec.translations[" + of.Language + "]"
	if slices.ContainsFunc(r.translations, func(t texts) bool { return strings.EqualFold(t.language, of.Language) }) {
		c.problems = append(c.problems, Problem{Field: path, Message: "the language has another translation"})
	}
	t := r.texts
	t.language = of.Language
	replace := func(f **field, name, source string, autoescape bool) {
		if source != "" {
			*f = c.optional(path+"."+string(r.channel)+"."+name, source, autoescape)
		}
	}
	of.Each(func(channel v1alpha1.Channel) {
		if channel != v1alpha1.Channel(r.channel) {
			c.problems = append(c.problems, Problem{Field: path + "." + string(channel), Message: fmt.Sprintf("the rule's channel is %s: set the texts of that", r.channel)})
		}
	})
	switch {
	case of.Email != nil:
		replace(&t.subject, "subject", of.Email.Subject, false)
		replace(&t.text, "text", of.Email.Text, false)
		replace(&t.html, "html", of.Email.HTML, true)
	case of.SMS != nil:
		replace(&t.text, "message", of.SMS.Message, false)
		c.whatsAppTranslation(&t, path+".sms.whatsApp", of.SMS.WhatsApp)
	case of.Push != nil:
		replace(&t.subject, "title", of.Push.Title, false)
		replace(&t.text, "message", of.Push.Message, false)
	case of.System != nil:
		replace(&t.subject, "title", of.System.Title, false)
		replace(&t.text, "message", of.System.Message, false)
	}
	r.translations = append(r.translations, t)
}

// whatsAppTranslation parses what an SMS through WhatsApp has in another language. It is
// unused if the rule doesn't send through WhatsApp.
func (c *compiler) whatsAppTranslation(t *texts, path string, of *v1alpha1.WhatsAppTranslation) {
	if of == nil || t.contentSID == "" {
		return
	}
	t.contentSID = cmp.Or(of.ContentSID, t.contentSID)
	if len(of.ContentVariables) > 0 {
		t.placeholders = c.contentVariables(path, of.ContentVariables)
	}
}

// chooseLanguage returns the index of the language that suits a user best: that of the user,
// else the same with fewer subtags; -1 if there is none.
func chooseLanguage[T any](available []T, language func(*T) string, wanted string) int {
	for wanted = strings.ReplaceAll(wanted, "_", "-"); wanted != ""; {
		for i := range available {
			if strings.EqualFold(language(&available[i]), wanted) {
				return i
			}
		}
		wanted = wanted[:max(strings.LastIndexByte(wanted, '-'), 0)]
	}
	return -1
}

// HasLanguage reports whether a layout has a translation for messages in a language.
func HasLanguage(layout *v1alpha1.NotificationLayout, language string) bool {
	return chooseLanguage(layout.Spec.Translations, func(t *v1alpha1.LayoutTranslation) string { return t.Language }, language) >= 0
}

// textsFor returns the rule's texts for a user's language.
func (r *Rule) textsFor(language string) *texts {
	if i := chooseLanguage(r.translations, func(t *texts) string { return t.language }, language); i >= 0 {
		return &r.translations[i]
	}
	return &r.texts
}

// recipientsByText are the recipients who get a message in the same language.
type recipientsByText struct {
	texts *texts
	to    []addressee
}

// byLanguage divides the recipients by the texts that they get, in the order of the first of
// each.
func (r *Rule) byLanguage(ctx context.Context, event *Event, to []addressee) ([]recipientsByText, error) {
	if len(r.translations) == 0 {
		return []recipientsByText{{&r.texts, to}}, nil
	}
	users := make([]string, len(to))
	for i := range to {
		users[i] = to[i].user
	}
	if err := event.askLanguages(ctx, users); err != nil {
		return nil, err
	}
	var groups []recipientsByText
	for _, a := range to {
		texts := r.textsFor(event.languages[a.user])
		i := slices.IndexFunc(groups, func(g recipientsByText) bool { return g.texts == texts })
		if i < 0 {
			i = len(groups)
			groups = append(groups, recipientsByText{texts: texts})
		}
		groups[i].to = append(groups[i].to, a)
	}
	return groups, nil
}

// MaxLanguage is the length of the longest language tag that is used.
const MaxLanguage = 35

// askLanguages makes sure that the users' languages are known: from the event's data, or else
// from the platform.
func (e *Event) askLanguages(ctx context.Context, users []string) error {
	if e.languages == nil {
		e.languages = map[string]string{}
		for _, user := range [...]*python.Dict{dict(e.data, "user"), dict(dict(e.data, "transaction"), "user"), e.data} {
			if id := userID(user); id != "" {
				value, _ := user.GetStr("language")
				if language, ok := value.(python.Str); ok && language != "" && len(language) <= MaxLanguage {
					e.languages[id] = string(language)
				}
			}
		}
	}
	users = slices.DeleteFunc(users, func(user string) bool {
		_, known := e.languages[user]
		return known || user == ""
	})
	if e.Languages == nil || len(users) == 0 {
		return nil
	}
	slices.Sort(users)
	users = slices.Compact(users)
	found, err := e.Languages(ctx, users)
	if err != nil {
		return fmt.Errorf("reading the users' languages: %w", err)
	}
	for _, user := range users {
		e.languages[user] = found[user]
	}
	return nil
}
