// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

const eventsPath = "/api/user/inbox/events/"

// deliver delivers an in-app message to each of some users.
func (f *fixture) deliver(text string, users ...string) {
	f.Helper()
	_, err := f.store.AcceptEvent(f.Context(), ledger.Event{Company: f.company, ID: uuid.NewString(), Name: "x", Data: []byte("{}")})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	events, err := f.store.ClaimEvents(f.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(events).To(gomega.HaveLen(1))
	var deliveries []ledger.NewDelivery
	for _, user := range users {
		deliveries = append(deliveries, ledger.NewDelivery{
			RuleName: namespace + "/rule", Channel: ledger.ChannelSystem, Recipient: user, UserID: user, Content: ledger.Content{Text: text},
		})
	}
	f.Expect(f.store.CompleteEvent(f.Context(), events[0], deliveries)).To(gomega.Succeed())
	f.Expect(f.sendAll()).To(gomega.HaveLen(len(users)))
}

// eventStream is an open stream of a client.
type eventStream struct {
	*http.Response
	lines *bufio.Scanner
}

// stream opens a stream, after the event with an ID unless that is empty.
func (f *fixture) stream(token, after string) *eventStream {
	f.Helper()
	r := f.tryStream(token, after)
	f.Expect(r.StatusCode).To(gomega.Equal(200))
	f.Expect(r.Header.Get("Content-Type")).To(gomega.Equal("text/event-stream"))
	s := &eventStream{r, bufio.NewScanner(r.Body)}
	s.lines.Buffer(nil, 1<<20)
	f.Expect(s.lines.Scan()).To(gomega.BeTrue())
	f.Expect(s.lines.Text()).To(gomega.MatchRegexp(`^retry: [23]\d\d\d$`))
	f.Expect(s.lines.Scan()).To(gomega.BeTrue())
	f.Expect(s.lines.Text()).To(gomega.BeEmpty())
	return s
}

func (f *fixture) tryStream(token, after string) *http.Response {
	f.Helper()
	request, err := http.NewRequestWithContext(f.Context(), http.MethodGet, f.url+eventsPath, nil)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Token "+token)
	}
	if after != "" {
		request.Header.Set("Last-Event-ID", after)
	}
	r, err := http.DefaultClient.Do(request)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Cleanup(func() { _ = r.Body.Close() })
	return r
}

// next returns the text and the ID of the next message; none if the stream ended.
func (s *eventStream) next(f *fixture) (text, id string) {
	f.Helper()
	name := ""
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			var message struct {
				ID   int64  `json:"id"`
				Text string `json:"text_message"`
			}
			f.Expect(json.Unmarshal([]byte(value), &message)).To(gomega.Succeed())
			f.Expect(fmt.Sprint(message.ID)).To(gomega.Equal(id))
			text = message.Text
		case "":
			if name != "" {
				f.Expect(name).To(gomega.Equal("message"))
				return text, id
			}
		}
	}
	return "", ""
}

// TestStreamOfMessages checks that a stream has the new messages of its user only, outlives the
// time limits of other requests, and can be resumed.
func TestStreamOfMessages(t *testing.T) {
	t.Parallel() // it waits
	const longest = 7 * time.Second
	f := newActiveFixture(t, func(o *Options) {
		o.Limits.ReadTimeout, o.Limits.WriteTimeout, o.Limits.APIBudget = longest, longest, longest
	})
	zoe, joe := f.addUser(f.company, "user"), f.addUser(f.company, "user")
	f.deliver("before", zoe.ID, joe.ID)
	zoes, joes := f.stream(zoe.Token, ""), f.stream(joe.Token, "")
	opened := time.Now()
	last := ""
	for i := 0; i < 3 || time.Since(opened) <= longest; i++ { // the ledger is asked once a second
		text := fmt.Sprint("message ", i)
		f.deliver(text, zoe.ID)
		got, id := zoes.next(f)
		f.Expect(got).To(gomega.Equal(text))
		last = id
	}
	f.deliver("for both\n\r\u2028", zoe.ID, joe.ID)
	for _, s := range []*eventStream{zoes, joes} {
		text, _ := s.next(f)
		f.Expect(text).To(gomega.Equal("for both\n\r\u2028"))
	}

	// Messages delivered shortly before the last one that the client has may be repeated.
	_ = zoes.Body.Close()
	f.deliver("missed", zoe.ID)
	resumed := f.stream(zoe.Token, last)
	var texts []string
	for len(texts) == 0 || texts[len(texts)-1] != "missed" {
		text, id := resumed.next(f)
		f.Expect(id).NotTo(gomega.BeElementOf("", last))
		texts = append(texts, text)
	}
	f.Expect(texts[len(texts)-2]).To(gomega.Equal("for both\n\r\u2028"))
	f.deliver("new", zoe.ID)
	text, _ := resumed.next(f)
	f.Expect(text).To(gomega.Equal("new"))

	for after, status := range map[string]int{"x": 400, "-1": 400, "1.5": 400, "999999999": 200} {
		f.Expect(f.tryStream(zoe.Token, after).StatusCode).To(gomega.Equal(status), after)
	}
	f.Expect(f.tryStream("", "").StatusCode).To(gomega.Equal(401))
	f.Expect(f.tryStream("unknown", "").StatusCode).To(gomega.Equal(401))
	head := f.call(zoe.Token, "HEAD", eventsPath, "")
	f.Expect(head.status).To(gomega.Equal(405))
	f.Expect(head.header.Get("Allow")).To(gomega.Equal("GET, OPTIONS"))
}

// TestStreamsAreBounded checks that a user's newest streams stay, and that a company can't use
// the streams of others.
func TestStreamsAreBounded(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) { o.Limits.Streams = 2 * (userStreams + 1) })
	zoe, joe := f.addUser(f.company, "user"), f.addUser(f.company, "user")
	var open []*eventStream
	for range userStreams + 1 {
		open = append(open, f.stream(zoe.Token, ""))
	}
	text, _ := open[0].next(f)
	f.Expect(text).To(gomega.BeEmpty(), "the oldest stream ends")
	f.deliver("hello", zoe.ID)
	for _, s := range open[1:] {
		text, _ := s.next(f)
		f.Expect(text).To(gomega.Equal("hello"))
	}
	f.stream(joe.Token, "")
	refused := f.tryStream(joe.Token, "")
	f.Expect(refused.StatusCode).To(gomega.Equal(503))
	f.Expect(refused.Header.Get("Retry-After")).To(gomega.Equal("30"))
	f.Expect(f.call(joe.Token, "GET", "/api/user/inbox/", "").status).To(gomega.Equal(200))
	// A stream that its client closes makes room.
	_ = open[1].Body.Close()
	f.Eventually(func() int { return f.tryStream(joe.Token, "").StatusCode }).Should(gomega.Equal(200))
}

// TestStreamsMakeRoom checks that idle streams don't keep others from connecting.
func TestStreamsMakeRoom(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) { o.Limits.Connections, o.Limits.Streams = 8, 64 })
	for range 10 {
		f.stream(f.addUser(f.company, "user").Token, "")
	}
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/logs/", "").status).To(gomega.Equal(200))
	f.Eventually(func() int64 { return f.server.streams.slots.Used() }).Should(gomega.BeNumerically("<=", 8), "the streams of closed connections end")
}

// TestStreamOfSlowReaderEnds checks that a client that doesn't read its stream is dropped.
func TestStreamOfSlowReaderEnds(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) { o.Limits.StreamWrite = time.Second })
	zoe := f.addUser(f.company, "user")
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	f.Expect(err).NotTo(gomega.HaveOccurred())
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Token %s\r\n\r\n", eventsPath, zoe.Token)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	open := func() int64 { return f.server.streams.slots.Used() }
	f.Eventually(open).Should(gomega.Equal(int64(1)))
	large := strings.Repeat("x", 200<<10)
	for range 10 {
		f.deliver(large, zoe.ID)
	}
	f.Eventually(open).Should(gomega.BeZero())
}

// TestStreamVerifiesItsToken checks that no message is sent to a token that the platform
// revoked longer ago than its answers are cached, and that an idle stream makes no calls.
func TestStreamVerifiesItsToken(t *testing.T) {
	var ahead atomic.Int64
	f := newActiveFixture(t, func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	zoe, joe := f.addUser(f.company, "user"), f.addUser(f.company, "user")
	zoes, joes := f.stream(zoe.Token, ""), f.stream(joe.Token, "")
	before := f.lookups()
	ahead.Store(int64(tokenTTL + time.Second))
	f.platform.RevokeToken(joe.Token)
	f.Expect(f.lookups()).To(gomega.Equal(before))
	f.deliver("secret", zoe.ID, joe.ID)
	text, _ := zoes.next(f)
	f.Expect(text).To(gomega.Equal("secret"))
	text, _ = joes.next(f)
	f.Expect(text).To(gomega.BeEmpty(), "the stream ends without the message")
	f.Expect(joes.lines.Err()).NotTo(gomega.HaveOccurred())
	f.Expect(f.lookups()).To(gomega.Equal(before + 2))
	f.Expect(f.tryStream(joe.Token, "").StatusCode).To(gomega.Equal(401))

	// While the platform fails, the message waits.
	ahead.Add(int64(tokenTTL + time.Second))
	remove := f.platform.InjectFault(rehivetest.Fault{Path: "/3/auth/", Kind: rehivetest.FaultStatus, Status: 500})
	before = f.lookups()
	f.deliver("later", zoe.ID)
	f.Eventually(f.lookups).Should(gomega.BeNumerically(">", before))
	remove()
	text, _ = zoes.next(f)
	f.Expect(text).To(gomega.Equal("later"))
}

// TestStreamEnds checks that streams end after their time, with their company, and at once when
// the server stops.
func TestStreamEnds(t *testing.T) {
	// The deadline of the last event has passed when the stream ends.
	f := newActiveFixture(t, func(o *Options) { o.Limits.StreamTime, o.Limits.StreamWrite = 2*time.Second, time.Second })
	zoe := f.addUser(f.company, "user")
	s := f.stream(zoe.Token, "")
	text, _ := s.next(f)
	f.Expect(text).To(gomega.BeEmpty())
	f.Expect(s.lines.Err()).NotTo(gomega.HaveOccurred(), "the answer is complete")
	f.Eventually(func() int64 { return f.server.streams.slots.Used() }).Should(gomega.BeZero())

	g := newActiveFixture(t)
	zoe = g.addUser(g.company, "user")
	s = g.stream(zoe.Token, "")
	g.expectSuccess(g.post("/api/deactivate/", map[string]string{"token": g.admin.Token}))
	g.Eventually(func() int { return g.tryStream(zoe.Token, "").StatusCode }).Should(gomega.Equal(400))
	g.deliver("too late", zoe.ID)
	text, _ = s.next(g)
	g.Expect(text).To(gomega.BeEmpty())

	h := newActiveFixture(t, func(o *Options) { o.Limits.ShutdownTimeout = 10 * time.Minute })
	zoe = h.addUser(h.company, "user")
	s = h.stream(zoe.Token, "")
	begun := time.Now()
	h.Expect(h.stop()).To(gomega.Succeed())
	h.Expect(time.Since(begun)).To(gomega.BeNumerically("<", h.server.limits.ShutdownTimeout/2))
	text, _ = s.next(h)
	h.Expect(text).To(gomega.BeEmpty())
	h.Expect(s.lines.Err()).NotTo(gomega.HaveOccurred())
}

// TestIdleStreamsAreCheap opens a thousand streams and delivers a message to all of them. It
// logs what they cost.
func TestIdleStreamsAreCheap(t *testing.T) {
	const n = 1000
	f := newActiveFixture(t, func(o *Options) {
		o.Limits.Connections, o.Limits.Streams, o.Limits.KnownRate = 4*n, 4*n, 100*n
	})
	users := make([]string, n)
	conns := make([]*bufio.Reader, n)
	tokens := make([]string, n)
	for i := range n {
		u := f.addUser(f.company, "user")
		users[i], tokens[i] = u.ID, u.Token
	}
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	for i := range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		f.Expect(err).NotTo(gomega.HaveOccurred())
		t.Cleanup(func() { _ = conn.Close() })
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Token %s\r\n\r\n", eventsPath, tokens[i])
		f.Expect(err).NotTo(gomega.HaveOccurred())
		conns[i] = bufio.NewReaderSize(conn, 512)
		for line := ""; !strings.HasPrefix(line, "retry: "); {
			line, err = conns[i].ReadString('\n')
			f.Expect(err).NotTo(gomega.HaveOccurred())
		}
	}
	each := (memory() - before) / n
	t.Logf("%d bytes for each of %d streams", each, n)
	f.Expect(each).To(gomega.BeNumerically("<", 64<<10))

	begun := time.Now()
	for at := range slices.Chunk(users, 100) {
		f.deliver("to all", at...)
	}
	t.Logf("stored %d messages in %v", n, time.Since(begun))
	for i := range n {
		for line := ""; !strings.Contains(line, "to all"); {
			var err error
			line, err = conns[i].ReadString('\n')
			f.Expect(err).NotTo(gomega.HaveOccurred())
		}
	}
	t.Logf("all %d streams had their message %v after the first was stored", n, time.Since(begun))
}
