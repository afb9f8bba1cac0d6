// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
	"github.com/rehive/extension-operator/internal/rehive"
)

// transactionData is what computed needs of a transaction in an event's data.
type transactionData struct {
	ID          string        `json:"id"`
	Parent      *string       `json:"parent"`
	Amount      rehive.Amount `json:"amount"`
	Fee         rehive.Amount `json:"fee"`
	TotalAmount rehive.Amount `json:"total_amount"`
	Currency    struct {
		Code string `json:"code"`
	} `json:"currency"`
}

// computed returns what templates read as computed for an event: fee and
// total_amount for events of transactions, nothing for others.
//
// Rehive keeps most fees as child transactions, which a transaction's own fee
// and total_amount don't count. fee is the signed sum of the children's amounts
// in the transaction's currency, total_amount that and the amount. Without
// children, and for a transaction that is itself a child, both are the
// transaction's own, which hold the fees of the deprecated kind.
func computed(ctx context.Context, platform rehive.Session, event string, data []byte) (*python.Dict, error) {
	if !strings.HasPrefix(event, "transaction.") {
		return python.NewDict(0), nil
	}
	transaction, err := readTransaction(event, data)
	if err != nil {
		// A payload of another form than the documented one has no fee to sum; the
		// variables are then missing, as any other that the data doesn't have.
		return python.NewDict(0), nil //nolint:nilerr // not a fault of this event's: see above
	}
	var children []rehive.Transaction
	if transaction.ID != "" && (transaction.Parent == nil || *transaction.Parent == "") {
		if children, err = platform.ChildTransactions(ctx, transaction.ID); err != nil {
			return nil, fmt.Errorf("reading the transaction's children: %w", err)
		}
	}

	sum, found := new(big.Int), false
	for _, child := range children {
		if child.Archived || child.Amount.Int == nil || child.Currency.Code != transaction.Currency.Code {
			continue
		}
		sum.Add(sum, child.Amount.Int)
		found = true
	}
	fee, total := sum, new(big.Int).Add(number(transaction.Amount), sum)
	if !found {
		fee, total = number(transaction.Fee), number(transaction.TotalAmount)
		if transaction.TotalAmount.Int == nil {
			total = number(transaction.Amount)
		}
	}
	result := python.NewDict(2)
	result.SetStr("fee", python.NewInt(fee))
	result.SetStr("total_amount", python.NewInt(total))
	return result, nil
}

// readTransaction finds the transaction: it is the data itself, or a member of the data of
// a transaction.transition event.
func readTransaction(event string, data []byte) (transactionData, error) {
	var nested struct {
		transactionData
		Transaction *transactionData `json:"transaction"`
	}
	if err := json.Unmarshal(data, &nested); err != nil {
		return transactionData{}, err
	}
	if strings.HasPrefix(event, "transaction.transition.") {
		if nested.Transaction == nil {
			return transactionData{}, errors.New("the transition has no transaction")
		}
		return *nested.Transaction, nil
	}
	return nested.transactionData, nil
}

func number(a rehive.Amount) *big.Int {
	if a.Int == nil {
		return new(big.Int)
	}
	return a.Int
}
