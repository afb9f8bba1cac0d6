// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

// oneDevice is the token of everybody's only device.
type oneDevice string

func (d oneDevice) PushTokens(context.Context, string, string) ([]string, error) {
	return []string{string(d)}, nil
}

// A restart doesn't make the operator send to a token again that Expo called dead.
func TestDeadTokensSurviveARestart(t *testing.T) {
	fake := providertest.NewExpo("")
	base, client, stop := providertest.Serve(fake.API)
	defer stop()
	path := filepath.Join(t.TempDir(), "ledger.db")
	// send sends one message to each company, by a process of its own.
	send := func(token string, companies ...string) (reasons []error) {
		t.Helper()
		store, err := sqlite.Open(t.Context(), path, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		p, err := expo.New(expo.Config{Devices: oneDevice(token), Dead: DeadTokens{store}, BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		for _, company := range companies {
			m := providertest.Message()
			m.Company, m.To = company, "jane"
			_, err := p.Send(t.Context(), m)
			reasons = append(reasons, err)
		}
		return reasons
	}
	const phone, another = "ExponentPushToken[phone]", "ExponentPushToken[another]"
	fake.Ticket(phone, "DeviceNotRegistered")
	providertest.CheckReason(t, send(phone, "acme")[0], "NoDevice")
	fake.Ticket(phone, "")
	before := fake.Requests()
	providertest.CheckReason(t, send(phone, "acme")[0], "NoDevice")
	if n := fake.Requests() - before; n != 0 {
		t.Errorf("%d calls for a dead token after a restart", n)
	}
	// It is dead for the company that learned it, and until the user has another.
	if err := send(phone, "other")[0]; err != nil {
		t.Error(err)
	}
	for _, token := range []string{another, phone} {
		if err := send(token, "acme")[0]; err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
}
