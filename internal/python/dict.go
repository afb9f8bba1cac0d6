// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

// Dict is a dict: it keeps insertion order, and keys that are equal in Python
// (1, 1.0 and True) are one key.
type Dict struct {
	keys []Value
	vals []Value
	strs map[string]int32 // index of str keys, built when the dict outgrows scanning
	rest map[Key]int32    // index of all other keys
}

// scanMax is the size up to which lookups of texts are linear.
const scanMax = 8

// NewDict returns an empty dict with capacity for n entries.
func NewDict(n int) *Dict {
	return &Dict{keys: make([]Value, 0, n), vals: make([]Value, 0, n)}
}

// TypeName implements Value.
func (*Dict) TypeName() string { return "dict" }

// Len returns the number of entries.
func (d *Dict) Len() int { return len(d.keys) }

// At returns the i-th entry in insertion order.
func (d *Dict) At(i int) (key, val Value) { return d.keys[i], d.vals[i] }

// GetStr looks a text key up.
func (d *Dict) GetStr(key string) (Value, bool) {
	i := d.findStr(key)
	if i < 0 {
		return nil, false
	}
	return d.vals[i], true
}

// SetStr sets a text key.
func (d *Dict) SetStr(key string, val Value) {
	if i := d.findStr(key); i >= 0 {
		d.vals[i] = val
		return
	}
	d.keys = append(d.keys, Str(key))
	d.vals = append(d.vals, val)
	if d.strs != nil {
		d.strs[key] = int32(len(d.keys) - 1)
	} else if len(d.keys) > scanMax {
		d.indexStrs()
	}
}

// Get looks any key up. An unhashable key is a TypeError.
func (d *Dict) Get(key Value) (Value, bool, error) {
	if s, ok := AsStr(key); ok {
		v, ok := d.GetStr(s)
		return v, ok, nil
	}
	k, err := HashKey(key)
	if err != nil {
		return nil, false, err
	}
	i, ok := d.rest[k]
	if !ok {
		return nil, false, nil
	}
	return d.vals[i], true, nil
}

// Set sets any key. An existing equal key is kept, with the new value. An unhashable key is
// a TypeError.
func (d *Dict) Set(key, val Value) error {
	if s, ok := AsStr(key); ok {
		n := len(d.keys)
		d.SetStr(s, val)
		if len(d.keys) > n {
			d.keys[n] = key
		}
		return nil
	}
	k, err := HashKey(key)
	if err != nil {
		return err
	}
	if i, ok := d.rest[k]; ok {
		d.vals[i] = val
		return nil
	}
	if d.rest == nil {
		d.rest = map[Key]int32{}
	}
	d.rest[k] = int32(len(d.keys))
	d.keys = append(d.keys, key)
	d.vals = append(d.vals, val)
	if d.strs == nil && len(d.keys) > scanMax {
		d.indexStrs()
	}
	return nil
}

// Truncate drops all but the first n entries. Only the dict's owner may do so.
func (d *Dict) Truncate(n int) {
	for i := len(d.keys) - 1; i >= n; i-- {
		if s, ok := AsStr(d.keys[i]); ok {
			delete(d.strs, s)
		} else if k, err := HashKey(d.keys[i]); err == nil {
			delete(d.rest, k)
		}
	}
	d.keys, d.vals = d.keys[:n:n], d.vals[:n:n]
}

func (d *Dict) findStr(key string) int {
	if d.strs != nil {
		if i, ok := d.strs[key]; ok {
			return int(i)
		}
		return -1
	}
	for i, k := range d.keys {
		switch k := k.(type) {
		case Str:
			if string(k) == key {
				return i
			}
		case SafeStr:
			if string(k) == key {
				return i
			}
		}
	}
	return -1
}

func (d *Dict) indexStrs() {
	d.strs = make(map[string]int32, 2*len(d.keys))
	for i, k := range d.keys {
		if s, ok := AsStr(k); ok {
			d.strs[s] = int32(i)
		}
	}
}

// DictView is the result of a dict's keys(), values() or items().
type DictView struct {
	Dict *Dict
	Kind DictViewKind
}

// DictViewKind is the kind of a view.
type DictViewKind uint8

// The views of a dict.
const (
	DictKeys DictViewKind = iota
	DictValues
	DictItems
)

// TypeName implements Value.
func (v *DictView) TypeName() string {
	return [...]string{"dict_keys", "dict_values", "dict_items"}[v.Kind]
}

// Len returns the number of entries.
func (v *DictView) Len() int { return v.Dict.Len() }

// At returns the i-th item of the view.
func (v *DictView) At(i int) Value {
	switch v.Kind {
	case DictKeys:
		return v.Dict.keys[i]
	case DictValues:
		return v.Dict.vals[i]
	default:
		return NewTuple(v.Dict.keys[i], v.Dict.vals[i])
	}
}

// Set is a set. Its order is that of insertion; Python's is arbitrary.
type Set struct{ d Dict }

// NewSet returns a set of the items. An unhashable item is a TypeError.
func NewSet(items ...Value) (*Set, error) {
	s := &Set{}
	for _, it := range items {
		if err := s.Add(it); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// TypeName implements Value.
func (*Set) TypeName() string { return "set" }

// Len returns the number of items.
func (s *Set) Len() int { return s.d.Len() }

// At returns the i-th item.
func (s *Set) At(i int) Value { return s.d.keys[i] }

// Add adds an item. An unhashable one is a TypeError.
func (s *Set) Add(v Value) error {
	if _, ok, err := s.d.Get(v); ok || err != nil {
		return err
	}
	return s.d.Set(v, None)
}

// Has reports whether the set has the item. An unhashable item is a TypeError.
func (s *Set) Has(v Value) (bool, error) {
	_, ok, err := s.d.Get(v)
	return ok, err
}
