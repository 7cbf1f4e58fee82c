// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemontest"
)

var known = peerOf{"198.51.100.7", 28404}

// testConfig has a timeout that no test machine exceeds.
func testConfig(socket string) *Config {
	config := defaultConfig()
	config.Endpoint = socket
	config.Timeout = 10 * time.Second
	return config
}

func startDaemon(t testing.TB, served *daemontest.Daemon) (socket string, stop func()) {
	t.Helper()
	socket = daemontest.Socket(t)
	return socket, daemontest.Serve(t, socket, served)
}

func expectItems(t *testing.T, p *pipeline, expected map[outcome]int64) {
	t.Helper()
	if counts := p.items(t); !maps.Equal(counts, expected) {
		t.Errorf("counted %v, expected %v", counts, expected)
	}
}

func TestOneRequestForABatch(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	served.Add("198.51.100.8:1", "", testConnection{peer: "198.51.100.8:1", noClient: true, verdict: "none"}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	// spans of a keep-alive connection share their peer
	out := p.send(t, serverSpans(known, peerOf{"198.51.100.8", 1}, known, known))
	for i, client := range []any{"2001:db8:c::1e", nil, "2001:db8:c::1e", "2001:db8:c::1e"} {
		if out[i]["client.address"] != client {
			t.Errorf("span %d: %v", i, out[i])
		}
	}
	expected := [][]string{{"peer " + testPeer, "peer 198.51.100.8:1"}}
	if requests := served.Requests(); fmt.Sprint(requests) != fmt.Sprint(expected) {
		t.Errorf("requests %v", requests)
	}
	expectItems(t, p, map[outcome]int64{outcomeEnriched: 3, outcomeNoClient: 1})
	if len(p.log.All()) != 0 {
		t.Errorf("logged %v", p.messages())
	}
}

func TestALargeBatchIsAskedInChunks(t *testing.T) {
	var served daemontest.Daemon
	var peers []peerOf
	for i := range 1100 {
		peer := peerOf{"198.51.100.7", int64(1000 + i)}
		peers = append(peers, peer)
		endpoint := fmt.Sprintf("198.51.100.7:%d", peer.port)
		served.Add(endpoint, "", testConnection{peer: endpoint, client: fmt.Sprintf("[2001:db8:c::%x]:80", i)}.json())
	}
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	for i, span := range p.send(t, serverSpans(peers...)) {
		if address, _ := netip.ParseAddr(span["client.address"].(string)); address != netip.MustParseAddr(fmt.Sprintf("2001:db8:c::%x", i)) {
			t.Fatalf("span %d: %v", i, span)
		}
	}
	var sizes []int
	for _, request := range served.Requests() {
		sizes = append(sizes, len(request))
	}
	if !slices.Equal(sizes, []int{512, 512, 76}) {
		t.Errorf("requests of %v", sizes)
	}
}

func TestOnlyServerAndConsumerSpansAreHandled(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	traces := serverSpans(known, known, known, known, known, known)
	spans := traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	for i := range spans.Len() {
		spans.At(i).SetKind(ptrace.SpanKind(i))
	}
	for i, span := range p.send(t, traces) {
		kind := ptrace.SpanKind(i)
		enriched := span["client.address"] != nil
		if enriched != (kind == ptrace.SpanKindServer || kind == ptrace.SpanKindConsumer) {
			t.Errorf("%s: %v", kind, span)
		}
	}
	expectItems(t, p, map[outcome]int64{outcomeEnriched: 2})
}

func TestWhatIsEnrichedAlreadyIsLeft(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	p.send(t, serverSpans(known))
	// a gateway with the same processor behind the agent
	again := p.spans.AllTraces()[0]
	before := again.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().AsRaw()
	if after := p.send(t, again); fmt.Sprint(after[0]) != fmt.Sprint(before) {
		t.Errorf("%v became %v", before, after[0])
	}
	if links := again.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Links().Len(); links != 1 {
		t.Errorf("%d links", links)
	}
	// the daemon's own records, which have its balancer as their peer
	logs, record := logRecord(known)
	record.SetEventName("toascope.connection")
	if err := p.logs.ConsumeLogs(t.Context(), logs); err != nil {
		t.Fatal(err)
	}
	if record.Attributes().Len() != 2 {
		t.Errorf("record %v", record.Attributes().AsRaw())
	}
	if requests := served.Requests(); len(requests) != 1 {
		t.Errorf("requests %v", requests)
	}
}

func TestLogRecords(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	logs, record := logRecord(known)
	// an access log that was read from a file: its own time is unknown
	record.SetTimestamp(0)
	record.SetObservedTimestamp(pcommon.NewTimestampFromTime(after(5 * ms)))
	if err := p.logs.ConsumeLogs(t.Context(), logs); err != nil {
		t.Fatal(err)
	}
	attributes := p.records.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().AsRaw()
	if attributes["client.address"] != "2001:db8:c::1e" || attributes["toascope.verdict"] != "toa" {
		t.Errorf("record %v", attributes)
	}
	expectItems(t, p, map[outcome]int64{outcomeEnriched: 1})
}

func TestPeersThatAreClients(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	out := p.send(t, serverSpans(peerOf{"2001:db8:c::1e", 21317}, known, peerOf{"2001:db8:c::2", 5}))
	if out[0]["client.address"] != "2001:db8:c::1e" || out[0]["toascope.peer.address"] != "198.51.100.7" || out[0]["toascope.rtt_seconds"] != 0.041 {
		t.Errorf("span %v", out[0])
	}
	expected := [][]string{
		{"peer [2001:db8:c::1e]:21317", "peer 198.51.100.7:28404", "peer [2001:db8:c::2]:5"},
		{"client [2001:db8:c::1e]:21317", "client [2001:db8:c::2]:5"},
	}
	if requests := served.Requests(); fmt.Sprint(requests) != fmt.Sprint(expected) {
		t.Errorf("requests %v", requests)
	}
	expectItems(t, p, map[outcome]int64{outcomePeerIsClient: 1, outcomeEnriched: 1, outcomeUnknown: 1})
}

func TestOnlyTheFieldsThatAreWrittenAreAskedFor(t *testing.T) {
	var served daemontest.Daemon
	socket, _ := startDaemon(t, &served)
	config := testConfig(socket)
	config.Attributes = AttributesConfig{RTT: true}
	served.Add(testPeer, testClient, testConnection{}.json())
	startPipeline(t, config).send(t, serverSpans(known))
	expected := []string{"client", "local", "opened_at", "closed_at", "rtt_seconds"}
	if asked := served.Fields(); !slices.Equal(asked, expected) {
		t.Errorf("asked for %v", asked)
	}
}

func TestProcessesAreAskedForWhereTwoConnectionsFit(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{pid: 1}.json())
	served.Add(testPeer, testClient, testConnection{pid: 2, client: "[2001:db8:c::2]:9"}.json())
	served.Add("198.51.100.8:1", "", testConnection{peer: "198.51.100.8:1"}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	traces := serverSpans(known, peerOf{"198.51.100.8", 1})
	traces.ResourceSpans().At(0).Resource().Attributes().PutInt("process.pid", 2)
	if out := p.send(t, traces); out[0]["client.address"] != "2001:db8:c::2" {
		t.Errorf("span %v", out[0])
	}
	expected := [][]string{{"peer " + testPeer, "peer 198.51.100.8:1"}, {"peer " + testPeer}}
	if requests := served.Requests(); fmt.Sprint(requests) != fmt.Sprint(expected) {
		t.Errorf("requests %v", requests)
	}
	if asked := served.Fields(); !slices.Contains(asked, "process") {
		t.Errorf("asked for %v", asked)
	}
}

func TestAClientWithTwoConnectionsThatFit(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	served.Add("198.51.100.8:1", testClient, testConnection{peer: "198.51.100.8:1"}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	p.send(t, serverSpans(peerOf{"2001:db8:c::1e", 21317}))
	expectItems(t, p, map[outcome]int64{outcomeAmbiguous: 1})
}

func TestManyBatchesAtATime(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	socket, _ := startDaemon(t, &served)
	p := startPipeline(t, testConfig(socket))
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 20 {
				if err := p.traces.ConsumeTraces(t.Context(), serverSpans(known, known)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	expectItems(t, p, map[outcome]int64{outcomeEnriched: 640})
}
