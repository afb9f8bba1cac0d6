// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// table renders outcomes as docs/deliveryprovider.md has it.
func table() string {
	var b strings.Builder
	b.WriteString("| step | answer | and one of | the message | reason |\n|---|---|---|---|---|\n")
	for _, o := range outcomes {
		var steps, conditions []string
		for _, s := range o.steps {
			steps = append(steps, string(s))
		}
		for _, e := range o.enhanced {
			if !strings.Contains(e, ".") {
				e += ".z"
			}
			conditions = append(conditions, "`x."+e+"`")
		}
		for _, text := range o.texts {
			conditions = append(conditions, "“"+text+"”")
		}
		answer := string(o.event)
		if answer == "" {
			answer = strings.Join(o.codes, ", ")
		}
		cells := []string{strings.Join(steps, ", "), answer, strings.Join(conditions, ", "), string(o.result), "`" + o.reason + "`"}
		for i := range cells {
			if cells[i] == "" {
				cells[i] = "any"
			}
		}
		if o.enhanced == nil && o.texts == nil {
			cells[2] = ""
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}

// The table of the code is the one of the documentation. UPDATE=1 writes it there.
func TestOutcomesAreDocumented(t *testing.T) {
	const file, begin, end = "../../../docs/deliveryprovider.md", "<!-- smtp outcomes: begin -->\n", "<!-- smtp outcomes: end -->"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(raw), begin)
	documented, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	if documented == table() {
		return
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(before+begin+table()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table of %s is not the one in outcomes.go: run this test with UPDATE=1", file)
}

// anyCode returns a reply code that the row is about.
func (o *outcome) anyCode() int {
	for _, code := range []int{550, 552, 450, 421} {
		if o.hasCode(code) {
			return code
		}
	}
	return 550
}

// Every step and code has a row, and every row can be met.
func TestOutcomesAreComplete(t *testing.T) {
	stages := []stage{stageConnect, stageTLS, stageAuth, stageMail, stageRcpt, stageData, stageText}
	met := map[*outcome]bool{}
	note := func(o *outcome, stage stage) {
		met[o] = true
		if !o.at(stage) {
			t.Errorf("%s at %s has a row that isn't about it: %+v", o.event, stage, o)
		}
		if o.reason == "" || o.meaning == "" || o.error(o.meaning, false) == nil {
			t.Errorf("incomplete: %+v", o)
		}
	}
	for _, stage := range stages {
		for _, event := range []event{
			eventBlocked, eventNoHost, eventNoSTARTTLS, eventCertificate, eventNotTLS, eventNoLogin, eventClearLogin, eventUnsafeLogin, eventNoUTF8, eventSenderUTF8, eventTooBig,
			eventBadReply, eventTimeout, eventLost, eventUnanswered,
		} {
			note(outcomeOfEvent(stage, event), stage)
		}
		for code := 400; code < 600; code++ {
			o := outcomeOfReply(stage, &reply{code: code, text: "no"})
			note(o, stage)
			if len(o.codes) > 0 && !o.hasCode(code) {
				t.Errorf("%d at %s has a row that isn't about it: %+v", code, stage, o)
			}
		}
	}
	for i := range outcomes {
		o := &outcomes[i]
		steps := o.steps
		if steps == nil {
			steps = stages[3:]
		}
		for _, stage := range steps {
			for _, enhanced := range o.enhanced {
				text := "5." + enhanced + " no"
				if !strings.Contains(enhanced, ".") {
					text = "5." + enhanced + ".99 no"
				}
				code := o.anyCode()
				text = strconv.Itoa(code/100) + text[1:]
				if got := outcomeOfReply(stage, &reply{code: code, text: text}); got != o && got.result != o.result {
					t.Errorf("%d %s at %s is %s, want %s", code, text, stage, got.reason, o.reason)
				} else {
					met[got] = true
				}
			}
			for _, text := range o.texts {
				text = strings.ReplaceAll(text, "…", "is")
				met[outcomeOfReply(stage, &reply{code: o.anyCode(), text: text})] = true
			}
		}
	}
	for i := range outcomes {
		if !met[&outcomes[i]] {
			t.Errorf("nothing meets %+v", outcomes[i])
		}
	}
}

// Replies of servers and services, and what they mean. [TestReplies] has those for which a
// conversation is held.
func TestOutcomesOfReplies(t *testing.T) {
	for _, test := range []struct {
		stage  stage
		reply  string
		result result
		reason string // any if empty
	}{
		{stageRcpt, "550 5.7.1 <shop@example.com>: Sender address rejected: undeliverable address", resultSender, "SenderRefused"},
		{stageRcpt, "550 not local sender over smtp", resultSender, "SenderRefused"},
		{stageText, "550 5.7.0 From address is not one of your addresses.", resultSender, "SenderRefused"},
		{stageRcpt, "550 Envelope sender domain not authorized", resultSender, "SenderRefused"},
		{stageRcpt, "550 Sender does not match authenticated user", resultSender, "SenderRefused"},
		{stageText, "550 From header does not match the authenticated user", resultSender, "SenderRefused"},
		{stageRcpt, "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)", resultSender, "SenderRefused"},
		{stageText, "550 The 'From' address you supplied is not a Sender Signature on your account.", resultSender, "SenderRefused"},
		{stageRcpt, "550 you must use your own address as the sender", resultSender, "SenderRefused"},
		{stageRcpt, "501 mail from address must be same as authorization user", resultSender, "SenderRefused"},
		{stageRcpt, "553 Mail from must equal authorized user", resultSender, "SenderRefused"},
		{stageRcpt, "550 5.1.0 Originator address unknown", resultSender, ""},
		{stageRcpt, "550 You are not authorised to use this sender address", resultSender, "SenderRefused"},
		{stageRcpt, "550 Client does not have permission to submit mail to this server", resultWaits, ""},
		{stageRcpt, "550 Administrative prohibition", resultWaits, "PolicyRefused"},
		{stageRcpt, "550 Rejected by policy", resultWaits, "PolicyRefused"},
		{stageRcpt, "554 Denied by security policy", resultWaits, "PolicyRefused"},
		{stageRcpt, "550 Access denied", resultWaits, "PolicyRefused"},
		{stageRcpt, "554 Permission denied", resultWaits, "PolicyRefused"},
		{stageRcpt, "550 #5.1.0 Address rejected.", resultFails, "RecipientRefused"},
		{stageRcpt, "554 #5.7.1 Rejected", resultWaits, "PolicyRefused"},
		{stageRcpt, "550 Rejected (#5.7.1)", resultWaits, "PolicyRefused"},
		{stageText, "554 sorry, message looks like nothing (#5.3.0)", resultFails, "MessageRefused"},
		{stageRcpt, "550-Rejected\r\n550 5.7.1 see http://x.example", resultWaits, "PolicyRefused"},
		{stageRcpt, "552 Requested mail action aborted: exceeded storage allocation (#5.2.2)", resultFails, "RecipientRefused"},
		{stageMail, "550 cannot route to sender address (#5.1.8)", resultSender, "SenderRefused"},
		{stageText, "452 4.2.2 The email account that you tried to reach is over quota", resultDeferred, ""},
		{stageText, "452-4.2.2 The email account that you tried to reach is out of storage\r\n452 4.2.2 space", resultDeferred, ""},
		{stageText, "421 4.2.1 The user you are trying to contact is receiving mail too quickly", resultDeferred, ""},
		{stageData, "421 4.2.1 The user you are trying to contact is receiving mail too quickly", resultDeferred, ""},
		{stageText, "452 mailbox full", resultDeferred, ""},
		{stageRcpt, "550 5.2.121 Recipient's per hour message receive limit from specific sender exceeded", resultDeferred, ""},
		{stageRcpt, "550 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour", resultDeferred, ""},
		{stageText, "550 5.7.515 Access denied, sending domain example.com does not meet the required authentication level.", resultWaits, "SenderUnauthenticated"},
		{stageText, "550 5.7.32 From header not aligned with authenticated organizational domain", resultWaits, "SenderUnauthenticated"},
		{stageText, "550 5.7.30 this mail has been blocked because DKIM does not pass", resultWaits, "SenderUnauthenticated"},
		{stageAuth, "432 4.7.12 A password transition is needed", resultWaits, ""},
		{stageAuth, "454 4.7.0 Temporary authentication failure", resultRetried, ""},
		{stageAuth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", resultWaits, "LoginRefused"},
		{stageConnect, "554 5.7.1 Too many connections from your IP", resultRetried, ""},
		{stageConnect, "550 Too many concurrent connections, try again later", resultRetried, ""},
		{stageRcpt, "502 5.5.2 Error: command not recognized", resultWaits, ""},
		{stageData, "502 5.5.1 Command not implemented", resultWaits, ""},
		{stageText, "550 Not enough credit", resultWaits, "AccountRestricted"},
		{stageRcpt, "550 Connection frequency limited", resultWaits, "QuotaExceeded"},
		{stageText, "550 Ip frequency limited", resultWaits, ""},
		{stageRcpt, "550 5.7.17 Mailbox owner has changed", resultFails, "RecipientRefused"},
		{stageRcpt, "550 5.7.1 ... has exceeded its 24-hour sending limit. Messages to 250 recipients out of 250 allowed have been sent. Relay quota will reset in 2 hours", resultWaits, "QuotaExceeded"},
		{stageRcpt, "550 That smtp username has exceeded its rate limit", resultWaits, "QuotaExceeded"},
		{stageText, "550 Sender domain not verified", resultSender, "SenderRefused"},
		{stageMail, "525 5.7.1 Unauthorized IP address", resultWaits, ""},
		{stageRcpt, "550 Your IP is not allowed to send mail here", resultWaits, ""},
		{stageRcpt, "550 5.7.511 Access denied, banned sender[192.0.2.1]", resultWaits, ""},
		{stageRcpt, "550 Unable to send: account is over its quota", resultWaits, "QuotaExceeded"},
		{stageRcpt, "554 You have sent too many messages today", resultWaits, "QuotaExceeded"},
		{stageText, "554 5.7.0 Maximum number of messages per day reached", resultWaits, "QuotaExceeded"},
		{stageText, "550 Quota of sent mails exhausted", resultWaits, "QuotaExceeded"},
		{stageMail, "550 Send quota used up", resultWaits, "QuotaExceeded"},
		{stageText, "552 Daily message allotment used", resultWaits, "QuotaExceeded"},
		{stageText, "554 5.7.1 Monthly limit reached", resultWaits, "QuotaExceeded"},
		{stageRcpt, "550 please upgrade your plan to send more emails", resultWaits, ""},
		{stageText, "550 Billing: payment required", resultWaits, "AccountRestricted"},
		{stageMail, "550 Account closed", resultWaits, ""},
		{stageRcpt, "550 SMTP service is disabled for this account", resultWaits, ""},
		{stageText, "550 account inactive, please confirm your email", resultWaits, ""},
		{stageRcpt, "550 Sender blocked by administrator", resultSender, ""},
		{stageRcpt, "550 authentification required", resultWaits, "LoginRequired"},
		{stageRcpt, "550 SMTP authentication is mandatory", resultWaits, "LoginRequired"},
		{stageRcpt, "550 POP before SMTP: check your mail first", resultWaits, "LoginRequired"},
		{stageRcpt, "550 No relay for you, authenticate", resultWaits, ""},
		{stageRcpt, "554 <joe@example.org>: Relaying is restricted", resultWaits, "RelayDenied"},
		{stageRcpt, "550 relay denied", resultWaits, "RelayDenied"},
		{stageRcpt, "550 Unable to relay for joe@example.org", resultWaits, "RelayDenied"},
		{stageRcpt, "551 This is not a relay host", resultWaits, "RelayDenied"},
		{stageRcpt, "550 that domain isn't allowed to be relayed", resultWaits, "RelayDenied"},
		{stageRcpt, "550 Domain of recipient not served here", resultWaits, ""},
		{stageRcpt, "553 5.7.1 rejected: SSL required", resultWaits, ""},
		{stageMail, "530 Must issue STARTTLS first", resultWaits, "EncryptionRequired"},
		{stageMail, "550 TLS required", resultWaits, "EncryptionRequired"},
		{stageRcpt, "554 5.7.1 Session encryption is required", resultWaits, "EncryptionRequired"},
		{stageRcpt, "450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]", resultWaits, "ClientRefused"},
		{stageRcpt, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", resultWaits, "SenderUnauthenticated"},
		{stageMail, "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]", resultWaits, "SenderUnauthenticated"},
		{stageRcpt, "450 4.7.1 <mail.internal>: Helo command rejected: Host not found", resultWaits, "ClientRefused"},
		{stageRcpt, "451 4.1.8 Possibly forged hostname for 192.0.2.1", resultWaits, "ClientRefused"},
		{stageText, "421 4.7.25 The sending IP does not match its hostname", resultWaits, "SenderUnauthenticated"},
		{stageRcpt, "450 4.1.8 <shop@example.com>: Sender address rejected: Domain not found", resultWaits, "SenderRefused"},
		{stageMail, "451 4.1.8 Domain of sender address shop@example.com does not resolve", resultWaits, "SenderRefused"},
		{stageRcpt, "450 <shop@example.com>: Sender address rejected: Domain not found", resultWaits, "SenderRefused"},
		{stageRcpt, "450 4.1.7 <shop@example.com>: Sender address rejected: unverified address: connection timed out", resultDeferred, "RecipientDeferred"},
		{stageMail, "450 4.1.7 <shop@example.com>: Sender address rejected: unverified address: connection timed out", resultDeferred, "SenderDeferred"},
		{stageRcpt, "450 4.1.2 <joe@example.org>: Recipient address rejected: Domain not found", resultDeferred, "RecipientDeferred"},
		{stageRcpt, "450 4.2.0 <joe@example.org>: Recipient address rejected: Greylisted", resultDeferred, "RecipientDeferred"},
		{stageRcpt, "450 4.7.1 <joe@example.org>: Recipient address rejected: Greylisted, see https://example.org/", resultDeferred, "RecipientDeferred"},
		{stageRcpt, "450 4.7.1 <mail.internal>: Helo command rejected: Greylisting in action", resultDeferred, "RecipientDeferred"},
		{stageText, "451 4.7.1 Greylisting in action, please come back later", resultDeferred, "MessageDeferred"},
		{stageText, "550 Message contains illegal attachment", resultFails, ""},
		{stageText, "554 5.6.1 Body type not supported", resultFails, ""},
		{stageText, "550 High probability of spam", resultFails, ""},
		{stageText, "550 Blocked", resultFails, ""},
		{stageText, "550 maximum allowed line length is 998 octets, got 1200", resultFails, "MessageRefused"},
		{stageText, "554 5.4.14 Hop count exceeded - possible mail loop", resultFails, ""},
		{stageText, "550 too many hops", resultFails, ""},
		{stageMail, "552 Message size exceeds fixed maximum message size", resultFails, "MessageTooBig"},
		{stageText, "552 Message larger than 10 MB", resultFails, "MessageTooBig"},
		{stageText, "554 Message too long", resultFails, "MessageTooBig"},
		{stageRcpt, "550 5.4.4 Host unknown", resultFails, ""},
		{stageRcpt, "550 5.1.1 blocked by policy: recipient suppressed", resultFails, ""},
		{stageRcpt, "550 5.7.124 Sender not in allowed-senders list", resultFails, "RecipientRefused"},
		{stageRcpt, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed", resultFails, "RecipientRefused"},
		{stageRcpt, "550 5.7.133 authentication required", resultFails, "RecipientRefused"},
		{stageRcpt, "550 5.7.134 Sender not authenticated for mailbox", resultFails, "RecipientRefused"},
		{stageText, "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", resultFails, "RecipientRefused"},
		{stageText, "554 5.7.1 Blocked by SpamAssassin", resultFails, "MessageRefused"},
		{stageText, "550 5.7.1 email contains suspicious URL", resultFails, "MessageRefused"},
		{stageText, "554 5.7.1 Suspicious link in the message", resultFails, "MessageRefused"},
		{stageText, "554 5.7.1 Malicious message", resultFails, "MessageRefused"},
		{stageText, "421 Domain example.com is not allowed to send: request limit exceeded, try again later", resultRetried, provider.ReasonThrottled},
		{stageText, "550 5.7.1 Your sender domain is not validated. Please validate", resultSender, "SenderRefused"},
		{stageText, "550 Sender is not validated", resultSender, "SenderRefused"},
		{stageText, "550 Domain example.com is not validated", resultSender, "SenderRefused"},
		{stageText, "550 Administrative Lockout - https://community.mimecast.com", resultWaits, "PolicyRefused"},
		{stageText, "554 Email rejected due to security policies - https://community.mimecast.com", resultWaits, "PolicyRefused"},
		{stageText, "550-Requested action not taken: mailbox unavailable\r\n550 Reject due to policy restrictions.", resultWaits, "PolicyRefused"},
		{stageRcpt, "550 Anti-Spoofing policy - Inbound not allowed", resultWaits, "SenderUnauthenticated"},
		{stageRcpt, "553 5.7.1 Sender address rejected: not owned by auth user.", resultSender, "SenderRefused"},
		{stageText, "451 4.0.0 backend: invalid return path: not owned by user", resultSender, "SenderRefused"},
		{stageText, "554 5.7.1 Header-From (shop@example.com) is not authorised", resultSender, "SenderRefused"},
		{stageRcpt, "550 MSG-DOM: Envelope-From (shop@example.com) is not authorised", resultSender, "SenderRefused"},
		{stageText, "550 5.7.1 Mail from: must be the same as the authenticated user", resultSender, "SenderRefused"},
		{stageRcpt, "550 verify your sender address before sending", resultSender, "SenderRefused"},
		{stageRcpt, "553 host denies the sender.", resultSender, "SenderRefused"},
		{stageText, "554 sender is unvalidated.", resultSender, "SenderRefused"},
		{stageText, "450 Sending domain is not verified", resultSender, "SenderRefused"},
		{stageText, "550 The domain example.com hasn't been verified yet", resultSender, "SenderRefused"},
		{stageMail, "550 5.7.1 You may only send mail from addresses that belong to your account", resultSender, "SenderRefused"},
		{stageRcpt, "550-Verification failed for <shop@example.com>\r\n550-No Such User Here\r\n550 Sender verify failed", resultSender, "SenderRefused"},
		{stageRcpt, "553 host denies relay.", resultWaits, "RelayDenied"},
		{stageRcpt, "554 relay forbidden", resultWaits, "RelayDenied"},
		{stageRcpt, "550 We can't relay for you", resultWaits, "RelayDenied"},
		{stageRcpt, "550 5.1.1 <joe@example.org>: Recipient address rejected: User unknown in relay recipient table", resultFails, "RecipientRefused"},
		{stageRcpt, "550 This mail server requires authentication when attempting to send to a non-local e-mail address", resultWaits, "LoginRequired"},
		{stageRcpt, "503 5.5.4 Error: send AUTH command first", resultWaits, "LoginRequired"},
		{stageRcpt, "550 You must log in to send mail to other domains", resultWaits, "LoginRequired"},
		{stageData, "554 5.7.1 <DATA>: Data command rejected: limit of 400 rcpts per 24 hours for client reached", resultWaits, "QuotaExceeded"},
		{stageText, "552 Message would take you over your relay quota of 500", resultWaits, "QuotaExceeded"},
		{stageText, "450 Your account reached its email quota limit", resultWaits, "QuotaExceeded"},
		{stageText, "452 4.5.3 Domain has exceeded the max messages per day", resultWaits, "QuotaExceeded"},
		{stageRcpt, "462 Daily send limit reached. Please try again tomorrow", resultWaits, "QuotaExceeded"},
		{stageRcpt, "451 4.7.1 <shop@example.com>: Sender address rejected: Daily quota exceeded", resultWaits, "QuotaExceeded"},
		{stageRcpt, "554 5.7.1 <shop@example.com>: Sender address rejected: Hourly limit exceeded", resultWaits, "QuotaExceeded"},
		{stageRcpt, "550 Max. number of e-mails per 24h reached", resultWaits, "QuotaExceeded"},
		{stageText, "550 You can't send more than 300 mails an hour", resultWaits, "QuotaExceeded"},
		{stageText, "554 Sorry, you've hit the free plan's limit of 100 emails/day", resultWaits, "QuotaExceeded"},
		{stageText, "550 Rate limited: over quota for outgoing mail", resultWaits, "QuotaExceeded"},
		{stageRcpt, "552 5.2.2 Sending quota exceeded for shop@example.com", resultWaits, "QuotaExceeded"},
		{stageText, "450 Too many requests. Try again later.", resultRetried, provider.ReasonThrottled},
		{stageText, "421 4.7.28 Our system has detected an unusual rate; mail was temporarily rate limited", resultRetried, provider.ReasonThrottled},
		{stageRcpt, "554 5.7.1 <joe@example.org>: Recipient address rejected: Quota exceeded (mailbox for user is full)", resultFails, "RecipientRefused"},
		{stageRcpt, "552 The user joe has exceeded the allowed quota", resultFails, "RecipientRefused"},
		{stageRcpt, "550 5.7.1 The recipient's mailbox is over its storage limit", resultFails, "RecipientRefused"},
		{stageRcpt, "552 5.1.1 <joe@example.org> recipient rejected - extended quota violation", resultFails, "RecipientRefused"},
		{stageRcpt, "450 4.7.3 Organization queue quota exceeded.", resultDeferred, "RecipientDeferred"},
		{stageText, "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", resultDeferred, "RecipientDeferred"},
		{stageRcpt, "421 Greylisted, please try again later", resultDeferred, "RecipientDeferred"},
		{stageRcpt, "421 4.4.5 Server busy, try again later.", resultDeferred, "RecipientDeferred"},
		{stageRcpt, "421 4.7.1 Messages to joe@example.org deferred due to excessive volume. Try again later", resultDeferred, "RecipientDeferred"},
		{stageText, "421 4.7.0 Our system has detected that this message is suspicious", resultDeferred, "MessageDeferred"},
		{stageText, "421 4.3.2 shutting down", resultRetried, "Unavailable"},
		{stageRcpt, "550 Greylisted for 5 minutes", resultDeferred, "MessageDeferred"},
		{stageRcpt, "550 that IP address is not allowed to send", resultWaits, "ClientRefused"},
		{stageMail, "553 Mail from 192.0.2.1 not allowed - 5.7.1 [BL23] Connections not accepted from IP addresses on Spamhaus XBL", resultWaits, "ClientRefused"},
		{stageText, "550 5.7.501 Access denied, spam abuse detected", resultWaits, "ClientRefused"},
		{stageText, "550-5.7.1 [192.0.2.1] The IP you're using to send mail is not authorized to\r\n550 5.7.1 send email directly to our servers.", resultWaits, "ClientRefused"},
		{stageRcpt, "550 Bad DNS PTR resource record", resultWaits, "SenderUnauthenticated"},
		{stageRcpt, "550 5.7.1 <joe@example.org>: Recipient address rejected: Policy Rejection- Abuse. Go away.", resultWaits, "PolicyRefused"},
		{stageText, "421 Domain example.com is not allowed to send: Please activate your Mailgun account.", resultWaits, "AccountRestricted"},
		{stageText, "502 Unable to send email. Your SMTP account is not yet activated.", resultWaits, "AccountRestricted"},
		{stageText, "550 Account is not active", resultWaits, "AccountRestricted"},
		{stageText, "554 5.7.1 Message classified as junk", resultFails, "MessageRefused"},
		{stageAuth, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", resultRetried, "Unavailable"},
		{stageRcpt, "550-4.0.0 odd\r\n550-5.7.1 policy\r\n550 5.1.1 odd", resultWaits, "PolicyRefused"},
		// About the account, the sender or the operator's address, whatever the code and the step.
		{stageMail, "451 5.7.3 STARTTLS is required to send mail", resultWaits, "EncryptionRequired"},
		{stageMail, "454 5.7.0 Must issue a STARTTLS command first", resultWaits, "EncryptionRequired"},
		{stageMail, "440 mail from account doesn't conform with authentication (Auth Account:a@x.example|Mail Account:b@x.example)", resultSender, "SenderRefused"},
		{stageText, "450 The from.email domain must be verified in your account to send emails. #MS42207", resultSender, "SenderRefused"},
		{stageText, "450 Trial accounts can only send emails to the account's administrator's email. #MS42225", resultWaits, "AccountRestricted"},
		{stageText, "550 You can only send testing emails to your own email address (joe@example.org).", resultWaits, "AccountRestricted"},
		{stageText, "550 While your account is pending approval, all recipient addresses must share the same domain as the 'From' address.", resultWaits, "AccountRestricted"},
		{stageText, "550 Service suspended due to non-payment", resultWaits, "AccountRestricted"},
		{stageMail, "550 Insufficient account balance", resultWaits, "AccountRestricted"},
		{stageRcpt, "550 SMTP relay is not enabled for your plan", resultWaits, "AccountRestricted"},
		{stageText, "554 Sending has been disabled for this domain", resultWaits, "ClientRefused"},
		{stageText, "550 API key revoked", resultWaits, "LoginRequired"},
		{stageMail, "550 Invalid API key", resultWaits, "LoginRequired"},
		{stageRcpt, "550 Please use SMTP authentication", resultWaits, "LoginRequired"},
		{stageRcpt, "550 Authenticated access only", resultWaits, "LoginRequired"},
		{stageRcpt, "550 User not logged in", resultWaits, "LoginRequired"},
		{stageText, "550 Submitter failed to authenticate", resultWaits, "LoginRequired"},
		{stageRcpt, "554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", resultWaits, "ClientRefused"},
		{stageRcpt, "554 Host network not allowed", resultWaits, "ClientRefused"},
		{stageRcpt, "550 I cannot deliver mail for <joe@example.org>", resultWaits, "RelayDenied"},
		{stageRcpt, "550 Delivery is not allowed to this address.", resultWaits, "RelayDenied"},
		{stageRcpt, "554 Sending address not accepted due to spam filter", resultSender, "SenderRefused"},
		{stageText, "550 Cannot receive from specified address <shop@example.com>", resultSender, "SenderRefused"},
		{stageText, "550 Request failed; Mailbox unavailable", resultSender, "SenderRefused"},
		{stageRcpt, "550 Request failed; Mailbox unavailable", resultFails, "RecipientRefused"},
		{stageRcpt, "550 Domain not configured", resultSender, "SenderRefused"},
		{stageText, "550 Domain example.com not found in your account", resultSender, "SenderRefused"},
		{stageText, "550 Your domain is not active", resultSender, "SenderRefused"},
		{stageRcpt, "550 User has no permission", resultWaits, "PolicyRefused"},
		{stageRcpt, "550 Forbidden", resultWaits, "PolicyRefused"},
		{stageText, "550 Unauthorized", resultWaits, "PolicyRefused"},
		{stageText, "550 Access denied", resultWaits, "PolicyRefused"},
		{stageText, "554 MI:SPB this user is not allowed to use this service", resultWaits, "PolicyRefused"},
		{stageRcpt, "550 5.5.1 Protocol error", resultWaits, "ServerRefused"},
		{stageData, "554 5.5.1 Error: no valid recipients", resultFails, "MessageRefused"},
		{stageMail, "450 4.1.8 <shop@example.com>: Sender address rejected: Domain not found", resultWaits, "SenderRefused"},
		// About the recipient alone, whatever words it has.
		{stageRcpt, "550 5.7.12 Access denied: the sender was not authenticated by the recipient's organization", resultFails, "RecipientRefused"},
		{stageText, "550 5.7.136 Sender not authenticated for mail user", resultFails, "RecipientRefused"},
		{stageText, "554 Message rejected: Address blacklisted.", resultFails, "RecipientRefused"},
		{stageRcpt, "550 5.7.1 [internal] recipient address was suppressed due to customer policy", resultFails, "RecipientRefused"},
		{stageText, "550 5.7.1 The recipient is on your suppression list", resultFails, "RecipientRefused"},
		{stageText, "550 5.7.1 You tried to send to a recipient that has been marked as inactive.", resultFails, "RecipientRefused"},
		{stageText, "554 delivery error: dd This user doesn't have a yahoo.com account (joe@example.org) [0] - mta1", resultFails, "RecipientRefused"},
		{stageText, "554 30 Sorry, your message to joe@example.org cannot be delivered. This mailbox is disabled (554.30).", resultFails, "RecipientRefused"},
		{stageRcpt, "550 5.7.1 Mail from this IP is blocked by rule", resultWaits, "ClientRefused"},
		{stageText, "550 Sender IP reverse lookup rejected", resultWaits, "ClientRefused"},
		{stageText, "452 4.2.2 Sending quota exceeded for this account today", resultWaits, "QuotaExceeded"},
		// Limits of the message aren't quotas, and lists of URLs are about its text.
		{stageText, "554 5.7.1 URL in message is listed on a blocklist", resultFails, "MessageRefused"},
		{stageText, "554 5.7.1 Message contains a blocked URL", resultFails, "MessageRefused"},
		{stageText, "554 Line limit exceeded", resultFails, "MessageRefused"},
		{stageText, "554 5.4.6 Too many hops: limit of 25 exceeded", resultFails, "MessageRefused"},
		{stageText, "554 Too many attachments, limit exceeded", resultFails, "MessageRefused"},
		{stageText, "521 5.5.2 Error: bare <LF> received", resultFails, "MessageRefused"},
		{stageText, "554 5.2.0 Email size exceeded the policy.", resultFails, "MessageTooBig"},
	} {
		code, err := strconv.Atoi(test.reply[:3])
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(test.reply, "\r\n")
		for i, line := range lines {
			lines[i] = line[4:]
		}
		o := outcomeOfReply(test.stage, &reply{code: code, text: strings.Join(lines, "\n")})
		if o.result != test.result || test.reason != "" && o.reason != test.reason {
			t.Errorf("%s at %s: %s %s, want %s %s", test.reply, test.stage, o.result, o.reason, test.result, test.reason)
		}
	}
}
