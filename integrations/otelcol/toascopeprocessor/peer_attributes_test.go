// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"maps"
	"os"
	"strings"
	"testing"
)

// golden has a span for each row of peerRows, as the instrumentation wrote it (shortened to what
// concerns the connection), and what becomes of its client and peer.
var golden = []struct {
	name string
	row  int
	span map[string]any
	// changed and removed describe the span afterwards; what is in neither stays.
	changed map[string]any
	removed []string
}{
	{
		name: "Node.js, @opentelemetry/instrumentation-http 0.223.0", row: 0,
		span: map[string]any{
			"http.request.method": "GET", "server.address": "127.0.0.1", "server.port": 15001,
			"network.peer.address": "198.51.100.7", "network.peer.port": 28404,
		},
		changed: map[string]any{"client.address": "2001:db8:c::1e", "client.port": 21317},
	},
	{
		name: "Node.js at a dual-stack socket", row: 0,
		span:    map[string]any{"network.peer.address": "::ffff:198.51.100.7", "network.peer.port": 28404},
		changed: map[string]any{"client.address": "2001:db8:c::1e", "client.port": 21317},
	},
	{
		name: "Java agent 2.31.1 and Go otelhttp 0.72.0, which take client.address from the peer", row: 0,
		span: map[string]any{
			"http.request.method": "GET", "client.address": "198.51.100.7",
			"network.peer.address": "198.51.100.7", "network.peer.port": 28404,
		},
		changed: map[string]any{"client.address": "2001:db8:c::1e", "client.port": 21317},
	},
	{
		name: "nginx-otel", row: 1,
		span: map[string]any{
			"http.method": "GET", "net.host.name": "example.test", "net.host.port": 8080,
			"net.sock.peer.addr": "198.51.100.7", "net.sock.peer.port": 28404,
		},
		changed: map[string]any{"http.client_ip": "2001:db8:c::1e", "client.port": 21317},
	},
	{
		name: "PHP, Laravel: the port is a string", row: 2,
		span: map[string]any{
			"http.request.method": "GET", "network.peer.address": "198.51.100.7",
			"client.address": "198.51.100.7", "client.port": "28404",
		},
		changed: map[string]any{"client.address": "2001:db8:c::1e", "client.port": 21317, "network.peer.port": 28404},
	},
	{
		name: "conventions 1.13 to 1.20 with one port", row: 3,
		span:    map[string]any{"net.sock.peer.addr": "198.51.100.7", "net.peer.port": 28404},
		changed: map[string]any{"http.client_ip": "2001:db8:c::1e", "client.port": 21317},
	},
	{
		name: "Python, Flask 0.66b1 by default", row: 4,
		span: map[string]any{
			"http.method": "GET", "net.host.name": "127.0.0.1:15003", "net.host.port": 15003,
			"net.peer.ip": "198.51.100.7", "net.peer.port": 28404,
		},
		changed: map[string]any{"http.client_ip": "2001:db8:c::1e", "client.port": 21317},
	},
	{
		name: "Python, Flask 0.66b1 with http/dup", row: 4,
		span: map[string]any{
			"http.method": "GET", "http.request.method": "GET", "net.peer.ip": "198.51.100.7", "net.peer.port": 28404,
			"client.address": "198.51.100.7", "client.port": 28404,
		},
		changed: map[string]any{"http.client_ip": "2001:db8:c::1e", "client.address": "2001:db8:c::1e", "client.port": 21317},
	},
	{
		name: "PHP, Symfony", row: 5,
		span: map[string]any{"net.peer.ip": "198.51.100.7", "client.port": "28404"},
		changed: map[string]any{
			"http.client_ip": "2001:db8:c::1e", "client.port": 21317,
			"network.peer.address": "198.51.100.7", "network.peer.port": 28404,
		},
	},
	{
		name: "Python, Flask and FastAPI 0.66b1 with http", row: 6,
		span: map[string]any{
			"http.request.method": "GET", "server.address": "127.0.0.1:15004", "server.port": 15004,
			"client.address": "198.51.100.7", "client.port": 28404,
		},
		changed: map[string]any{
			"client.address": "2001:db8:c::1e", "client.port": 21317,
			"network.peer.address": "198.51.100.7", "network.peer.port": 28404,
		},
	},
}

func TestGoldenSpansOfEachRow(t *testing.T) {
	tested := make(map[int]bool)
	for _, one := range golden {
		t.Run(one.name, func(t *testing.T) {
			tested[one.row] = true
			span := testItem(t, one.span)
			if span.row != &peerRows[one.row] || span.peer.String() != testPeer {
				t.Fatalf("found %v by %+v", span.peer, span.row)
			}
			config := defaultConfig()
			config.Attributes = AttributesConfig{Client: true}
			connection := testConnection{}.parse(t)
			if result := enricherOf(t, config).enrich(span, &connection, false); result != outcomeEnriched {
				t.Errorf("%s", result)
			}
			expected := maps.Clone(one.span)
			maps.Copy(expected, one.changed)
			expectAttributes(t, span.attributes, expected)
		})
	}
	for i := range peerRows {
		if !tested[i] {
			t.Errorf("no golden span has row %d", i)
		}
	}
}

func TestItemsThatNameNoPeer(t *testing.T) {
	for _, attributes := range []map[string]any{
		{},
		{"network.peer.address": "198.51.100.7"},
		{"network.peer.address": "/run/app.sock", "network.peer.port": 28404},
		{"network.peer.address": "example.test", "network.peer.port": 28404},
		{"network.peer.address": "198.51.100.7", "network.peer.port": 0},
		{"network.peer.address": "198.51.100.7", "network.peer.port": 70000},
		{"network.peer.address": "198.51.100.7", "network.peer.port": "http"},
		{"network.peer.address": "198.51.100.7", "network.peer.port": 28404.5},
		{"network.peer.address": 7, "network.peer.port": 28404},
		{"client.address": "203.0.113.9"},
	} {
		if peer, row := findPeer(mapOf(t, attributes)); row != nil {
			t.Errorf("%v: %v", attributes, peer)
		}
	}
}

func TestAPortCanBeANumberOfJSON(t *testing.T) {
	for _, port := range []any{28404, 28404.0, "28404"} {
		attributes := mapOf(t, map[string]any{"network.peer.address": "198.51.100.7", "network.peer.port": port})
		if peer, row := findPeer(attributes); row != &peerRows[0] || peer.String() != testPeer {
			t.Errorf("%T: %v by %+v", port, peer, row)
		}
	}
}

func TestAPairThatCannotBeReadLeavesTheNext(t *testing.T) {
	attributes := map[string]any{
		"network.peer.address": "app.sock", "network.peer.port": 1, "net.peer.ip": "198.51.100.7", "net.peer.port": 28404,
	}
	if peer, row := findPeer(mapOf(t, attributes)); row != &peerRows[4] || peer.String() != testPeer {
		t.Errorf("%v by %+v", peer, row)
	}
}

func TestDocumentedRowsAreThese(t *testing.T) {
	page, err := os.ReadFile("../../../docs/collector-processor.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") && strings.Count(line, "` + `") == 1 {
			documented = append(documented, strings.TrimSpace(line))
		}
	}
	var expected []string
	for _, row := range peerRows {
		expected = append(expected, "| `"+row.address+"` + `"+row.port+"` | "+row.writers+" | `"+row.client+"` |")
	}
	if strings.Join(documented, "\n") != strings.Join(expected, "\n") {
		t.Errorf("the page has\n%s\nthe code has\n%s", strings.Join(documented, "\n"), strings.Join(expected, "\n"))
	}
}
