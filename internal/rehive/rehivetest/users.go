// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"slices"
	"strconv"
)

func getAuth(c *apiCall) answer { return ok(authView(c.user)) }

func getCompany(c *apiCall) answer { return ok(companyView(c.company)) }

func patchCompany(c *apiCall) answer {
	original := companyView(c.company)
	changed := c.company.Company
	if a, fine := c.decode(&changed); !fine {
		return a
	}
	changed.ID, changed.Status, changed.Currencies = c.company.ID, c.company.Status, c.company.Currencies
	c.company.Company = changed
	data := companyView(c.company)
	data["original_company"] = original
	c.p.emit(c.company, "company.update", data)
	return ok(companyView(c.company))
}

func listUsers(c *apiCall) answer {
	found := filter(c, c.company.users, map[string]func(*user) string{
		"id":          func(u *user) string { return u.ID },
		"group":       func(u *user) string { return u.Group },
		"email":       func(u *user) string { return u.Email },
		"mobile":      func(u *user) string { return u.Mobile },
		"archived":    func(u *user) string { return strconv.FormatBool(u.Archived) },
		"deactivated": func(u *user) string { return strconv.FormatBool(u.Deactivated) },
	})
	return paginate(c, found, func(u *user) any { return userView(u) })
}

func getUser(c *apiCall) answer {
	u := c.company.byID[c.http.PathValue("id")]
	if u == nil {
		return notFound()
	}
	return ok(userView(u))
}

// userBody holds what may be written of a user.
type userBody struct {
	Username    *string         `json:"username"`
	Email       *string         `json:"email"`
	Mobile      *string         `json:"mobile"`
	FirstName   *string         `json:"first_name"`
	MiddleName  *string         `json:"middle_name"`
	LastName    *string         `json:"last_name"`
	Language    *string         `json:"language"`
	Timezone    *string         `json:"timezone"`
	Nationality *string         `json:"nationality"`
	Status      *string         `json:"status"`
	Group       *string         `json:"group"`
	Metadata    json.RawMessage `json:"metadata"`
	Archived    *bool           `json:"archived"`
	Deactivated *bool           `json:"deactivated"`
}

func (b userBody) apply(u *User) {
	for _, field := range []struct{ from, to *string }{
		{b.Username, &u.Username}, {b.Email, &u.Email}, {b.Mobile, &u.Mobile}, {b.FirstName, &u.FirstName},
		{b.MiddleName, &u.MiddleName}, {b.LastName, &u.LastName}, {b.Language, &u.Language},
		{b.Timezone, &u.Timezone}, {b.Nationality, &u.Nationality}, {b.Status, &u.Status}, {b.Group, &u.Group},
	} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	if b.Metadata != nil {
		u.Metadata = b.Metadata
	}
	if b.Archived != nil {
		u.Archived = *b.Archived
	}
	if b.Deactivated != nil {
		u.Deactivated = *b.Deactivated
	}
}

func createUser(c *apiCall) answer {
	var body userBody
	if a, fine := c.decode(&body); !fine {
		return a
	}
	var spec User
	body.apply(&spec)
	if spec.Email != "" && slices.ContainsFunc(c.company.users, func(u *user) bool { return u.Email == spec.Email }) {
		return invalid("email", "User with given email already exists.")
	}
	u, err := c.p.addUser(c.company, spec)
	if err != nil {
		return invalid("non_field_errors", err.Error())
	}
	c.p.emit(c.company, "user.create", eventUserView(u))
	return created(userView(u))
}

func changeUser(c *apiCall) answer {
	u := c.company.byID[c.http.PathValue("id")]
	if u == nil {
		return notFound()
	}
	var body userBody
	if a, fine := c.decode(&body); !fine {
		return a
	}
	c.p.updateUser(u, body.apply)
	return ok(userView(u))
}

func listDevices(c *apiCall) answer {
	type owned struct {
		user   *user
		device *device
	}
	var all []owned
	for _, u := range c.company.users {
		for _, d := range u.devices {
			all = append(all, owned{u, d})
		}
	}
	found := filter(c, all, map[string]func(owned) string{"user": func(o owned) string { return o.user.ID }})
	return paginate(c, found, func(o owned) any { return deviceView(o.user, o.device) })
}

func listCurrencies(c *apiCall) answer {
	return paginate(c, c.company.Currencies, func(currency Currency) any { return currency })
}

func getCurrency(c *apiCall) answer {
	code := c.http.PathValue("code")
	currency, found := c.company.currency(code)
	if !found || code == "" {
		return notFound()
	}
	return ok(currency)
}
