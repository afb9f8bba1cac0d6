// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// bareServerFlag makes this program a bare server.
const bareServerFlag = "bare-server"

// throughBareServer returns the rate at which one connection gets answers from a server
// that, in its own process like the manager, only reads and inserts webhooks. It is the
// minimum for a net/http server.
func (b *bench) throughBareServer(ctx context.Context, database string, length time.Duration, next source) (perSecond float64, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("finding this program: %w", err)
	}
	command := exec.CommandContext(ctx, program, "-"+bareServerFlag+"="+database) //nolint:gosec // this program itself
	command.Stderr = os.Stderr
	input, err := command.StdinPipe() // closing it ends the server
	if err != nil {
		return 0, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("starting the bare server: %w", err)
	}
	defer func() { err = errors.Join(err, input.Close(), command.Wait()) }()
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("waiting for the bare server: %w", err)
	}
	start := time.Now()
	took, err := run(ctx, strings.TrimSpace(address), 1, flatOut(start.Add(length)), next)
	return float64(len(took)) / time.Since(start).Seconds(), err
}

// serveBare is the bare server: it prints its address and serves until the standard
// input ends.
func serveBare(ctx context.Context, database string) error {
	insert, closeDatabase, err := bareInserter(ctx, database)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(fmt.Errorf("listening: %w", err), closeDatabase())
	}
	var mu sync.Mutex // the database has one connection
	rows := 0
	answer := []byte(`{"status":"success"}`)
	server := &http.Server{ReadHeaderTimeout: answerTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			mu.Lock()
			rows++
			err = insert(ctx, fmt.Sprintf("%0*d", numberDigits, rows), body)
			mu.Unlock()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		_, _ = w.Write(answer)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println(listener.Addr())
	err = server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, closeDatabase())
}

// bareInserter opens a SQLite file or a PostgreSQL database and prepares the insert.
func bareInserter(ctx context.Context, database string) (insert func(ctx context.Context, id string, data []byte) error, closeDatabase func() error, err error) {
	const company = "company"
	if strings.HasPrefix(database, "postgres") {
		conn, err := pgx.Connect(ctx, database)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the bare database: %w", err)
		}
		return func(ctx context.Context, id string, data []byte) error {
			now := time.Now().UnixMilli()
			_, err := conn.Exec(ctx, bareInsert, company, id, plainEvent, now, now, data)
			return err
		}, func() error { return conn.Close(context.WithoutCancel(ctx)) }, nil
	}
	db, err := openBareSQLite(database)
	if err != nil {
		return nil, nil, err
	}
	statement, err := db.PrepareContext(ctx, bareInsert)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("preparing the bare database: %w", err), db.Close())
	}
	return func(ctx context.Context, id string, data []byte) error {
		now := time.Now().UnixMilli()
		_, err := statement.ExecContext(context.WithoutCancel(ctx), company, id, plainEvent, now, now, data)
		return err
	}, func() error { return errors.Join(statement.Close(), db.Close()) }, nil
}
