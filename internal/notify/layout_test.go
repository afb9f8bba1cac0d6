// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/python"
)

func layout(html, text string) *v1alpha1.NotificationLayout {
	return &v1alpha1.NotificationLayout{
		ObjectMeta: metav1.ObjectMeta{Name: "brand"},
		Spec:       v1alpha1.NotificationLayoutSpec{HTML: html, Text: text},
	}
}

func wrapped(t *testing.T, l *v1alpha1.NotificationLayout, change func(*v1alpha1.NotificationRuleSpec)) *Rule {
	t.Helper()
	compiled, problems := CompileLayout(l)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return compile(t, email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.Subject, s.Email.Text, s.Email.HTML = "Hello", "{{ user.first_name }}", "<p>{{ user.first_name }}</p>"
		s.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: l.Name}
		if change != nil {
			change(s)
		}
	})).WithLayout(compiled)
}

func TestLayoutWraps(t *testing.T) {
	for name, test := range map[string]struct {
		html, text         string
		change             func(*v1alpha1.NotificationRuleSpec)
		wantHTML, wantText string
	}{
		"both": {
			html: "<b>{{ context.company.name }}</b>{{ content }}", text: "{{ context.company.name }}: {{ content }}",
			wantHTML: "<b>Acme &amp; Sons</b><p>Zoë &lt;b&gt;</p>", wantText: "Acme & Sons: Zoë <b>",
		},
		"only HTML": {html: "[{{ content }}]", wantHTML: "[<p>Zoë &lt;b&gt;</p>]", wantText: "Zoë <b>"},
		"only text": {text: "[{{ content }}]", wantHTML: "<p>Zoë &lt;b&gt;</p>", wantText: "[Zoë <b>]"},
		"no HTML to wrap": {
			html: "[{{ content }}]", change: func(s *v1alpha1.NotificationRuleSpec) { s.Email.HTML = "" },
			wantText: "Zoë <b>",
		},
		"a message that looks like a template": {
			text: "[{{ content }}]",
			change: func(s *v1alpha1.NotificationRuleSpec) {
				s.Email.Text = "{% templatetag openvariable %} status {% templatetag closevariable %}"
			},
			wantHTML: "<p>Zoë &lt;b&gt;</p>", wantText: "[{{ status }}]",
		},
		"the event's data": {html: "{{ user.email }} {{ content }}", wantHTML: "zoe@example.com <p>Zoë &lt;b&gt;</p>", wantText: "Zoë <b>"},
	} {
		t.Run(name, func(t *testing.T) {
			decision, err := wrapped(t, layout(test.html, test.text), test.change).Decide(t.Context(), event(t, transaction, nil), "")
			if err != nil || len(decision.Messages) != 1 {
				t.Fatalf("got %+v, %v", decision, err)
			}
			if m := decision.Messages[0]; m.HTML != test.wantHTML || m.Text != test.wantText {
				t.Errorf("got %q and %q, want %q and %q", m.HTML, m.Text, test.wantHTML, test.wantText)
			}
		})
	}
}

// TestLayoutInlinesCSS checks that style sheets are copied only where the layout says so, and
// that a message for which that takes too much is sent as it is.
func TestLayoutInlinesCSS(t *testing.T) {
	const sheet = "<style>p{color:red}</style>"
	costly := "<style>" + strings.Repeat("p{color:red}", 5000) + "</style>" + strings.Repeat("<p>", 5000)
	for name, test := range map[string]struct {
		on         bool
		html, want string
	}{
		"off":    {false, sheet, sheet + "<p>Zoë &lt;b&gt;</p>"},
		"on":     {true, sheet, sheet + `<p style="color: red;">Zoë &lt;b&gt;</p>`},
		"costly": {true, costly, costly + "<p>Zoë &lt;b&gt;</p>"},
	} {
		l := layout(test.html+"{{ content }}", "")
		l.Spec.InlineCSS = test.on
		decision, err := wrapped(t, l, nil).Decide(t.Context(), event(t, transaction, nil), "")
		if err != nil || len(decision.Messages) != 1 {
			t.Fatalf("%s: %+v, %v", name, decision, err)
		}
		if got := decision.Messages[0].HTML; got != test.want {
			t.Errorf("%s: %.300q, want %.300q", name, got, test.want)
		}
	}
}

func TestMissingLayoutPreventsSending(t *testing.T) {
	rule := email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: "brand"}
	})
	compiled := CompileRule(rule, nil, CompileLayout)
	decision, err := compiled.Decide(t.Context(), event(t, transaction, nil), "")
	if err != nil || len(decision.Messages) != 0 || len(decision.NotSent) != 1 || decision.NotSent[0].Reason != RuleInvalid || !strings.Contains(decision.NotSent[0].Detail, "NotificationLayout brand") {
		t.Errorf("without its layout: %+v, %v", decision, err)
	}
}

// TestLayoutWithMistakes checks that the decision reports the mistakes of a layout with
// their positions.
func TestLayoutWithMistakes(t *testing.T) {
	rule := email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: "brand"}
	})
	compiled := CompileRule(rule, layout("", "{{ content }}\n{% if %}"), CompileLayout)
	if len(compiled.Problems) > 0 || compiled.LayoutProblem == nil || len(compiled.LayoutProblem.InLayout) != 1 {
		t.Fatalf("got %+v", compiled)
	}
	decision, err := compiled.Decide(t.Context(), event(t, transaction, nil), "")
	if err != nil {
		t.Fatal(err)
	}
	const want = "spec.email.layoutRef: the NotificationLayout brand can't be used: spec.text, line 2, column 1: "
	if len(decision.Messages) > 0 || len(decision.NotSent) != 1 || !strings.HasPrefix(decision.NotSent[0].Detail, want) {
		t.Errorf("got %+v", decision)
	}
	if missing := CompileRule(rule, nil, CompileLayout).LayoutProblem; missing == nil || !missing.Missing {
		t.Errorf("a layout that doesn't exist is %+v", missing)
	}
}

// TestLayoutFailure checks that the failure of a layout on an event names the layout
// without quoting data.
func TestLayoutFailure(t *testing.T) {
	decision, err := wrapped(t, layout("", "{{ content }}\n{% include status %}"), nil).Decide(t.Context(), event(t, transaction, nil), "")
	if err != nil || len(decision.NotSent) != 1 || decision.NotSent[0].Reason != RenderFailed {
		t.Fatalf("got %+v, %v", decision, err)
	}
	if detail := decision.NotSent[0].Detail; !strings.HasPrefix(detail, "NotificationLayout brand, spec.text: line 2, column 1: ") {
		t.Errorf("the detail has no position: %s", detail)
	}
}

func TestLayoutReadsComputed(t *testing.T) {
	calls := 0
	computed := func(context.Context) (*python.Dict, error) {
		calls++
		values := python.NewDict(1)
		values.SetStr("fee", python.Int(-10))
		return values, nil
	}
	rule := wrapped(t, layout("", "{{ content }} {{ computed.fee }}"), nil)
	decision, err := rule.Decide(t.Context(), event(t, transaction, computed), "")
	if err != nil || len(decision.Messages) != 1 || decision.Messages[0].Text != "Zoë <b> -10" || calls != 1 {
		t.Errorf("got %+v, %v after %d calls", decision, err, calls)
	}
	if got, want := strings.Join(rule.Variables(), " "), "computed.fee user.email user.first_name"; got != want {
		t.Errorf("the variables are %s, want %s", got, want)
	}
}

func TestCompileLayout(t *testing.T) {
	for name, test := range map[string]struct{ html, text, fields string }{
		"good":           {"{{ content }}", "{{ content }}", ""},
		"within a tag":   {"{% if content %}{{ content }}{% endif %}", "{{ content|upper }}", ""},
		"no place":       {"<b></b>", "{{ content }}", "spec.html"},
		"another's name": {"{{ content }}", "{{ contents }}", "spec.text"},
		"syntax":         {"{% if %}", "{{ content", "spec.html spec.text"},
		"nothing":        {"", "", "spec"},
	} {
		_, problems := CompileLayout(layout(test.html, test.text))
		var fields []string
		for _, problem := range problems {
			fields = append(fields, problem.Field)
		}
		if strings.Join(fields, " ") != test.fields {
			t.Errorf("%s: got %v", name, problems)
		}
	}
}

func TestLayoutMisfit(t *testing.T) {
	rule := &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
		CompanyRef: v1alpha1.CompanyActivationReference{Name: "acme"},
		NotificationSpec: v1alpha1.NotificationSpec{
			SMS: &v1alpha1.SMSMessage{LayoutRef: &v1alpha1.NotificationLayoutReference{Name: "frame"}},
		},
	}}
	for name, test := range map[string]struct {
		spec v1alpha1.NotificationLayoutSpec
		want string
	}{
		"of all companies":     {v1alpha1.NotificationLayoutSpec{Channel: v1alpha1.ChannelSMS}, ""},
		"of the same company":  {v1alpha1.NotificationLayoutSpec{Channel: v1alpha1.ChannelSMS, CompanyRef: &v1alpha1.CompanyActivationReference{Name: "acme"}}, ""},
		"of another company":   {v1alpha1.NotificationLayoutSpec{Channel: v1alpha1.ChannelSMS, CompanyRef: &v1alpha1.CompanyActivationReference{Name: "other"}}, "spec.sms.layoutRef: the NotificationLayout frame belongs to another company"},
		"email is the default": {v1alpha1.NotificationLayoutSpec{}, "spec.sms.layoutRef: the NotificationLayout frame is for the channel email"},
	} {
		l := &v1alpha1.NotificationLayout{Spec: test.spec}
		l.Name, l.Spec.Text = "frame", "{{ content }}"
		got := ""
		if problem := CompileRule(rule, l, CompileLayout).LayoutProblem; problem != nil {
			got = problem.Error()
			if problem.Missing {
				t.Errorf("%s: the layout compiled", name)
			}
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
