// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// translationsPath begins the paths of a rule's translations.
const translationsPath = "spec.translations"

// maxTranslations is how many languages a notification may have besides its own, as in the
// custom resource.
const maxTranslations = 32

const describeTranslations = `The texts in other languages: an object with a member for each language, such as fr or pt-BR, ` +
	`whose members are texts by the names of their fields, such as subject. A text that is missing is the notification's own.`

// translatedTexts are the lengths of the texts that have translations, in characters.
var translatedTexts = map[string]int{
	"subject": maxLine, "html_message": maxBody, "text_message": maxBody, "sms_message": maxShort, "push_message": maxShort,
}

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// translations are texts by language and by the API's name of their field.
type translations map[string]map[string]string

// isTranslations checks the field translations.
func isTranslations(raw json.RawMessage) string {
	if message := rest.IsObject(raw); message != "" {
		return message
	}
	all, err := decodeTranslations(raw)
	if err != nil {
		return `Give an object of texts for each language, as in {"fr": {"subject": "…"}}.`
	}
	if len(all) > maxTranslations {
		return fmt.Sprintf("Ensure this field has no more than %d languages.", maxTranslations)
	}
	for _, language := range slices.Sorted(maps.Keys(all)) {
		if len(language) > maxLanguage || !languageTag.MatchString(language) {
			return fmt.Sprintf("%q is not a language tag, such as fr or pt-BR.", shortened(language))
		}
		for _, name := range slices.Sorted(maps.Keys(all[language])) {
			limit, known := translatedTexts[name]
			if !known {
				return fmt.Sprintf("%s: %q is not a text that has translations.", language, shortened(name))
			}
			if message := rest.CheckText(all[language][name], limit); message != "" && all[language][name] != "" {
				return fmt.Sprintf("%s, %s: %s", language, name, message)
			}
		}
	}
	return ""
}

// maxLanguage is the length of the longest language tag, as in the custom resource.
const maxLanguage = 35

// shortened returns the beginning of a text, for a message.
func shortened(text string) string {
	const most = 40
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "…"
}

func decodeTranslations(raw json.RawMessage) (translations, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil //nolint:nilnil // there are none
	}
	var all translations
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	return all, nil
}

// encodeTranslations returns the translations of a rule in the API's form.
func encodeTranslations(of []v1alpha1.RuleTranslation) json.RawMessage {
	if len(of) == 0 {
		return nil
	}
	all := translations{}
	for i := range of {
		all[of[i].Language] = textsOf(&of[i])
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(all) // strings can always be encoded
	return bytes.TrimSpace(out.Bytes())
}

// textsOf returns the texts of a translation that aren't empty, by the API's names. If a name
// stands for texts of several channels, which only an invalid rule has, it is the first one.
func textsOf(t *v1alpha1.RuleTranslation) map[string]string {
	email, sms, push, system := value(t.Email), value(t.SMS), value(t.Push), value(t.System)
	texts := map[string]string{
		"subject":      cmp.Or(email.Subject, push.Title, system.Title),
		"html_message": email.HTML,
		"text_message": cmp.Or(email.Text, system.Message),
		"sms_message":  sms.Message,
		"push_message": push.Message,
	}
	maps.DeleteFunc(texts, func(_, text string) bool { return text == "" })
	return texts
}

// ownTexts returns the texts of a rule that may have translations, by the API's names.
func ownTexts(spec *v1alpha1.NotificationRuleSpec) map[string]string {
	email, sms, push, system := value(spec.Email), value(spec.SMS), value(spec.Push), value(spec.System)
	return textsOf(&v1alpha1.RuleTranslation{
		Email:  &v1alpha1.EmailTranslation{Subject: email.Subject, HTML: email.HTML, Text: email.Text},
		SMS:    &v1alpha1.SMSTranslation{Message: sms.Message},
		Push:   &v1alpha1.TitledTranslation{Title: push.Title, Message: push.Message},
		System: &v1alpha1.TitledTranslation{Title: system.Title, Message: system.Message},
	})
}

// value returns what a pointer points to, or its zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// ruleTranslations returns the translations for a rule of a channel, without texts that the
// channel doesn't have.
func ruleTranslations(raw json.RawMessage, kind string) []v1alpha1.RuleTranslation {
	all, _ := decodeTranslations(raw) // checked when it was received
	var of []v1alpha1.RuleTranslation
	for _, language := range slices.Sorted(maps.Keys(all)) {
		texts := all[language]
		t := v1alpha1.RuleTranslation{Language: language}
		switch v1alpha1.Channel(kind) {
		case v1alpha1.ChannelEmail:
			t.Email = unlessZero(&v1alpha1.EmailTranslation{Subject: texts["subject"], HTML: texts["html_message"], Text: texts["text_message"]})
		case v1alpha1.ChannelSMS:
			t.SMS = unlessZero(&v1alpha1.SMSTranslation{Message: texts["sms_message"]})
		case v1alpha1.ChannelPush:
			t.Push = unlessZero(&v1alpha1.TitledTranslation{Title: texts["subject"], Message: texts["push_message"]})
		case v1alpha1.ChannelSystem:
			t.System = unlessZero(&v1alpha1.TitledTranslation{Title: texts["subject"], Message: texts["text_message"]})
		}
		if t != (v1alpha1.RuleTranslation{Language: language}) {
			of = append(of, t)
		}
	}
	return of
}

func unlessZero[T comparable](p *T) *T {
	var zero T
	if *p == zero {
		return nil
	}
	return p
}

// writeTranslations stores the notification's translations in its rule. Those of a rule that
// were not changed stay as they are.
func (n *notification) writeTranslations(spec *v1alpha1.NotificationRuleSpec) {
	if !bytes.Equal(n.translations, encodeTranslations(spec.Translations)) || n.kind != n.storedKind {
		spec.Translations = ruleTranslations(n.translations, n.kind)
	}
	n.translations = encodeTranslations(spec.Translations) // the answer shows what is stored
}

// translated returns the language and the API's name of the field at a path within a rule's
// translations, as in fr, subject; ok is false for other paths.
func (n *notification) translated(path string) (place string, ok bool) {
	rest, ok := strings.CutPrefix(path, translationsPath+"[")
	if !ok {
		return "", false
	}
	language, field, _ := strings.Cut(rest, "]")
	for name, fieldPath := range channelFields[n.kind] {
		if field != "" && "spec"+field == fieldPath {
			return language + ", " + name, true
		}
	}
	return language + strings.TrimPrefix(field, "."), true
}
