// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rehivetest is a simulator of the Rehive platform over real HTTP, for
// tests, the demo and benchmarks. It keeps everything in memory.
//
// It plays both sides of the platform: the API under /3/ that an extension
// calls, with tokens, groups, permissions, pages, envelopes, throttling; and the
// calls that the platform makes to an extension: activation, deactivation,
// rotation, and webhooks with their limits and retries.
//
//	p := rehivetest.New(rehivetest.Options{})
//	defer p.Close()
//	if err := p.Start("127.0.0.1:0"); err != nil { … }
//	seed, err := p.Seed()
//	service, err := p.AddService(seed.Company, rehivetest.Service{Name: "Notifications", URL: extensionURL})
//	err = p.Activate(ctx, seed.Company, service.ID)
//	_, err = p.AddTransaction(seed.Company, rehivetest.NewTransaction{User: seed.Customers[0].ID, Amount: big.NewInt(1050)})
//	err = p.Idle(ctx)
//
// Where Rehive's behaviour isn't documented, the simulator takes the side that
// is harder for an extension: a webhook that a service registered can't be
// changed while that service is active, nor while it is being activated; every
// activation creates a new service user unless Options.ReuseServiceUser is set.
// Conditions of webhooks are stored, not evaluated. Cursor pagination,
// Idempotency-Key and MFA challenges are not simulated.
//
// # Manual use
//
// Everything can also be done with curl, through the control API that the same
// listener serves under /control/ (JSON in, JSON out, no authentication: bind it
// to loopback). GET /control/ lists its calls. A walk through:
//
//	rehive-simulator --listen=127.0.0.1:8300 --extension-url=http://127.0.0.1:8080/api/
//	curl -X PATCH -H "Authorization: Token $ADMIN" -H 'Content-Type: application/json' \
//	     -d '{"active":true}' http://127.0.0.1:8300/3/admin/services/1/
//	curl -d '{"user":"jane@example.com","amount":1050}' http://127.0.0.1:8300/control/companies/demo/transactions/
//	curl -d '{"event":"user.email.verify","user":"jane@example.com"}' http://127.0.0.1:8300/control/companies/demo/events/
//	curl http://127.0.0.1:8300/control/companies/demo/tasks/
//	curl -d '{"path":"/3/admin/webhooks/","kind":"status","status":503,"times":2}' http://127.0.0.1:8300/control/faults/
package rehivetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	lifecycleTimeout = 10 * time.Second // activate, deactivate, rotate
	webhookTimeout   = 5 * time.Second
	maxRetries       = 7
	maxRetryDelay    = time.Hour
)

// Options are the knobs of a Platform; the zero value is usable.
type Options struct {
	// Clock is the real one by default.
	Clock Clock
	// Workers bounds the webhook attempts at one time (default 32).
	Workers int
	// RetryCompression divides the delays between webhook attempts, so that a
	// person can watch them: with 60, an hour takes a minute. 0 and 1: as is.
	RetryCompression float64
	// DisableAfter is the number of 5xx answers in a row that disables a
	// webhook (default 100).
	DisableAfter int
	// TaskHistory is how many finished webhook tasks are kept (default 10000).
	TaskHistory int
	// RequestHistory is how many received requests are kept (default 10000).
	RequestHistory int
	// ReuseServiceUser makes reactivation use the service's former user.
	ReuseServiceUser bool
	// ExtraEvents are accepted by webhooks besides those of the platform.
	ExtraEvents []string
	// Version is named in the User-Agent header of calls to extensions.
	Version string
}

// Platform is a simulated Rehive. All methods are safe for concurrent use.
type Platform struct {
	opts    Options
	clock   Clock
	handler http.Handler
	client  *http.Client

	ctx    context.Context // ends at Close
	cancel context.CancelFunc

	serverMu sync.Mutex
	server   *http.Server
	url      string
	served   chan struct{}

	mu        sync.Mutex // guards all below
	companies map[string]*company
	order     []*company
	tokens    map[string]*user
	serial    map[string]int64
	faults    []*fault
	throttle  throttle
	requests  []Request
	deliveries
}

type company struct {
	Company
	created      int64
	users        []*user
	byID         map[string]*user
	services     []*service
	webhooks     []*webhook
	byEvent      map[string][]*webhook
	transactions []*transaction
	txByID       map[string]*transaction
	txChildren   map[string][]*transaction
	balances     map[string]*big.Int
}

type user struct {
	User
	company *company
	service *service // whose service user this is
	devices []*device
	created int64
	updated int64
}

type device struct {
	id      int64
	name    string
	apps    []deviceApp
	created int64
}

type deviceApp struct {
	id    int64
	token string
}

type service struct {
	Service
	company     *company
	user        *user
	permissions []Permission
	busy        bool // a call to the extension is under way
}

// New returns a platform without companies. Use Start, or serve Handler.
func New(opts Options) *Platform {
	if opts.Clock == nil {
		opts.Clock = realClock{}
	}
	if opts.Workers <= 0 {
		opts.Workers = 32
	}
	if opts.RetryCompression < 1 {
		opts.RetryCompression = 1
	}
	if opts.DisableAfter <= 0 {
		opts.DisableAfter = 100
	}
	if opts.TaskHistory <= 0 {
		opts.TaskHistory = 10000
	}
	if opts.RequestHistory <= 0 {
		opts.RequestHistory = 10000
	}
	if opts.Version == "" {
		opts.Version = "3.0.0"
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Platform{
		opts:      opts,
		clock:     opts.Clock,
		ctx:       ctx,
		cancel:    cancel,
		companies: make(map[string]*company),
		tokens:    make(map[string]*user),
		serial:    make(map[string]int64),
		client: &http.Client{
			Transport: &http.Transport{
				MaxIdleConns:        opts.Workers + 8,
				MaxIdleConnsPerHost: opts.Workers + 8,
				IdleConnTimeout:     30 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	p.handler = p.routes()
	return p
}

// Handler serves the platform's API and the control API.
func (p *Platform) Handler() http.Handler { return p.handler }

// Start serves on the address, such as 127.0.0.1:0, until Close.
func (p *Platform) Start(address string) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(p.ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening for the simulated platform: %w", err)
	}
	p.serverMu.Lock()
	defer p.serverMu.Unlock()
	if p.server != nil {
		_ = listener.Close()
		return errors.New("the simulated platform is already started")
	}
	p.server = &http.Server{
		Handler:           p.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	p.url = "http://" + listener.Addr().String() + "/3/"
	p.served = make(chan struct{})
	go func(server *http.Server, served chan struct{}) {
		defer close(served)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}(p.server, p.served)
	return nil
}

// URL is the base URL of the API once started: what a client is given.
func (p *Platform) URL() string {
	p.serverMu.Lock()
	defer p.serverMu.Unlock()
	return p.url
}

// ControlURL is the base URL of the control API once started.
func (p *Platform) ControlURL() string { return strings.TrimSuffix(p.URL(), "3/") + "control/" }

// Close ends all calls, in and out, and waits for the server and the webhook
// workers to end.
func (p *Platform) Close() {
	p.cancel()
	p.serverMu.Lock()
	server, served := p.server, p.served
	p.server = nil
	p.serverMu.Unlock()
	if server != nil {
		_ = server.Close()
		<-served
	}
	p.stopDeliveries()
	p.client.CloseIdleConnections()
}

// nowMS is the time as the API shows it. Needs no lock.
func (p *Platform) nowMS() int64 { return p.clock.Now().UnixMilli() }

// nextID numbers the rows of a table. Needs the lock.
func (p *Platform) nextID(table string) int64 {
	p.serial[table]++
	return p.serial[table]
}

func newToken() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

func newAccount(n int64) string { return fmt.Sprintf("%010d", 1000000000+n) }

// DefaultCurrencies are what a company has that names none.
func DefaultCurrencies() []Currency {
	return []Currency{
		{Code: "USD", DisplayCode: "USD", Description: "United States dollar", Symbol: "$", Unit: "dollar", Divisibility: 2},
		{Code: "XBT", DisplayCode: "XBT", Description: "Bitcoin", Symbol: "₿", Unit: "bitcoin", Divisibility: 8},
	}
}

// AddCompany adds a company; empty fields get sensible values.
func (p *Platform) AddCompany(spec Company) (Company, error) {
	if spec.ID == "" {
		return Company{}, errors.New("a company needs an id")
	}
	setDefault(&spec.Name, spec.ID)
	setDefault(&spec.Mode, "test")
	setDefault(&spec.Status, "active")
	setDefault(&spec.SystemEmail, "system@"+spec.ID+".example")
	if len(spec.Currencies) == 0 {
		spec.Currencies = DefaultCurrencies()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.companies[spec.ID] != nil {
		return Company{}, fmt.Errorf("company %q exists", spec.ID)
	}
	c := &company{
		Company:    spec,
		created:    p.nowMS(),
		byID:       make(map[string]*user),
		byEvent:    make(map[string][]*webhook),
		txByID:     make(map[string]*transaction),
		txChildren: make(map[string][]*transaction),
		balances:   make(map[string]*big.Int),
	}
	p.companies[spec.ID] = c
	p.order = append(p.order, c)
	return spec, nil
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func (p *Platform) company(id string) (*company, error) {
	if c := p.companies[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("there is no company %q", id)
}

// user finds a user by UUID or e-mail address.
func (c *company) user(id string) (*user, error) {
	if u := c.byID[id]; u != nil {
		return u, nil
	}
	for _, u := range c.users {
		if id != "" && u.Email == id {
			return u, nil
		}
	}
	return nil, fmt.Errorf("company %q has no user %q", c.ID, id)
}

func (c *company) service(id int64) (*service, error) {
	for _, s := range c.services {
		if s.ID == id {
			return s, nil
		}
	}
	return nil, fmt.Errorf("company %q has no service %d", c.ID, id)
}

func (c *company) currency(code string) (Currency, bool) {
	if code == "" {
		return c.Currencies[0], true
	}
	i := slices.IndexFunc(c.Currencies, func(cur Currency) bool { return cur.Code == code })
	if i < 0 {
		return Currency{}, false
	}
	return c.Currencies[i], true
}

// AddUser adds a user with a token and raises user.create.
func (p *Platform) AddUser(companyID string, spec User) (User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return User{}, err
	}
	u, err := p.addUser(c, spec)
	if err != nil {
		return User{}, err
	}
	p.emit(c, "user.create", eventUserView(u))
	return u.User, nil
}

func (p *Platform) addUser(c *company, spec User) (*user, error) {
	if spec.ID == "" {
		spec.ID = uuid.NewString()
	}
	setDefault(&spec.Status, "verified")
	setDefault(&spec.Group, "user")
	setDefault(&spec.Language, "en")
	setDefault(&spec.Account, newAccount(p.nextID("account")))
	setDefault(&spec.Token, newToken())
	if c.byID[spec.ID] != nil || p.tokens[spec.Token] != nil {
		return nil, errors.New("a user with this id or token exists")
	}
	u := &user{User: spec, company: c, created: p.nowMS(), updated: p.nowMS()}
	c.users = append(c.users, u)
	c.byID[u.ID] = u
	p.tokens[u.Token] = u
	return u, nil
}

// UpdateUser changes a user and raises user.update with the former version
// under original_user.
func (p *Platform) UpdateUser(companyID, userID string, change func(*User)) (User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return User{}, err
	}
	u, err := c.user(userID)
	if err != nil {
		return User{}, err
	}
	p.updateUser(u, change)
	return u.User, nil
}

func (p *Platform) updateUser(u *user, change func(*User)) {
	original := eventUserView(u)
	id, token, account := u.ID, u.Token, u.Account
	change(&u.User)
	u.ID, u.Token, u.Account = id, token, account // not a user's to change
	u.updated = p.nowMS()
	data := eventUserView(u)
	data["original_user"] = original
	p.emit(u.company, "user.update", data)
}

// AddDevice gives a user a device with Expo apps.
func (p *Platform) AddDevice(companyID, userID string, spec Device) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return 0, err
	}
	u, err := c.user(userID)
	if err != nil {
		return 0, err
	}
	d := &device{id: p.nextID("device"), name: spec.Name, created: p.nowMS()}
	for _, token := range spec.Tokens {
		d.apps = append(d.apps, deviceApp{id: p.nextID("deviceapp"), token: token})
	}
	u.devices = append(u.devices, d)
	p.emit(c, "device.create", deviceView(u, d))
	return d.id, nil
}

// IssueToken gives a user one more token.
func (p *Platform) IssueToken(companyID, userID string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return "", err
	}
	u, err := c.user(userID)
	if err != nil {
		return "", err
	}
	token := newToken()
	p.tokens[token] = u
	return token, nil
}

// RevokeToken makes a token invalid, as when it expires.
func (p *Platform) RevokeToken(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tokens, token)
}

// Companies lists the companies in the order they were made.
func (p *Platform) Companies() []Company {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []Company{}
	for _, c := range p.order {
		all = append(all, c.Company)
	}
	return all
}

// Users lists a company's users.
func (p *Platform) Users(companyID string) []User {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []User{}
	if c := p.companies[companyID]; c != nil {
		for _, u := range c.users {
			all = append(all, u.User)
		}
	}
	return all
}

// UpdateCompany changes a company and raises company.update.
func (p *Platform) UpdateCompany(companyID string, change func(*Company)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return err
	}
	original := companyView(c)
	id := c.ID
	change(&c.Company)
	c.ID = id
	data := companyView(c)
	data["original_company"] = original
	p.emit(c, "company.update", data)
	return nil
}

// Seeded is what Seed made.
type Seeded struct {
	Company   string `json:"company"`
	Admin     User   `json:"admin"`
	Customers []User `json:"customers"`
}

// Seed adds the company "demo" with an admin, two customers (the first with a
// phone that receives push messages) and the currencies USD and XBT.
func (p *Platform) Seed() (Seeded, error) {
	demo, err := p.AddCompany(Company{
		ID: "demo", Name: "Demo Wallet", SystemEmail: "no-reply@demo.example",
		SupportEmail: "support@demo.example", ContactEmail: "hello@demo.example", Website: "https://demo.example",
	})
	if err != nil {
		return Seeded{}, err
	}
	seeded := Seeded{Company: demo.ID}
	if seeded.Admin, err = p.AddUser(demo.ID, User{Email: "admin@example.com", FirstName: "Ada", LastName: "Admin", Group: "admin"}); err != nil {
		return Seeded{}, err
	}
	for _, customer := range []User{
		{Email: "jane@example.com", Mobile: "+27840000001", FirstName: "Jane", LastName: "O'Neil", Nationality: "ZA"},
		{Email: "rene@example.com", Mobile: "+27840000002", FirstName: "René", LastName: "Müller & Söhne", Nationality: "DE", Language: "de"},
	} {
		added, err := p.AddUser(demo.ID, customer)
		if err != nil {
			return Seeded{}, err
		}
		seeded.Customers = append(seeded.Customers, added)
	}
	_, err = p.AddDevice(demo.ID, seeded.Customers[0].ID, Device{Name: "Jane's phone", Tokens: []string{"ExponentPushToken[janes-phone]"}})
	return seeded, err
}
