// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

// localize prints a number or a date as django.utils.formats.localize does.
func (c *Context) localize(v python.Value) (string, error) {
	switch v := v.(type) {
	case python.Float, *python.Decimal:
		if c.l10n != l10nOff {
			s, err := plainNumber(v)
			return c.locale.number(s, false), err
		}
	case *python.DateTime, *python.Date, *python.Time:
		format := "DATETIME_FORMAT"
		switch v.(type) {
		case *python.Date:
			format = "DATE_FORMAT"
		case *python.Time:
			format = "TIME_FORMAT"
		}
		s, err := formatDate(c.momentOf(v), c.format(format, c.l10n))
		if !python.IsError(err, "AttributeError", "TypeError") {
			return s, err
		}
	}
	return python.StrOf(v), nil
}

// format returns the format with a name in the current language or, if that is off, in
// Django's settings.
func (c *Context) format(name string, mode l10nMode) string {
	if mode == l10nOff {
		return namedFormats[name]
	}
	f, _ := c.locale.format(name)
	return f
}
