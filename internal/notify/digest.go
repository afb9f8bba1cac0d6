// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/python"
)

// DigestEvent is the name of the event that sends the digest of a rule to one recipient.
const DigestEvent = "notification:digest"

// digestKey is where templates of a digest find what was collected.
const digestKey = "digest"

// Digest is the data of a DigestEvent.
type Digest struct {
	// Rule is the rule's namespace/name.
	Rule string `json:"rule"`
	// Channel is the rule's channel, or that of its in-app copies.
	Channel Channel `json:"channel"`
	// Recipient and User are those of the collected messages.
	Recipient string `json:"recipient"`
	User      string `json:"user,omitempty"`
}

// Collected are the events whose messages are collected in a digest.
type Collected struct {
	// Name is the name of the last event.
	Name string
	// Data is the data of the first events, in order.
	Data [][]byte
	// Count is how many messages were collected, including those whose data is left out.
	Count int64
}

// ForDigest returns the event of a digest, from the last of its events. It is for one recipient
// and [Compiled.Digest], whose expression and recipients are not evaluated again.
func (e *Event) ForDigest(d *Digest, c *Collected) (*Event, error) {
	items := make([]python.Value, len(c.Data))
	for i, data := range c.Data {
		value, err := python.FromJSON(data)
		if err != nil {
			return nil, fmt.Errorf("reading the data of a collected event: %w", err)
		}
		items[i] = value
	}
	one, err := e.withDigest(items, c.Count)
	if err == nil {
		one.to = &addressee{d.Channel, d.Recipient, d.User}
	}
	return one, err
}

// AsDigest returns the event of a digest for which the event was collected several times, for
// previews of [Compiled.Digest].
func (e *Event) AsDigest(times int) (*Event, error) {
	return e.withDigest(slices.Repeat([]python.Value{e.data}, times), int64(times))
}

// withDigest returns the event with what templates read as "digest", which wins over the same
// name in the event's data.
func (e *Event) withDigest(items []python.Value, count int64) (*Event, error) {
	value := python.NewDict(3)
	value.SetStr("items", python.NewList(items...))
	value.SetStr("count", python.Int(count))
	value.SetStr("omitted", python.Int(count-int64(len(items))))
	one := *e
	one.complete = nil
	var err error
	one.data, err = with(e.data, digestKey, value)
	return &one, err
}

// Digest returns the rule's digest as a rule of its own, with the same recipients and policies;
// ok is false if the rule has no digest.
func (c *Compiled) Digest() (digest Compiled, ok bool) {
	digest = *c
	if c.Rule == nil {
		return digest, true // its problems are the decision
	}
	digest.Rule = c.Rule.digest
	return digest, digest.Rule != nil
}

const digestPath = "spec.throttle.digest"

// digest compiles the digest of a rule whose other templates are compiled already. It leaves
// c.variables as they are; those from the index message on are the variables of the rule's message.
func (c *compiler) digest(r *Rule, of *v1alpha1.Throttle, message int) {
	if of == nil || of.Digest == nil || r.channel == "" {
		return
	}
	own := c.variables
	c.variables = slices.Clone(own)
	defer func() { c.variables = own }()
	d := *r
	d.verify, d.translations = false, nil
	d.texts = texts{}
	c.digestTexts(&d, &d.texts, digestPath, &of.Digest.DigestTexts)
	if r.channel == ChannelEmail && strings.TrimSpace(of.Digest.Subject) == "" {
		c.problems = append(c.problems, Problem{Field: digestPath + ".subject", Message: "the digest of an email needs a subject"})
	}
	for i := range of.Digest.Translations {
		t := &of.Digest.Translations[i]
		translated := d.texts
		translated.language = t.Language
		c.digestTexts(&d, &translated, digestPath+".translations["+t.Language+"]", &v1alpha1.DigestTexts{Subject: t.Subject, Text: t.Text, HTML: t.HTML})
		d.translations = append(d.translations, translated)
	}
	d.messageReadsComputed = readsComputed(c.variables[message:])
	d.readsUnsubscribe = readsUnsubscribe(c.variables[message:])
	slices.Sort(c.variables)
	d.variables = slices.Compact(c.variables)
	r.digest = &d
}

// digestTexts parses those texts of a digest that are set.
func (c *compiler) digestTexts(d *Rule, t *texts, path string, of *v1alpha1.DigestTexts) {
	for _, f := range []struct {
		into             **field
		name, source     string
		usable, isEscape bool
	}{
		{&t.subject, "subject", of.Subject, d.channel != ChannelSMS, false},
		{&t.text, "text", of.Text, true, false},
		{&t.html, "html", of.HTML, d.channel == ChannelEmail, true},
	} {
		switch {
		case f.source == "":
		case !f.usable:
			c.problems = append(c.problems, Problem{Field: path + "." + f.name, Message: fmt.Sprintf("can't be set: the rule's channel is %s", d.channel)})
		default:
			*f.into = c.optional(path+"."+f.name, f.source, f.isEscape)
		}
	}
}
