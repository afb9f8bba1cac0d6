// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// conditions are the tests of a WHERE clause. Their text is this package's own; values are
// only arguments of the statement.
type conditions struct {
	tests  []string
	values []any
}

// place adds a value and returns its placeholder.
func (c *conditions) place(value any) string {
	c.values = append(c.values, value)
	return "$" + strconv.Itoa(len(c.values))
}

// add adds a test as it is.
func (c *conditions) add(test string) { c.tests = append(c.tests, test) }

// compare adds a test that ends in a value, such as "company =".
func (c *conditions) compare(test string, value any) { c.add(test + " " + c.place(value)) }

// among adds the test that a column has one of some values.
func (c *conditions) among(column string, values []string) {
	if len(values) == 0 {
		c.add("1 = 0")
		return
	}
	places := make([]string, len(values))
	for i, value := range values {
		places[i] = c.place(value)
	}
	c.add(column + " IN (" + strings.Join(places, ", ") + ")")
}

// after adds the test that a row comes after the one with an id, unless that is 0.
func (c *conditions) after(column string, id int64, oldestFirst bool) {
	switch {
	case id == 0:
	case oldestFirst:
		c.compare(column+" >", id)
	default:
		c.compare(column+" <", id)
	}
}

// where returns the clause.
func (c *conditions) where() string { return "WHERE " + strings.Join(c.tests, " AND ") }

// arguments returns the values in the order of their placeholders.
func (c *conditions) arguments() []any { return driver.StorableArgs(c.values) }
