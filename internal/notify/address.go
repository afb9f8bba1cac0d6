// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"strings"

	"github.com/rehive/extension-operator/internal/phone"
)

// Recipient returns a recipient in the form that the channel's providers take, or
// the end of a sentence about what is wrong with it. Phone numbers without a country
// code are of the region, an ISO 3166 code; wrong if that is empty.
func Recipient(channel Channel, region, text string) (address, problem string) {
	switch channel {
	case ChannelSMS:
		number, err := phone.E164(text, region)
		if err != nil {
			return "", err.Error()
		}
		return number, ""
	case ChannelPush, ChannelSystem:
		if !isUser(text) {
			return "", "is no identifier of a user"
		}
		return strings.ToLower(text), ""
	default:
		address, ok := emailAddress(text)
		if !ok {
			return "", "is no email address"
		}
		return address, ""
	}
}
