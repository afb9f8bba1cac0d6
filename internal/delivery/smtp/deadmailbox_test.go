// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"errors"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// TestDeadMailbox tests which refusals say that a mailbox doesn't exist: nothing is sent to
// it any more, so everything that may pass must not be among them.
func TestDeadMailbox(t *testing.T) {
	s := &Provider{}
	for text, want := range map[string]provider.Fault{
		"5.1.1 <zoe@example.com>: Recipient address rejected: User unknown in virtual mailbox table": provider.FaultHardBounce,
		"5.1.1 The email account that you tried to reach does not exist.":                            provider.FaultHardBounce,
		"5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup":          provider.FaultHardBounce,
		"5.2.1 The email account that you tried to reach is inactive.":                               provider.FaultHardBounce,
		"No such user here":                                              provider.FaultHardBounce,
		"5.0.0 User unknown":                                             provider.FaultHardBounce,
		"5.1.0 No such user":                                             provider.FaultHardBounce,
		"cuda_nsu 5.1.1 <x@example.com> is gone":                         "",
		"5.1.1 joe\n5.7.1 blocked":                                       "",
		"5.1.1 Mailbox full. Recipient overquota":                        "",
		"5.1.1 extended quota violation":                                 "",
		"5.1.0 Address rejected":                                         "",
		"5.2.2 The email account that you tried to reach is over quota.": "",
		"5.1.2 Host unknown":                                             "",
		"5.7.1 Recipient rejected by policy":                             "",
		"5.7.1 User unknown to our spam filter":                          "",
		"4.1.1 User unknown, try again":                                  "", // it contradicts itself
		"Mailbox unavailable":                                            "",
		"<user-unknown@example.com>: not welcome":                        "",
		"5.4.1 Recipient address rejected: Access denied":                "",
		"relay access denied":                                            "",
		"5.1.1 <x@example.com>: Recipient address rejected: User unknown in relay recipient table":       provider.FaultHardBounce,
		"5.2.1 Content Filter agent quarantined this message":                                            "",
		"5.2.1 Subject is Mandatory.":                                                                    "",
		"5.2.1 Mailbox temporarily disabled":                                                             "",
		"5.2.1 The account is suspended":                                                                 "",
		"5.1.1 no such user, try again later":                                                            "",
		"5.1.1 <x@example.com>: Recipient address rejected: Blocked due to spam, your IP is blacklisted": "",
	} {
		err := s.classify(&stageError{stage: stageRcpt, err: &reply{code: 550, text: text}}, false)
		var e *provider.Error
		if !errors.As(err, &e) || e.Fault != want {
			t.Errorf("%s: %v has the fault %q, want %q", text, err, e.Fault, want)
		}
	}
	// A temporary refusal says nothing, and neither does one of the sender.
	for _, e := range []*stageError{
		{stage: stageRcpt, err: &reply{code: 552, text: "5.1.1 mailbox delivery failure policy error"}},
		{stage: stageRcpt, err: &reply{code: 450, text: "4.1.1 user unknown"}}, {stage: stageMail, err: &reply{code: 550, text: "5.1.1 user unknown"}},
	} {
		var classed *provider.Error
		if err := s.classify(e, false); !errors.As(err, &classed) || classed.Fault != "" {
			t.Errorf("%s: %v has the fault %q", e.stage, err, classed.Fault)
		}
	}
}
