// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command templates compares templates and expressions with pongo2 and real Django, in one
// run on one thread, and prints a table. See README.md.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/flosch/pongo2/v6"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/expression"
	"github.com/rehive/extension-operator/internal/python"
)

var (
	//go:embed email.html
	email string
	//go:embed data.json
	data []byte
	//go:embed expression.txt
	condition string
)

// contender is one implementation of a scenario.
type contender struct {
	name string
	run  func() (string, error) // nil if Django's process runs it
}

func main() {
	rounds := flag.Int("rounds", 7, "rounds of each measurement")
	each := flag.Duration("time", 300*time.Millisecond, "time of each round")
	asJSON := flag.Bool("json", false, "print each result as a line of JSON, for hack/bench")
	flag.Parse()
	if err := run(*rounds, *each, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "templates:", err)
		os.Exit(1)
	}
}

func run(rounds int, each time.Duration, asJSON bool) error {
	runtime.GOMAXPROCS(1)
	scenarios, err := scenarios()
	if err != nil {
		return err
	}
	reference, err := startDjango()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Django is not measured:", err)
	} else {
		defer reference.stop()
	}
	if !asJSON {
		fmt.Printf("%-14s %-14s %12s %16s %9s %8s %8s\n", "scenario", "engine", "median op/s", "lowest–highest", "allocs/op", "B/op", "× ref")
	}
	for _, scenario := range []string{"render", "parse+render", "expression"} {
		if err := measure(scenario, scenarios[scenario], reference, rounds, each, asJSON); err != nil {
			return fmt.Errorf("%s: %w", scenario, err)
		}
	}
	return nil
}

func scenarios() (map[string][]contender, error) {
	value, err := python.FromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("reading data.json: %w", err)
	}
	ours, _ := value.(*python.Dict)
	ctx := context.Background()
	html := django.RenderOptions{Autoescape: true}
	compiled, err := django.Parse("email", email, django.Options{})
	if err != nil {
		return nil, err
	}
	theirs, err := pongoContext()
	if err != nil {
		return nil, err
	}
	pongo, err := pongo2.FromString(email)
	if err != nil {
		return nil, fmt.Errorf("pongo2: %w", err)
	}
	rule, err := expression.Compile("condition", condition, expression.Options{})
	if err != nil {
		return nil, err
	}
	return map[string][]contender{
		"render": {
			{"ours", func() (string, error) { return compiled.Render(ctx, ours, html) }},
			{"pongo2", func() (string, error) { return pongo.Execute(theirs) }},
			{"Django", nil},
		},
		"parse+render": {
			{"ours", func() (string, error) {
				t, err := django.Parse("email", email, django.Options{})
				if err != nil {
					return "", err
				}
				return t.Render(ctx, ours, html)
			}},
			{"pongo2", func() (string, error) {
				t, err := pongo2.FromString(email)
				if err != nil {
					return "", err
				}
				return t.Execute(theirs)
			}},
			{"Django", nil},
		},
		"expression": {
			{"ours", func() (string, error) {
				verdict := rule.Evaluate(ctx, ours, expression.EvaluateOptions{})
				if verdict.Fault != nil {
					return "", verdict.Fault
				}
				return python.StrOf(python.Bool(verdict.Send)), nil
			}},
			{"Django", nil}, // with simpleeval
		},
	}, nil
}

// pongoContext returns the data with integers, which encoding/json would decode as floats.
func pongoContext() (pongo2.Context, error) {
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	var m map[string]any
	if err := decoder.Decode(&m); err != nil {
		return nil, err
	}
	var convert func(v any) any
	convert = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				v[k] = convert(v[k])
			}
		case []any:
			for i := range v {
				v[i] = convert(v[i])
			}
		case json.Number:
			if i, err := v.Int64(); err == nil {
				return int(i)
			}
			f, _ := v.Float64()
			return f
		}
		return v
	}
	convert(m)
	return pongo2.Context(m), nil
}

type result struct {
	name          string
	rates         []float64
	allocs, bytes float64
}

func (r *result) median() float64 {
	slices.Sort(r.rates)
	return r.rates[len(r.rates)/2]
}

// measure takes turns, so that other load on the machine affects all contenders equally.
func measure(scenario string, contenders []contender, reference *djangoProcess, rounds int, each time.Duration, asJSON bool) error {
	var results []*result
	want := ""
	for _, c := range contenders {
		var out string
		var err error
		switch {
		case c.run != nil:
			out, err = c.run()
		case reference != nil:
			out, err = reference.output(scenario)
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if want == "" {
			want = out
		} else if out != want {
			fmt.Fprintf(os.Stderr, "%s: the output of %s differs from ours\n", scenario, c.name)
		}
		results = append(results, &result{name: c.name})
	}
	for range rounds {
		for i, r := range results {
			if c := contenders[i]; c.run != nil {
				r.round(c.run, each)
				continue
			}
			rate, err := reference.rate(scenario, each)
			if err != nil {
				return err
			}
			r.rates = append(r.rates, rate)
		}
	}
	if asJSON {
		for _, r := range results {
			if err := json.NewEncoder(os.Stdout).Encode(map[string]any{
				"scenario": scenario, "engine": r.name, "rates": r.rates, "allocations": r.allocs, "bytes": r.bytes,
			}); err != nil {
				return fmt.Errorf("printing the results: %w", err)
			}
		}
		return nil
	}
	ours := results[0].median()
	for _, r := range results {
		median, allocs, size, times := r.median(), "-", "-", "-"
		if r.allocs > 0 {
			allocs, size = fmt.Sprintf("%.0f", r.allocs), fmt.Sprintf("%.0f", r.bytes)
		}
		if r != results[0] {
			times = fmt.Sprintf("%.1f", ours/median)
		}
		fmt.Printf("%-14s %-14s %12.0f %16s %9s %8s %8s\n", scenario, r.name, median,
			fmt.Sprintf("%.0f–%.0f", r.rates[0], r.rates[len(r.rates)-1]), allocs, size, times)
	}
	return nil
}

func (r *result) round(run func() (string, error), each time.Duration) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, n := time.Now(), 0
	for time.Since(start) < each {
		for range 10 {
			_, _ = run() // it has succeeded once
		}
		n += 10
	}
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	r.rates = append(r.rates, float64(n)/elapsed.Seconds())
	r.allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	r.bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

// djangoProcess is a running bench_django.py.
type djangoProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startDjango() (*djangoProcess, error) {
	const python3 = "/usr/bin/python3" // Debian's, which has python3-django
	if err := exec.Command(python3, "-c", "import django, simpleeval").Run(); err != nil {
		return nil, fmt.Errorf("python3-django and python3-simpleeval are not installed")
	}
	p := &djangoProcess{cmd: exec.Command(python3, "bench_django.py")}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 1<<20)
	return p, p.cmd.Start()
}

func (p *djangoProcess) stop() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

type djangoAnswer struct {
	Output string  `json:"output"`
	Rate   float64 `json:"rate"`
}

func (p *djangoProcess) ask(scenario string, seconds float64) (djangoAnswer, error) {
	var answer djangoAnswer
	request, err := json.Marshal(map[string]any{"scenario": scenario, "seconds": seconds})
	if err != nil {
		return answer, err
	}
	if _, err := p.in.Write(append(request, '\n')); err != nil {
		return answer, fmt.Errorf("asking Django: %w", err)
	}
	if !p.out.Scan() {
		return answer, fmt.Errorf("reading Django's answer: %w", io.ErrUnexpectedEOF)
	}
	return answer, json.Unmarshal(p.out.Bytes(), &answer)
}

func (p *djangoProcess) output(scenario string) (string, error) {
	answer, err := p.ask(scenario, 0)
	return answer.Output, err
}

func (p *djangoProcess) rate(scenario string, each time.Duration) (float64, error) {
	answer, err := p.ask(scenario, each.Seconds())
	return answer.Rate, err
}
