// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

// publishedClient is the npm package with which dashboards and apps call the extension.
const publishedClient = "rehive@4.4.0"

// testPublishedClient calls each operation of the published npm package. It downloads the
// package, so it runs only if REHIVE_NPM=1, and never in CI.
func testPublishedClient(t *testing.T) {
	switch {
	case os.Getenv("CI") != "":
		t.Skip("CI does not download packages from npm")
	case os.Getenv("REHIVE_NPM") != "1":
		t.Skipf("set REHIVE_NPM=1 to install %s with npm and call the API with it", publishedClient)
	}
	for _, program := range []string{"npm", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("REHIVE_NPM=1 needs npm and Node.js 20 or later: %v", err)
		}
	}
	folder := t.TempDir()
	install := exec.CommandContext(t.Context(), "npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", publishedClient)
	install.Dir = folder
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("installing %s: %v\n%s", publishedClient, err, output)
	}
	script, err := os.ReadFile("testdata/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "client.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}

	c := newCompany(t, "npm")
	admin, err := set.Platform.AddUser(c.id, rehivetest.User{Group: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	for _, planted := range []string{admin.Token, authToken} {
		evidence.Plant(planted, "a secret of an admin of "+c.id)
	}
	addPresets(t, c.id)
	if err := set.Webhook(t.Context(), c.id, event); err != nil {
		t.Fatal(err)
	}
	testdata, err := filepath.Abs("../../webhookserver/testdata")
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{
		"baseUrl": set.Manager.PublicURL + "/api/", "adminToken": admin.Token, "userToken": c.customer.Token, "serviceToken": c.serviceToken(),
		"company": c.id, "secret": c.secret, "user": c.customer.ID, "userEmail": c.customer.Email, "event": event,
		"patience": 30_000, "operations": filepath.Join(testdata, "operations.txt"), "components": filepath.Join(testdata, "components.txt"),
	})
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "node", "client.mjs")
	run.Dir, run.Stdin = folder, bytes.NewReader(input)
	output, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("the client failed: %v\n%s\n%s", err, output, set.Manager.LogTail())
	}
	if got := strings.TrimSpace(string(output)); got != "41 operations" {
		t.Errorf("the client's output is %q", got)
	}
	c.refresh(t)
}

// serviceToken returns the token of the company's service user.
func (c *company) serviceToken() string {
	for _, service := range c.stage.Platform.Services(c.id) {
		if service.ID == c.service.ID {
			return service.Token
		}
	}
	return ""
}

// addPresets creates a template and a layout template.
func addPresets(t *testing.T, name string) {
	t.Helper()
	for _, text := range []string{
		fmt.Sprintf(`{%s, kind: NotificationTemplate, metadata: {namespace: %s, name: %s}, spec: {displayName: Preset, event: %s, email: {to: '{{ user.email }}', subject: '{{ text }}', text: '{{ text }}'}}}`,
			apiVersion, stage.Namespace, name, event),
		fmt.Sprintf(`{%s, kind: NotificationLayout, metadata: {namespace: %s, name: %s, labels: {extensions.rehive.com/layout-template: 'true'}}, spec: {displayName: Frame, channel: email, text: '{{ content }}'}}`,
			apiVersion, stage.Namespace, name),
	} {
		object, err := set.Apply(t.Context(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := set.Kube.Delete(context.Background(), object); err != nil {
				t.Log(err)
			}
		})
	}
}
