// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

func TestRegister(t *testing.T) {
	g := NewWithT(t)
	var refuse atomic.Bool
	var calls atomic.Int64
	extension := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if refuse.Load() || r.URL.Path != "/api/activate/" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"status": "error", "message": "The permission admin.webhook.add is missing."}`))
		}
	}))
	t.Cleanup(extension.Close)
	platform := rehivetest.New(rehivetest.Options{})
	t.Cleanup(platform.Close)
	g.Expect(platform.Start("127.0.0.1:0")).To(Succeed())
	seeded, err := platform.Seed()
	g.Expect(err).NotTo(HaveOccurred())
	company, token := seeded.Company, seeded.Admin.Token
	register := func(args ...string) (int, string, string) {
		return plugin(t.Context(), token+"\n", append([]string{"register", "--url", extension.URL, "--rehive-api-url", platform.URL()}, args...)...)
	}
	before := len(platform.Services(company))

	// It shows what it would do, and changes nothing.
	status, out, errOut := register()
	g.Expect(status).To(Equal(1), errOut)
	g.Expect(out).To(Equal("Company " + company + ", extension " + extension.URL + "/api/\n" +
		"would add the extension \"Notifications\"\n" +
		"would grant admin.company.view, admin.webhook.view, admin.webhook.add, admin.webhook.change, admin.webhook.delete, admin.transaction.view, admin.user.view, admin.device.view\n" +
		"would switch the extension on\n"))
	g.Expect(errOut).To(ContainSubstring("Nothing was changed."))
	g.Expect(platform.Services(company)).To(HaveLen(before))

	// The operator's refusal is shown, and a second run does only what is missing.
	refuse.Store(true)
	status, out, errOut = register("--yes")
	g.Expect(status).To(Equal(2))
	g.Expect(out).To(ContainSubstring("done: add the extension"))
	g.Expect(errOut).To(ContainSubstring("The permission admin.webhook.add is missing."))
	g.Expect(errOut).NotTo(ContainSubstring(token))
	refuse.Store(false)
	services := platform.Services(company)
	g.Expect(services).To(HaveLen(before + 1))
	ours := services[before]
	all := rehivetest.MinimumPermissions()
	g.Expect(platform.SetPermissions(company, ours.ID, append(all[1:], rehivetest.Permission{Section: "admin", Type: "transaction", Level: "delete"}))).To(Succeed())
	status, out, errOut = register("--yes")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(HaveSuffix("done: grant admin.company.view\n" +
		"done: remove the permission admin.transaction.delete, which the operator does not need\n" +
		"done: switch the extension on\n"))
	g.Expect(platform.Services(company)).To(HaveLen(before + 1))
	ours, err = platform.Service(company, ours.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ours.Active).To(BeTrue())
	g.Expect(ours.URL).To(Equal(extension.URL + "/api/"))

	// Repeated, it does nothing.
	made := calls.Load()
	status, out, errOut = register("--yes")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(HaveSuffix("Everything is set up already.\n"))
	g.Expect(calls.Load()).To(Equal(made))

	// The token comes from the environment or a file too.
	file := filepath.Join(t.TempDir(), "token")
	g.Expect(os.WriteFile(file, []byte(token), 0o600)).To(Succeed())
	status, out, errOut = plugin(t.Context(), "", "register", "--url", extension.URL+"/api/", "--rehive-api-url", platform.URL(), "--token-file", file)
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(HaveSuffix("Everything is set up already.\n"))
	t.Setenv(tokenVariable, "wrong")
	status, _, errOut = plugin(t.Context(), "", "register", "--url", extension.URL, "--rehive-api-url", platform.URL(), "--token-file", file)
	g.Expect(status).To(Equal(2), "the variable comes first")
	g.Expect(errOut).To(ContainSubstring("checking the token"))
	t.Setenv(tokenVariable, "")
	for want, args := range map[string][]string{
		"the token of an admin of the company is required": {"--url", extension.URL},
		"--url must be the operator's public URL":          {"--url", "notifications.shop.example"},
		`required flag(s) "url" not set`:                   nil,
	} {
		status, _, errOut = plugin(t.Context(), "", append([]string{"register", "--rehive-api-url", platform.URL()}, args...)...)
		g.Expect(status).To(Equal(2), want)
		g.Expect(errOut).To(ContainSubstring(want))
	}
	_, _, errOut = plugin(t.Context(), strings.Repeat("a", 5<<10), "register", "--url", extension.URL, "--rehive-api-url", platform.URL())
	g.Expect(errOut).To(ContainSubstring("is required"))
}
