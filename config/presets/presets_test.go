// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package presets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/lint"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/phone"
	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/internal/ruletest"
)

var update = flag.Bool("update", false, "write the rendered presets to the files of expected output")

// expectation is the expected output of a preset for an event: the sample of its kind,
// changed by Data.
type expectation struct {
	Case    string          `json:"case"`
	Data    json.RawMessage `json:"data,omitempty"`
	NotSent string          `json:"notSent,omitempty"`
	To      string          `json:"to,omitempty"`
	Subject string          `json:"subject,omitempty"`
	Text    string          `json:"text,omitempty"`

	html string
}

var company = ruletest.Company

// expectedFile has the expectations of a preset.
const expectedFile = "expected.yaml"

func all(t *testing.T) []v1alpha1.NotificationTemplate {
	t.Helper()
	templates, err := Templates()
	if err != nil || len(templates) < 30 {
		t.Fatalf("%d templates, %v", len(templates), err)
	}
	return templates
}

func compile(t *testing.T, template *v1alpha1.NotificationTemplate) *notify.Rule {
	t.Helper()
	rule, problems := notify.Compile(&v1alpha1.NotificationRule{Spec: template.RuleSpec("northwind")})
	if problems != nil {
		t.Fatal(problems)
	}
	return rule
}

// layouts are the compiled layouts by name.
func layouts(t *testing.T) map[string]*notify.Layout {
	t.Helper()
	objects, err := Layouts()
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d layouts, %v", len(objects), err)
	}
	compiled := map[string]*notify.Layout{}
	for i := range objects {
		layout, problems := notify.CompileLayout(&objects[i])
		if problems != nil {
			t.Fatal(problems)
		}
		for _, warning := range lint.Layout(&objects[i]) {
			t.Errorf("%s: %v", objects[i].Name, warning)
		}
		if objects[i].Labels[v1alpha1.LayoutTemplateLabel] != "true" {
			t.Errorf("%s is not marked as a layout template", objects[i].Name)
		}
		compiled[objects[i].Name] = layout
	}
	return compiled
}

// TestPresetsRenderAsExpected renders each preset for each case of its expected.yaml. It
// compares the HTML of the first email, without a layout, with message.html.
func TestPresetsRenderAsExpected(t *testing.T) {
	for _, template := range all(t) {
		t.Run(template.Name, func(t *testing.T) {
			rule := compile(t, &template)
			raw, want := expected(t, template.Name)
			got := make([]expectation, len(want))
			sends, silent := false, false
			for i := range want {
				got[i] = decide(t, rule, template.Spec.Event, want[i])
				sends, silent = sends || got[i].NotSent == "", silent || got[i].NotSent == string(notify.ExpressionFalse)
				if !*update && !same(got[i], want[i]) {
					t.Errorf("%s: got\n%+v\nwant\n%+v", want[i].Case, got[i], want[i])
				}
			}
			if !sends || silent != (template.Spec.Expression != "") {
				t.Errorf("the cases include a message: %t, a false expression: %t", sends, silent)
			}
			if template.Spec.Email != nil {
				checkHTML(t, template.Name, got[0].html)
			}
			if *update {
				write(t, filepath.Join(template.Name, expectedFile), raw, got)
			}
		})
	}
}

func checkHTML(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join(name, "message.html")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nrendered was\n%s", file, want, got)
	}
}

// write keeps the license above the list.
func write(t *testing.T, file string, before []byte, cases []expectation) {
	t.Helper()
	head, _, _ := bytes.Cut(before, []byte("\n\n"))
	raw, err := yaml.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, slices.Concat(head, []byte("\n\n"), raw), 0o644); err != nil {
		t.Fatal(err)
	}
}

func same(a, b expectation) bool {
	return a.NotSent == b.NotSent && a.To == b.To && a.Subject == b.Subject && a.Text == b.Text
}

func decide(t *testing.T, rule *notify.Rule, name string, c expectation) expectation {
	t.Helper()
	event, err := notify.NewEvent(name, company, changed(t, name, c.Data), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), nil)
	if err != nil {
		t.Fatal(err)
	}
	decision, err := (&notify.Compiled{Rule: rule}).Decide(t.Context(), event, "")
	if err != nil {
		t.Fatal(err)
	}
	result := expectation{Case: c.Case, Data: c.Data}
	if len(decision.NotSent) > 0 {
		result.NotSent = string(decision.NotSent[0].Reason)
		if decision.NotSent[0].Reason.Failure() {
			t.Errorf("%s: %+v", c.Case, decision.NotSent[0])
		}
		return result
	}
	if len(decision.Messages) != 1 {
		t.Fatalf("%s: %d messages", c.Case, len(decision.Messages))
	}
	m := decision.Messages[0]
	result.To, result.Subject, result.Text, result.html = m.Recipient, m.Subject, m.Text, m.HTML
	return result
}

// changed applies a merge patch to the sample of an event. The result must match the
// catalogue.
func changed(t *testing.T, name string, patch []byte) []byte {
	t.Helper()
	event := &v1alpha1.RuleTestEvent{}
	if patch != nil {
		event.Changes = &runtime.RawExtension{Raw: patch}
	}
	data, err := ruletest.Data(event, name)
	if err != nil {
		t.Fatal(err)
	}
	if patch != nil {
		for _, difference := range platformevent.Lookup(name).Differences(data) {
			t.Error(difference)
		}
	}
	return data
}

// expected returns the cases of a preset.
func expected(t *testing.T, preset string) (raw []byte, cases []expectation) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(preset, expectedFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(raw, &cases); err != nil {
		t.Fatal(err)
	}
	return raw, cases
}

// TestSubjectsHaveNoCodes checks that subjects and titles, which locked screens show,
// contain no codes.
func TestSubjectsHaveNoCodes(t *testing.T) {
	secrets := []string{"token", "key", "otp", "uid", "url"}
	for _, template := range all(t) {
		spec := template.RuleSpec("northwind")
		spec.Expression = ""
		switch {
		case spec.Email != nil:
			spec.Email = &v1alpha1.EmailMessage{To: "{{ email }}", Subject: spec.Email.Subject, Text: "text"}
			for i := range spec.Translations {
				spec.Translations[i].Email = &v1alpha1.EmailTranslation{Subject: spec.Translations[i].Email.Subject}
			}
		case spec.Push != nil:
			spec.Push = &v1alpha1.PushMessage{ToUser: "{{ id }}", Title: spec.Push.Title, Message: spec.Push.Message}
		default:
			continue
		}
		rule, problems := notify.Compile(&v1alpha1.NotificationRule{Spec: spec})
		if problems != nil {
			t.Fatal(problems)
		}
		for _, path := range rule.Variables() {
			if slices.Contains(secrets, path[strings.LastIndexByte(path, '.')+1:]) {
				t.Errorf("%s shows %s in its subject or title", template.Name, path)
			}
		}
	}
}

// TestPresetVariablesExist checks that the catalogue has all variables of each preset.
func TestPresetVariablesExist(t *testing.T) {
	for _, template := range all(t) {
		event := platformevent.Lookup(template.Spec.Event)
		for _, path := range compile(t, &template).Variables() {
			if _, ok := event.Find(path); !ok && !strings.HasPrefix(path, "context.company.") {
				t.Errorf("%s reads %s, which %s doesn't have", template.Name, path, event.Name)
			}
		}
	}
}

// TestPresetsHaveNoNull keeps presets applicable with kubectl: without --server-side, kubectl apply
// removes every null before it sends an object, so that tests would be about other events.
func TestPresetsHaveNoNull(t *testing.T) {
	for _, template := range all(t) {
		for _, test := range template.Spec.Tests {
			raw, err := json.Marshal(test.Event)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(raw, []byte(":null")) {
				t.Errorf("%s: the event of the test %q has a null: write '' instead", template.Name, test.Name)
			}
		}
	}
}

// TestPresetsAreDocumented compares the table in the docs with the directory.
func TestPresetsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/notificationtemplate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range all(t) {
		if !bytes.Contains(page, []byte("`"+template.Name+"`")) {
			t.Errorf("docs/notificationtemplate.md doesn't list %s", template.Name)
		}
	}
}

// TestDefaults checks that a company receives rules for messages that Rehive doesn't send
// itself, and only emails, which need no provider of the company.
func TestDefaults(t *testing.T) {
	var names []string
	for _, template := range all(t) {
		if template.Spec.Default {
			names = append(names, template.Name)
			if template.Spec.Email == nil || strings.HasPrefix(template.Name, "verify-") {
				t.Errorf("%s must not be a default", template.Name)
			}
		}
	}
	want := []string{"confirm-deactivation", "confirm-deletion", "reset-password", "set-password", "transaction-received", "transaction-sent"}
	if !slices.Equal(names, want) {
		t.Errorf("the defaults are %q, want %q", names, want)
	}
}

// maxSize is the size at which mail programs truncate emails, 102 KB, less room for a
// company's additions.
const maxSize = 60 << 10

// TestHTML checks that each email in each layout is readable in all mail programs.
func TestHTML(t *testing.T) {
	for name, layout := range layouts(t) {
		for _, template := range all(t) {
			if template.Spec.Email == nil {
				continue
			}
			_, cases := expected(t, template.Name)
			got := decide(t, compile(t, &template).WithLayout(layout), template.Spec.Event, cases[0])
			where := template.Name + " in " + name
			if len(got.html) == 0 || len(got.html) > maxSize {
				t.Errorf("%s has %d bytes", where, len(got.html))
			}
			if strings.TrimSpace(got.Text) == "" || strings.Contains(got.Text, "<p>") || strings.Contains(got.Text, "&amp;") {
				t.Errorf("%s: the text part is %q", where, got.Text)
			}
			checkDocument(t, where, "en", got.html)
		}
	}
}

func checkDocument(t *testing.T, where, language, source string) {
	t.Helper()
	for _, warning := range lint.Email(where, source) {
		t.Error(warning)
	}
	document, err := html.Parse(strings.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for n := range document.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		seen[n.Data]++
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
		}
		switch n.Data {
		case "html":
			if !strings.EqualFold(attributes["lang"], language) || attributes["dir"] != direction(language) {
				t.Errorf("%s: the document has lang %q and dir %q", where, attributes["lang"], attributes["dir"])
			}
		case "img":
			if attributes["alt"] == "" || attributes["height"] == "" || !strings.HasPrefix(attributes["src"], "https://") {
				t.Errorf("%s: the picture has %v", where, attributes)
			}
		case "a":
			if href := attributes["href"]; !strings.HasPrefix(href, "https://") && !strings.HasPrefix(href, "mailto:") {
				t.Errorf("%s: a link to %q", where, href)
			}
		case "table":
			if attributes["role"] != "presentation" {
				t.Errorf("%s: a table without the role presentation", where)
			}
		case "script", "iframe", "form", "link", "video":
			t.Errorf("%s: mail programs don't show <%s>", where, n.Data)
		}
		if n.Data == "meta" && attributes["name"] == "color-scheme" && attributes["content"] == "light dark" {
			seen["dark"]++
		}
	}
	for _, once := range []string{"html", "title", "dark", "body"} {
		if seen[once] != 1 {
			t.Errorf("%s: %d of %s", where, seen[once], once)
		}
	}
	for _, address := range regexp.MustCompile(`http://[^"]*`).FindAllString(source, -1) {
		if address != "http://www.w3.org/1999/xhtml" { // a name space, which is not loaded
			t.Errorf("%s: a link without https: %s", where, address)
		}
	}
}

// languages are those that every preset is in, besides English.
var languages = []string{"fr", "es", "pt", "pt-BR", "ar"}

func direction(language string) string {
	if language == "ar" {
		return "rtl"
	}
	return "ltr"
}

var userLanguage = regexp.MustCompile(`"language":\s*"[^"]*"`)

// TestPresetsInEveryLanguage renders each case of each preset for users of each language.
func TestPresetsInEveryLanguage(t *testing.T) {
	branded := layouts(t)["branded"]
	for _, template := range all(t) {
		t.Run(template.Name, func(t *testing.T) {
			rule := &v1alpha1.NotificationRule{Spec: template.RuleSpec("northwind")}
			if len(rule.Spec.Translations) != len(languages) {
				t.Errorf("%d translations", len(rule.Spec.Translations))
			}
			for _, warning := range lint.Rule(rule) {
				if warning.Field != "spec.event" { // of an extension
					t.Errorf("a warning: %v", warning)
				}
			}
			compiled := compile(t, &template)
			if template.Spec.Email != nil {
				compiled = compiled.WithLayout(branded)
			}
			_, cases := expected(t, template.Name)
			for _, c := range cases {
				if c.NotSent != "" {
					continue
				}
				seen := map[string]string{c.Text: "en"}
				for _, language := range languages {
					m := decideIn(t, compiled, template.Spec.Event, language, c)
					if m.User == "" { // the language of somebody who is not a user is not known
						if m.Language != "" {
							t.Errorf("%s: %s for nobody", c.Case, m.Language)
						}
						continue
					}
					isSame := seen[m.Text] != "" && (language != "pt-BR" || seen[m.Text] != "pt")
					if m.Language != language || isSame {
						t.Errorf("%s: a user of %s gets %s, as of %s:\n%s", c.Case, language, m.Language, seen[m.Text], m.Text)
					}
					seen[m.Text] = language
					if strings.Contains(m.Text, "None") || strings.Contains(m.Text, "  ") || strings.Contains(m.Text, "&amp;") {
						t.Errorf("%s in %s: %s", c.Case, language, m.Text)
					}
					checkTypography(t, c.Case+" in "+language, language, template.Spec.SMS != nil, m)
					if m.HTML != "" {
						checkDocument(t, c.Case+" in "+language, language, m.HTML)
						if !strings.Contains(m.HTML, `<div lang="`+language+`" dir="`+direction(language)+`">`) || len(m.HTML) > maxSize {
							t.Errorf("%s in %s: %s", c.Case, language, m.HTML)
						}
					}
				}
			}
		})
	}
}

func decideIn(t *testing.T, rule *notify.Rule, name, language string, c expectation) notify.Message {
	t.Helper()
	data := userLanguage.ReplaceAll(changed(t, name, c.Data), []byte(`"language":"`+language+`"`))
	event, err := notify.NewEvent(name, company, data, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), nil)
	if err != nil {
		t.Fatal(err)
	}
	event.Languages = func(_ context.Context, users []string) (map[string]string, error) {
		found := map[string]string{}
		for _, user := range users {
			found[user] = language
		}
		return found, nil
	}
	decision, err := (&notify.Compiled{Rule: rule}).Decide(t.Context(), event, "")
	if err != nil || len(decision.Messages) != 1 {
		t.Fatalf("%s in %s: %v, %+v", c.Case, language, err, decision)
	}
	return decision.Messages[0]
}

// TestLayoutsAreBuilt checks that the layouts are what `make layouts` builds from their
// sources. It builds them if MJML is installed.
func TestLayoutsAreBuilt(t *testing.T) {
	const sources = "../../hack/layouts"
	for name := range layouts(t) {
		source, err := os.ReadFile(filepath.Join(sources, name+".mjml"))
		if err != nil {
			t.Fatal(err)
		}
		built, err := os.ReadFile(filepath.Join("layouts", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if digest := fmt.Sprintf("%s.mjml, sha256 %x\n", name, sha256.Sum256(source)); !strings.Contains(string(built), digest) {
			t.Errorf("%s is not built from its source: run make layouts", name)
		}
	}
	if _, err := os.Stat(filepath.Join(sources, "node_modules", "mjml")); err != nil {
		t.Log("MJML is not installed: run make layouts to install it")
		return
	}
	command := exec.CommandContext(t.Context(), "node", "build.mjs", "--check")
	command.Dir = sources
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// Characters that isolate a piece of text from the direction of the text around it.
const leftToRight, firstStrong, popIsolate = "\u2066", "\u2068", "\u2069"

var (
	// ordered are amounts and identifiers, which bidirectional text would reorder.
	ordered = regexp.MustCompile(`(?:\d+\.\d+(?: |&nbsp;)[A-Z]{3}|[0-9a-f]{8}-[0-9a-f-]{27})`)
	// looseAmount is an amount in HTML whose currency may begin a line.
	looseAmount = regexp.MustCompile(`\d\.\d+ [A-Z]{3}\b`)
	// looseMark is French punctuation that may begin a line.
	looseMark = regexp.MustCompile(`\pL [:;?!](\s|$|<)`)
	// straightElision is a French elision that isn't written with a typographic apostrophe.
	straightElision = regexp.MustCompile(`(?i)\b(?:[cdjlmnst]|qu)(?:'|&#x27;)\pL`)
)

// checkTypography checks what the direction and the punctuation of a language need.
func checkTypography(t *testing.T, where, language string, isSMS bool, m notify.Message) {
	t.Helper()
	if segments, _ := phone.Segments(m.Text); isSMS && segments > 1 {
		t.Errorf("%s: %d segments: %s", where, segments, m.Text)
	}
	if amount := looseAmount.FindString(m.HTML); amount != "" {
		t.Errorf("%s: %s may be on two lines", where, amount)
	}
	for name, text := range map[string]string{"subject": m.Subject, "text": m.Text, "HTML": m.HTML} {
		if language == "fr" && !isSMS && straightElision.MatchString(text) { // an SMS would need twice the segments
			t.Errorf("%s: the %s has a straight apostrophe: %s", where, name, text)
		}
		if language == "fr" && !isSMS && looseMark.MatchString(text) {
			t.Errorf("%s: the %s has a mark after a space that may break: %s", where, name, text)
		}
		if opened := strings.Count(text, leftToRight) + strings.Count(text, firstStrong); opened != strings.Count(text, popIsolate) {
			t.Errorf("%s: the %s has isolates without an end: %q", where, name, text)
		}
		if language != "ar" {
			continue
		}
		for _, at := range ordered.FindAllStringIndex(text, -1) {
			before := text[:at[0]]
			if strings.HasSuffix(before, "=") { // in a URL, on a line of its own
				continue
			}
			if !strings.HasSuffix(before, leftToRight) && !strings.HasSuffix(before, `dir="ltr">`) {
				t.Errorf("%s: in the %s, %s may be shown in another order: %q", where, name, text[at[0]:at[1]], text)
			}
		}
		if isSMS && name == "text" && !strings.HasPrefix(text, "\u200f") {
			t.Errorf("%s: the message begins from the left: %q", where, text)
		}
	}
}
