// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"strings"
	"testing"
)

// A rule that can't work is refused when it is applied, by the manager with the rights of
// its service account and the certificate that it issued.
func testAdmission(t *testing.T) {
	const wrong = `
apiVersion: extensions.rehive.com/v1alpha1
kind: NotificationRule
metadata: {name: refused, namespace: rehive-system}
spec:
  companyRef: {name: nobody}
  displayName: Refused
  enabled: false
  email:
    to: "{{ user.email }}"
    subject: Hello
    text: |
      Hello
        {% iff user %}
`
	if err := set.Eventually(t.Context(), "the rule to be refused", func() error {
		_, err := set.Apply(t.Context(), []byte(wrong))
		if err == nil {
			return errors.New("it was accepted")
		}
		if !strings.Contains(err.Error(), "denied the request: spec.email.text, line 2, column 3: Invalid block tag") {
			return err
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Apply(t.Context(), []byte(strings.Replace(wrong, "iff user %}", "if user %}you{% endif %}", 1))); err != nil {
		t.Fatal(err)
	}
}
