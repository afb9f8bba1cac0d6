// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// translationsField is the API's name of the translations, also among parked fields.
const translationsField = "translations"

// translationsPath begins the paths of a rule's translations.
const translationsPath = "spec.translations"

// maxTranslations is how many languages a notification may have besides its own, as in the
// custom resource.
const maxTranslations = 32

const (
	describeTranslations = `The texts in other languages: an object with a member for each language, such as fr or pt-BR, ` +
		`whose members are texts by the names of their fields, such as subject. A text that is missing is the notification's own.`
	describeLayoutTranslations = `The layout in other languages: an object with a member for each language, such as fr or pt-BR, ` +
		`whose members are texts by the names of their fields, such as html_layout. A text that is missing is the layout's own.`
)

// contentVariablesField is the one field whose translations are objects, not texts.
const contentVariablesField = "whatsapp_content_variables"

// translatedTexts are the fields of notifications that have translations, with their maximum
// lengths in characters.
var translatedTexts = map[string]int{
	"subject": maxLine, "html_message": maxBody, "text_message": maxBody, "sms_message": maxShort, "push_message": maxShort,
	"whatsapp_content_sid": maxContentSID, contentVariablesField: maxBody,
}

// translatedLayouts are the same for layouts.
var translatedLayouts = map[string]int{"html_layout": maxBody, "text_layout": maxBody, "sms_layout": maxBody, "push_layout": maxBody}

// translatedNames are the fields of both, in alphabetical order.
var translatedNames = slices.Sorted(func(yield func(string) bool) {
	for _, fields := range []map[string]int{translatedTexts, translatedLayouts} {
		for name := range fields {
			if !yield(name) {
				return
			}
		}
	}
})

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// translations are texts by language and by the API's name of their field. Those of
// contentVariablesField are JSON objects.
type translations map[string]map[string]string

// isTranslations returns the check of a field translations that accepts the given texts.
func isTranslations(texts map[string]int) func(json.RawMessage) string {
	return func(raw json.RawMessage) string {
		if message := rest.IsObject(raw); message != "" {
			return message
		}
		all, err := decodeTranslations(raw)
		if err != nil {
			return notify.Capitalized(err.Error()) + "."
		}
		return all.check(texts)
	}
}

// check returns what is wrong with the translations, or "".
func (t translations) check(texts map[string]int) string {
	if len(t) > maxTranslations {
		return fmt.Sprintf("Ensure this field has no more than %d languages.", maxTranslations)
	}
	for _, language := range slices.Sorted(maps.Keys(t)) {
		if len(language) > maxLanguage || !languageTag.MatchString(language) {
			return fmt.Sprintf("%q is not a language tag, such as fr or pt-BR.", shortened(language))
		}
		for _, name := range slices.Sorted(maps.Keys(t[language])) {
			limit, known := texts[name]
			if !known {
				return fmt.Sprintf("%s: %q is not a text that has translations.", language, shortened(name))
			}
			if message := rest.CheckText(t[language][name], limit); message != "" && t[language][name] != "" {
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

// decodeTranslations reads translations in the API's form. The error is for their author.
func decodeTranslations(raw json.RawMessage) (translations, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	errForm := errors.New(`give an object of texts for each language, as in {"fr": {"subject": "…"}}`)
	var decoded map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return nil, errForm
	}
	all := make(translations, len(decoded))
	for language, texts := range decoded {
		all[language] = make(map[string]string, len(texts))
		for name, value := range texts {
			var text string
			if name == contentVariablesField {
				values, err := contentVariables(value)
				if err != nil {
					return nil, fmt.Errorf("give an object of strings and numbers as %s of %s", name, shortened(language))
				}
				text = string(encodeContentVariables(values))
			} else if json.Unmarshal(value, &text) != nil {
				return nil, errForm
			}
			all[language][name] = text
		}
	}
	return all, nil
}

// encode returns the translations in the API's form, in alphabetical order and without empty
// texts, or nil if there are none. Lists of notifications consist mostly of them.
func (t translations) encode() json.RawMessage {
	size := 0
	for _, texts := range t {
		for name, text := range texts {
			if text != "" {
				size += len(name) + len(text) + len(`"":"",`)
			}
		}
	}
	if size == 0 {
		return nil
	}
	out := make(json.RawMessage, 0, size+size/8)
	for _, language := range slices.Sorted(maps.Keys(t)) {
		texts, begun := t[language], false
		for _, name := range translatedNames {
			text := texts[name]
			switch {
			case text == "":
				continue
			case begun:
				out = append(out, ',')
			default:
				out = append(out, "{,"[min(len(out), 1)])
				out = append(rest.AppendString(out, language), ':', '{')
			}
			begun = true
			out = append(rest.AppendString(out, name), ':')
			if name == contentVariablesField {
				out = append(out, text...)
			} else {
				out = rest.AppendString(out, text)
			}
		}
		if begun {
			out = append(out, '}')
		}
	}
	if len(out) == 0 {
		return nil
	}
	return append(out, '}')
}

// without returns the translations of the fields that aren't own.
func (t translations) without(own func(name string) bool) translations {
	others := make(translations, len(t))
	for language, texts := range t {
		others[language] = maps.Clone(texts)
		maps.DeleteFunc(others[language], func(name, _ string) bool { return own(name) })
	}
	return others
}

// unpark adds the parked translations of the fields that aren't own.
func (t translations) unpark(parked map[string]string, known map[string]int, own func(name string) bool) {
	others, err := decodeTranslations(json.RawMessage(parked[translationsField]))
	if err != nil || others.check(known) != "" {
		return // the annotation was edited manually
	}
	for language, texts := range others.without(own) {
		if t[language] == nil {
			t[language] = map[string]string{}
		}
		maps.Copy(t[language], texts)
	}
}

// readTranslations returns the translations of a rule.
func readTranslations(of []v1alpha1.RuleTranslation) translations {
	all := make(translations, len(of))
	for i := range of {
		all[of[i].Language] = textsOf(&of[i])
	}
	return all
}

// textsOf returns the texts of a translation that aren't empty, by the API's names. If a name
// stands for texts of several channels, which only an invalid rule has, it is the first one.
func textsOf(t *v1alpha1.RuleTranslation) map[string]string {
	email, sms, push, system := value(t.Email), value(t.SMS), value(t.Push), value(t.System)
	whatsApp := value(sms.WhatsApp)
	texts := make(map[string]string, 3)
	add := func(name, text string) {
		if text != "" {
			texts[name] = text
		}
	}
	add("whatsapp_content_sid", whatsApp.ContentSID)
	add(contentVariablesField, string(encodeContentVariables(whatsApp.ContentVariables)))
	add("subject", cmp.Or(email.Subject, push.Title, system.Title))
	add("html_message", email.HTML)
	add("text_message", cmp.Or(email.Text, system.Message))
	add("sms_message", sms.Message)
	add("push_message", push.Message)
	return texts
}

// ownTexts returns the texts of a rule that may have translations, by the API's names.
func ownTexts(spec *v1alpha1.NotificationRuleSpec) map[string]string {
	email, sms, push, system := value(spec.Email), value(spec.SMS), value(spec.Push), value(spec.System)
	whatsApp := value(sms.WhatsApp)
	return textsOf(&v1alpha1.RuleTranslation{
		Email:  &v1alpha1.EmailTranslation{Subject: email.Subject, HTML: email.HTML, Text: email.Text},
		SMS:    &v1alpha1.SMSTranslation{Message: sms.Message, WhatsApp: &v1alpha1.WhatsAppTranslation{ContentSID: whatsApp.ContentSID}},
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

// forRule returns the translations for a rule of a channel, without texts that the channel
// doesn't have.
func (t translations) forRule(kind string) []v1alpha1.RuleTranslation {
	var of []v1alpha1.RuleTranslation
	for _, language := range slices.Sorted(maps.Keys(t)) {
		texts := t[language]
		t := v1alpha1.RuleTranslation{Language: language}
		switch v1alpha1.Channel(kind) {
		case v1alpha1.ChannelEmail:
			t.Email = unlessZero(&v1alpha1.EmailTranslation{Subject: texts["subject"], HTML: texts["html_message"], Text: texts["text_message"]})
		case v1alpha1.ChannelSMS:
			sms := &v1alpha1.SMSTranslation{Message: texts["sms_message"]}
			values, _ := contentVariables(json.RawMessage(texts[contentVariablesField])) // checked when they were decoded
			if sid := texts["whatsapp_content_sid"]; sid != "" || len(values) > 0 {
				sms.WhatsApp = &v1alpha1.WhatsAppTranslation{ContentSID: sid, ContentVariables: values}
			}
			t.SMS = unlessZero(sms)
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

// ownField reports whether the notification's type has a field.
func (m *message) ownField(name string) bool {
	_, own := channelFields[m.kind][name]
	return own
}

// writeTranslations stores the notification's translations in its rule, those of other types
// excepted, which are parked. Those of a rule that were not changed stay as they are.
func (n *notification) writeTranslations(spec *v1alpha1.NotificationRuleSpec) {
	all, _ := decodeTranslations(n.translations) // checked when it was received
	if !bytes.Equal(n.translations, n.storedTranslations) || n.kind != n.storedKind {
		spec.Translations = all.forRule(n.kind)
	}
	n.translations = all.encode() // the answer shows what is stored
}

// translated returns the language and the API's name of the field at a path within
// translations, as in fr, subject; ok is false for other paths. Names returns the API's name
// of the same field of the object itself.
func translated(path string, names func(path string) string) (place string, ok bool) {
	rest, ok := strings.CutPrefix(path, translationsPath+"[")
	if !ok {
		return "", false
	}
	language, field, _ := strings.Cut(rest, "]")
	if field == "" {
		return language, true
	}
	return language + ", " + cmp.Or(names("spec"+field), strings.TrimPrefix(field, ".")), true
}
