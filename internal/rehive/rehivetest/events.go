// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
)

// Events are the events that a webhook can be registered for.
var Events = []string{
	"company.link.create", "company.link.update", "company.update",
	"currency.create", "currency.update",
	"user.create", "user.update", "user.password.reset", "user.password.set",
	"user.deactivate.verify", "user.request_delete.verify", "user.email.verify", "user.mobile.verify",
	"email.create", "email.update", "mobile.create", "mobile.update",
	"address.create", "address.update", "document.create", "document.update",
	"bank_account.create", "bank_account.update", "bank_account.delete",
	"crypto_account.create", "crypto_account.update",
	"account.create", "account.update", "account.currency.create",
	"wallet_account.create", "wallet_account.update",
	"transaction.create", "transaction.update", "transaction.initiate", "transaction.execute",
	"transaction.transition.create", "transaction.transition.update",
	"mfa.sms.verify", "alert.create", "alert.update",
}

// Emit raises an event with the data (a json.RawMessage is sent as it is) and
// returns the ids of the webhook tasks it made. Delivery goes on in the
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

// EmitSample raises an event about a user (UUID or e-mail address) with data of
// the form that the platform sends for it. Events about transactions and the
// user itself are better raised by making or changing one.
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
	data := p.sample(event, u)
	if data == nil {
		return nil, fmt.Errorf("there is no sample of %q: give its data", event)
	}
	raw, err := encodeData(data)
	if err != nil {
		return nil, err
	}
	return p.emitRaw(c, event, raw), nil
}

// sample is an event's data. Where the platform sends an object's former
// version, the two differ in status.
func (p *Platform) sample(event string, u *user) object {
	reduced, now := reducedUserView(u), p.nowMS()
	token := newToken()
	link := "https://wallet.example/verify?company=" + u.company.ID + "&key=" + token
	owned := func(fields object) object {
		fields["user"], fields["archived"], fields["created"], fields["updated"] = reduced, false, now, now
		return fields
	}
	updated := func(resource string, build func(status string) object) object {
		data := build("verified")
		data["original_"+resource] = build("pending")
		return data
	}
	address := func(status string) object {
		return owned(object{
			"id": 1, "type": "permanent", "line_1": "1 Long Street", "line_2": "", "city": "Cape Town",
			"state_province": "Western Cape", "country": "ZA", "postal_code": "8001", "status": status,
		})
	}
	document := func(status string) object {
		return owned(object{
			"id": 1, "file": "https://storage.example/document.pdf", "status": status, "metadata": object{},
			"type": object{"id": 1, "name": "Utility bill", "description": ""}, "note": "", "expires": nil,
		})
	}
	bankAccount := func(status string) object {
		return owned(object{
			"id": 1, "name": "Main", "owner": nil, "number": "1234567890", "type": "cheque", "bank_name": "Example Bank",
			"bank_code": "EXB", "branch_code": "0001", "routing_number": nil, "swift": "EXAMZAJJ", "iban": nil, "bic": nil,
			"code": "abc", "status": status, "metadata": object{}, "currencies": []any{}, "action": "withdraw",
		})
	}
	cryptoAccount := func(status string) object {
		return owned(object{
			"id": 1, "address": "bc1qexample", "name": "Cold wallet", "code": "abc", "crypto_type": "bitcoin",
			"network": "bitcoin", "metadata": object{}, "status": status, "currencies": []any{}, "account_currencies": []any{},
		})
	}
	email := owned(object{"id": 1, "email": u.Email, "primary": true, "verified": true, "temporary": false})
	mobile := owned(object{"id": 1, "number": u.Mobile, "primary": true, "verified": true, "temporary": false})

	switch event {
	case "user.create":
		return userView(u)
	case "user.update":
		data := userView(u)
		data["original_user"] = userView(u)
		return data
	case "user.password.reset", "user.password.set", "user.deactivate.verify", "user.request_delete.verify":
		return object{"user": reduced, "uid": "MQ", "token": token, "url": link}
	case "user.email.verify":
		return object{"user": reduced, "key": token, "email": u.Email, "url": link}
	case "user.mobile.verify":
		return object{"user": reduced, "key": "482913", "mobile": u.Mobile, "url": link}
	case "mfa.sms.verify":
		return object{"user": reduced, "mobile": u.Mobile, "otp": "482913"}
	case "email.create", "email.update":
		return email
	case "mobile.create", "mobile.update":
		return mobile
	case "address.create":
		return address("pending")
	case "address.update":
		return updated("address", address)
	case "document.create":
		return document("pending")
	case "document.update":
		return updated("document", document)
	case "bank_account.create", "bank_account.delete":
		return bankAccount("pending")
	case "bank_account.update":
		return updated("bank_account", bankAccount)
	case "crypto_account.create":
		return cryptoAccount("pending")
	case "crypto_account.update":
		return updated("crypto_account", cryptoAccount)
	case "account.create", "account.update":
		return owned(object{
			"reference": u.Account, "name": "default", "definition": nil, "label": "Default", "primary": true,
			"recon": false, "hidden": false, "currencies": u.company.Currencies, "metadata": object{},
		})
	case "company.update":
		return companyView(u.company)
	case "alert.create", "alert.update":
		return owned(object{
			"id": uuid.NewString(), "transaction": nil, "author": nil, "name": "Large transaction", "description": "",
			"priority": "high", "status": "open", "metadata": object{}, "external": false,
		})
	default:
		return nil
	}
}
