// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

// localize prints a number or a date as django.utils.formats.localize does in
// English.
func (c *Context) localize(v python.Value) (string, error) {
	switch v := v.(type) {
	case python.Float, *python.Decimal:
		if c.l10n != l10nOff {
			return plainNumber(v)
		}
	case *python.DateTime, *python.Date, *python.Time:
		format := "DATETIME_FORMAT"
		switch v.(type) {
		case *python.Date:
			format = "DATE_FORMAT"
		case *python.Time:
			format = "TIME_FORMAT"
		}
		if s, err := formatDate(momentOf(v), namedFormats[format]); err == nil {
			return s, nil
		}
	}
	return python.StrOf(v), nil
}
