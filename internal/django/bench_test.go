// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// emailTemplate is a mail of forty lines with a loop over five items, as
// admins write them.
const emailTemplate = `<!DOCTYPE html>
<html>
<head>
  <title>{{ context.company.name }}</title>
  <style>
    body { font-family: Helvetica, Arial, sans-serif; color: #333333; }
    td { padding: 4px 8px; }
  </style>
</head>
<body>
  <h1>{{ subject|default:"Your receipt" }}</h1>
  <p>Dear {{ user.first_name|default:"customer" }} {{ user.last_name }},</p>
  {% if tx_type == "credit" %}
  <p>You have received {{ amount|money:currency.divisibility }} {{ currency.code }}.</p>
  {% elif tx_type == "debit" and status != "Failed" %}
  <p>You have sent {{ amount|money:currency.divisibility }} {{ currency.code }}.</p>
  {% else %}
  <p>Your transaction is {{ status|lower }}.</p>
  {% endif %}
  <table>
    <tr><th>#</th><th>Item</th><th>Quantity</th><th>Price</th></tr>
    {% for item in items %}
    <tr class="{% cycle "odd" "even" %}">
      <td>{{ forloop.counter }}</td>
      <td>{{ item.name }}</td>
      <td>{{ item.qty }}</td>
      <td>{{ item.price|money:currency.divisibility }}{% if not forloop.last %},{% endif %}</td>
    </tr>
    {% empty %}
    <tr><td colspan="4">No items</td></tr>
    {% endfor %}
  </table>
  <p>Date: {{ created|timestamp|date:"D d M Y H:i" }}</p>
  <p>Reference: {{ id }}</p>
  {% if note %}<blockquote>{{ note|truncatewords:20 }}</blockquote>{% endif %}
  {% with total=computed.total_amount %}
  <p>Total: {{ total|money:currency.divisibility }} {{ currency.symbol }}</p>
  {% endwith %}
  <p>Questions? Write to <a href="mailto:{{ context.company.system_email }}">us</a>.</p>
</body>
</html>
`

const emailData = `{"id": "3c5f3e2e-0e0f-4b8e-9d1e-0a1b2c3d4e5f", "tx_type": "credit", "status": "Complete", "amount": 123456,
"note": "Tom & \"Jerry\" <tj@example.com>", "currency": {"code": "USD", "symbol": "$", "divisibility": 2},
"user": {"first_name": "Zoë", "last_name": "O'Brien", "email": "zoe@example.com"}, "created": 1596795344112,
"items": [{"name": "Apple", "qty": 2, "price": 199}, {"name": "Pear", "qty": 1, "price": 50}, {"name": "Nail", "qty": 100, "price": 3},
{"name": "Bread & butter", "qty": 1, "price": 325}, {"name": "Salt", "qty": 3, "price": 99}],
"context": {"company": {"name": "Co <Ltd>", "system_email": "x@co.com"}}, "computed": {"total_amount": 123606}}`

func emailContext(tb testing.TB) *python.Dict {
	tb.Helper()
	v, err := python.FromJSON([]byte(emailData))
	if err != nil {
		tb.Fatal(err)
	}
	d, _ := v.(*python.Dict)
	return d
}

var emailOptions = RenderOptions{Autoescape: true, Now: func() time.Time { return time.Unix(1.7e9, 0) }}

// BenchmarkRenderEmail renders a template that was parsed once.
func BenchmarkRenderEmail(b *testing.B) {
	data := emailContext(b)
	tmpl, err := Parse("email", emailTemplate, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Render(context.Background(), data, emailOptions); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "renders/s")
}

// BenchmarkRenderEmailSegments renders the same with marks.
func BenchmarkRenderEmailSegments(b *testing.B) {
	data := emailContext(b)
	tmpl, err := Parse("email", emailTemplate, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.RenderSegments(context.Background(), data, emailOptions); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseRenderEmail parses and renders each time.
func BenchmarkParseRenderEmail(b *testing.B) {
	data := emailContext(b)
	b.ReportAllocs()
	for b.Loop() {
		tmpl, err := Parse("email", emailTemplate, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tmpl.Render(context.Background(), data, emailOptions); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "renders/s")
}
