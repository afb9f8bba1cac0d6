// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestDescriptions(t *testing.T) {
	const folded = `
      email:
        description: |-
          email sends the
          message.

          One of:
          - a first
            thing
          - a second
        type: string
        x: |-
          kept
          as it is
      items:
      - description: |-
          of an
          item
        type: object
      one:
        description: a
          plain scalar
        type: object
`
	const want = `
      email:
        description: |-
          email sends the message.

          One of:
          - a first thing
          - a second
        type: string
        x: |-
          kept
          as it is
      items:
      - description: |-
          of an item
        type: object
      one:
        description: a
          plain scalar
        type: object
`
	if got := descriptions(folded); got != want {
		t.Errorf("got %s", got)
	}
	if got := descriptions(want); got != want {
		t.Errorf("it changes what is unfolded: %s", got)
	}
}
