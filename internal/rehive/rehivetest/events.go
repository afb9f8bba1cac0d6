// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/rehive/extension-operator/internal/platformevent"
)

// Emit raises an event with the data (a json.RawMessage is sent as it is) and
// returns the IDs of the webhook tasks it created. Delivery continues in the
// background: see Idle.
func (p *Platform) Emit(companyID, event string, data any) ([]int64, error) {
	raw, err := encodeData(data)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return nil, err
	}
	return p.emitRaw(c, event, raw), nil
}

func encodeData(data any) (json.RawMessage, error) {
	if raw, is := data.(json.RawMessage); is {
		return raw, nil
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding the event's data: %w", err)
	}
	return raw, nil
}

// emit raises an event of the platform's own. Needs the lock.
func (p *Platform) emit(c *company, event string, data object) {
	if len(c.byEvent[event]) == 0 {
		return
	}
	if raw, err := encodeData(data); err == nil {
		p.emitRaw(c, event, raw)
	}
}

func (p *Platform) emitRaw(c *company, event string, raw json.RawMessage) []int64 {
	var ids []int64
	for _, w := range c.byEvent[event] {
		if !w.Enabled || w.Archived {
			continue
		}
		t := newTask(p.nextID("task"), w, event, raw, p.nowMS())
		ids = append(ids, t.id)
		p.keep(t)
		p.enqueue(t)
	}
	return ids
}

// EmitSample raises an event about a user (UUID or email address): the sample of the
// catalogue with the user's own data, and fresh codes and links. Events about
// transactions and users are better raised by creating or changing one.
func (p *Platform) EmitSample(companyID, event, userID string) ([]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return nil, err
	}
	u, err := c.user(userID)
	if err != nil {
		return nil, err
	}
	e := platformevent.Lookup(event)
	if e == nil {
		return nil, fmt.Errorf("there is no sample of %q: give its data", event)
	}
	data, err := p.sample(e, u)
	if err != nil {
		return nil, err
	}
	raw, err := encodeData(data)
	if err != nil {
		return nil, err
	}
	return p.emitRaw(c, e.Name, raw), nil
}

// sample returns the data of an event about a user.
func (p *Platform) sample(e *platformevent.Event, u *user) (object, error) {
	var data object
	decoder := json.NewDecoder(bytes.NewReader(e.Sample()))
	decoder.UseNumber()
	if err := decoder.Decode(&data); err != nil {
		return nil, fmt.Errorf("reading the sample of %s: %w", e.Name, err)
	}
	if e.Name == "company.update" {
		current := companyView(u.company)
		data, current[e.Original] = current, companyView(u.company)
		return data, nil
	}
	about(data, e.User, u)
	if original, is := data[e.Original].(object); is {
		about(original, e.User, u)
	}
	for _, name := range []string{"created", "updated"} {
		if _, is := data[name].(json.Number); is {
			data[name] = p.nowMS()
		}
	}
	// The email or number to verify is the user's, and each event has a secret of its own.
	_, isEmail := data["email"]
	if _, isMobile := data["mobile"]; (isEmail || isMobile) && e.User == "user" && !strings.HasPrefix(e.Name, "wallet_account.") {
		if isEmail {
			data["email"] = orNull(u.Email)
		} else {
			data["mobile"] = orNull(u.Mobile)
		}
	}
	if _, is := data["url"].(string); is {
		secret := newToken()
		for _, name := range []string{"token", "key"} {
			if _, has := data[name]; has {
				data[name] = secret
			}
		}
		data["url"] = "https://wallet.example/verify?company=" + url.QueryEscape(u.company.ID) + "&email=" + url.QueryEscape(u.Email) + "&key=" + secret
	}
	return data, nil
}

// about puts a user into data at a path: all fields of the user, or those that a
// resource shows of its owner, as in the data.
func about(data object, path string, u *user) {
	parent, name := data, path
	for {
		first, rest, more := strings.Cut(name, ".")
		if !more || path == "." {
			break
		}
		inner, is := parent[first].(object)
		if !is {
			return
		}
		parent, name = inner, rest
	}
	switch there, is := parent[name].(object); {
	case path == ".":
		for field, value := range eventUserView(u) {
			data[field] = value
		}
	case !is:
	case there["language"] != nil:
		parent[name] = eventUserView(u)
	case there["groups"] != nil:
		parent[name] = reducedUserView(u)
	default: // of another extension
		for field, value := range map[string]any{
			"id": u.ID, "email": orNull(u.Email), "mobile_number": orNull(u.Mobile), "first_name": u.FirstName, "last_name": u.LastName, "company": u.company.ID,
		} {
			there[field] = value
		}
	}
}
