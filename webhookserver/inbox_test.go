// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"testing"

	"github.com/onsi/gomega"
)

// TestInboxSummary counts a user's unread messages and marks them as received, without those
// of another user.
func TestInboxSummary(t *testing.T) {
	f := newActiveFixture(t)
	zoe, joe := f.addUser(f.company, "user"), f.addUser(f.company, "user")
	add := func(users ...string) { f.deliver("Hi", users...) }
	call := func(token, method, path, body string) object {
		t.Helper()
		var state object
		f.data(f.call(token, method, path, body), &state)
		return state
	}
	f.Expect(call(zoe.Token, "GET", "/api/user/inbox/", "")).To(gomega.Equal(object{"unread": 0.0, "newest": 0.0}))
	add(zoe.ID, joe.ID)
	add(zoe.ID)
	state := call(zoe.Token, "GET", "/api/user/inbox/", "")
	f.Expect(state["unread"]).To(gomega.Equal(2.0))
	add(zoe.ID) // after the app has shown the list
	newest := state["newest"].(float64)
	f.Expect(call(zoe.Token, "POST", "/api/user/inbox/read/", fmt.Sprintf(`{"up_to":%.0f}`, newest))["unread"]).To(gomega.Equal(1.0))
	f.Expect(call(joe.Token, "GET", "/api/user/inbox/", "")["unread"]).To(gomega.Equal(1.0))
	for _, body := range []string{`{}`, `{"up_to":-1}`, `{"up_to":"x"}`, `{"up_to":1.5}`, `{"up_to":null}`} {
		f.Expect(f.call(zoe.Token, "POST", "/api/user/inbox/read/", body).status).To(gomega.Equal(400), body)
	}
}
