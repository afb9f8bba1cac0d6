// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "regexp"

// A phrase is English that readers stumble over.
type phrase struct {
	pattern *regexp.Regexp
	advice  string
	unless  *regexp.Regexp // a sentence that matches this is fine
}

// phrases are what this project's texts must not say. Each is the pattern, what to write
// instead and, if not empty, the sentences in which it is right.
var phrases = compile([][3]string{
	// Words for which the field has others.
	{`(?i)\bmend(s|ed|ing)?\b`, `write "fix" or "repair"`, ``},
	{`(?i)\bparted (by|with)\b`, `write "separated by"`, ``},
	{`(?i)\b(tells?|telling|told)\b`, `write "reports", "records", "says" or "shows"`, `(?i)\b(tells?|told|telling)( \S+){0,6} (apart|from)\b|\btold to stop\b`},
	{`(?i)\b(all|free|no|its|their|the|worker's|workers'|dispatcher's) hands\b|\bfree hand\b`, `write "workers" or "worker slots"`, ``},
	{`(?i)\bin hand\b`, `write "in progress"`, ``},
	{`(?i)\b(stand|stands|stood)\b`, `write "is", "exists" or "is registered"`, `(?i)\b(stand|stands|stood)( \S+)? (for|in for|by)\b`},
	{`(?i)\b(last|next|each|first|another) looks?\b`, `write "check"`, ``},
	{`(?i)\bfor ever\b`, `write "forever"`, ``},
	{`(?i)\blog-in\b`, `write "login", or "log in" as a verb`, ``},
	{`(?i)\bgo(es)? on\b|\bwent on\b`, `write "continue"`, `(?i)\bgo(es)? on (to|top|a|the|one|each)\b`},
	{`(?i)\bin place of\b`, `write "instead of"`, ``},
	{`(?i)\bfor want of\b`, `write "for lack of"`, ``},
	{`(?i)\bneed be\b`, `write "necessary"`, ``},
	{`(?i)\bat (its|their) most\b`, `write "at its peak"`, ``},
	{`(?i)\bspeaks for (itself|themselves)\b`, `leave it out`, ``},
	{`(?i)\banew\b`, `write "again" or "a new …"`, ``},
	{`(?i)\bby hand\b`, `write "manually"`, `(?i)\b(written|coded) by hand\b`},
	{`(?i)\bhangs up\b`, `write "closes the connection"`, ``},
	{`(?i)\b(takes?|taken|took|taking)( it| them)? away\b`, `write "removes", "deletes" or "revokes"`, ``},
	{`(?i)\b(comes?|came) (once|twice)\b`, `write "arrives" or "is sent"`, ``},

	// Constructions that read as if translated.
	{`(?i)\b(is|are|was|were|be|been) no \pL+`, `write "is not a …"`, `(?i)\b(there|here|it) (\S+ )?(is|are|was|were|be|been) no\b|\b(is|are|was|were|be|been) no (longer|more|less|fewer|older|newer|larger|smaller|bigger|faster|slower|better|worse|later|earlier|different|way)\b`},
	{`(?:^ ?|[.!] )(Who|Whose|What) \pL+`, `begin the sentence with a noun`, `\?$`},
	{`(?i)\bwhat it is made of\b`, `name it`, ``},
	{`(?i)\bnothing of (this|that|it|the kind|what)\b`, `write "none of"`, ``},
	{`(?i)\bbut for\b`, `write "except for"`, ``},
	{`(?i)\botherwise than\b`, `write "differently from"`, ``},
	{`(?i)\bas of an? (email|event|rule|push|message|text|list|user|company)\b`, `write "as for" or "as in"`, ``},
	{`(?i)\b(so|thus) chose\b`, `say who chose what`, ``},
	{`(?i)\bof (one's|its|their|our) own making\b`, `leave it out`, ``},
	{`(?i)\bwhoever\b`, `name the person`, ``},
	{`(?i)\bwhat (\S+ ){1,4}makes? of\b`, `write "the result of … for"`, ``},
	{`(?i)\b(what|whatever) (becomes|became|comes|came|must come) of\b`, `write "the outcome of"`, ``},
	{`(?i)\b(which|that|who) (is|are) to (hold|have|get|keep)\b`, `write "will" or "must"`, ``},
	{`(?i)\bnot (\S+ ){1,3}any ?more\b`, `write "no longer"`, ``},
	{`(?i)\bwhat (is|was) (not|no|too|there|left|sent|stored|given|needed|missing|wrong|generated|built)\b[^,.;:]*\b(is|are|was|does|has|gets|goes|stays|comes|prints|counts|fails|waits)\b`, `begin with a noun instead of "what is"`, `\?$`},
})

func compile(rows [][3]string) []phrase {
	compiled := make([]phrase, len(rows))
	for i, row := range rows {
		compiled[i] = phrase{pattern: regexp.MustCompile(row[0]), advice: row[1]}
		if row[2] != "" {
			compiled[i].unless = regexp.MustCompile(row[2])
		}
	}
	return compiled
}
