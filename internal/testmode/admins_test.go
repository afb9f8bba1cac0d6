// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package testmode

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// company is a company on a simulated platform, and its guard.
type company struct {
	*testing.T
	platform *rehivetest.Platform
	clock    *clocktesting.FakeClock
	token    func(context.Context, *v1alpha1.CompanyActivation) (string, error)
	guard    *Guard
}

// newCompany returns a company with an admin, who has the token. The company "other" has one, too.
func newCompany(t *testing.T) (c *company, admin rehivetest.User) {
	t.Helper()
	c = &company{T: t, platform: rehivetest.New(rehivetest.Options{}), clock: clocktesting.NewFakeClock(time.Now())}
	t.Cleanup(c.platform.Close)
	c.must(c.platform.Start("127.0.0.1:0"))
	for _, id := range []string{"acme", "other"} {
		if _, err := c.platform.AddCompany(rehivetest.Company{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	admin = c.user("acme", rehivetest.User{Email: "Ada@acme.example", Mobile: "+27820000001", Group: "admin"})
	c.user("other", rehivetest.User{Email: "oscar@other.example", Group: "admin"})
	c.token = func(context.Context, *v1alpha1.CompanyActivation) (string, error) { return admin.Token, nil }
	client, err := rehive.New(c.platform.URL())
	c.must(err)
	t.Cleanup(client.CloseIdleConnections)
	admins := NewAdmins(client, func(ctx context.Context, a *v1alpha1.CompanyActivation) (string, error) { return c.token(ctx, a) }, c.clock)
	c.guard, err = New(Redirect, []string{"qa.example", CompanyAdmins}, []string{"catch@all.example"}, admins)
	c.must(err)
	return c, admin
}

func (c *company) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *company) user(company string, u rehivetest.User) rehivetest.User {
	c.Helper()
	added, err := c.platform.AddUser(company, u)
	c.must(err)
	return added
}

// of returns the guard of a company in test mode.
func (c *company) of(id string) *Company {
	a := &v1alpha1.CompanyActivation{Spec: v1alpha1.CompanyActivationSpec{Company: id}}
	a.Status.CompanyInfo.Mode = "test"
	return c.guard.Of(a)
}

// want checks an answer for a recipient of acme, and the number of calls of the platform so far.
func (c *company) want(recipient string, want bool, calls int) {
	c.Helper()
	channel, address, _ := strings.Cut(recipient, " ")
	if got, err := c.of("acme").Allows(c.Context(), v1alpha1.Channel(channel), address); got != want || err != nil {
		c.Errorf("%s: %t, %v", recipient, got, err)
	}
	if n := len(c.platform.Requests()); n != calls {
		c.Errorf("%d calls after %s, want %d", n, recipient, calls)
	}
}

func TestCompanyAdmins(t *testing.T) {
	c, admin := newCompany(t)
	bob := c.user("acme", rehivetest.User{Email: "bob@acme.example", Mobile: "+27820000002"})
	c.user("acme", rehivetest.User{Email: "gone@acme.example", Group: "admin", Deactivated: true})
	c.want("email x@qa.example", true, 0)
	c.want("email catch@all.example", true, 0)
	c.want("system "+bob.ID, true, 0)
	c.want("email ada@ACME.example", true, 1)
	for recipient, want := range map[string]bool{
		"sms +27820000001": true, "push " + admin.ID: true, "push " + strings.ToUpper(admin.ID): true,
		"email bob@acme.example": false, "sms +27820000002": false, "push " + bob.ID: false,
		"email gone@acme.example": false, "email oscar@other.example": false, "email ": false, "sms ": false,
		"sms ada@acme.example": false, "email +27820000001": false, "email x@acme.example": false,
	} {
		c.want(recipient, want, 1)
	}
	eve := c.user("acme", rehivetest.User{Email: "eve@acme.example", Group: "admin"})
	c.want("email "+eve.Email, false, 1)
	c.clock.Step(AdminsTTL)
	c.want("email "+eve.Email, true, 2)

	// The token belongs to acme, whose admins are strangers to another company.
	if got, err := c.of("other").Allows(t.Context(), v1alpha1.ChannelEmail, "ada@acme.example"); got || err != nil {
		t.Errorf("another company may send: %t, %v", got, err)
	}
	calls := len(c.platform.Requests())
	c.clock.Step(noAdminsTTL)
	if _, err := c.of("other").Allows(t.Context(), v1alpha1.ChannelEmail, "ada@acme.example"); err != nil || len(c.platform.Requests()) != calls+1 {
		t.Errorf("%v, and %d calls for a company without admins", err, len(c.platform.Requests())-calls)
	}
}

// TestCompanyAdminsUnavailable checks that nobody counts as a stranger, or as an admin, because of
// a platform that fails, and that it is not called for each message.
func TestCompanyAdminsUnavailable(t *testing.T) {
	c, _ := newCompany(t)
	remove := c.platform.InjectFault(rehivetest.Fault{Path: "/3/admin/users/", Kind: rehivetest.FaultStatus, Status: 503})
	for range 3 {
		if got, err := c.of("acme").Allows(t.Context(), v1alpha1.ChannelEmail, "ada@acme.example"); got || !rehive.IsTransient(err) || strings.Contains(err.Error(), "@") {
			t.Errorf("%t, %v", got, err)
		}
	}
	remove()
	if n := len(c.platform.Requests()); n != 1 {
		t.Errorf("%d calls", n)
	}
	c.clock.Step(failureTTL)
	c.want("email ada@acme.example", true, 2)
	c.clock.Step(AdminsTTL)
	c.token = func(context.Context, *v1alpha1.CompanyActivation) (string, error) { panic("ada@acme.example") }
	if got, err := c.of("acme").Allows(t.Context(), v1alpha1.ChannelEmail, "ada@acme.example"); got || err == nil || strings.Contains(err.Error(), "@") {
		t.Errorf("%t, %v", got, err)
	}
}

// TestCompanyAdminsShareALookup checks that concurrent calls make one lookup, which continues when
// the first caller leaves.
func TestCompanyAdminsShareALookup(t *testing.T) {
	c, admin := newCompany(t)
	var lookups atomic.Int32
	begun, release := make(chan struct{}), make(chan struct{})
	c.token = func(ctx context.Context, _ *v1alpha1.CompanyActivation) (string, error) {
		if lookups.Add(1) == 1 {
			close(begun)
		}
		<-release
		return admin.Token, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if _, err := c.of("acme").Allows(ctx, v1alpha1.ChannelEmail, "ada@acme.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller who left: %v", err)
	}
	var calling, done sync.WaitGroup
	for range 20 {
		calling.Add(1)
		done.Go(func() {
			calling.Done()
			if got, err := c.of("acme").Allows(t.Context(), v1alpha1.ChannelEmail, "ada@acme.example"); !got || err != nil {
				t.Errorf("%t, %v", got, err)
			}
		})
	}
	calling.Wait()
	close(release)
	done.Wait()
	if n := lookups.Load(); n != 1 {
		t.Errorf("%d lookups", n)
	}
}
