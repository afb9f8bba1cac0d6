// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"encoding/json"
	"fmt"
	"math/big"
	"testing"

	"github.com/rehive/extension-operator/internal/python"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

func startPlatform(t *testing.T) (*rehivetest.Platform, rehivetest.Seeded, *rehive.Client) {
	t.Helper()
	platform := rehivetest.New(rehivetest.Options{})
	t.Cleanup(platform.Close)
	if err := platform.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	seed, err := platform.Seed()
	if err != nil {
		t.Fatal(err)
	}
	client, err := rehive.New(platform.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return platform, seed, client
}

func TestComputedSumsTheChildren(t *testing.T) {
	platform, seed, client := startPlatform(t)
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	children := []rehivetest.Child{
		{Amount: big.NewInt(-100)},
		{Amount: big.NewInt(-50)},
		{Amount: new(big.Int).Neg(huge)},
		{Amount: big.NewInt(-7), Currency: "XBT"}, // another currency
		{Amount: big.NewInt(-9), Archived: true},  // archived
	}
	for range 300 { // more than a page
		children = append(children, rehivetest.Child{Amount: big.NewInt(-1)})
	}
	made, err := platform.AddTransaction(seed.Company, rehivetest.NewTransaction{
		User: seed.Customers[0].ID, TxType: "debit", Currency: "USD", Amount: big.NewInt(1000), Children: children,
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{
		"id": made[0].ID, "amount": -1000, "fee": 0, "total_amount": -1000, "parent": nil, "currency": map[string]any{"code": "USD"},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantFee := new(big.Int).Sub(big.NewInt(-450), huge)
	wantTotal := new(big.Int).Sub(wantFee, big.NewInt(1000))

	for _, event := range []struct {
		name string
		data string
	}{
		{"transaction.execute", string(data)},
		{"transaction.transition.create", fmt.Sprintf(`{"id":"transition","status":"pending","transaction":%s}`, data)},
	} {
		got, err := computed(t.Context(), client.WithToken(seed.Admin.Token), event.name, []byte(event.data))
		if err != nil {
			t.Fatal(err)
		}
		if fee := printed(t, got, "fee"); fee != wantFee.String() {
			t.Errorf("%s: fee is %s, want %s", event.name, fee, wantFee)
		}
		if total := printed(t, got, "total_amount"); total != wantTotal.String() {
			t.Errorf("%s: total_amount is %s, want %s", event.name, total, wantTotal)
		}
	}
}

// Without children there is nothing to sum, and a child has none: then the
// transaction's own fields say what there is to say.
func TestComputedFallsBackOnTheTransaction(t *testing.T) {
	platform, seed, client := startPlatform(t)
	made, err := platform.AddTransaction(seed.Company, rehivetest.NewTransaction{User: seed.Customers[0].ID, Amount: big.NewInt(500)})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ data, fee, total string }{
		"no children":     {fmt.Sprintf(`{"id":%q,"amount":500,"fee":25,"total_amount":525}`, made[0].ID), "25", "525"},
		"no total":        {fmt.Sprintf(`{"id":%q,"amount":500}`, made[0].ID), "0", "500"},
		"itself a child":  {`{"id":"00000000-0000-0000-0000-000000000001","parent":"p","amount":-10,"fee":0,"total_amount":-10}`, "0", "-10"},
		"no id":           {`{"amount":7}`, "0", "7"},
		"beyond 64 bits":  {`{"amount":123456789012345678901234567890}`, "0", "123456789012345678901234567890"},
		"null everywhere": {`{"id":null,"parent":null,"amount":null,"fee":null,"total_amount":null,"currency":null}`, "0", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := computed(t.Context(), client.WithToken(seed.Admin.Token), "transaction.create", []byte(test.data))
			if err != nil {
				t.Fatal(err)
			}
			if fee, total := printed(t, got, "fee"), printed(t, got, "total_amount"); fee != test.fee || total != test.total {
				t.Errorf("fee %s, total_amount %s; want %s, %s", fee, total, test.fee, test.total)
			}
		})
	}
}

func TestComputedIsEmptyWhereThereIsNoTransaction(t *testing.T) {
	for event, data := range map[string]string{
		"user.create":                   `{"id":"x","amount":5}`,
		"transaction.execute":           `["not","an","object"]`,
		"transaction.transition.update": `{"id":"no transaction"}`,
		"transaction.create":            `{"amount":1.5}`,
	} {
		// The zero session can't call anything: nothing may be asked for.
		got, err := computed(t.Context(), rehive.Session{}, event, []byte(data))
		if err != nil || got.Len() != 0 {
			t.Errorf("%s: got %d values, %v", event, got.Len(), err)
		}
	}
}

func TestComputedOutageIsAnError(t *testing.T) {
	platform, seed, client := startPlatform(t)
	platform.InjectFault(rehivetest.Fault{Path: "/3/admin/transactions/", Kind: rehivetest.FaultStatus, Status: 503})
	_, err := computed(t.Context(), client.WithToken(seed.Admin.Token), "transaction.execute", []byte(`{"id":"00000000-0000-0000-0000-000000000001","amount":1}`))
	if !rehive.IsTransient(err) {
		t.Errorf("got %v, want a passing error: a fee must not be guessed", err)
	}
}

func printed(t *testing.T, values *python.Dict, key string) string {
	t.Helper()
	value, ok := values.GetStr(key)
	if !ok {
		t.Fatalf("there is no %s", key)
	}
	return python.StrOf(value)
}
