// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// outcome is a row of the table that says what an answer of a mail server means
// for the message. Empty conditions match everything.
type outcome struct {
	// steps are where it happened.
	steps []stage
	// event is what happened instead of a refusal; empty in rows about refusals.
	event event
	// codes are reply codes, "4yz" or "5yz".
	codes []string
	// enhanced are enhanced status codes (RFC 3463) without their first digit, which
	// is that of the reply code. "7" is every 7.z.
	enhanced []string
	// texts are phrases of the reply as [phraseText] has it; … stands for up to 80
	// characters. A row with both enhanced and texts needs one of either.
	texts []string

	result  result
	reason  string
	meaning string
}

// result is the outcome for the message.
type result string

const (
	resultFails   result = "fails"
	resultWaits   result = "waits"
	resultRetried result = "retried"
	// resultDeferred is retried, without counting against the mail server.
	resultDeferred result = "retried alone"
	resultUnknown  result = "unknown"
	// resultSender waits, and fails if the rule itself named the sender.
	resultSender result = "waits, or fails"
)

// event is what can happen besides a refusal.
type event string

const (
	eventBlocked     event = "its address is not allowed"
	eventNoHost      event = "its name does not exist"
	eventNoSTARTTLS  event = "it offers no STARTTLS"
	eventCertificate event = "its certificate is not valid"
	eventNotTLS      event = "it doesn't speak a TLS version that is allowed"
	eventNoLogin     event = "it offers no login that can be used"
	eventClearLogin  event = "it offers logins only that would show the password"
	eventUnsafeLogin event = "its part of the login is not safe"
	eventNoUTF8      event = "the recipient needs SMTPUTF8, which it doesn't offer"
	eventSenderUTF8  event = "the sender needs SMTPUTF8, which it doesn't offer"
	eventTooBig      event = "the mail is bigger than its SIZE"
	eventBadReply    event = "it says something that isn't SMTP, or too much"
	eventTimeout     event = "no answer in time"
	eventLost        event = "the connection is lost"
	eventUnanswered  event = "no valid answer to the whole text"
)

var (
	afterRcpt  = []stage{stageData, stageText}
	fiveYZ     = []string{"5yz"}
	fourYZ     = []string{"4yz"}
	anyRefusal = []string{"4yz", "5yz"}

	greylisting = []string{"greylist", "greylisted", "greylisting", "graylist", "graylisted", "graylisting", "grey listed", "grey listing"}
)

// outcomes is the table. The first row that matches decides. It is in
// docs/deliveryprovider.md too, and a test keeps them equal.
var outcomes = []outcome{
	// Events other than refusals.
	{event: eventBlocked, result: resultWaits, reason: "AddressRefused", meaning: "The mail server can't be used"},
	{event: eventNoHost, result: resultWaits, reason: "HostUnknown", meaning: "The mail server's name does not exist"},
	{event: eventNoSTARTTLS, result: resultWaits, reason: "TLSUnavailable", meaning: "The mail server offers no STARTTLS, which the configuration requires"},
	{event: eventCertificate, result: resultWaits, reason: "CertificateInvalid", meaning: "The mail server's certificate can't be verified"},
	{event: eventNotTLS, result: resultWaits, reason: "TLSFailed", meaning: "The mail server doesn't speak TLS 1.2 or later on this port"},
	{event: eventNoLogin, result: resultWaits, reason: "LoginUnsupported", meaning: "The mail server offers no login that the operator can use"},
	{event: eventClearLogin, result: resultWaits, reason: "LoginNotEncrypted", meaning: "The mail server wants the password over an unencrypted connection, which the configuration doesn't allow"},
	{event: eventUnsafeLogin, result: resultWaits, reason: "LoginUnsafe", meaning: "The login was stopped, because the mail server asks for too much work or doesn't know the password itself"},
	{event: eventNoUTF8, result: resultFails, reason: "RecipientUnsupported", meaning: "The mail server doesn't take recipients with letters beyond ASCII"},
	{event: eventSenderUTF8, result: resultSender, reason: "SenderUnsupported", meaning: "The mail server doesn't take senders or reply addresses with letters beyond ASCII"},
	{event: eventTooBig, result: resultFails, reason: "MessageTooBig", meaning: "The mail is bigger than the mail server takes"},
	{event: eventUnanswered, result: resultUnknown, reason: provider.ReasonOutcomeUnknown, meaning: "The mail server got the whole mail and didn't say whether it accepted it"},
	{event: eventBadReply, result: resultRetried, reason: "BadReply", meaning: "The mail server's answer is too long or isn't SMTP"},
	// A server that accepted MAIL works, so what it does about one recipient is about that
	// recipient: it may be asking another server that doesn't answer.
	{event: eventTimeout, steps: []stage{stageRcpt}, result: resultDeferred, reason: "Timeout", meaning: "The mail server didn't answer in time"},
	{event: eventLost, steps: []stage{stageRcpt}, result: resultDeferred, reason: "ConnectionLost", meaning: "The connection to the mail server was lost"},
	{event: eventTimeout, result: resultRetried, reason: "Timeout", meaning: "The mail server didn't answer in time"},
	{event: eventLost, steps: []stage{stageConnect}, result: resultRetried, reason: "Unreachable", meaning: "The mail server can't be reached"},
	{event: eventLost, steps: []stage{stageTLS}, result: resultRetried, reason: "TLSFailed", meaning: "The encrypted connection to the mail server could not be made"},
	{event: eventLost, steps: []stage{stageAuth}, result: resultRetried, reason: "LoginFailed", meaning: "The connection to the mail server was lost during the login"},
	{event: eventLost, result: resultRetried, reason: "ConnectionLost", meaning: "The connection to the mail server was lost"},

	// Before the first message.
	{
		steps: []stage{stageConnect, stageTLS, stageAuth}, codes: fourYZ,
		texts:  []string{"credits exceeded", "out of credits", "insufficient credits", "quota exceeded"},
		result: resultWaits, reason: "QuotaExceeded", meaning: "The mail server's limit of messages is reached",
	},
	{
		// The server works, and serves the other connections.
		steps: []stage{stageConnect, stageTLS, stageAuth}, codes: anyRefusal,
		texts:  []string{"too many connections", "too many … connections", "too many concurrent", "too many sessions", "concurrent connections", "concurrent sessions", "connection limit", "connections … limit", "connections exceeded", "connection rate", "connections … exceeded"},
		result: resultRetried, reason: provider.ReasonThrottled, meaning: "The mail server has too many connections",
	},
	{steps: []stage{stageAuth}, codes: fiveYZ, result: resultWaits, reason: "LoginRefused", meaning: "The mail server refused the login"},
	{steps: []stage{stageAuth}, codes: fourYZ, enhanced: []string{"3"}, result: resultRetried, reason: "Unavailable", meaning: "The mail server is not available"},
	// A password that must be changed is refused with a temporary code.
	{steps: []stage{stageAuth}, codes: []string{"432", "435"}, result: resultWaits, reason: "LoginRefused", meaning: "The mail server refused the login"},
	{steps: []stage{stageAuth}, codes: fourYZ, enhanced: []string{"7.12", "7.13"}, result: resultWaits, reason: "LoginRefused", meaning: "The mail server refused the login"},
	{steps: []stage{stageTLS}, codes: fiveYZ, result: resultWaits, reason: "TLSUnavailable", meaning: "The mail server refused to encrypt"},
	{steps: []stage{stageConnect}, codes: fiveYZ, result: resultWaits, reason: "ServerRefused", meaning: "The mail server refused the operator"},
	{steps: []stage{stageConnect, stageTLS, stageAuth}, result: resultRetried, reason: "Unavailable", meaning: "The mail server is not available"},

	// Refusals of a message, from the most specific to the least.
	{
		codes: anyRefusal,
		texts: []string{
			"for test purposes only", "out of credits", "insufficient credits", "insufficient credit", "insufficient balance", "insufficient funds", "trial … expired", "trial … ended",
			"subscription … expired", "subscription … ended", "your account … expired", "not enough credit", "not enough credits", "no credit", "no credits", "payment required", "payment overdue", "past due", "unpaid", "outboundspamexception…", "upgrade your … plan", "upgrade your plan", "upgrade your account", "not authorized to perform", "configuration set", "not been enabled for smtp", "not enabled for smtp", "smtp … disabled for this account", "smtp … disabled for your account",
			"activate your account", "activate your … account", "the account is disabled", "the account is suspended", "license expired",
			"trial account", "trial accounts", "testing emails", "pending approval", "account balance", "non payment", "your plan",
		},
		result: resultWaits, reason: "AccountRestricted", meaning: "The operator's account at the mail server is restricted",
	},
	{
		steps: []stage{stageMail, stageData, stageText}, codes: anyRefusal, texts: []string{"account … under review", "account … on hold", "account … inactive", "account … not active", "account … closed", "account … not activated", "account … not yet activated", "account … not confirmed", "account … not verified"},
		result: resultWaits, reason: "AccountRestricted", meaning: "The operator's account at the mail server is restricted",
	},
	{
		codes: fiveYZ, enhanced: []string{"3.4", "2.3"},
		texts:  []string{"message size", "size exceeds", "size limit", "message … too big", "message … too large", "message … too long", "message … larger than", "message length exceeds", "email size exceeded"},
		result: resultFails, reason: "MessageTooBig", meaning: "The mail is bigger than the mail server takes",
	},
	{
		// A group or mailbox that takes mail from some senders only.
		steps: []stage{stageRcpt, stageData, stageText}, codes: fiveYZ, enhanced: []string{"7.12", "7.124", "7.133", "7.134", "7.135", "7.136"}, texts: []string{"resolver.rst…"},
		result: resultFails, reason: reasonRecipientRefused, meaning: "The mail server refused the recipient",
	},
	{
		codes: fiveYZ, enhanced: []string{"7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27", "7.29", "7.30", "7.32", "7.509", "7.515"},
		texts:  []string{"spf", "dkim", "dmarc", "required authentication level", "reverse dns", "rdns", "ptr", "resource record", "unauthenticated", "spoofing"},
		result: resultWaits, reason: "SenderUnauthenticated", meaning: "The mail server can't verify that the operator may send for the sender's domain",
	},
	{codes: fiveYZ, enhanced: []string{"7.10"}, texts: []string{"starttls", "encryption required", "encryption is required", "encryption needed", "must use tls", "tls required", "tls is required", "ssl required", "ssl is required"}, result: resultWaits, reason: "EncryptionRequired", meaning: "The mail server requires encryption"},
	{
		steps: []stage{stageMail}, codes: fourYZ, texts: []string{"starttls", "encryption required", "encryption is required", "tls required", "tls is required", "ssl required", "ssl is required"},
		result: resultWaits, reason: "EncryptionRequired", meaning: "The mail server requires encryption",
	},
	{
		codes:  []string{"530", "534", "535", "538"},
		result: resultWaits, reason: "LoginRequired", meaning: "The mail server requires a login",
	},
	{
		codes: anyRefusal, enhanced: []string{"7.8", "7.9", "7.11", "7.14"},
		texts: []string{
			"authentication … required", "requires authentication", "authentication needed", "authenticate first", "must authenticate", "must be authenticated", "not authenticated", "auth first", "auth command", "auth required", "auth is required",
			"authentification … required", "authentication … mandatory", "pop before smtp", "please authenticate", "login required", "must log in", "log in first", "login first", "please log in", "client was not authenticated", "smtp authentication", "smtp auth", "authenticated access", "failed to authenticate", "not logged in", "api key",
		},
		result: resultWaits, reason: "LoginRequired", meaning: "The mail server requires a login",
	},
	{codes: []string{"503"}, result: resultRetried, reason: "OutOfOrder", meaning: "The mail server lost track of the conversation"},
	{
		codes: anyRefusal, enhanced: []string{"7.54", "7.64"},
		texts: []string{
			"relay access denied", "relay … denied", "relaying denied", "relaying … denied", "relay not permitted", "relay … not permitted", "relaying not permitted", "not permitted to relay",
			"not allowed to relay", "unable to relay", "cannot relay", "do not relay", "not relay", "relaying not allowed", "relaying is not allowed", "relaying prohibited", "relay prohibited", "no relaying", "open relay",
			"relay not allowed", "relay … not allowed", "relaying disallowed", "relay disallowed", "as a relay", "to be relayed", "not a relay", "no relay", "relaying … restricted", "relay … restricted", "allowed rcpthosts", "list of … rcpthosts", "cannot deliver mail for", "delivery is not allowed to this address",
		},
		result: resultWaits, reason: "RelayDenied", meaning: "The mail server doesn't relay mail for the operator",
	},
	{codes: anyRefusal, texts: []string{"sender address rejected … quota", "sender address rejected … limit", "sending quota"}, result: resultWaits, reason: "QuotaExceeded", meaning: "The mail server's limit of messages is reached"},
	{codes: fiveYZ, texts: []string{"sender address rejected", "sender rejected"}, result: resultSender, reason: "SenderRefused", meaning: "The mail server refused the sender"},
	{
		steps: []stage{stageMail, stageData, stageText}, codes: fourYZ, texts: []string{"request limit exceeded"},
		result: resultRetried, reason: provider.ReasonThrottled, meaning: "The mail server asks to send more slowly",
	},
	{
		codes:  fourYZ,
		texts:  []string{"not owned by", "does not own", "send as this sender", "sendasdenied…", "not logged in", "not allowed to send", "not permitted to send", "not authorized to send", "domain … not verified", "sender … not verified", "domain must be verified", "sender must be verified", "unverified domain", "unverified sender", "sender identity", "conform with authentication"},
		result: resultSender, reason: "SenderRefused", meaning: "The mail server refused the sender",
	},
	{
		steps: []stage{stageRcpt, stageData, stageText}, codes: fiveYZ, enhanced: []string{"2.121", "2.122"}, texts: []string{"receive limit", "recipient … exceeded their", "receiving mail too quickly", "receiving mail at a rate"},
		result: resultDeferred, reason: "RecipientDeferred", meaning: "The mail server deferred the recipient",
	},
	// Greylisting passes, whatever else the text is about.
	{steps: []stage{stageRcpt}, codes: fourYZ, texts: greylisting, result: resultDeferred, reason: "RecipientDeferred", meaning: "The mail server deferred the recipient"},
	{steps: []stage{stageMail, stageData, stageText}, codes: fourYZ, texts: greylisting, result: resultDeferred, reason: "MessageDeferred", meaning: "The mail server deferred the message"},
	// Servers refuse names without DNS records with a temporary code, because a lookup can fail.
	// If it lasts, the operator must add the records.
	{
		steps: []stage{stageMail, stageRcpt, stageData, stageText}, codes: fourYZ, enhanced: []string{"7.25"},
		texts:  []string{"reverse hostname", "no reverse dns", "reverse dns … failed", "reverse dns … required", "reverse dns … not", "no ptr", "missing ptr", "ptr record"},
		result: resultWaits, reason: "SenderUnauthenticated", meaning: "The mail server can't verify that the operator may send for the sender's domain",
	},
	{
		steps: []stage{stageMail, stageRcpt, stageData, stageText}, codes: fourYZ,
		texts:  []string{"helo command rejected", "ehlo command rejected", "invalid helo", "bad helo", "helo … not resolve", "helo … not exist", "find your hostname", "resolve your hostname", "forged hostname", "hostname … forged"},
		result: resultWaits, reason: "ClientRefused", meaning: "The mail server refuses mail from the operator's address or account",
	},
	{
		steps: []stage{stageMail, stageRcpt, stageData, stageText}, codes: fourYZ, enhanced: []string{"1.8"},
		texts:  []string{"sender address rejected domain not found", "sender address rejected … dns", "domain of sender", "sender domain … not found", "sender domain … not exist", "sender domain … not resolve", "sender domain must"},
		result: resultWaits, reason: "SenderRefused", meaning: "The mail server refused the sender",
	},
	{
		// The recipient of this message is full or busy, not the server.
		steps: []stage{stageRcpt, stageData, stageText}, codes: fourYZ, enhanced: []string{"1", "2"}, texts: []string{"mailbox full", "mailbox is full", "over quota", "overquota", "mailbox … quota", "recipient thread limit"},
		result: resultDeferred, reason: "RecipientDeferred", meaning: "The mail server deferred the recipient",
	},
	{
		codes:  fourYZ,
		texts:  []string{"daily … quota", "daily … limit", "limit … daily", "quota … daily", "monthly … quota", "monthly … limit", "message quota", "email quota", "sending quota", "per day", "per month", "24 hours", "24 hour", "messages … today"},
		result: resultWaits, reason: "QuotaExceeded", meaning: "The mail server's limit of messages is reached",
	},
	{
		steps: []stage{stageMail, stageData, stageText}, codes: fourYZ, enhanced: []string{"7.28", "4.5"}, texts: []string{
			"rate limit", "rate limited", "ratelimit", "rate exceeded", "rate … exceeded", "sending rate", "limit … exceeded", "limit … reached", "exceeded … limit", "exceed … limit", "sending limit",
			"too many requests", "too many messages", "too much mail", "too many emails", "too fast", "slow down", "throttled", "throttling", "too many … connections", "concurrent connections", "ratelimit … exceeded",
		},
		result: resultRetried, reason: provider.ReasonThrottled, meaning: "The mail server asks to send more slowly",
	},
	// Servers also close the connection when they defer one recipient or message.
	{steps: []stage{stageRcpt}, codes: []string{"421"}, result: resultDeferred, reason: "RecipientDeferred", meaning: "The mail server deferred the recipient"},
	{steps: afterRcpt, codes: []string{"421"}, enhanced: []string{"7"}, result: resultDeferred, reason: "MessageDeferred", meaning: "The mail server deferred the message"},
	{codes: []string{"421"}, result: resultRetried, reason: "Unavailable", meaning: "The mail server is not available"},
	{
		codes: fiveYZ, texts: []string{"sending … quota", "sending … limit", "outgoing … quota", "outgoing … limit", "quota … outgoing", "limit … outgoing", "outbound … quota", "outbound … limit", "relay quota"},
		result: resultWaits, reason: "QuotaExceeded", meaning: "The mail server's limit of messages is reached",
	},
	{
		steps: []stage{stageRcpt, stageData, stageText}, codes: fiveYZ, enhanced: []string{"1.1", "1.2", "1.3", "1.6", "1.10", "2.1", "2.2", "7.17", "7.18"},
		texts:  fullMailbox,
		result: resultFails, reason: reasonRecipientRefused, meaning: "The mail server refused the recipient",
	},
	{
		// The mail server's own list of addresses to which it doesn't send.
		steps: []stage{stageRcpt, stageData, stageText}, codes: fiveYZ,
		texts:  []string{"suppression list", "suppressed due to", "recipient … suppressed", "address blacklisted", "recipient … inactive", "inactive recipient", "marked as inactive"},
		result: resultFails, reason: reasonRecipientRefused, meaning: "The mail server refused the recipient",
	},
	{
		// Limits of a single message.
		steps: []stage{stageText}, codes: fiveYZ,
		texts:  []string{"line limit", "line length", "line too long", "too many hops", "hop count", "received headers", "too many attachments", "attachment … limit", "attachments … limit", "bare <lf…", "bare linefeeds", "bare newline", "blocked url", "url … listed", "url … blocked"},
		result: resultFails, reason: "MessageRefused", meaning: "The mail server refused the message",
	},
	// RFC 5321 has 552 for a mailbox without room.
	{steps: []stage{stageRcpt}, codes: []string{"552"}, texts: []string{"quota"}, result: resultFails, reason: reasonRecipientRefused, meaning: "The mail server refused the recipient"},
	{
		codes: fiveYZ, enhanced: []string{"4.5", "7.28", "1.90"},
		texts: []string{
			"quota", "quotaexceeded…", "submissionquotaexceeded…", "reached … allowance", "allotment", "used up", "credits exceeded", "out of … credits", "exceeded max", "max … exceeded",
			"limit … exceeded", "limit … reached", "exceeded … limit", "exceed … limit", "exceeds … limit", "exceeding … limit", "exceeded … limits", "exceeds … limits", "reached … limit", "over … limit", "overlimit", "exceeded threshold", "rate limit", "rate limited", "ratelimit",
			"too many messages", "too many mails", "too many emails", "too much mail", "too many recipients", "too many … mails", "sending too fast", "frequency limited", "frequency limit", "unusual rate", "unusual … activity", "throttled",
			"per hour", "per minute", "per second", "per day", "per month", "24 hours", "24 hour", "24h", "today", "daily cap", "hourly cap", "monthly cap",
		},
		result: resultWaits, reason: "QuotaExceeded", meaning: "The mail server's limit of messages is reached",
	},
	{codes: fiveYZ, enhanced: []string{"7.501", "7.502", "7.503", "7.511"}, texts: []string{"ip … not allowed", "ip … not permitted", "ip … not authorized", "your host … not allowed", "client … permission", "client … permissions to submit", "blocked using", "dnsbl", "rbl", "spamhaus", "spamcop", "ipcheck", "network not allowed", "mail from this ip", "sender ip"}, result: resultWaits, reason: "ClientRefused", meaning: "The mail server refuses mail from the operator's address or account"},
	{
		codes: fiveYZ, enhanced: []string{"1.7", "1.8", "7.60"},
		texts: []string{
			"sender … rejected", "sender … denied", "sender … refused", "sender … not", "sender … invalid", "sender … unknown", "sender … unverified", "sender … unvalidated", "sender … match", "sender … mismatch", "sender … blocked",
			"invalid sender", "bad sender", "unknown sender", "unauthorized sender", "unregistered sender", "unverified sender", "unverified domain", "unregistered domain", "denies … sender", "verify your sender", "sender verify failed", "sender verification",
			"not owned by", "does not own", "not belong to", "not an address of", "not an alias", "not an allowed sender", "may only send", "send as this sender", "sendasdenied…", "sendas denied", "address is not verified", "address not verified", "identities failed the check", "domain … not … verified", "domain … unverified", "domain … not … validated",
			"from address", "from domain", "from header", "header from", "mail from … not allowed", "mail from … denied", "mail from … must", "mail from must", "envelope from", "envelope sender", "return path", "badmailfrom", "sender signature", "local sender", "originator",
			"can not receive from", "sending address … not", "your domain", "domain … not configured", "domain … in your account", "use this sender", "use … sender address", "as the sender", "as sender", "not allowed to send", "not permitted to send", "not authorized to send", "sending from … not allowed",
		},
		result: resultSender, reason: "SenderRefused", meaning: "The mail server refused the sender",
	},
	{
		codes: fiveYZ,
		texts: []string{
			"block list", "blocklist", "blocklisted", "black list", "blacklist", "blacklisted", "deny list", "denylist", "listed at", "listed by", "listed in", "listed on", "barracuda", "sorbs",
			"reputation", "client host", "client … rejected", "your ip", "ip address", "your host", "helo", "ehlo command rejected", "access denied from",
			"dynamic ip", "dynamic ips", "dynamic address", "dynamic addresses", "sending paused", "sending … suspended", "sending … disabled", "disabled for sending", "service suspended", "from this account", "outgoing mail",
			"your account … suspended", "your account … blocked", "your account … locked", "your account … disabled", "your account … not activated", "your account … not yet activated",
		},
		result: resultWaits, reason: "ClientRefused", meaning: "The mail server refuses mail from the operator's address or account",
	},
	{
		steps: []stage{stageMail, stageData, stageText}, codes: fiveYZ,
		texts:  []string{"account … suspended", "account … blocked", "account … locked", "account … disabled"},
		result: resultWaits, reason: "ClientRefused", meaning: "The mail server refuses mail from the operator's address or account",
	},
	{
		// A permanent code with a temporary text: servers that limit the rate say so.
		codes: fiveYZ, texts: []string{"try again later", "try later", "please try after", "try again in", "greylisted", "greylisting"},
		result: resultDeferred, reason: "MessageDeferred", meaning: "The mail server deferred the message",
	},
	{
		codes: fiveYZ, texts: []string{"due to policy restrictions", "security policies", "administrative lockout", "recipient address rejected … policy"},
		result: resultWaits, reason: "PolicyRefused", meaning: "The mail server's policy refused the message",
	},
	// Yahoo's server for sending says so of a sender that isn't the account's own.
	{steps: []stage{stageText}, codes: fiveYZ, texts: []string{"request failed mailbox unavailable"}, result: resultSender, reason: "SenderRefused", meaning: "The mail server refused the sender"},
	{
		codes: fiveYZ, texts: []string{
			"recipient address rejected", "recipient … rejected", "recipient … refused", "recipient … not found", "recipient … denied", "invalid recipient", "bad recipient", "user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox",
			"does not exist", "doesn't exist", "mailbox unavailable", "mailbox not found", "mailbox disabled", "mailbox is disabled", "user not found", "does not have a … account", "recipient … blocked", "not a valid mailbox", "unknown recipient", "recipient unknown", "address unknown", "unknown address",
		},
		steps:  []stage{stageRcpt, stageData, stageText},
		result: resultFails, reason: reasonRecipientRefused, meaning: "The mail server refused the recipient",
	},
	// Whatever else a refusal of the recipient says about relaying or the sender, it is not
	// about the recipient.
	{steps: []stage{stageRcpt}, codes: fiveYZ, texts: []string{"relay", "relaying"}, result: resultWaits, reason: "RelayDenied", meaning: "The mail server doesn't relay mail for the operator"},
	{steps: []stage{stageRcpt}, codes: fiveYZ, texts: []string{"sender", "mail from"}, result: resultSender, reason: "SenderRefused", meaning: "The mail server refused the sender"},
	{
		steps: []stage{stageText}, codes: fiveYZ, enhanced: []string{"6"},
		texts:  []string{"spam", "spamassassin", "suspicious url", "suspicious link", "malicious", "virus", "malware", "phishing", "content", "attachment", "attachments", "junk", "unsolicited", "header", "line too long", "infected"},
		result: resultFails, reason: "MessageRefused", meaning: "The mail server refused the message",
	},
	{
		codes: fiveYZ, enhanced: []string{"7"},
		texts:  []string{"policy reasons", "policy reason", "policy restrictions", "policy violation", "policy rejection", "local policy", "by policy", "by … policy", "security policy", "against policy", "administrative prohibition", "administratively prohibited", "administratively denied", "due to policy", "violates … policy"},
		result: resultWaits, reason: "PolicyRefused", meaning: "The mail server's policy refused the message",
	},
	{
		// Not a word about the recipient or the text.
		steps: []stage{stageRcpt, stageData, stageText}, codes: fiveYZ, texts: []string{"access denied", "permission denied", "no permission", "forbidden", "not served here", "not authorized", "unauthorized", "not allowed to use", "authenticate"},
		result: resultWaits, reason: "PolicyRefused", meaning: "The mail server's policy refused the message",
	},
	{codes: []string{"521"}, result: resultWaits, reason: "ServerRefused", meaning: "The mail server takes no mail"},
	{
		// The server does not know the command, so this is not about the recipient.
		steps: []stage{stageRcpt, stageData}, codes: []string{"500", "502"},
		result: resultWaits, reason: "ServerRefused", meaning: "The mail server takes no mail",
	},
	{steps: []stage{stageRcpt}, codes: fiveYZ, enhanced: []string{"5.1"}, texts: []string{"protocol error"}, result: resultWaits, reason: "ServerRefused", meaning: "The mail server takes no mail"},
	{codes: fiveYZ, enhanced: []string{"3.2"}, result: resultWaits, reason: "ServerRefused", meaning: "The mail server takes no mail"},
	{steps: []stage{stageMail}, codes: fiveYZ, result: resultSender, reason: "SenderRefused", meaning: "The mail server refused the sender"},
	{steps: []stage{stageRcpt}, codes: fiveYZ, result: resultFails, reason: reasonRecipientRefused, meaning: "The mail server refused the recipient"},
	{steps: afterRcpt, codes: fiveYZ, result: resultFails, reason: "MessageRefused", meaning: "The mail server refused the message"},
	{steps: []stage{stageRcpt}, codes: fourYZ, result: resultDeferred, reason: "RecipientDeferred", meaning: "The mail server deferred the recipient"},
	{
		steps: []stage{stageMail}, codes: fourYZ, enhanced: []string{"1.7"}, texts: []string{"sender address", "sender domain", "sender verify", "sender verification", "verify sender"},
		result: resultDeferred, reason: "SenderDeferred", meaning: "The mail server deferred the sender",
	},
	{steps: afterRcpt, codes: fourYZ, enhanced: []string{"3"}, result: resultRetried, reason: "MessageDeferred", meaning: "The mail server deferred the message"},
	{steps: afterRcpt, codes: []string{"452"}, result: resultRetried, reason: "MessageDeferred", meaning: "The mail server deferred the message"},
	{steps: afterRcpt, codes: fourYZ, result: resultDeferred, reason: "MessageDeferred", meaning: "The mail server deferred the message"},
	{codes: fourYZ, result: resultRetried, reason: "MessageDeferred", meaning: "The mail server deferred the message"},
}

// reasonRecipientRefused is the reason of a recipient whom the mail server refused for good.
const reasonRecipientRefused = "RecipientRefused"

// fullMailbox are phrases by which a mail server says that a mailbox has no room.
var fullMailbox = []string{
	"mailbox … full", "inbox … full", "account is full", "mailbox … quota", "over quota", "overquota", "user quota", "quota violation", "mailbox size limit", "storage limit", "storage allocation", "insufficient storage", "disk quota",
}

// deadMailbox are the enhanced status codes, without their class, and the phrases by which a
// mail server says that a mailbox doesn't exist or is closed. A mailbox that is full, a
// domain that can't be resolved and a policy are not among them: those pass.
var (
	deadMailboxCodes = []string{"1.1", "1.6", "1.10", "2.1"}
	// undefinedCodes say nothing: the text decides.
	undefinedCodes = []string{"0.0", "1.0", "2.0"}
	deadMailbox    = phrases("user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "mailbox not found", "unknown recipient", "recipient unknown", "user … does not exist", "account that you tried to reach does not exist")
	roomIsMissing  = phrases(fullMailbox...)
	// notTheMailbox are phrases of refusals that are about something else, or that may pass,
	// whatever code they have.
	notTheMailbox = phrases("temporarily", "temporary", "try again", "later", "suspended", "quarantine", "quarantined", "content", "spam", "virus", "subject", "policy", "blocked", "blocklist", "blocklisted", "blacklist", "blacklisted", "block list", "reputation", "your ip", "ip address")
)

// isDeadMailbox reports whether a permanent refusal of a recipient says that its mailbox
// doesn't exist. Enhanced codes decide if there are any, and all must say so. 552 is the code
// of a mailbox without room, whatever else the reply says. In doubt the answer is no: nothing
// is sent to such a mailbox any more.
func isDeadMailbox(r *reply) bool {
	text := phraseText(r.text)
	if r.code/100 != 5 || roomIsMissing.MatchString(text) || notTheMailbox.MatchString(text) {
		return false
	}
	dead := false
	for _, m := range enhancedCode.FindAllStringSubmatch(r.text, -1) {
		switch {
		case m[1] != "5":
			return false
		case slices.Contains(undefinedCodes, m[2]):
		case !slices.Contains(deadMailboxCodes, m[2]):
			return false
		default:
			dead = true
		}
	}
	return dead && r.code != 552 || deadMailbox.MatchString(text)
}

// compiled texts of outcomes.
var outcomeTexts = func() []*regexp.Regexp {
	all := make([]*regexp.Regexp, len(outcomes))
	for i := range outcomes {
		all[i] = phrases(outcomes[i].texts...)
	}
	return all
}()

// sessionLimit is what servers say whose limit is for one connection.
var sessionLimit = phrases("this session", "this connection", "per session", "per connection", "same connection", "same session", "one session", "one connection", "single connection", "single session",
	"smtp session", "smtp connection", "new connection", "new session", "reconnect", "session limit", "connection limit", "transactions")

// phrases returns an expression that matches any of the phrases in a [phraseText], as whole
// words; nil of none.
func phrases(all ...string) *regexp.Regexp {
	if len(all) == 0 {
		return nil
	}
	alternatives := make([]string, len(all))
	for i, phrase := range all {
		parts := strings.Split(regexp.QuoteMeta(phraseText(phrase)), "…")
		alternatives[i] = strings.ReplaceAll(strings.Join(parts, ".{0,80}"), " .{0,80} ", `\b.{0,80}\b`)
		if !strings.HasSuffix(phrase, "…") {
			alternatives[i] += `\b`
		}
	}
	return regexp.MustCompile(`(?i)\b(?:` + strings.Join(alternatives, "|") + `)`)
}

// enhancedCode is an enhanced status code at the beginning of a line of a reply, or in
// parentheses with a number sign, as qmail and Cisco's servers write it.
var enhancedCode = regexp.MustCompile(`(?m)(?:^\s*[#\[(]{0,2}|\(#)([245])\.(\d{1,3}\.\d{1,3})\b`)

// enhanced returns the enhanced status code of a refusal without its class. One of another
// class than the reply's contradicts it and doesn't count.
func (r *reply) enhanced() string {
	for _, m := range enhancedCode.FindAllStringSubmatch(r.text, -1) {
		if int(m[1][0]-'0') == r.code/100 {
			return m[2]
		}
	}
	return ""
}

// matches reports whether the row applies to a refusal.
func (o *outcome) matches(stage stage, r *reply, enhanced, text string, texts *regexp.Regexp) bool {
	if o.event != "" || !o.at(stage) || len(o.codes) > 0 && !o.hasCode(r.code) {
		return false
	}
	if o.enhanced == nil && texts == nil {
		return true
	}
	for _, want := range o.enhanced {
		if enhanced == want || !strings.Contains(want, ".") && strings.HasPrefix(enhanced, want+".") {
			return true
		}
	}
	return texts != nil && texts.MatchString(text)
}

func (o *outcome) at(stage stage) bool {
	for _, step := range o.steps {
		if step == stage {
			return true
		}
	}
	return o.steps == nil
}

func (o *outcome) hasCode(code int) bool {
	for _, c := range o.codes {
		if c[1:] == "yz" && int(c[0]-'0') == code/100 || c[1:] != "yz" && c == strconv.Itoa(code) {
			return true
		}
	}
	return false
}

// outcomeOfReply finds the row of a refusal. There is always one.
func outcomeOfReply(stage stage, r *reply) *outcome {
	enhanced, text := r.enhanced(), phraseText(r.text)
	for i := range outcomes {
		if o := &outcomes[i]; o.matches(stage, r, enhanced, text, outcomeTexts[i]) {
			return o
		}
	}
	return &outcomes[len(outcomes)-1]
}

// outcomeOfEvent finds the row of an event. There is always one.
func outcomeOfEvent(stage stage, event event) *outcome {
	for i := range outcomes {
		if o := &outcomes[i]; o.event == event && o.at(stage) {
			return o
		}
	}
	panic("no outcome for " + string(event)) // a test tries each
}

// plainReply joins a reply's text into one line, without addresses: those are chosen by
// others and could hold any of the phrases.
func plainReply(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(addressLike.ReplaceAllString(text, "…")), " ")
}

// quotes are quotation marks around words. Those within words are apostrophes.
var quotes = regexp.MustCompile("\\B['‘’`]|['‘’`]\\B|[\"“”«»]")

// maxPhraseText bounds how many bytes of a reply are compared with phrases.
const maxPhraseText = 2000

// spellings are the ways to write the same words. Contractions come before hyphens, which
// separate words.
var spellings = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`(?i)\bcan't\b|\bcannot\b`), "can not"},
	{regexp.MustCompile(`(?i)\b(is|are|was|were|do|does|did|has|have|could|would|should|must)n't\b`), "$1 not"},
	{regexp.MustCompile(`(?i)\b(authori|recogni)s(e|ed|ing|ation)\b`), "${1}z$2"},
	{regexp.MustCompile(`[-_:;,!?*()]+`), " "},
	{regexp.MustCompile(`(?i)(?:/|\b(?:an?|each|every) )(second|minute|hour|day|month)\b`), " per $1"},
	{regexp.MustCompile(`(?i)\be mail`), "email"},
	{regexp.MustCompile(` {2,}`), " "},
}

// phraseText makes the text of a reply, or a phrase, fit to be compared: as [plainReply],
// without punctuation, and each word in one spelling. Comparing takes time, and what servers
// have to say they say first.
func phraseText(text string) string {
	text = plainReply(text)
	if len(text) > maxPhraseText {
		text = strings.ToValidUTF8(text[:maxPhraseText], "")
	}
	text = quotes.ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, "’", "'")
	for _, s := range spellings {
		text = s.find.ReplaceAllString(text, s.replace)
	}
	return strings.TrimSpace(text)
}
