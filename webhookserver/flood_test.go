// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/activation"
)

// clientAt returns a client whose connections come from an address. With reuse, it keeps
// them alive.
func clientAt(t *testing.T, address string, reuse bool) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: !reuse, MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// stranger returns the i-th of n source addresses of a flood.
func stranger(i, n int) string {
	i %= n
	return fmt.Sprintf("127.1.%d.%d", i/200, 1+i%200)
}

// request makes a request, reads its answer and returns the status.
func (f *fixture) request(ctx context.Context, c *http.Client, method, path, authorization, body string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", authorization)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

// genuineCalls makes calls from two addresses, checks that almost none is refused, and
// returns their sorted latencies. Each is followed by the same call to the control, which
// isn't flooded, because a busy machine delays both.
func (f *floodFixture) genuineCalls(own, others map[string]func(i int) (status int, err error)) (latencies, controls []time.Duration) {
	f.Helper()
	const rounds = 4
	var mu sync.Mutex
	failures := map[string]int{}
	var wg sync.WaitGroup
	for name, call := range own {
		wg.Go(func() {
			for i := range rounds {
				start := time.Now()
				status, err := call(i)
				took := time.Since(start)
				start = time.Now()
				_, _ = others[name](i)
				mu.Lock()
				latencies, controls = append(latencies, took), append(controls, time.Since(start))
				if err != nil || status != 200 {
					failures[fmt.Sprint(name, " ", status, " ", err)]++
				}
				mu.Unlock()
				time.Sleep(20 * time.Millisecond) // the rate of calls, not a wait for a condition
			}
		})
	}
	wg.Wait()
	slices.Sort(latencies)
	slices.Sort(controls)
	refused := 0
	for _, n := range failures {
		refused += n
	}
	f.Logf("%d genuine calls, refused: %v, p50 %s, max %s; without the flood p50 %s, max %s", len(latencies), failures,
		latencies[len(latencies)/2], latencies[len(latencies)-1], controls[len(controls)/2], controls[len(controls)-1])
	f.Expect(refused).To(gomega.BeNumerically("<=", 1), "%v of %d", failures, len(latencies))
	return latencies, controls
}

// calls returns the calls that the platform and an app make, by name; i is the number of
// the call.
func (f *floodFixture) calls() map[string]func(i int) (status int, err error) {
	f.Helper()
	secret := f.credentials().WebhookSecret
	platform, phone := clientAt(f.T, "127.0.0.2", true), clientAt(f.T, "127.0.0.3", true)
	user := f.addUser(f.company, "user")
	return map[string]func(i int) (int, error){
		"webhook": func(i int) (int, error) {
			body, _ := json.Marshal(f.event(fmt.Sprint(time.Now().UnixNano(), "-", i)))
			return f.request(f.Context(), platform, "POST", "/api/webhook/", "Secret "+secret, string(body))
		},
		"rotate": func(i int) (int, error) {
			token := []string{f.admin.Token, f.second.Token}[i%2]
			return f.request(f.Context(), platform, "POST", "/api/rotate/", "", `{"token":"`+token+`"}`)
		},
		"API call": func(int) (int, error) {
			return f.request(f.Context(), phone, "GET", "/api/user/logs/", "Token "+user.Token, "")
		},
		"webhook on a new connection": func(i int) (int, error) {
			body, _ := json.Marshal(f.event(fmt.Sprint(time.Now().UnixNano(), "-new-", i)))
			return f.request(f.Context(), clientAt(f.T, "127.0.0.2", false), "POST", "/api/webhook/", "Secret "+secret, string(body))
		},
		"newcomer's API call": func(int) (int, error) {
			newcomer := f.addUser(f.company, "user")
			address := fmt.Sprintf("127.0.1.%d", f.newcomers.Add(1))
			return f.request(f.Context(), clientAt(f.T, address, false), "GET", "/api/user/logs/", "Token "+newcomer.Token, "")
		},
	}
}

// The limits of a server under flood, and the size of the floods: an eighth of the default
// numbers, because the flood itself runs on this machine, under the race detector.
const (
	floodedConnections = 128
	floodConnections   = 150
	freeAnswers        = 125
)

// floodFixture is a fixture with a second company, whose credentials floods use.
type floodFixture struct {
	*fixture
	greedy        string
	secret, token string
	newcomers     atomic.Int64
}

// newFloodFixture returns a fixture whose platform has already called once, and whose clock
// runs fast, so that tokens are looked up every second.
func newFloodFixture(t *testing.T) *floodFixture {
	start := time.Now()
	f := &floodFixture{fixture: newFixture(t, func(o *Options) {
		o.Now = func() time.Time { return start.Add(30 * time.Since(start)) }
		o.Limits.Connections, o.Limits.APICalls, o.Limits.FreeAnswers = floodedConnections, floodedConnections/4, freeAnswers
		// No connection ends by itself, so that the test fails if none makes room.
		o.Limits.ReadHeaderTimeout, o.Limits.IdleTimeout = time.Minute, time.Minute
	})}
	f.greedy = f.addCompany("greedy")
	f.token = f.addUser(f.greedy, "admin").Token
	for _, token := range []string{f.token, f.admin.Token} {
		status, err := f.request(t.Context(), clientAt(t, "127.0.0.2", false), "POST", "/api/activate/", "", `{"token":"`+token+`"}`)
		f.Expect(status, err).To(gomega.Equal(200))
	}
	greedy, err := activation.AllNamespaces().Find(t.Context(), f.mgr.GetAPIReader(), f.greedy)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	credentials, err := activation.Get(t.Context(), f.mgr.GetAPIReader(), greedy)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.secret = credentials.WebhookSecret
	return f
}

// floodWorkers is the number of goroutines of a flood.
const floodWorkers = 16

// pause waits for d or until the flood ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// junkCalls makes calls with made-up credentials, each over a new connection.
func junkCalls(ctx context.Context, f *floodFixture, worker, addresses int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for n := range 4 {
		wg.Go(func() { makeJunkCalls(ctx, f, 4*worker+n, addresses) })
	}
}

func makeJunkCalls(ctx context.Context, f *floodFixture, worker, addresses int) {
	const workers = 4 * floodWorkers
	for i := worker; ctx.Err() == nil; i += workers {
		c := clientAt(f.T, stranger(i, addresses), false)
		name := fmt.Sprintf("%064d", i)
		switch i / workers % 4 {
		case 0:
			_, _ = f.request(ctx, c, "GET", "/api/user/logs/", "Token "+name, "")
		case 1:
			_, _ = f.request(ctx, c, "POST", "/api/rotate/", "", `{"token":"`+name+`"}`)
		case 2:
			_, _ = f.request(ctx, c, "POST", "/api/webhook/", "Secret "+name, `{"id":1,"event":"e","company":"x","data":"`+strings.Repeat("x", 200<<10)+`"}`)
		case 3:
			_, _ = f.request(ctx, c, "POST", "/api/webhook/", "", strings.Repeat("x", 1<<20))
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// holdConnections opens more connections than the server's limit, and sends the beginning
// of a request on each, followed by a byte now and then. It reopens connections that the
// server closes.
func holdConnections(begins ...func(*floodFixture) string) func(ctx context.Context, f *floodFixture, worker, addresses int) {
	return func(ctx context.Context, f *floodFixture, worker, addresses int) {
		var wg sync.WaitGroup
		defer wg.Wait()
		for i := worker; i < floodConnections; i += floodWorkers {
			wg.Go(func() {
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(stranger(i, addresses))}}
				for ; ctx.Err() == nil; pause(ctx, 500*time.Millisecond) {
					if conn, err := dialer.DialContext(ctx, "tcp", f.server.Addr().String()); err == nil {
						drip(ctx, conn, begins[i%len(begins)](f))
					}
				}
			})
		}
	}
}

// drip sends the beginning of a request and then a byte now and then, until the server
// closes the connection.
func drip(ctx context.Context, conn net.Conn, begin string) {
	closed := make(chan struct{})
	defer func() {
		_ = conn.Close()
		<-closed
	}()
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		close(closed)
	}()
	_, _ = io.WriteString(conn, begin)
	for {
		select {
		case <-closed:
			return
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
			if !strings.HasPrefix(begin, "GET") {
				_, _ = io.WriteString(conn, "x")
			}
		}
	}
}

// ignoreAnswers requests more data than the server can send at once, on more connections
// than its limit, and reads nothing. It reopens connections that the server closes.
func ignoreAnswers(ctx context.Context, f *floodFixture, worker, addresses int) {
	requests := strings.Repeat("GET /api/schema.json HTTP/1.1\r\nHost: x\r\n\r\n", 100)
	keepOpen(ctx, f, worker, addresses, func(conn net.Conn) {
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		for ctx.Err() == nil { // until the server closes it
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := io.WriteString(conn, requests); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			pause(ctx, 500*time.Millisecond)
		}
	})
}

// pipeline sends requests without waiting for their answers, on as many connections as the
// server serves, so that there is always a next request to work on.
func pipeline(request func(*floodFixture) string) func(ctx context.Context, f *floodFixture, worker, addresses int) {
	return func(ctx context.Context, f *floodFixture, worker, addresses int) {
		requests := []byte(strings.Repeat(request(f), 100))
		keepOpen(ctx, f, worker, addresses, func(conn net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, conn) }() // until the connection is closed
			for {
				if _, err := conn.Write(requests); err != nil {
					return
				}
				pause(ctx, 300*time.Millisecond) // leave the processors to the server
			}
		})
	}
}

func junkWebhook(*floodFixture) string {
	return "POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Secret planted\r\nContent-Length: 0\r\n\r\n"
}

// greedyWebhook returns a valid webhook of the greedy company, the same one each time.
func greedyWebhook(f *floodFixture) string {
	body := fmt.Sprintf(`{"id":1,"event":"user.create","company":%q,"data":{}}`, f.greedy)
	return fmt.Sprintf("POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Secret %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", f.secret, len(body), body)
}

// greedyCall returns a valid call of the greedy company's admin.
func greedyCall(f *floodFixture) string {
	return "GET /api/admin/logs/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token " + f.token + "\r\n\r\n"
}

// unfinishedWebhook returns the beginning of a webhook of the greedy company.
func unfinishedWebhook(f *floodFixture) string {
	return "POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Secret " + f.secret + "\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{"
}

// literally returns texts that don't depend on the fixture.
func literally(texts ...string) (all []func(*floodFixture) string) {
	for _, text := range texts {
		all = append(all, func(*floodFixture) string { return text })
	}
	return all
}

// keepOpen has one worker's part of the flood's connections used until ctx is done, and
// reopens those whose use has ended.
func keepOpen(ctx context.Context, f *floodFixture, worker, addresses int, use func(net.Conn)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := worker; i < floodConnections; i += floodWorkers {
		wg.Go(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(stranger(i, addresses))}}
			for ; ctx.Err() == nil; pause(ctx, 500*time.Millisecond) {
				conn, err := dialer.DialContext(ctx, "tcp", f.server.Addr().String())
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				use(conn)
				stop()
				_ = conn.Close()
			}
		})
	}
}

// TestFreeAnswersArePaced: requests that show no credential get few answers a second,
// whatever they ask for, and delay nobody else's.
func TestFreeAnswersArePaced(t *testing.T) {
	const rate, requests = 5, 500
	for name, request := range map[string]string{
		"junk webhooks":   "POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Secret planted\r\nContent-Length: 0\r\n\r\n",
		"missing tokens":  "GET /api/user/logs/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"unknown paths":   "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"unknown methods": "BREW /api/webhook/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"options":         "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"the index":       "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"the page":        "GET /api/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"the schema":      "HEAD /api/schema.json HTTP/1.1\r\nHost: x\r\n\r\n",
		"preflights":      "OPTIONS /api/user/logs/ HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n\r\n",
		"no preflights":   "OPTIONS /api/user/logs/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"bad lifecycles":  "POST /api/rotate/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"unclean paths":   "GET /api//webhook/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"absolute URLs":   "GET http://x/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"unsubscribing":   "GET /unsubscribe/x HTTP/1.1\r\nHost: x\r\n\r\n",
		"opting out":      "POST /unsubscribe/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(o *Options) {
				o.Limits.FreeAnswers = rate
				o.AllowedOrigins, o.Unsubscribe = []string{"https://a.example"}, newLinks(t)
			})
			f.expectSuccess(f.activate(f.admin.Token))
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
			f.Expect(err).NotTo(gomega.HaveOccurred())
			defer func() { _ = conn.Close() }()
			start := time.Now()
			go func() { _, _ = io.WriteString(conn, strings.Repeat(request, requests)) }()
			// Something else is answered meanwhile, which is how long to look.
			secret := f.credentials().WebhookSecret
			fastest := time.Hour
			for i := range 20 {
				begun := time.Now()
				f.expectSuccess(f.webhook("Secret "+secret, f.event(fmt.Sprint(i))))
				fastest = min(fastest, time.Since(begun))
			}
			answers := 0
			buffer := make([]byte, 64<<10)
			for deadline := time.Now().Add(time.Minute); ; {
				_ = conn.SetReadDeadline(deadline)
				n, err := conn.Read(buffer)
				if answers == 0 { // the first description of the API takes long
					deadline = time.Now().Add(300 * time.Millisecond)
				}
				answers += bytes.Count(buffer[:n], []byte("HTTP/1.1 "))
				if err != nil {
					break
				}
			}
			f.Expect(answers).To(gomega.BeNumerically(">", 0))
			f.Expect(answers).To(gomega.BeNumerically("<=", 2*rate+2+int(rate*time.Since(start).Seconds())), "in %s", time.Since(start))
			f.Expect(fastest).To(gomega.BeNumerically("<", longestHold), "genuine webhooks are not held back")
		})
	}
}

// TestFloods checks that floods from strangers, and from a tenant with valid credentials,
// keep neither other tenants nor newcomers from being answered, whether they come from one
// address or from a thousand.
func TestFloods(t *testing.T) {
	control := newFloodFixture(t)
	for name, flood := range map[string]func(ctx context.Context, f *floodFixture, worker, addresses int){
		"junk calls":             junkCalls,
		"deaf":                   ignoreAnswers,
		"pipelined":              pipeline(junkWebhook),
		"a tenant's webhooks":    pipeline(greedyWebhook),
		"a tenant's calls":       pipeline(greedyCall),
		"a tenant's slow bodies": holdConnections(unfinishedWebhook),
		"idle":                   holdConnections(literally("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "")...),
		"slow headers":           holdConnections(literally("POST /api/activate/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")...),
		"slow bodies": holdConnections(literally(
			"POST /api/activate/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16000\r\n\r\n{",
			"POST /api/rotate/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{    ",
			"POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n{")...),
	} {
		for _, addresses := range []int{1, 1000} {
			t.Run(fmt.Sprint(name, " from ", addresses), func(t *testing.T) {
				f := newFloodFixture(t)
				// The platform and one of the users are known before the flood begins.
				own, others := f.calls(), control.calls()
				for name, call := range own {
					status, err := call(0)
					f.Expect(status, err).To(gomega.Equal(200), name)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				for worker := range floodWorkers {
					wg.Go(func() { flood(ctx, f, worker, addresses) })
				}
				took, without := f.genuineCalls(own, others)
				cancel()
				wg.Wait()
				// A call that waits for the flood takes as long as the server's time limits.
				f.Expect(took[len(took)*9/10]).To(gomega.BeNumerically("<", 5*time.Second+5*without[len(without)-1]))
			})
		}
	}
}

// TestUnauthenticatedBodiesAreNotRead checks that a webhook without a valid secret is
// refused before its body is read.
func TestUnauthenticatedBodiesAreNotRead(t *testing.T) {
	f := newFloodFixture(t)
	body := bytes.Repeat([]byte("x"), 1<<20)
	read := make(chan int64, 64)
	var conns []net.Conn
	for range 64 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
		f.Expect(err).NotTo(gomega.HaveOccurred())
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
		go func() {
			_, _ = fmt.Fprintf(conn, "POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Secret planted\r\nContent-Length: %d\r\n\r\n", len(body))
			answer := make([]byte, 12)
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, _ = io.ReadFull(conn, answer)
			if string(answer) != "HTTP/1.1 400" {
				read <- -1
				return
			}
			read <- 0
		}()
	}
	for range conns {
		f.Expect(<-read).To(gomega.BeZero(), "a webhook is refused before its body is sent")
	}
	f.Expect(f.server.bodyBytes.Used()).To(gomega.BeZero())
}
