// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
)

// EventUserUpdate is the event by which the platform reports that a user was changed, and also
// that a user was deleted: then the user's retention_state is deleted.
const EventUserUpdate = "user.update"

// The groups whose users may act for a company.
const (
	GroupAdmin   = "admin"
	GroupService = "service"
)

// Group is what a user may do on the platform. Name is the identifier.
type Group struct {
	Name    string `json:"name"`
	Label   string `json:"label"`
	Section string `json:"section"` // system, admin or user
}

// User is a person or a service of one company.
type User struct {
	ID          string  `json:"id"` // UUID
	Username    string  `json:"username"`
	Email       string  `json:"email"`
	Mobile      string  `json:"mobile"`
	FirstName   string  `json:"first_name"`
	MiddleName  string  `json:"middle_name"`
	LastName    string  `json:"last_name"`
	Language    string  `json:"language"`
	Timezone    string  `json:"timezone"`
	Status      string  `json:"status"`
	Company     string  `json:"company"` // the company's identifier
	Groups      []Group `json:"groups"`
	Archived    bool    `json:"archived"`
	Deactivated bool    `json:"deactivated"`
}

// UserRecord is a user with everything that the platform says about them.
type UserRecord struct {
	User
	// Raw is the user as the platform sent it: a JSON object.
	Raw json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *UserRecord) UnmarshalJSON(data []byte) error {
	r.Raw = bytes.Clone(data)
	return json.Unmarshal(data, &r.User)
}

// InGroup says whether the user is in one of the named groups.
func (u *User) InGroup(names ...string) bool {
	for _, g := range u.Groups {
		for _, name := range names {
			if g.Name == name {
				return true
			}
		}
	}
	return false
}

// Company is a tenant of the platform.
type Company struct {
	ID           string `json:"id"` // slug-like, chosen by its owner
	Name         string `json:"name"`
	Website      string `json:"website"`
	SystemEmail  string `json:"system_email"` // only admins and services see it
	SupportEmail string `json:"support_email"`
	ContactEmail string `json:"contact_email"`
	Logo         string `json:"logo"`
	Icon         string `json:"icon"`
	Mode         string `json:"mode"`   // test or production
	Status       string `json:"status"` // pending, active, restricted or suspended
}

// Webhook asks the platform to POST one kind of event to one URL.
type Webhook struct {
	ID        int64  `json:"id"`
	URL       string `json:"url"`
	Event     string `json:"event"`
	Secret    string `json:"secret"`
	Condition string `json:"condition"`
	Enabled   bool   `json:"enabled"`
	Archived  bool   `json:"archived"`
	// Service is the extension that registered the webhook, nil for an admin.
	// The platform refuses changes to it while that service is active.
	Service *ServiceRef `json:"service"`
	Created int64       `json:"created"` // milliseconds since the epoch
	Updated int64       `json:"updated"`
}

// ServiceRef names an extension.
type ServiceRef struct {
	ID   int64  `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// Currency is what an amount is counted in.
type Currency struct {
	Code         string `json:"code"`
	Divisibility int    `json:"divisibility"` // decimals of the main unit
}

// Transaction is a movement on one account. Debits have negative amounts.
type Transaction struct {
	ID          string   `json:"id"` // UUID
	Parent      string   `json:"parent"`
	Collection  string   `json:"collection"`
	TxType      string   `json:"tx_type"` // credit or debit
	Subtype     string   `json:"subtype"`
	Status      string   `json:"status"` // Initiating, Quoted, Pending, Complete or Failed
	Amount      Amount   `json:"amount"`
	Fee         Amount   `json:"fee"`
	TotalAmount Amount   `json:"total_amount"`
	Currency    Currency `json:"currency"`
	Archived    bool     `json:"archived"`
}

// Amount is a whole number of a currency's smallest unit. The platform keeps up
// to 30 digits, more than an int64 holds. Int is nil where the platform sent
// null or nothing.
type Amount struct{ *big.Int }

// maxAmountLength keeps a hostile number from costing time.
const maxAmountLength = 64

// UnmarshalJSON implements json.Unmarshaler.
func (a *Amount) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		a.Int = nil
		return nil
	}
	if len(raw) > maxAmountLength {
		return errors.New("the amount has too many digits")
	}
	n, ok := new(big.Int).SetString(string(raw), 10)
	if !ok {
		return errors.New("the amount is not a whole number")
	}
	a.Int = n
	return nil
}

// MarshalJSON implements json.Marshaler.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.Int == nil {
		return []byte("null"), nil
	}
	return a.Int.MarshalJSON()
}

// Device is something a user receives push messages on.
type Device struct {
	ID       int64       `json:"id"`
	Name     string      `json:"name"`
	User     Owner       `json:"user"`
	Apps     []DeviceApp `json:"apps"`
	Archived bool        `json:"archived"`
}

// Owner is the user that something belongs to. The platform names it by its id or
// by an object that has one.
type Owner struct {
	// ID is empty if the answer doesn't name the user.
	ID string
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Owner) UnmarshalJSON(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte(`"`)):
		return json.Unmarshal(data, &o.ID)
	case bytes.HasPrefix(data, []byte(`{`)):
		object := (*struct {
			ID string `json:"id"`
		})(o)
		return json.Unmarshal(data, object)
	}
	return nil
}

// DeviceApp is an installed app. Type is "expo", the only one the platform
// knows, and Token its Expo push token.
type DeviceApp struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Type  string `json:"type"`
	Token string `json:"token"`
}
