// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"math/big"
	"time"
)

// The exported types are the arguments and results of tests, the demo and the control API.
// Their representation in the platform's API is in views.go.

// Company is a tenant of the platform.
type Company struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Mode         string          `json:"mode"`   // test (default) or production
	Status       string          `json:"status"` // active by default
	SystemEmail  string          `json:"system_email"`
	SupportEmail string          `json:"support_email"`
	ContactEmail string          `json:"contact_email"`
	Website      string          `json:"website"`
	Logo         string          `json:"logo"`
	Icon         string          `json:"icon"`
	Settings     json.RawMessage `json:"settings,omitempty"`
	Currencies   []Currency      `json:"currencies,omitempty"` // USD and XBT by default
}

// Currency is what amounts are counted in.
type Currency struct {
	Code         string  `json:"code"`
	DisplayCode  string  `json:"display_code"`
	Description  string  `json:"description"`
	Symbol       string  `json:"symbol"`
	Unit         string  `json:"unit"`
	Divisibility int     `json:"divisibility"`
	Icon         *string `json:"icon"`
}

// User is a person, or the service user of an extension.
type User struct {
	ID          string          `json:"id"` // UUID, made when empty
	Username    string          `json:"username"`
	Email       string          `json:"email"`
	Mobile      string          `json:"mobile"`
	FirstName   string          `json:"first_name"`
	MiddleName  string          `json:"middle_name"`
	LastName    string          `json:"last_name"`
	Language    string          `json:"language"`
	Timezone    string          `json:"timezone"`
	Nationality string          `json:"nationality"`
	Status      string          `json:"status"` // verified by default
	Group       string          `json:"group"`  // admin, service, user or another name; "-" for none; user by default
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	Account     string          `json:"account"` // reference, made when empty
	Archived    bool            `json:"archived"`
	Deactivated bool            `json:"deactivated"`
	Token       string          `json:"token,omitempty"` // made when empty
}

// Device receives push messages; every token is one installed Expo app.
type Device struct {
	Name   string   `json:"name"`
	Tokens []string `json:"tokens"`
}

// Permission allows a service user one kind of thing.
type Permission struct {
	ID      int64  `json:"id"`
	Section string `json:"section"`
	Type    string `json:"type"`
	Level   string `json:"level"` // view, add, change or delete
}

// MinimumPermissions are what a new service gets: what the notification
// extension needs.
func MinimumPermissions() []Permission {
	return []Permission{
		{Section: "admin", Type: "company", Level: "view"},
		{Section: "admin", Type: "webhook", Level: "view"},
		{Section: "admin", Type: "webhook", Level: "add"},
		{Section: "admin", Type: "webhook", Level: "change"},
		{Section: "admin", Type: "webhook", Level: "delete"},
		{Section: "admin", Type: "transaction", Level: "view"},
		{Section: "admin", Type: "user", Level: "view"},
		{Section: "admin", Type: "device", Level: "view"},
	}
}

// Service is an extension as a company sees it.
type Service struct {
	ID          int64  `json:"id"`
	Slug        string `json:"slug"`
	Name        string `json:"name"`
	Description string `json:"description"`
	URL         string `json:"url"` // what activate/, deactivate/ and rotate/ hang off
	Active      bool   `json:"active"`
	User        string `json:"user"`            // UUID of the service user, if there was one
	Token       string `json:"token,omitempty"` // the service user's token, while active
}

// Webhook is a registration.
type Webhook struct {
	ID        int64   `json:"id"`
	URL       string  `json:"url"`
	Event     string  `json:"event"`
	Secret    string  `json:"secret"`
	Condition *string `json:"condition"`
	Enabled   bool    `json:"enabled"`
	Archived  bool    `json:"archived"`
	Service   int64   `json:"service"` // 0: registered by an admin
}

// NewTransaction is a transaction to make. A recipient makes it a transfer: two
// transactions, one of each side.
type NewTransaction struct {
	User      string          `json:"user"`      // UUID or e-mail address
	Recipient string          `json:"recipient"` // UUID or e-mail address
	TxType    string          `json:"tx_type"`   // credit (default) or debit; a transfer's is debit
	Subtype   string          `json:"subtype"`
	Currency  string          `json:"currency"` // the company's first by default
	Amount    *big.Int        `json:"amount"`   // without sign
	Status    string          `json:"status"`   // Complete (default), Pending or Failed
	Note      string          `json:"note"`
	Reference string          `json:"reference"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	Children  []Child         `json:"children,omitempty"`
}

// Child is a transaction that the platform infers from its parent: a fee.
type Child struct {
	Amount   *big.Int `json:"amount"`   // signed: what it does to the balance
	Currency string   `json:"currency"` // the parent's by default
	Subtype  string   `json:"subtype"`  // fee by default
	Archived bool     `json:"archived"`
}

// Transaction is one that was made. Amount is negative for a debit.
type Transaction struct {
	ID         string   `json:"id"`
	Collection string   `json:"collection"`
	Parent     string   `json:"parent,omitempty"`
	User       string   `json:"user"`
	TxType     string   `json:"tx_type"`
	Currency   string   `json:"currency"`
	Amount     *big.Int `json:"amount"`
	Status     string   `json:"status"`
}

// Task is the delivery of one occurrence to one webhook.
type Task struct {
	ID        int64           `json:"id"`
	Webhook   int64           `json:"webhook"`
	Event     string          `json:"event"`
	Attempts  []Attempt       `json:"attempts"`
	Completed bool            `json:"completed"`
	Failed    bool            `json:"failed"`
	Body      json.RawMessage `json:"body"`
}

// Attempt is one try of a task. Code is 0 when there was no answer.
type Attempt struct {
	Time  time.Time `json:"time"`
	Code  int       `json:"response_code"`
	Error string    `json:"error"`
}

// Request is a call that the platform's API received.
type Request struct {
	Time    time.Time `json:"time"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Query   string    `json:"query,omitempty"`
	Company string    `json:"company,omitempty"` // of the token's user
	User    string    `json:"user,omitempty"`
	Status  int       `json:"status"`          // 0: the connection was cut
	Fault   FaultKind `json:"fault,omitempty"` // what was done to it
}

// ExtensionError is the error that an admin sees when an extension could not be activated,
// deactivated or given a new token.
type ExtensionError struct{ Message string }

// Error implements error.
func (e *ExtensionError) Error() string { return e.Message }
