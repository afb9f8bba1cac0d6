// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

const (
	accountSID = "AC0123456789abcdef0123456789abcdef"
	authToken  = "a-planted-auth-token"
	pushToken  = "ExponentPushToken[a-planted-push-token]"
)

// testTransactionBecomesSMSAndPush checks that one transaction notifies the customer on
// both channels through the company's own providers.
func testTransactionBecomesSMSAndPush(t *testing.T) {
	c := newCompany(t, "channels")
	for _, planted := range []string{authToken, "a-planted-push-token", "You paid -10.50"} {
		evidence.Plant(planted, planted)
	}
	if _, err := set.Platform.AddDevice(c.id, c.customer.ID, rehivetest.Device{Name: "phone", Tokens: []string{pushToken}}); err != nil {
		t.Fatal(err)
	}
	twilio, expo := providertest.NewTwilio(accountSID, accountSID, authToken), providertest.NewExpo("")
	for _, text := range []string{
		fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s-twilio, labels: {extensions.rehive.com/provider: 'true'}, annotations: {extensions.rehive.com/allowed-hosts: '127.0.0.1'}}, stringData: {accountSid: %s, authToken: %s}}", c.id, accountSID, authToken),
		fmt.Sprintf("{%s, kind: DeliveryProvider, metadata: {name: %s-sms}, spec: {twilio: {baseURL: '%[3]s'}, secretRef: {name: %[2]s-twilio}, sender: '+15005550006'}}", apiVersion, c.id, serve(t, twilio)),
		fmt.Sprintf("{%s, kind: DeliveryProvider, metadata: {name: %s-push}, spec: {expo: {baseURL: '%s'}}}", apiVersion, c.id, serve(t, expo.API)),
		fmt.Sprintf("{%s, kind: NotificationRule, metadata: {name: %s-sms}, spec: {companyRef: {name: %[2]s}, displayName: SMS, event: transaction.execute, sms: {to: '{{ user.mobile }}', message: 'You paid {{ amount|money:currency.divisibility }}.'}}}", apiVersion, c.activation.Name),
		fmt.Sprintf("{%s, kind: NotificationRule, metadata: {name: %s-push}, spec: {companyRef: {name: %[2]s}, displayName: Push, event: transaction.execute, push: {toUser: '{{ user.id }}', title: '{{ context.company.name }}', message: 'You paid {{ amount|money:currency.divisibility }}.'}}}", apiVersion, c.activation.Name),
	} {
		text = strings.Replace(text, "metadata: {", "metadata: {namespace: "+stage.Namespace+", ", 1)
		if _, err := set.Apply(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	before := c.activation.DeepCopy()
	c.activation.Spec.Providers = v1alpha1.CompanyProviders{
		SMS:  &v1alpha1.DeliveryProviderReference{Name: c.id + "-sms"},
		Push: &v1alpha1.DeliveryProviderReference{Name: c.id + "-push"},
	}
	if err := set.Kube.Patch(t.Context(), c.activation, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{c.id + "-sms", c.id + "-push"} {
		var p v1alpha1.DeliveryProvider
		if err := set.Eventually(t.Context(), "the provider "+name, func() error {
			if err := set.Kube.Get(t.Context(), client.ObjectKey{Namespace: stage.Namespace, Name: name}, &p); err != nil {
				return err
			}
			return stage.Ready(p.Status.Conditions, p.Generation)
		}); err != nil {
			t.Fatalf("%v\n%s", err, set.Manager.LogTail())
		}
	}
	if err := set.Webhook(t.Context(), c.id, "transaction.execute"); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Platform.AddTransaction(c.id, rehivetest.NewTransaction{
		User: c.customer.ID, TxType: "debit", Currency: "USD", Amount: big.NewInt(1050),
	}); err != nil {
		t.Fatal(err)
	}
	if err := set.Eventually(t.Context(), "the SMS and the push message", func() error {
		if len(twilio.Received()) == 0 || len(expo.Received()) == 0 {
			return fmt.Errorf("Twilio received %d messages and Expo %d", len(twilio.Received()), len(expo.Received()))
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, set.Manager.LogTail())
	}
	want := providertest.Received{From: "+15005550006", To: "+27820001111", Text: "You paid -10.50."}
	if got := twilio.Received(); len(got) != 1 || got[0] != want {
		t.Errorf("Twilio received %+v, want %+v", got, want)
	}
	// The provider receives the validity of the message, which is a day by default.
	validity := expo.Received()[0].Validity
	if validity < 86_000 || validity > 86_400 {
		t.Errorf("Expo received a validity of %d seconds", validity)
	}
	want = providertest.Received{Key: expo.Received()[0].Key, Validity: validity, To: pushToken, Subject: "Company " + c.id, Text: "You paid -10.50."}
	if got := expo.Received(); len(got) != 1 || got[0] != want {
		t.Errorf("Expo received %+v, want %+v", got, want)
	}
}

const apiVersion = "apiVersion: extensions.rehive.com/v1alpha1"

func serve(t *testing.T, api *providertest.API) string {
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		api.Close()
		server.Close()
	})
	return server.URL
}
