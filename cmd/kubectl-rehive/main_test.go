// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	. "github.com/onsi/gomega"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// plugin runs a command line with an input.
func plugin(ctx context.Context, in string, args ...string) (status int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	status = run(ctx, args, genericiooptions.IOStreams{In: strings.NewReader(in), Out: &stdout, ErrOut: &stderr})
	return status, stdout.String(), stderr.String()
}

const (
	head = `apiVersion: extensions.rehive.com/v1alpha1
kind: NotificationRule
metadata: {name: payment}
spec:
  companyRef: {name: shop}
  displayName: Payment
  event: transaction.execute
`
	wrong = head + `  expression: "'{{ status }}' == 'complete'"
  email:
    to: "{{ user.email }}"
    subject: Hi
    text: |
      Hello
        {% iff x %}
`
	right = head + `  expression: "'{{ status }}' == 'Complete'"
  email: {to: "{{ user.email }}", subject: "Hi", text: "You received {{ amount|money:2 }}", layoutRef: {name: frame}}
  tests:
  - name: a payment
    event: {changes: {amount: 2500}}
    expect: {text: {equals: "Dear customer\nYou received 25.00"}}
  - name: pending
    event: {changes: {status: Pending}}
    expect: {sent: false, reason: ExpressionFalse}
`
	frame = `
---
apiVersion: extensions.rehive.com/v1alpha1
kind: NotificationLayout
metadata: {name: frame}
spec: {text: "Dear customer\n{{ content }}"}
`
)

func TestLint(t *testing.T) {
	for name, test := range map[string]struct {
		in     string
		args   []string
		status int
		want   []string
	}{
		"mistakes": {wrong, nil, 1, []string{
			"standard input: NotificationRule payment\n",
			"  error:   spec.email.text, line 2, column 3: Invalid block tag on line 2: 'iff'. Did you forget to register or load this tag?\n      2 |   {% iff x %}\n        |   ^\n",
			"  warning: spec.expression, line 1, column 19: status is never 'complete': write 'Complete'\n",
			"1 object checked: 1 error, 1 warning\n",
		}},
		"right":             {right + frame, []string{"--strict"}, 0, []string{"2 objects checked: 0 errors, 0 warnings\n"}},
		"missing layout":    {right, nil, 0, []string{"warning: spec.email.layoutRef: the NotificationLayout frame is not in these files\n"}},
		"strict":            {right, []string{"--strict"}, 1, nil},
		"failing test":      {strings.Replace(right, "2500", "2600", 1) + frame, nil, 1, []string{`error:   spec.tests[0]: the test "a payment" fails: text, line 2: is "You received 26.00" and must be "You received 25.00"`}},
		"unknown field":     {head + "  enabeld: true\n", nil, 1, []string{`error:   unknown field "spec.enabeld"`}},
		"no channel":        {head, nil, 1, []string{"error:   spec: no channel is set"}},
		"two channels":      {right + "  sms: {to: '+15005550006', message: m}\n" + frame, nil, 1, []string{"error:   spec: exactly one channel must be set: email, sms, push or system"}},
		"other kinds":       {"kind: ConfigMap\napiVersion: v1\n---\n# nothing\n---\n" + right + frame, nil, 0, []string{"2 objects checked"}},
		"no YAML":           {"a: [", nil, 1, []string{"standard input: object\n  error:   line 1: did not find expected node content\n"}},
		"a text":            {"rules", nil, 1, []string{"error:   it is not a Kubernetes object, with apiVersion, kind and metadata\n"}},
		"UTF-16":            {utf16Text(wrong), nil, 1, []string{"error:   spec.email.text, line 2, column 3: "}},
		"a mark of UTF-8":   {"\ufeff" + right + frame, nil, 0, []string{"2 objects checked"}},
		"wrong type":        {strings.Replace(head, "Payment", "5", 1), nil, 1, []string{"error:   spec.displayName must be a string, not a number\n"}},
		"wrong object":      {head + "  email: {layoutRef: frame}\n", nil, 1, []string{"error:   spec.email.layoutRef must be an object, not a string\n"}},
		"wrong list":        {head + "  tests: {}\n", nil, 1, []string{"error:   spec.tests must be a list, not an object\n"}},
		"wrong number":      {head + "  throttle: {messages: 1.5}\n", nil, 1, []string{"error:   spec.throttle.messages must be a whole number, not a number\n"}},
		"wrong time":        {head + "  mutedUntil: tomorrow\n", nil, 1, []string{"error:   \"tomorrow\" is not a time, such as 2026-12-01T08:00:00Z\n"}},
		"missing quotes":    {head + "  email: \n    to: {{ user.email }}\n", nil, 1, []string{"error:   a value that begins with {{ must be in quotes\n"}},
		"wrong version":     {strings.Replace(right, "v1alpha1", "v1", 1), nil, 1, []string{"NotificationRule payment\n  error:   there is no kind NotificationRule in extensions.rehive.com/v1: the kinds of extensions.rehive.com/v1alpha1 are "}},
		"wrong kind":        {strings.Replace(right, "NotificationRule", "NotificationRules", 1), nil, 1, []string{"error:   there is no kind NotificationRules in extensions.rehive.com/v1alpha1: "}},
		"wrong group":       {strings.Replace(right, "extensions.", "", 1), nil, 1, []string{"error:   there is no kind NotificationRule in rehive.com/v1alpha1: "}},
		"no kind":           {strings.Replace(right, "kind: NotificationRule", "", 1), nil, 1, []string{"error:   there is no kind \"\" in extensions.rehive.com/v1alpha1: "}},
		"our other kinds":   {"apiVersion: extensions.rehive.com/v1alpha1\nkind: DeliveryProvider\n", nil, 0, []string{"0 objects checked"}},
		"a list":            {"apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSuffix(wrong, "\n"), "\n", "\n  "), nil, 1, []string{"NotificationRule payment\n  error:   spec.email.text, line 2"}},
		"broken YAML":       {"apiVersion: extensions.rehive.com/v1alpha1\nkind: [", nil, 1, []string{"error:"}},
		"colors":            {wrong, []string{"--color=always"}, 1, []string{"\x1b[31merror:  \x1b[0m"}},
		"wrong color":       {wrong, []string{"--color=blue"}, 2, nil},
		"wrong format":      {wrong, []string{"-o", "xml"}, 2, nil},
		"missing directory": {"", []string{"/nowhere"}, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			status, out, errOut := plugin(t.Context(), test.in, append([]string{"lint", "-"}, test.args...)...)
			g.Expect(status).To(Equal(test.status), "%s%s", out, errOut)
			for _, want := range test.want {
				g.Expect(out).To(ContainSubstring(want))
			}
			if status == exitError {
				g.Expect(errOut).To(HavePrefix("error: "))
			}
		})
	}
	g := NewWithT(t)
	status, out, _ := plugin(t.Context(), wrong, "lint", "-", "-o", "json")
	g.Expect(status).To(Equal(1))
	var findings []finding
	g.Expect(json.Unmarshal([]byte(out), &findings)).To(Succeed())
	g.Expect(findings).To(HaveLen(2))
	g.Expect(findings[0]).To(Equal(finding{
		File: "standard input", Kind: "NotificationRule", Name: "payment", Severity: "error", Field: "spec.email.text", Line: 2, Column: 3,
		Message: "Invalid block tag on line 2: 'iff'. Did you forget to register or load this tag?",
	}))
}

// utf16Text returns a text as PowerShell writes it into a file.
func utf16Text(text string) string {
	b := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// TestLintOtherFiles: what can't be read is ignored only where nobody named it.
func TestLintOtherFiles(t *testing.T) {
	g := NewWithT(t)
	directory := t.TempDir()
	file := filepath.Join(directory, "chart.yaml")
	g.Expect(os.WriteFile(file, []byte("{{ if .Values.x }}\na: [\n"), 0o600)).To(Succeed())
	status, out, _ := plugin(t.Context(), "", "lint", directory)
	g.Expect(status).To(Equal(0), out)
	status, out, _ = plugin(t.Context(), "", "lint", file)
	g.Expect(status).To(Equal(1), out)
}

// TestTerminalEscapes has control characters in everything that the commands print of a file.
func TestTerminalEscapes(t *testing.T) {
	const escape = `"\e[31m"`
	rule := strings.NewReplacer("name: payment", "name: "+escape, "a payment", escape, "{{ user.email }}", `'\e[31m' <joe@example.com>`, "Hi", `\e[31m`).Replace(right) + frame
	broken := strings.Replace(rule, "'Complete'\"", "'Complete' \\e[31m\"", 1)
	for _, args := range [][]string{
		{"lint", "-"},
		{"test", "-f", "-"},
		{"preview", "-f", "-"},
		{"preview", "-f", "-", "--event", "\x1b[31m"},
		{"preview", "-f", "-", "\x1b[31m"},
	} {
		for _, in := range []string{rule, broken, rule + "---" + rule, head + "  " + escape + ": true\n"} {
			_, out, errOut := plugin(t.Context(), in, args...)
			if strings.ContainsRune(out+errOut, 0x1b) {
				t.Errorf("%q of\n%s\nprints\n%q\n%q", args, in, out, errOut)
			}
			if out+errOut == "" {
				t.Errorf("%q of\n%s\nprints nothing", args, in)
			}
		}
	}
}

// TestPresets checks and tests what is shipped, from its directory.
func TestPresets(t *testing.T) {
	g := NewWithT(t)
	status, out, _ := plugin(t.Context(), "", "lint", "../../config/presets", "../../config/samples")
	g.Expect(status).To(Equal(0), out)
	status, out, _ = plugin(t.Context(), "", "test", "-f", "../../config/presets")
	g.Expect(status).To(Equal(0), out)
	g.Expect(out).To(MatchRegexp(`\d\d tests: \d\d passed, 0 failed\n`))
}

func TestTest(t *testing.T) {
	g := NewWithT(t)
	directory := t.TempDir()
	for name, content := range map[string]string{"a.yaml": right, "b.yml": frame[4:], "ignored.txt": wrong} {
		g.Expect(os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600)).To(Succeed())
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	status, out, errOut := plugin(t.Context(), "", "test", "-f", directory, "--junit", report)
	g.Expect(status).To(Equal(0), "%s%s", out, errOut)
	g.Expect(out).To(ContainSubstring("  ok   a payment\n  ok   pending\n2 tests: 2 passed, 0 failed\n"))

	g.Expect(os.WriteFile(filepath.Join(directory, "a.yaml"), []byte(strings.Replace(right, "2500", "2600", 1)), 0o600)).To(Succeed())
	status, out, _ = plugin(t.Context(), "", "test", "-f", directory, "--junit", report)
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(ContainSubstring("  FAIL a payment\n       text, line 2: is \"You received 26.00\" and must be \"You received 25.00\"\n       - You received 25.00\n       + You received 26.00\n"))
	written, err := os.ReadFile(report)
	g.Expect(err).NotTo(HaveOccurred())
	var suites junitSuites
	g.Expect(xml.Unmarshal(written, &suites)).To(Succeed())
	g.Expect(suites.Tests).To(Equal(2))
	g.Expect(suites.Failures).To(Equal(1))
	g.Expect(suites.Suites).To(HaveLen(1))
	g.Expect(suites.Suites[0].Cases[0].Failure.Message).To(ContainSubstring("text, line 2"))
	g.Expect(suites.Suites[0].Cases[1].Failure).To(BeNil())

	// Tests of a rule that can't work fail.
	status, out, _ = plugin(t.Context(), right, "test", "-f", "-")
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(ContainSubstring("the NotificationLayout frame does not exist in this namespace."))
}

func TestPreview(t *testing.T) {
	g := NewWithT(t)
	status, out, errOut := plugin(t.Context(), right+frame, "preview", "-f", "-", "--changes", `{amount: 100, user: {email: joe@example.com}}`)
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(ContainSubstring("payment on transaction.execute\nExpression: 'Complete' == 'Complete'\n\nemail to joe@example.com\nFrom: <no-reply@northwind.example>\nSubject: Hi\n\nDear customer\nYou received 1.00\n"))
	_, out, _ = plugin(t.Context(), right+frame, "preview", "-f", "-", "payment", "--data", `{"status": "Pending"}`)
	g.Expect(out).To(ContainSubstring("Not sent: ExpressionFalse."))
	g.Expect(out).To(ContainSubstring("warning: the event's data has no amount\n"))
	status, out, _ = plugin(t.Context(), right+frame, "preview", "-f", "-", "-o", "json")
	g.Expect(status).To(Equal(0))
	var v previewView
	g.Expect(json.Unmarshal([]byte(out), &v)).To(Succeed())
	g.Expect(v.Messages).To(HaveLen(1))
	const digest = `
  throttle:
    messages: 1
    per: 1h
    digest: {subject: "{{ digest.count }} payments", text: "{% for item in digest.items %}{{ item.amount|money:2 }} {% endfor %}"}
`
	_, out, _ = plugin(t.Context(), right+digest+frame, "preview", "-f", "-", "--digest", "--changes", `{amount: 100, user: {email: joe@example.com}}`)
	g.Expect(out).To(ContainSubstring("email to joe@example.com\nFrom: <no-reply@northwind.example>\nSubject: 3 payments\n\nDear customer\n1.00 1.00 1.00"))
	for _, args := range [][]string{
		{"another"},
		{"--digest"},
		{"--event", "weather.change"},
		{"--changes", "1"},
		{"--changes", "{}", "--data", "{}"},
		{"--data", "@/nowhere"},
	} {
		status, _, errOut := plugin(t.Context(), right+frame, append([]string{"preview", "-f", "-"}, args...)...)
		g.Expect(status).To(Equal(2), "%v", args)
		g.Expect(errOut).To(HavePrefix("error: "))
	}
	status, _, errOut = plugin(t.Context(), wrong, "preview", "-f", "-")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(ContainSubstring("line 2, column 3"))
}

func TestExplain(t *testing.T) {
	g := NewWithT(t)
	status, out, _ := plugin(t.Context(), "", "explain")
	g.Expect(status).To(Equal(0))
	g.Expect(out).To(MatchRegexp(`(?m)^transaction\.execute +A transaction became Complete or Failed\.$`))
	_, out, _ = plugin(t.Context(), "", "explain", "transaction.execute")
	g.Expect(out).To(MatchRegexp(`(?m)^currency\.code +text`))
	_, out, _ = plugin(t.Context(), "", "explain", "transaction.execute", "--sample")
	g.Expect(json.Valid([]byte(out))).To(BeTrue())
	_, out, _ = plugin(t.Context(), "", "explain", "transaction.execute", "-o", "json")
	var v eventView
	g.Expect(json.Unmarshal([]byte(out), &v)).To(Succeed())
	g.Expect(v.Fields).NotTo(BeEmpty())
	status, _, errOut := plugin(t.Context(), "", "explain", "transaction.executed")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(Equal("error: no event transaction.executed is known: did you mean transaction.execute?\n"))
	_, out, _ = plugin(t.Context(), "", "__complete", "explain", "")
	g.Expect(out).To(ContainSubstring("transaction.execute\tA transaction became"))
}
