// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// table renders outcomes as docs/deliveryprovider.md has it.
func table() string {
	var b strings.Builder
	b.WriteString("| step | answer | and one of | the message | reason |\n|---|---|---|---|---|\n")
	for _, o := range outcomes {
		var steps, conditions []string
		for _, s := range o.steps {
			steps = append(steps, string(s))
		}
		for _, e := range o.enhanced {
			if !strings.Contains(e, ".") {
				e += ".z"
			}
			conditions = append(conditions, "`x."+e+"`")
		}
		for _, text := range o.texts {
			conditions = append(conditions, "“"+text+"”")
		}
		answer := string(o.event)
		if answer == "" {
			answer = strings.Join(o.codes, ", ")
		}
		cells := []string{strings.Join(steps, ", "), answer, strings.Join(conditions, ", "), string(o.result), "`" + o.reason + "`"}
		for i := range cells {
			if cells[i] == "" {
				cells[i] = "any"
			}
		}
		if o.enhanced == nil && o.texts == nil {
			cells[2] = ""
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}

// The table of the code is the one of the documentation. UPDATE=1 writes it there.
func TestOutcomesAreDocumented(t *testing.T) {
	const file, begin, end = "../../../docs/deliveryprovider.md", "<!-- smtp outcomes: begin -->\n", "<!-- smtp outcomes: end -->"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(raw), begin)
	documented, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	if documented == table() {
		return
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(before+begin+table()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table of %s is not the one in outcomes.go: run this test with UPDATE=1", file)
}

// anyCode returns a reply code that the row is about.
func (o *outcome) anyCode() int {
	for _, code := range []int{550, 450, 421} {
		if o.hasCode(code) {
			return code
		}
	}
	return 550
}

// Every step and code has a row, and every row can be met.
func TestOutcomesAreComplete(t *testing.T) {
	stages := []stage{stageConnect, stageTLS, stageAuth, stageMail, stageRcpt, stageData, stageText}
	met := map[*outcome]bool{}
	note := func(o *outcome, stage stage) {
		met[o] = true
		if !o.at(stage) {
			t.Errorf("%s at %s has a row that isn't about it: %+v", o.event, stage, o)
		}
		if o.reason == "" || o.meaning == "" || o.error(o.meaning, false) == nil {
			t.Errorf("incomplete: %+v", o)
		}
	}
	for _, stage := range stages {
		for _, event := range []event{
			eventBlocked, eventNoHost, eventNoSTARTTLS, eventCertificate, eventNotTLS, eventNoLogin, eventClearLogin, eventUnsafeLogin, eventNoUTF8, eventTooBig,
			eventBadReply, eventTimeout, eventLost, eventUnanswered,
		} {
			note(outcomeOfEvent(stage, event), stage)
		}
		for code := 400; code < 600; code++ {
			o := outcomeOfReply(stage, &reply{code: code, text: "no"})
			note(o, stage)
			if len(o.codes) > 0 && !o.hasCode(code) {
				t.Errorf("%d at %s has a row that isn't about it: %+v", code, stage, o)
			}
		}
	}
	for i := range outcomes {
		o := &outcomes[i]
		steps := o.steps
		if steps == nil {
			steps = stages[3:]
		}
		for _, stage := range steps {
			for _, enhanced := range o.enhanced {
				text := "5." + enhanced + " no"
				if !strings.Contains(enhanced, ".") {
					text = "5." + enhanced + ".99 no"
				}
				code := o.anyCode()
				text = strconv.Itoa(code/100) + text[1:]
				if got := outcomeOfReply(stage, &reply{code: code, text: text}); got != o && got.result != o.result {
					t.Errorf("%d %s at %s is %s, want %s", code, text, stage, got.reason, o.reason)
				} else {
					met[got] = true
				}
			}
			for _, text := range o.texts {
				text = strings.ReplaceAll(text, "…", "is")
				met[outcomeOfReply(stage, &reply{code: o.anyCode(), text: text})] = true
			}
		}
	}
	for i := range outcomes {
		if !met[&outcomes[i]] {
			t.Errorf("nothing meets %+v", outcomes[i])
		}
	}
}
