// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
	"github.com/toascope/toascope/integrations/otelcol/internal/daemontest"
)

const (
	testPeer   = "198.51.100.7:28404"
	testClient = "[2001:db8:c::1e]:21317"
	testLocal  = "192.0.2.2:8080"
	testTrace  = "0af7651916cd43dd8448eb211c80319c"
	testSpan   = "b7ad6b7169203331"
)

// opened is when connections of these tests open; a span of theirs starts 5 ms later.
var opened = time.Date(2026, 11, 23, 2, 58, 13, 102_938_475, time.UTC)

// testConnection describes a connection; zero fields have the defaults of testJSON.
type testConnection struct {
	peer, client, local string
	noClient            bool
	verdict             string
	openedAt, closedAt  time.Time
	pid                 int
	container           string
}

// json is the connection as the API has it.
func (c testConnection) json() string {
	if c.peer == "" {
		c.peer = testPeer
	}
	if c.client == "" {
		c.client = testClient
	}
	if c.local == "" {
		c.local = testLocal
	}
	if c.verdict == "" {
		c.verdict = "toa"
	}
	if c.openedAt.IsZero() {
		c.openedAt = opened
	}
	if c.pid == 0 {
		c.pid = 16161
	}
	fields := map[string]any{
		"peer": endpointJSON(c.peer), "local": endpointJSON(c.local), "client": nil, "verdict": c.verdict,
		"opened_at": c.openedAt, "closed_at": nil, "accept_wait_seconds": 0.0015,
		"process":                map[string]any{"pid": c.pid, "comm": "node", "cgroup_id": "4211", "container_id": c.container, "by": "accept"},
		"retransmitted_segments": 14, "rtt_seconds": 0.041, "trace_id": nil, "span_id": nil,
	}
	if !c.closedAt.IsZero() {
		fields["closed_at"] = c.closedAt
	}
	if !c.noClient {
		fields["client"], fields["trace_id"], fields["span_id"] = endpointJSON(c.client), testTrace, testSpan
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// parse is the connection as the client of the API returns it.
func (c testConnection) parse(t *testing.T) daemon.Connection {
	t.Helper()
	var served daemontest.Daemon
	served.Add("198.51.100.7:1", "", c.json())
	socket, _ := startDaemon(t, &served)
	client := daemon.NewClient(socket)
	defer client.Close()
	fields := append(fieldsOf(defaultConfig().Attributes), daemon.FieldPeer, daemon.FieldProcess)
	found, err := client.Lookup(t.Context(), []daemon.Query{{Peer: "198.51.100.7:1"}}, fields)
	if err != nil {
		t.Fatal(err)
	}
	return found[0][0]
}

// endpointJSON reads ADDR:PORT, or ADDR, which has no port.
func endpointJSON(text string) map[string]any {
	if address, err := netip.ParseAddr(text); err == nil {
		return map[string]any{"address": address, "port": nil}
	}
	endpoint := netip.MustParseAddrPort(text)
	return map[string]any{"address": endpoint.Addr(), "port": endpoint.Port()}
}

// testItem is a span that started 5 ms after the connection opened.
func testItem(t *testing.T, attributes map[string]any) *item {
	t.Helper()
	one := &item{attributes: mapOf(t, attributes), resource: pcommon.NewMap(), time: opened.Add(5 * time.Millisecond), resolution: 1}
	one.peer, one.row = findPeer(one.attributes)
	return one
}

func mapOf(t *testing.T, values map[string]any) pcommon.Map {
	t.Helper()
	made := pcommon.NewMap()
	if err := made.FromRaw(values); err != nil {
		t.Fatal(err)
	}
	return made
}

// expectAttributes compares attributes without regard to their order.
func expectAttributes(t *testing.T, found pcommon.Map, expected map[string]any) {
	t.Helper()
	raw := found.AsRaw()
	for name, value := range expected {
		if fmt.Sprint(raw[name]) != fmt.Sprint(value) {
			t.Errorf("%s is %v, expected %v", name, raw[name], value)
		}
	}
	for name, value := range raw {
		if _, known := expected[name]; !known {
			t.Errorf("%s=%v is not expected", name, value)
		}
	}
}
