// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestJSONCost compares JSONCost with the memory that FromJSON takes, for the texts that
// take the most memory for their length.
func TestJSONCost(t *testing.T) {
	const size = 1 << 20
	repeated := func(open, item, end string) string {
		return open + strings.TrimSuffix(strings.Repeat(item, size/len(item)), ",") + end
	}
	numbered := func(item string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, item, i)
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	texts := map[string]string{
		"dicts":          repeated("[", "{},", "]"),
		"lists":          repeated("[", "[],", "]"),
		"lists in lists": repeated("[", "[[[[1]]]],", "]"),
		"digits":         repeated("[", "1,", "]"),
		"numbers":        repeated("[", "1000,", "]"),
		"floats":         repeated("[", "1.5,", "]"),
		"large numbers":  repeated("[", "10000000000000000000,", "]"),
		"texts":          repeated("[", `"",`, "]"),
		"escapes":        repeated("[", `"\n",`, "]"),
		"long escapes":   repeated(`["`, `\u0001`, `"]`),
		"nulls":          repeated("[", "null,", "]"),
		"one text":       `"` + strings.Repeat("x", size) + `"`,
		"keys":           numbered(`"%d":0,`),
		"nested keys":    numbered(`"%d":{"a":{}},`),
		"small dicts":    repeated("[", `{"a":1},`, "]"),
		"dicts of nine":  repeated("[", `{"1":{},"2":{},"3":{},"4":{},"5":{},"6":{},"7":{},"8":{},"9":{}},`, "]"),
		"spaces":         repeated("[", "{}    ,", "]"),
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			raw := []byte(text)
			if !json.Valid(raw) {
				t.Fatal("the test's own text is not JSON")
			}
			values, cost := JSONCost(raw)
			cost += int64(len(raw)) // which the values' texts share
			before := liveHeap()
			v, err := FromJSON(raw)
			if err != nil {
				t.Fatal(err)
			}
			takes := int64(liveHeap()) - int64(before)
			made := count(v)
			runtime.KeepAlive(v)
			t.Logf("%d values, %.1f MiB, estimated %.1f MiB", values, float64(takes)/(1<<20), float64(cost)/(1<<20))
			if values < made {
				t.Errorf("the estimate is %d values, but there are %d", values, made)
			}
			if takes > cost {
				t.Errorf("the estimate is %d bytes, but it takes %d", cost, takes)
			}
			if takes > 1<<20 && cost > 8*takes {
				t.Errorf("the estimate is %d bytes, but it takes only %d", cost, takes)
			}
		})
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// count returns the number of values and keys in a value, including itself.
func count(v Value) int {
	n := 1
	switch v := v.(type) {
	case *List:
		for _, item := range v.Items {
			n += count(item)
		}
	case *Dict:
		for i := range v.Len() {
			_, val := v.At(i)
			n += 1 + count(val)
		}
	}
	return n
}

// TestJSONCostOfInvalidText checks that the estimate for truncated or invalid JSON covers
// what FromJSON allocates.
func TestJSONCostOfInvalidText(t *testing.T) {
	for _, text := range []string{"", `"`, `"\`, `{"a`, `[1,`, `{"a":`, "\xff", `]]]]`, `"\"`, "-", "tru"} {
		if _, cost := JSONCost([]byte(text)); cost <= 0 {
			t.Errorf("%q costs %d", text, cost)
		}
	}
}

func BenchmarkFromJSON(b *testing.B) {
	raw := []byte(`{"id":"00000000-0000-0000-0000-000000000001","parent":null,"tx_type":"debit","subtype":"transfer","note":"Thanks \u00e9","amount":1050,"fee":-25,"balance":120000,"status":"Complete","reference":"INV-1","metadata":{"service":{"a":1,"b":[1,2,3]}},"currency":{"code":"USD","symbol":"$","unit":"dollar","divisibility":2},"user":{"id":"00000000-0000-0000-0000-000000000002","first_name":"Thandi","last_name":"Mokoena","email":"thandi@example.com","mobile":"+27820001111","profile":null},"created":1700000000000,"updated":1700000000000}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := FromJSON(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSONCost(b *testing.B) {
	raw := []byte("[" + strings.Repeat(`{"first_name":"Thandi","amount":1050},`, 20_000) + "1]")
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		JSONCost(raw)
	}
}
