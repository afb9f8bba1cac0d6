// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"

	"github.com/rehive/extension-operator/internal/meter"
)

// ErrLimit is wrapped by the errors of templates that exceed a limit. Unlike those that are
// ended by the context, they fail again with the same data.
var ErrLimit = meter.ErrLimit

// Limits limit the resources of a template. A zero field means the default.
type Limits struct {
	Source  int // characters of one template's source, as the API server counts them; 262,144
	Nodes   int // nodes of a template and those it includes or extends; 20,000
	Nesting int // tags within tags, and templates within templates; 50
	Steps   int // work, in units of about 100 ns (see package meter); 1,000,000
	Memory  int // bytes held at a time by values that the template creates; 32 MiB
	Output  int // bytes printed, including captured output; 1 MiB
	String  int // bytes of a text that a filter returns; 1 MiB
}

// DefaultLimits returns the default limits.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

// MaxWords is how many literals, names in paths and filters a template and those that it
// includes or extends may have. Each takes memory for as long as the template is kept.
const MaxWords = 40_000

func (l Limits) withDefaults() Limits {
	set := func(f *int, d int) {
		if *f <= 0 {
			*f = d
		}
	}
	set(&l.Source, 256<<10)
	set(&l.Nodes, 20_000)
	set(&l.Nesting, 50)
	set(&l.Steps, 1_000_000)
	set(&l.Memory, 32<<20)
	set(&l.Output, 1<<20)
	set(&l.String, 1<<20)
	return l
}

func limitErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...))
}
