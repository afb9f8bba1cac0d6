// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

type transaction struct {
	id, collection, parent string
	index                  int
	user, creator          *user
	partner                *transaction // the other side of a transfer
	subtype, status        string
	note, reference        string
	metadata               json.RawMessage
	amount, balance        *big.Int
	currency               Currency
	archived               bool
	executed               int64
	created, updated       int64
}

func (t *transaction) txType() string {
	if t.amount.Sign() < 0 {
		return "debit"
	}
	return "credit"
}

func (t *transaction) export() Transaction {
	return Transaction{
		ID: t.id, Collection: t.collection, Parent: t.parent, User: t.user.ID, TxType: t.txType(),
		Currency: t.currency.Code, Amount: new(big.Int).Set(t.amount), Status: t.status,
	}
}

// AddTransaction creates a transaction, with its other side and its children, and
// raises the events of each: create, initiate (it became Pending) and, if it is
// not left pending, execute (it became Complete or Failed). The first of the
// result is the one asked for.
func (p *Platform) AddTransaction(companyID string, spec NewTransaction) ([]Transaction, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return nil, err
	}
	made, err := p.addTransaction(c, nil, spec)
	if err != nil {
		return nil, err
	}
	all := make([]Transaction, 0, len(made))
	for _, t := range made {
		all = append(all, t.export())
	}
	return all, nil
}

func (p *Platform) addTransaction(c *company, creator *user, spec NewTransaction) ([]*transaction, error) {
	sender, err := c.user(spec.User)
	if err != nil {
		return nil, err
	}
	currency, known := c.currency(spec.Currency)
	if !known {
		return nil, fmt.Errorf("company %q has no currency %q", c.ID, spec.Currency)
	}
	if spec.Amount == nil || spec.Amount.Sign() < 0 {
		return nil, errors.New("a transaction needs an amount, without sign")
	}
	setDefault(&spec.Status, "Complete")
	if spec.Status != "Complete" && spec.Status != "Pending" && spec.Status != "Failed" {
		return nil, fmt.Errorf("unknown status %q", spec.Status)
	}
	if creator == nil {
		creator = sender
	}
	now := p.nowMS()
	base := transaction{
		collection: uuid.NewString(), creator: creator, status: "Initiating", note: spec.Note,
		reference: spec.Reference, metadata: spec.Metadata, currency: currency, created: now, updated: now,
	}
	add := func(u *user, amount *big.Int, subtype string) *transaction {
		t := base
		t.id, t.user, t.amount, t.subtype = uuid.NewString(), u, new(big.Int).Set(amount), subtype
		return &t
	}
	amount := spec.Amount
	if spec.Recipient != "" || spec.TxType == "debit" {
		amount = new(big.Int).Neg(amount)
	}
	first := add(sender, amount, spec.Subtype)
	made := []*transaction{first}
	if spec.Recipient != "" {
		recipient, err := c.user(spec.Recipient)
		if err != nil {
			return nil, err
		}
		second := add(recipient, spec.Amount, spec.Subtype)
		first.partner, second.partner = second, first
		made = append(made, second)
	}
	for _, child := range spec.Children {
		if child.Amount == nil {
			return nil, errors.New("a child needs an amount")
		}
		setDefault(&child.Subtype, "fee")
		t := add(sender, child.Amount, child.Subtype)
		if child.Currency != "" {
			if t.currency, known = c.currency(child.Currency); !known {
				return nil, fmt.Errorf("company %q has no currency %q", c.ID, child.Currency)
			}
		}
		t.parent, t.archived = first.id, child.Archived
		made = append(made, t)
	}
	for i, t := range made {
		t.index = i
		t.balance = c.balance(t.user, t.currency.Code)
		c.transactions = append(c.transactions, t)
		c.txByID[t.id] = t
		if t.parent != "" {
			c.txChildren[t.parent] = append(c.txChildren[t.parent], t)
		}
	}
	for _, t := range made {
		p.emit(c, "transaction.create", transactionView(t))
	}
	p.move(c, made, "Pending", "transaction.initiate")
	if spec.Status != "Pending" {
		p.move(c, made, spec.Status, "transaction.execute")
	}
	return made, nil
}

// move gives transactions a status and raises the event of each, and transaction.update.
// All of them move before any event is raised: an extension that asks for the children of
// the first must find them.
func (p *Platform) move(c *company, all []*transaction, status, event string) {
	originals := make([]object, len(all))
	for i, t := range all {
		originals[i] = transactionView(t)
		t.status, t.updated = status, p.nowMS()
		if event == "transaction.execute" {
			t.executed = t.updated
		}
		if status == "Complete" {
			key := t.user.ID + "/" + t.currency.Code
			t.balance = new(big.Int).Add(c.balance(t.user, t.currency.Code), t.amount)
			c.balances[key] = t.balance
		}
	}
	for i, t := range all {
		p.emit(c, event, transactionView(t))
		data := transactionView(t)
		data["original_transaction"] = originals[i]
		p.emit(c, "transaction.update", data)
	}
}

// ExecuteTransaction executes a pending transaction with its other side and its
// children Complete or Failed, and raises transaction.execute for each.
func (p *Platform) ExecuteTransaction(companyID, id, status string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return err
	}
	return p.execute(c, id, status)
}

func (p *Platform) execute(c *company, id, status string) error {
	t := c.txByID[id]
	switch {
	case t == nil:
		return fmt.Errorf("company %q has no transaction %q", c.ID, id)
	case t.status != "Pending":
		return fmt.Errorf("the transaction is %s", t.status)
	case status != "Complete" && status != "Failed":
		return fmt.Errorf("a transaction can become Complete or Failed, not %q", status)
	}
	var all []*transaction
	for _, other := range c.transactions {
		if other.collection == t.collection {
			all = append(all, other)
		}
	}
	p.move(c, all, status, "transaction.execute")
	return nil
}

func listTransactions(c *apiCall) answer {
	from := c.company.transactions
	if parent := c.http.URL.Query().Get("parent"); parent != "" {
		from = c.company.txChildren[parent]
	}
	found := filter(c, from, map[string]func(*transaction) string{
		"parent":     func(t *transaction) string { return t.parent },
		"collection": func(t *transaction) string { return t.collection },
		"user":       func(t *transaction) string { return t.user.ID },
		"tx_type":    func(t *transaction) string { return t.txType() },
		"currency":   func(t *transaction) string { return t.currency.Code },
		"subtype":    func(t *transaction) string { return t.subtype },
		"status":     func(t *transaction) string { return strings.ToLower(t.status) },
		"id":         func(t *transaction) string { return t.id },
	})
	return paginate(c, found, func(t *transaction) any { return transactionView(t) })
}

func getTransaction(c *apiCall) answer {
	t := c.company.txByID[c.http.PathValue("id")]
	if t == nil {
		return notFound()
	}
	return ok(transactionView(t))
}

func createTransaction(c *apiCall) answer {
	var spec NewTransaction
	if a, fine := c.decode(&spec); !fine {
		return a
	}
	made, err := c.p.addTransaction(c.company, c.user, spec)
	if err != nil {
		return invalid("non_field_errors", err.Error())
	}
	return created(transactionView(made[0]))
}

func changeTransaction(c *apiCall) answer {
	var body struct {
		Status string `json:"status"`
	}
	if a, fine := c.decode(&body); !fine {
		return a
	}
	t := c.company.txByID[c.http.PathValue("id")]
	if t == nil {
		return notFound()
	}
	status := body.Status
	if status != "" {
		status = strings.ToUpper(status[:1]) + strings.ToLower(status[1:])
	}
	if err := c.p.execute(c.company, t.id, status); err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	return ok(transactionView(t))
}
