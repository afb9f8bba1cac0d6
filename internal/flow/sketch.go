// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"hash/maphash"
	"time"
)

const (
	sketchRows = 4
	sketchCols = 1 << 14 // a row's index takes 14 of the 16 bits it gets of the hash
)

// sketch counts what callers did lately in a fixed amount of memory (512 KiB): a
// count-min sketch with conservative updates over two windows of time. Callers that
// share all their cells are counted together, which takes more than some ten thousand
// of them; a random seed keeps anyone from choosing whom to share with. A count is
// never too low, so nobody is forgotten because others came.
type sketch struct {
	seed         maphash.Seed
	window       time.Duration
	began        time.Time // of the current window
	current, old *[sketchRows][sketchCols]uint32
}

func newSketch(window time.Duration) *sketch {
	return &sketch{
		seed: maphash.MakeSeed(), window: window, began: time.Now(),
		current: new([sketchRows][sketchCols]uint32), old: new([sketchRows][sketchCols]uint32),
	}
}

// turn begins a new window when the current one is over.
func (s *sketch) turn(now time.Time) {
	switch passed := now.Sub(s.began); {
	case passed < s.window:
		return
	case passed < 2*s.window:
		s.current, s.old = s.old, s.current
		s.began = s.began.Add(s.window)
	default:
		clear(s.old[:])
		s.began = now
	}
	clear(s.current[:])
}

func (s *sketch) cells(caller string) (cells [sketchRows]uint16) {
	hash := maphash.String(s.seed, caller)
	for row := range cells {
		cells[row] = uint16(hash>>(16*row)) % sketchCols
	}
	return cells
}

// add counts n for a caller.
func (s *sketch) add(caller string, n uint32, now time.Time) {
	s.turn(now)
	cells := s.cells(caller)
	least := ^uint32(0)
	for row, col := range cells {
		least = min(least, s.current[row][col])
	}
	sum := least + n
	if sum < least {
		sum = ^uint32(0)
	}
	for row, col := range cells {
		s.current[row][col] = max(s.current[row][col], sum)
	}
}

// estimate is a caller's count: all of the current window, and the former one's fading.
func (s *sketch) estimate(caller string, now time.Time) float64 {
	s.turn(now)
	left := 1 - float64(now.Sub(s.began))/float64(s.window)
	current, old := ^uint32(0), ^uint32(0)
	for row, col := range s.cells(caller) {
		current, old = min(current, s.current[row][col]), min(old, s.old[row][col])
	}
	return float64(current) + float64(old)*left
}
