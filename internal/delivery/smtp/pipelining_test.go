// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

// A server that takes one command at a time gets one at a time.
func TestWithoutPipelining(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	host, port := listen(t, func(client net.Conn) {
		server, err := new(net.Dialer).DialContext(bg, "tcp", s.Address())
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		var both sync.WaitGroup
		both.Go(func() {
			defer func() { _ = client.Close() }()
			replies := bufio.NewReader(server)
			for {
				line, err := replies.ReadBytes('\n')
				if err != nil {
					return
				}
				_, _ = client.Write(bytes.ReplaceAll(line, []byte("PIPELINING"), []byte("X-NOTHING")))
			}
		})
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				break
			}
			if commands := string(buffer[:n]); strings.Contains(commands, "MAIL FROM") && strings.Contains(commands, "RCPT TO") {
				t.Error("several commands came at once")
			}
			_, _ = server.Write(buffer[:n])
		}
		_ = server.Close()
		both.Wait()
	})
	p, err := New(Config{Host: host, Port: port, TLS: Plaintext, From: "shop@example.com"})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = p.Close() }()
	for range 3 {
		_, err = p.Send(bg, message())
		g.Expect(err).NotTo(HaveOccurred())
	}
	messages, err := s.Wait(bg, 3)
	g.Expect(err).NotTo(HaveOccurred())
	for _, m := range messages {
		c, err := m.Parse()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(c.Text).To(Equal("You paid.\n"))
	}
}

// A server may refuse the recipient and yet ask for the text, as it had the
// command already. No text must follow, and the refusal counts.
func TestAsksForTheTextOfARefusedMail(t *testing.T) {
	g := NewWithT(t)
	var mu sync.Mutex
	var after []byte
	connections := 0
	host, port := listen(t, func(c net.Conn) {
		mu.Lock()
		connections++
		mu.Unlock()
		lines := bufio.NewReader(c)
		_, _ = fmt.Fprint(c, "220 hello\r\n")
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			switch command, _, _ := strings.Cut(strings.TrimSpace(line), " "); command {
			case "EHLO":
				_, _ = fmt.Fprint(c, "250-hello\r\n250 PIPELINING\r\n")
			case "RCPT":
				_, _ = fmt.Fprint(c, "550 5.1.1 no such user\r\n")
			case "DATA":
				_, _ = fmt.Fprint(c, "354 continue\r\n")
				rest, _ := io.ReadAll(lines)
				mu.Lock()
				after = append(after, rest...)
				mu.Unlock()
				return
			default:
				_, _ = fmt.Fprint(c, "250 ok\r\n")
			}
		}
	})
	p, err := New(Config{Host: host, Port: port, TLS: Plaintext, From: "shop@example.com"})
	g.Expect(err).NotTo(HaveOccurred())
	for range 2 {
		_, err = p.Send(bg, message())
		g.Expect(provider.IsPermanent(err)).To(BeTrue())
	}
	g.Expect(p.Close()).To(Succeed())
	mu.Lock()
	defer mu.Unlock()
	g.Expect(connections).To(Equal(2), "the connection can't be used again")
	g.Expect(string(after)).To(BeEmpty())
}
