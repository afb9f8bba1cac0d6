// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FaultKind is a way in which the API misbehaves.
type FaultKind string

const (
	// FaultHang leaves the caller waiting until it gives up, the fault is
	// removed or the platform is closed.
	FaultHang FaultKind = "hang"
	// FaultDelay answers properly, but late. The delay is real time, whatever
	// the platform's clock.
	FaultDelay FaultKind = "delay"
	// FaultStatus answers with Status and an error envelope holding Message.
	FaultStatus FaultKind = "status"
	// FaultGarbage answers with Status (default 200) and Body, which by default
	// is a web page.
	FaultGarbage FaultKind = "garbage"
	// FaultClose cuts the connection.
	FaultClose FaultKind = "close"
	// FaultHuge answers 200 with an envelope of 64 MiB.
	FaultHuge FaultKind = "huge"
)

// Fault makes calls to the API fail. Empty selectors select every call.
type Fault struct {
	Method  string `json:"method,omitempty"`
	Path    string `json:"path,omitempty"`    // beginning of the path, such as /3/auth/
	Token   string `json:"token,omitempty"`   // the caller's
	Company string `json:"company,omitempty"` // of the caller's token

	Kind FaultKind `json:"kind"`
	// Skip lets that many matching calls pass first.
	Skip int `json:"skip,omitempty"`
	// Times ends the fault after that many calls; 0: it lasts until removed.
	Times int `json:"times,omitempty"`
	// After does what was asked first and loses only the answer.
	After bool `json:"after,omitempty"`

	Status     int           `json:"status,omitempty"`
	Message    string        `json:"message,omitempty"`
	Body       string        `json:"body,omitempty"`
	RetryAfter string        `json:"retry_after,omitempty"` // header, as it is sent
	Location   string        `json:"location,omitempty"`    // header
	Delay      time.Duration `json:"delay,omitempty"`       // nanoseconds in JSON
}

type fault struct {
	Fault
	left    int
	removed chan struct{}
}

// InjectFault makes calls fail from now on. The first fault that matches a call
// is the one it suffers. Remove ends it and lets go of callers left hanging.
func (p *Platform) InjectFault(spec Fault) (remove func()) {
	f := &fault{Fault: spec, left: spec.Times, removed: make(chan struct{})}
	p.mu.Lock()
	p.faults = append(p.faults, f)
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if i := slices.Index(p.faults, f); i >= 0 {
			p.faults = slices.Delete(p.faults, i, i+1)
			close(f.removed)
		}
	}
}

// ClearFaults ends all faults.
func (p *Platform) ClearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		close(f.removed)
	}
	p.faults = nil
}

// Faults lists the faults that are still in force.
func (p *Platform) Faults() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []Fault{}
	for _, f := range p.faults {
		if f.Times == 0 || f.left > 0 {
			all = append(all, f.Fault)
		}
	}
	return all
}

func (f *Fault) check() error {
	switch f.Kind {
	case FaultHang, FaultDelay, FaultStatus, FaultGarbage, FaultClose, FaultHuge:
	default:
		return fmt.Errorf("unknown kind of fault %q", f.Kind)
	}
	if f.Kind == FaultStatus && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("a fault of kind status needs a status from 200 to 599")
	}
	return nil
}

// matchFault needs the lock.
func (p *Platform) matchFault(r *http.Request, token string, owner *user) *fault {
	for _, f := range p.faults {
		if f.Method != "" && f.Method != r.Method ||
			!strings.HasPrefix(r.URL.Path, f.Path) ||
			f.Token != "" && f.Token != token ||
			f.Company != "" && (owner == nil || owner.company.ID != f.Company) ||
			f.Times > 0 && f.left == 0 {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.left--
		}
		return f
	}
	return nil
}

// suffer does the fault to the call. Handle says that the call is to be
// answered properly after all; otherwise status is what was answered.
func (p *Platform) suffer(w http.ResponseWriter, r *http.Request, f *fault, record *Request) (status int, handle bool) {
	abort := func() { panic(http.ErrAbortHandler) } // net/http closes the connection
	cut := func() {
		p.record(*record)
		abort()
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Location != "" {
		w.Header().Set("Location", f.Location)
	}
	switch f.Kind {
	case FaultHang:
		p.record(*record) // a caller that gave up finds it
		select {
		case <-r.Context().Done():
		case <-p.ctx.Done():
		case <-f.removed:
		}
		abort()
	case FaultClose:
		cut()
	case FaultDelay:
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.removed:
		case <-r.Context().Done():
			cut()
		case <-p.ctx.Done():
			cut()
		}
		return 0, true
	case FaultGarbage:
		status, body := f.Status, f.Body
		if status == 0 {
			status = http.StatusOK
		}
		if body == "" {
			body = "<!doctype html><html><head><title>Just a moment…</title></head><body></body></html>"
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return status, false
	case FaultHuge:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"status":"success","data":{"id":"`)
		chunk := strings.Repeat("a", 1<<16)
		for range 1024 {
			if _, err := io.WriteString(w, chunk); err != nil {
				break
			}
		}
		_, _ = io.WriteString(w, `"}}`)
		return http.StatusOK, false
	case FaultStatus:
		message := f.Message
		if message == "" {
			message = http.StatusText(f.Status)
		}
		writeJSON(w, f.Status, refuse(f.Status, message).encode())
		return f.Status, false
	}
	return 0, true
}
