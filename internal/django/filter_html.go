// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"errors"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "escape", Func: escapeFilter, String: true, IsSafe: true, CharWise: true, Nanos: 6},
		&Filter{Name: "escapeseq", Func: escapeseq, IsSafe: true, Nanos: 20},
		&Filter{Name: "force_escape", Func: forceEscape, String: true, IsSafe: true, CharWise: true, Nanos: 6},
		&Filter{Name: "json_script", Func: jsonScript, Arg: OptionalArg, IsSafe: true, Nanos: 30},
		&Filter{Name: "linebreaks", Func: linebreaksFilter, String: true, IsSafe: true, NeedsAutoescape: true, Nanos: 12},
		&Filter{Name: "linebreaksbr", Func: linebreaksbr, String: true, IsSafe: true, NeedsAutoescape: true, Nanos: 8},
		&Filter{Name: "safe", Func: safe, String: true, IsSafe: true, CharWise: true, Nanos: 1},
		&Filter{Name: "safeseq", Func: safeseq, IsSafe: true, Nanos: 20},
		&Filter{Name: "striptags", Func: striptags, String: true, IsSafe: true, Nanos: 20},
	)
}

func escapeFilter(_ *Context, in, _ python.Value) (python.Value, error) {
	return ConditionalEscape(in), nil
}

func forceEscape(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.SafeStr(Escape(text(in))), nil
}

// escapeseq escapes each item of a list, except for those that are safe.
func escapeseq(c *Context, in, _ python.Value) (python.Value, error) {
	items, err := python.Items(&c.meter, in)
	if err != nil {
		return nil, err
	}
	escaped := make([]python.Value, len(items))
	for i, item := range items {
		if err := c.Step(1); err != nil {
			return nil, err
		}
		s := ConditionalEscape(item)
		if err := c.hold(string(s)); err != nil {
			return nil, err
		}
		escaped[i] = s
	}
	return python.NewList(escaped...), nil
}

var jsonScriptReplacer = strings.NewReplacer(">", `\u003E`, "<", `\u003C`, "&", `\u0026`)

func jsonScript(c *Context, in, arg python.Value) (python.Value, error) {
	json, err := encodeJSON(c, in)
	if err != nil {
		return nil, err
	}
	id := ""
	if arg != nil && python.Truth(arg) {
		printed, err := c.print(arg, escapeNanos)
		if err != nil {
			return nil, err
		}
		id = ` id="` + string(ConditionalEscape(python.Str(printed))) + `"`
		if isSafe(arg) {
			id = ` id="` + printed + `"`
		}
	}
	return python.SafeStr(`<script` + id + ` type="application/json">` + jsonScriptReplacer.Replace(json) + "</script>"), nil
}

func linebreaksFilter(c *Context, in, _ python.Value) (python.Value, error) {
	s := text(in)
	if err := c.Grow(len(s) + 7*strings.Count(s, "\n") + 7); err != nil {
		return nil, err
	}
	return python.SafeStr(linebreaks(s, c.Autoescape() && !isSafe(in))), nil
}

func linebreaksbr(c *Context, in, _ python.Value) (python.Value, error) {
	s := normalizeNewlines(text(in))
	if err := c.Grow(len(s) + 3*strings.Count(s, "\n")); err != nil {
		return nil, err
	}
	if err := c.Step(strings.Count(s, "\n") / 8); err != nil {
		return nil, err
	}
	if c.Autoescape() && !isSafe(in) {
		s = Escape(s)
	}
	return python.SafeStr(strings.ReplaceAll(s, "\n", "<br>")), nil
}

func safe(_ *Context, in, _ python.Value) (python.Value, error) {
	return python.SafeStr(text(in)), nil
}

func safeseq(c *Context, in, _ python.Value) (python.Value, error) {
	items, err := python.Items(&c.meter, in)
	if err != nil {
		return nil, err
	}
	marked := make([]python.Value, len(items))
	for i, item := range items {
		if err := c.Step(1); err != nil {
			return nil, err
		}
		s := python.StrOf(item)
		if err := c.hold(s); err != nil {
			return nil, err
		}
		marked[i] = python.SafeStr(s)
	}
	return python.NewList(marked...), nil
}

func striptags(c *Context, in, _ python.Value) (python.Value, error) {
	out, err := stripTags(&c.meter, text(in))
	if errors.Is(err, errBadMarkup) {
		return nil, python.Errorf("AssertionError", "%s", err)
	}
	if errors.Is(err, errTooMuchMarkup) {
		return nil, python.Errorf("SuspiciousOperation", "%s", err)
	}
	return python.Str(out), err
}
