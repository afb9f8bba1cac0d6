// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"math/big"
)

// object is a JSON object as the platform shows it.
type object = map[string]any

// orNull shows empty text as the platform does.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func rawOr(raw json.RawMessage, otherwise any) any {
	if len(raw) == 0 {
		return otherwise
	}
	return raw
}

func groupsView(u *user) []object {
	switch u.Group {
	case "-":
		return []object{}
	case "admin":
		return []object{{"name": "admin", "label": "Admin", "section": "admin"}}
	case "service":
		return []object{{"name": "service", "label": "Extension", "section": "admin"}}
	default:
		return []object{{"name": u.Group, "label": u.Group, "section": "user"}}
	}
}

// reducedUserView is the user inside other resources.
func reducedUserView(u *user) any {
	if u == nil {
		return nil
	}
	return object{
		"id": u.ID, "username": orNull(u.Username), "email": orNull(u.Email), "mobile": orNull(u.Mobile),
		"first_name": u.FirstName, "middle_name": u.MiddleName, "last_name": u.LastName,
		"profile": nil, "groups": groupsView(u), "temporary": false,
	}
}

// userView is a user as an admin sees it.
func userView(u *user) object {
	currency := u.company.Currencies[0]
	balance := u.company.balance(u, currency.Code)
	return object{
		"id": u.ID, "username": orNull(u.Username), "email": orNull(u.Email), "mobile": orNull(u.Mobile),
		"first_name": u.FirstName, "middle_name": orNull(u.MiddleName), "last_name": u.LastName, "profile": nil,
		"groups": groupsView(u), "temporary": false, "id_number": nil, "birth_date": nil,
		"currency": currency, "account": u.Account, "balance": balance, "available_balance": balance,
		"company": u.company.ID, "owner": false, "language": u.Language, "nationality": orNull(u.Nationality),
		"residency": nil, "gender": nil, "title": nil, "marital_status": nil, "fathers_name": nil, "mothers_name": nil,
		"grandfathers_name": nil, "grandmothers_name": nil, "central_bank_number": nil,
		"metadata": rawOr(u.Metadata, nil), "timezone": orNull(u.Timezone), "website": nil, "business_name": nil,
		"verified":     u.Status == "verified",
		"verification": object{"email": u.Email != "", "mobile": u.Mobile != ""},
		"status":       u.Status, "deactivated": u.Deactivated, "retention_state": "retaining", "archived": u.Archived,
		"last_login": nil, "created": u.created, "updated": u.updated,
	}
}

// eventUserView is a user in an event that is about it.
func eventUserView(u *user) object {
	view := userView(u)
	view["settings"] = userSettings()
	return view
}

func userSettings() object {
	return object{
		"allow_transactions": true, "allow_debit_transactions": true, "allow_credit_transactions": true,
		"disallowed_transaction_subtypes": []string{},
	}
}

// authView is a user as GET auth/ shows it to itself.
func authView(u *user) object {
	view := userView(u)
	for _, key := range []string{"deactivated", "retention_state", "archived", "last_login"} {
		delete(view, key)
	}
	view["settings"] = userSettings()
	return view
}

func companyView(c *company) object {
	services := []object{}
	for _, s := range c.services {
		if s.Active {
			services = append(services, *serviceRef(s))
		}
	}
	var owner any
	for _, u := range c.users {
		if u.Group == "admin" {
			owner = reducedUserView(u)
			break
		}
	}
	return object{
		"id": c.ID, "name": c.Name, "legal_name": nil, "description": "", "website": orNull(c.Website),
		"support_website": nil, "documentation_website": nil, "support_email": orNull(c.SupportEmail),
		"contact_email": orNull(c.ContactEmail), "country": nil, "logo": orNull(c.Logo), "icon": orNull(c.Icon),
		"address":  object{"line_1": nil, "line_2": nil, "city": nil, "state_province": nil, "country": nil, "postal_code": nil},
		"settings": rawOr(c.Settings, object{}), "services": services, "public": false,
		"metadata": object{}, "mode": c.Mode, "status": c.Status, "created": c.created, "updated": c.created,
		"system_email": c.SystemEmail, "owner": owner,
	}
}

func serviceRef(s *service) *object {
	return &object{"id": s.ID, "slug": s.Slug, "name": s.Name, "url": s.URL, "type": "private"}
}

func serviceView(s *service) object {
	return object{
		"id": s.ID, "company": s.company.ID, "slug": s.Slug, "type": "private", "name": s.Name,
		"description": s.Description, "tags": []string{}, "verified": false, "public": false, "url": s.URL,
		"management_url": nil, "terms_and_conditions_url": nil, "website_url": nil, "active": s.Active,
	}
}

func webhookView(w *webhook) object {
	view := object{
		"id": w.ID, "url": w.URL, "event": w.Event, "secret": w.Secret, "condition": w.Condition,
		"enabled": w.Enabled, "service": nil, "archived": w.Archived, "created": w.created, "updated": w.updated,
	}
	if w.service != nil {
		view["service"] = serviceRef(w.service)
	}
	return view
}

func taskView(t *task) object {
	return object{
		"id": t.id, "webhook": object{"id": t.webhook.ID, "url": t.webhook.URL, "event": t.webhook.Event},
		"event": t.webhook.Event, "tries": len(t.attempts), "completed": millisOrNull(t.completed),
		"failed": millisOrNull(t.failed), "created": t.created, "updated": max(t.created, t.completed, t.failed),
	}
}

func millisOrNull(ms int64) any {
	if ms == 0 {
		return nil
	}
	return ms
}

func deviceView(u *user, d *device) object {
	apps := []object{}
	for _, app := range d.apps {
		apps = append(apps, object{"id": app.id, "name": "wallet", "type": "expo", "token": app.token})
	}
	return object{
		"id": d.id, "user": reducedUserView(u), "imei": nil, "name": d.name, "apps": apps, "metadata": object{},
		"archived": false, "created": d.created, "updated": d.created,
	}
}

// transactionView is the extended form, which events carry too.
func transactionView(t *transaction) object {
	var partner any
	if t.partner != nil {
		u := t.partner.user
		partner = object{"id": t.partner.id, "account": u.Account, "user": object{
			"id": u.ID, "identifier": u.ID, "username": orNull(u.Username), "first_name": u.FirstName,
			"middle_name": u.MiddleName, "last_name": u.LastName, "profile": nil, "temporary": false,
			"email": orNull(u.Email), "mobile": orNull(u.Mobile),
		}}
	}
	label := "Credit"
	if t.amount.Sign() < 0 {
		label = "Debit"
	}
	return object{
		"id": t.id, "collection": t.collection, "parent": orNull(t.parent), "partner": partner, "index": t.index,
		"tx_type": t.txType(), "subtype": orNull(t.subtype), "note": t.note, "metadata": rawOr(t.metadata, object{}),
		"status": t.status, "reference": orNull(t.reference), "amount": t.amount, "fee": 0, "total_amount": t.amount,
		"balance": t.balance, "label": label, "account": t.user.Account, "currency": t.currency,
		"account_currency": object{
			"id": t.user.Account + "-" + t.currency.Code,
			"account": object{
				"reference": t.user.Account, "name": "default", "label": "Default", "definition": nil, "primary": true,
			},
			"currency": t.currency,
		},
		"creator": reducedUserView(t.creator), "user": reducedUserView(t.user), "fees": []object{}, "inclusive": false,
		"archived": t.archived, "executed": millisOrNull(t.executed), "expires": nil, "created": t.created,
		"updated": t.updated,
	}
}

// balance is the user's on the primary account.
func (c *company) balance(u *user, currency string) *big.Int {
	if b := c.balances[u.ID+"/"+currency]; b != nil {
		return b
	}
	return new(big.Int)
}
