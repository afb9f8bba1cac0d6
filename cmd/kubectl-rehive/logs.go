// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/clusterapi"
)

const (
	followPeriod = 2 * time.Second
	// overlap is for how many polls a message is looked for again: messages that are stored
	// concurrently may appear out of order.
	overlap = 3
)

// selectionFlags adds the flags that select messages.
func selectionFlags(command *cobra.Command, s *clusterapi.Selection, since *time.Duration) {
	flags := command.Flags()
	flags.StringVar(&s.Rule, "rule", "", "only messages of this NotificationRule")
	flags.StringVar(&s.Channel, "channel", "", "only messages of this channel: email, sms, push or system")
	flags.StringVar(&s.Recipient, "recipient", "", "only messages to this address, number or user")
	flags.StringVar(&s.User, "for-user", "", "only messages about this user on Rehive")
	flags.StringVar(&s.Event, "event-id", "", "only messages of the event with this ID on Rehive")
	flags.StringVar(&s.Reason, "reason", "", "only messages with this reason, such as ProviderRejected")
	flags.DurationVar(since, "since", 0, "only messages decided in this time, such as 2h")
}

// logs is what the command logs was asked for.
type logs struct {
	query   clusterapi.MessageQuery
	since   time.Duration
	company string
	tail    int
	follow  bool
	format  string
	ids     []int64
}

func (o *options) logsCommand() *cobra.Command {
	l := &logs{}
	command := &cobra.Command{
		Use:   "logs [ID…]",
		Short: "Show what was sent, to whom, and what was not, and why",
		Long: `Shows the messages of companies, from the operator's ledger: oldest first, without their
texts. Decisions of rules that don't concern an event (their expression was false, or they
are disabled) are shown with --all.

You need permission to request tokens of the service account cli-viewer in the company's
namespace, and to use the proxy of the operator's Service.`,
		Example: `  kubectl rehive logs -n team-a --since 1h
  kubectl rehive logs -n team-a --rule payment --state failed -o wide
  kubectl rehive logs -n team-a --recipient jo@example.com -f`,
	}
	connect := o.operatorFlags(command)
	selectionFlags(command, &l.query.Selection, &l.since)
	flags := command.Flags()
	flags.StringSliceVar(&l.query.States, "state", nil, "only messages in these states: pending, sent, failed, skipped, cancelled, quarantined")
	flags.StringVar(&l.company, "company", "", "only messages of this company")
	flags.IntVar(&l.tail, "tail", 100, "number of messages to show, at most 250 of each company")
	flags.BoolVar(&l.query.All, "all", false, "include the decisions of rules that don't concern an event")
	flags.BoolVarP(&l.follow, "follow", "f", false, "continue with new messages and new states")
	flags.StringVarP(&l.format, "output", "o", "", "output format: wide, json or yaml")
	command.RunE = func(command *cobra.Command, args []string) (err error) {
		if err := checkFormat(l.format, "", "wide", "json", "yaml"); err != nil {
			return err
		}
		if l.tail < 1 || l.tail > clusterapi.MaxMessages {
			return fmt.Errorf("--tail must be between 1 and %d", clusterapi.MaxMessages)
		}
		if l.ids, err = parseIDs("message", "kubectl rehive logs", args); err != nil {
			return err
		}
		if l.follow && len(l.ids) > 0 {
			return errors.New("-f follows new messages: use it without IDs")
		}
		op, err := connect(command.Context())
		if err != nil {
			return err
		}
		return o.logs(command.Context(), op, l)
	}
	return command
}

// parseIDs reads the IDs of messages, or of other things that a command shows.
func parseIDs(of, shownBy string, args []string) (ids []int64, err error) {
	if len(args) > clusterapi.MaxIDs {
		return nil, fmt.Errorf("at most %d %ss can be named", clusterapi.MaxIDs, of)
	}
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || id < 1 {
			return nil, fmt.Errorf("%q is not the ID of a %s: %s shows them", arg, of, shownBy)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (o *options) logs(ctx context.Context, op *operator, l *logs) error {
	targets, err := op.targets(ctx, l.company)
	if err != nil {
		return err
	}
	if l.since > 0 {
		l.query.Since = time.Now().Add(-l.since)
	}
	follows := make([]*following, len(targets))
	var all []clusterapi.Message
	for i, target := range targets {
		f := &following{op: op, query: l.query}
		f.query.Target, f.query.Limit, f.query.IDs = target, l.tail, l.ids
		found, err := f.poll(ctx)
		if err != nil {
			return err
		}
		follows[i], all = f, append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b clusterapi.Message) int { return a.Created.Compare(b.Created) })
	if len(all) > l.tail && len(l.ids) == 0 {
		all = all[len(all)-l.tail:]
	}
	if !l.follow {
		return o.printMessages(l.format, all)
	}
	printer := newMessagePrinter(o.Out, l.format)
	for {
		if err := printer.print(all); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPeriod):
		}
		all = nil
		for _, f := range follows {
			found, err := f.poll(ctx)
			if err != nil && ctx.Err() == nil {
				// It may be an update of the operator, or a moment without network.
				fmt.Fprintln(o.ErrOut, "warning:", check.Printable(err.Error()))
			}
			all = append(all, found...)
		}
	}
}

// following polls the messages of one company.
type following struct {
	op    *operator
	query clusterapi.MessageQuery
	// seen are the messages that may still change or may be found again, by ID.
	seen map[int64]string
	// newest are the greatest IDs at the end of the last polls.
	newest []int64
}

// poll returns the messages that are new, or in another state than before, by ID.
func (f *following) poll(ctx context.Context) ([]clusterapi.Message, error) {
	var found []clusterapi.Message
	query := f.query
	if len(f.newest) > 0 {
		query.OldestFirst, query.After, query.Limit = true, f.newest[0], clusterapi.MaxMessages
	}
	for {
		var list clusterapi.MessageList
		if err := f.op.call(ctx, clusterapi.ListMessages, query, &list); err != nil {
			return f.changed(found), err
		}
		if !query.OldestFirst {
			slices.Reverse(list.Messages)
			found = list.Messages
			break
		}
		found = append(found, list.Messages...)
		if !list.More || len(list.Messages) == 0 {
			break
		}
		query.After = list.Messages[len(list.Messages)-1].ID
	}
	listed := make(map[int64]bool, len(found))
	for i := range found {
		listed[found[i].ID] = true
	}
	var older []int64
	for id := range f.seen {
		if !listed[id] {
			older = append(older, id)
		}
	}
	if len(older) > 0 {
		slices.Sort(older)
		query = clusterapi.MessageQuery{Target: f.query.Target, IDs: older[max(0, len(older)-clusterapi.MaxIDs):]}
		var list clusterapi.MessageList
		if err := f.op.call(ctx, clusterapi.ListMessages, query, &list); err != nil {
			return f.changed(found), err
		}
		found = append(list.Messages, found...)
	}
	changed := f.changed(found)
	f.advance(found)
	return changed, nil
}

// changed returns those messages whose state, reason or outcome was not seen yet.
func (f *following) changed(found []clusterapi.Message) (changed []clusterapi.Message) {
	if f.seen == nil {
		f.seen = make(map[int64]string)
	}
	for i := range found {
		state := found[i].State + " " + found[i].Reason + " " + found[i].Outcome
		if f.seen[found[i].ID] != state {
			f.seen[found[i].ID] = state
			changed = append(changed, found[i])
		}
	}
	return changed
}

// advance forgets messages that ended and will not be found again.
func (f *following) advance(found []clusterapi.Message) {
	newest := int64(0)
	if n := len(f.newest); n > 0 {
		newest = f.newest[n-1]
	}
	for i := range found {
		newest = max(newest, found[i].ID)
	}
	if newest == 0 {
		return
	}
	if f.newest = append(f.newest, newest); len(f.newest) > overlap {
		f.newest = f.newest[1:]
	}
	for i := range found {
		if found[i].ID <= f.newest[0] && found[i].Ended() {
			delete(f.seen, found[i].ID)
		}
	}
}

func (o *options) printMessages(format string, all []clusterapi.Message) error {
	if all == nil {
		all = []clusterapi.Message{}
	}
	if encoded, err := encode(o.Out, format, clusterapi.MessageList{Messages: all}); encoded {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(o.ErrOut, "No messages found.")
		return nil
	}
	table := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, messageHead(format == "wide", "\t"))
	for i := range all {
		fmt.Fprintln(table, messageRow(&all[i], format == "wide", "\t"))
	}
	return table.Flush()
}

func messageHead(wide bool, separator string) string {
	head := "TIME" + separator + "ID" + separator + "STATE" + separator + "CHANNEL" + separator + "RULE" + separator + "RECIPIENT" + separator + "EVENT" + separator + "REASON"
	if wide {
		head += separator + "COMPANY" + separator + "EVENT-ID" + separator + "OUTCOME" + separator + "ATTEMPTS" + separator + "PROVIDER-ID" + separator + "MESSAGE"
	}
	return head
}

// orDash returns a text of somebody else for a table, and a dash for none.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return check.Printable(text)
}

func messageRow(m *clusterapi.Message, wide bool, separator string) string {
	row := m.Updated.Local().Format(time.RFC3339)
	for _, column := range []string{strconv.FormatInt(m.ID, 10), m.State, m.Channel, orDash(m.Rule), orDash(m.Recipient), orDash(m.Event), orDash(m.Reason)} {
		row += separator + column
	}
	if wide {
		for _, column := range []string{orDash(m.Company), orDash(m.EventID), orDash(m.Outcome), strconv.Itoa(m.Attempts), orDash(m.ProviderID), orDash(m.Message)} {
			row += separator + column
		}
	}
	return row
}

// messagePrinter prints messages as they come.
type messagePrinter struct {
	out    io.Writer
	format string
	headed bool
}

func newMessagePrinter(out io.Writer, format string) *messagePrinter {
	return &messagePrinter{out: out, format: format}
}

func (p *messagePrinter) print(all []clusterapi.Message) error {
	for i := range all {
		var text []byte
		var err error
		switch p.format {
		case "json":
			text, err = json.Marshal(&all[i])
		case "yaml":
			text, err = yaml.Marshal(&all[i])
			text = append([]byte("---\n"), text[:max(0, len(text)-1)]...)
		default:
			if !p.headed {
				p.headed = true
				fmt.Fprintln(p.out, messageHead(p.format == "wide", "   "))
			}
			text = []byte(messageRow(&all[i], p.format == "wide", "   "))
		}
		if err != nil {
			return fmt.Errorf("encoding a message: %w", err)
		}
		if _, err := fmt.Fprintln(p.out, string(text)); err != nil {
			return err
		}
	}
	return nil
}
