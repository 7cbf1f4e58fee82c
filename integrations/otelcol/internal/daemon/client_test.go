// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
	"github.com/toascope/toascope/integrations/otelcol/internal/daemontest"
)

const known = `{"peer":{"address":"198.51.100.7","port":28404},"client":{"address":"2001:db8:c::1e","port":null},
"virtual_server":null,"local":{"address":"192.0.2.2","port":8080},"netns":4026532201,"verdict":"toa","profile":"cdn6",
"segment":"syn","state":"open","opened_at":"2026-11-23T02:58:13.102938475Z","accepted_at":"2026-11-23T02:58:13.103011201Z",
"closed_at":null,"seen":"getpeername","process":{"pid":16161,"comm":"nginx","cgroup_id":"4211","container_id":null,"by":"accept"},
"received_bytes":"1500","sent_bytes":"35120","retransmitted_segments":3,"rtt_seconds":0.000041,"accept_wait_seconds":0.000072736,"error":null,
"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}`

var fields = []daemon.Field{
	daemon.FieldPeer, daemon.FieldClient, daemon.FieldLocal, daemon.FieldVerdict, daemon.FieldOpenedAt, daemon.FieldClosedAt,
	daemon.FieldProcess, daemon.FieldRetransmittedSegments, daemon.FieldRTT, daemon.FieldAcceptWait, daemon.FieldTraceID,
	daemon.FieldSpanID,
}

func lookup(t *testing.T, socket string, timeout time.Duration) ([][]daemon.Connection, *daemon.Error) {
	t.Helper()
	client := daemon.NewClient(socket)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	found, err := client.Lookup(ctx, []daemon.Query{{Peer: "198.51.100.7:28404"}, {Peer: "198.51.100.7:1"}}, fields)
	var failure *daemon.Error
	if err != nil && !errors.As(err, &failure) {
		t.Fatalf("%T is not *daemon.Error", err)
	}
	return found, failure
}

func TestLookupReadsTheFieldsOfTheAPI(t *testing.T) {
	socket := daemontest.Socket(t)
	var served daemontest.Daemon
	served.Add("198.51.100.7:28404", "", known)
	daemontest.Serve(t, socket, &served)

	found, failure := lookup(t, socket, time.Minute)
	if failure != nil {
		t.Fatal(failure)
	}
	if len(found) != 2 || len(found[0]) != 1 || len(found[1]) != 0 {
		t.Fatalf("found %v", found)
	}
	connection := found[0][0]
	if connection.Client.Address != netip.MustParseAddr("2001:db8:c::1e") || connection.Client.Port != nil {
		t.Errorf("client %v", connection.Client)
	}
	if *connection.Peer.Port != 28404 || *connection.Local.Port != 8080 || connection.Process.PID != 16161 {
		t.Errorf("connection %+v", connection)
	}
	if *connection.AcceptWaitSeconds != 0.000072736 || connection.Process.ContainerID != "" {
		t.Errorf("connection %+v", connection)
	}
	if connection.ClosedAt != nil || connection.RetransmittedSegments != 3 || *connection.RTTSeconds != 0.000041 {
		t.Errorf("connection %+v", connection)
	}
	if *connection.TraceID != "0af7651916cd43dd8448eb211c80319c" || *connection.SpanID != "b7ad6b7169203331" {
		t.Errorf("connection %+v", connection)
	}
}

func TestLookupFailures(t *testing.T) {
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
			response.WriteHeader(status)
			_, _ = response.Write([]byte(body))
		})
	}
	hang := make(chan struct{})
	defer close(hang)
	hijack := func(text string) http.Handler {
		return http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(response).Hijack()
			if err == nil {
				_, _ = connection.Write([]byte(text))
				_ = connection.Close()
			}
		})
	}
	cases := map[string]struct {
		handler http.Handler
		reason  daemon.Reason
		detail  string
	}{
		"hangs": {http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }), daemon.Timeout, ""},
		"hangs in the answer": {http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
			_, _ = response.Write([]byte(`{"results":[`))
			_ = http.NewResponseController(response).Flush()
			<-hang
		}), daemon.Timeout, ""},
		"problem":            {answer(503, `{"detail":"too many"}`), daemon.Refused, "status 503: too many"},
		"status without one": {answer(404, `nothing`), daemon.Refused, "status 404: nothing"},
		"redirect":           {answer(302, ``), daemon.Refused, "status 302"},
		"not JSON":           {answer(200, `<html>`), daemon.Invalid, ""},
		"too few results":    {answer(200, `{"results":[{"connections":[]}]}`), daemon.Invalid, "1 results for 2 queries"},
		"bad address":        {answer(200, `{"results":[{"connections":[{"client":{"address":"x"}}]},{}]}`), daemon.Invalid, ""},
		"null":               {answer(200, `null`), daemon.Invalid, "0 results for 2 queries"},
		"a list":             {answer(200, `[]`), daemon.Invalid, ""},
		"cut off":            {answer(200, `{"results":[{"connections":[]},{"connections":[{"verdict":"to`), daemon.Invalid, ""},
		"a number as a time": {answer(200, `{"results":[{"connections":[{"opened_at":5}]},{}]}`), daemon.Invalid, ""},
		"no time":            {answer(200, `{"results":[{"connections":[{"opened_at":"today"}]},{}]}`), daemon.Invalid, ""},
		"a port too high":    {answer(200, `{"results":[{"connections":[{"client":{"port":70000}}]},{}]}`), daemon.Invalid, ""},
		"not HTTP":           {hijack("SSH-2.0-OpenSSH_9.2\r\n"), daemon.Invalid, ""},
		"closes":             {hijack(""), daemon.Unreachable, ""},
		"breaks off":         {hijack("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), daemon.Unreachable, ""},
	}
	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			socket := daemontest.Socket(t)
			daemontest.Serve(t, socket, one.handler)
			timeout := time.Minute
			if one.reason == daemon.Timeout {
				timeout = 20 * time.Millisecond
			}
			_, failure := lookup(t, socket, timeout)
			if failure == nil || failure.Reason != one.reason || !strings.Contains(failure.Detail, one.detail) {
				t.Errorf("failure %v", failure)
			}
		})
	}
}

func TestLookupWithoutADaemon(t *testing.T) {
	socket := daemontest.Socket(t)
	if _, failure := lookup(t, socket, time.Minute); failure == nil || failure.Reason != daemon.Unreachable {
		t.Errorf("without a socket: %v", failure)
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, failure := lookup(t, socket, time.Minute); failure == nil || failure.Reason != daemon.Unreachable {
		t.Errorf("with a file: %v", failure)
	}
}

func TestLookupThatItsCallerGivesUp(t *testing.T) {
	socket := daemontest.Socket(t)
	arrived := make(chan struct{})
	hang := make(chan struct{})
	defer close(hang)
	daemontest.Serve(t, socket, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-hang
	}))
	client := daemon.NewClient(socket)
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := client.Lookup(ctx, []daemon.Query{{Peer: "198.51.100.7:28404"}}, fields)
	var failure *daemon.Error
	if !errors.As(err, &failure) || failure.Reason != daemon.Canceled {
		t.Errorf("failure %v", err)
	}
}
