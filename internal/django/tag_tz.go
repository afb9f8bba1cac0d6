// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"path"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the zones that templates name, also where the system has none

	"github.com/rehive/extension-operator/internal/python"
)

// {% load tz %}.
func init() {
	tz := library("tz")
	tz.AddTag("localtime", parseLocaltime)
	tz.AddTag("timezone", parseTimezone)
	tz.AddTag("get_current_timezone", parseGetCurrentTimezone)
	tz.AddFilters(
		&Filter{Name: "localtime", Func: localtimeFilter},
		&Filter{Name: "timezone", Func: timezoneFilter, Arg: RequiredArg, Strict: StrictArg},
		&Filter{Name: "utc", Func: utcFilter},
	)
}

func localtimeFilter(c *Context, in, _ python.Value) (python.Value, error) {
	return inZone(in, c.Location()), nil
}

func utcFilter(_ *Context, in, _ python.Value) (python.Value, error) {
	return inZone(in, time.UTC), nil
}

func timezoneFilter(c *Context, in, arg python.Value) (python.Value, error) {
	name, ok := python.AsStr(arg)
	if _, isTime := in.(*python.DateTime); !ok || !isTime {
		return python.Str(""), nil
	}
	zone, ok, err := findZone(c, name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return python.Str(""), nil
	}
	return inZone(in, zone), nil
}

// inZone returns the same time in a zone; a naive datetime is in UTC. A value that is not a
// datetime becomes "".
func inZone(v python.Value, zone *time.Location) python.Value {
	dt, ok := v.(*python.DateTime)
	if !ok {
		return python.Str("")
	}
	t := dt.T.In(zone)
	// Django copies the fields of the time, which don't say that it is the second time
	// that clocks show them.
	return &python.DateTime{T: t.Add(-putBack(t)), Aware: true, KeepZone: true}
}

// zones caches time zones, because loading one is slow.
var zones sync.Map // name to *time.Location

const (
	// zoneSteps is the cost of loading a zone.
	zoneSteps = 2000
	// zoneNanos is the time per byte of its name, in nanoseconds: the path is normalized.
	zoneNanos = 10
)

// findZone finds a zone of the IANA database by its name.
func findZone(c *Context, name string) (zone *time.Location, ok bool, err error) {
	if name == "UTC" {
		return time.UTC, true, nil
	}
	if err := c.meter.SpendBytes(len(name), zoneNanos); err != nil {
		return nil, false, err
	}
	if !isZoneKey(name) {
		return nil, false, python.Errorf("ValueError", "the name of a time zone must be a relative path such as Europe/Paris")
	}
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), true, nil
	}
	if name == "Local" || len(name) > 64 {
		return nil, false, nil
	}
	if err := c.meter.Spend(zoneSteps); err != nil {
		return nil, false, err
	}
	if zone, err := time.LoadLocation(name); err == nil {
		zones.Store(name, zone)
		return zone, true, nil
	}
	return nil, false, nil
}

// isZoneKey reports whether Python's zoneinfo accepts the name: a normalized relative path
// that stays below the root.
func isZoneKey(name string) bool {
	return name != "" && name[0] != '/' && path.Clean(name) == name && name != ".." && !strings.HasPrefix(name, "../")
}

// localtimeNode is {% localtime on %} … {% endlocaltime %}.
type localtimeNode struct {
	on   bool
	body NodeList
}

func parseLocaltime(p *Parser, tok *Token) (Node, error) {
	on, err := parseOnOff(p, tok)
	if err != nil {
		return nil, err
	}
	n := &localtimeNode{on: on}
	n.body, err = p.parseBody("endlocaltime")
	return n, err
}

func (n *localtimeNode) Render(c *Context) error {
	defer func(before bool) { c.useTZ = before }(c.useTZ)
	c.useTZ = n.on
	return n.body.Render(c)
}

// timezoneNode is {% timezone "Europe/Paris" %} … {% endtimezone %}.
type timezoneNode struct {
	zone *Expression
	body NodeList
}

func parseTimezone(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) != 2 {
		return nil, p.Errorf("'%s' takes one argument (timezone)", words[0])
	}
	zone, err := p.CompileFilter(words[1])
	if err != nil {
		return nil, err
	}
	n := &timezoneNode{zone: zone}
	n.body, err = p.parseBody("endtimezone")
	return n, err
}

func (n *timezoneNode) Render(c *Context) error {
	v, err := n.zone.Value(c)
	if err != nil {
		return err
	}
	zone := time.UTC
	if name, ok := python.AsStr(v); ok {
		if zone, ok, err = findZone(c, name); err != nil {
			return err
		}
		if !ok {
			return python.Errorf("ZoneInfoNotFoundError", "the value of %s is not the name of a time zone", n.zone)
		}
	} else if v != python.None {
		return python.Errorf("ValueError", "the value of %s is not the name of a time zone", n.zone)
	}
	defer func(before *time.Location) { c.location = before }(c.location)
	c.location = zone
	return n.body.Render(c)
}

func parseGetCurrentTimezone(p *Parser, tok *Token) (Node, error) {
	return parseAsVariable(p, tok, func(c *Context) python.Value {
		return python.Str(c.Location().String())
	})
}

// setNode sets a variable to a value that doesn't depend on data.
type setNode struct {
	name  string
	value func(c *Context) python.Value
}

// parseAsVariable parses {% name as variable %}.
func parseAsVariable(p *Parser, tok *Token, value func(c *Context) python.Value) (Node, error) {
	words := python.Fields(tok.Contents)
	if len(words) != 3 || words[1] != "as" {
		return nil, p.Errorf("'%s' requires 'as variable'", words[0])
	}
	p.bind(words[2])
	return &setNode{words[2], value}, nil
}

func (n *setNode) Render(c *Context) error {
	c.Set(n.name, n.value(c), false)
	return nil
}
