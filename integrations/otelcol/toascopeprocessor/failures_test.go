// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
	"github.com/toascope/toascope/integrations/otelcol/internal/daemontest"
)

const (
	lost     = "no answer from the toascope daemon; spans and log records pass without their client "
	restored = "the toascope daemon answers again "
)

// expectUnchanged sends a span and expects it to come out as it was.
func expectUnchanged(t *testing.T, p *pipeline) {
	t.Helper()
	if out := p.send(t, serverSpans(known)); len(out) != 1 || len(out[0]) != 2 {
		t.Errorf("out came %v", out)
	}
}

func expectMessages(t *testing.T, p *pipeline, expected ...string) {
	t.Helper()
	if messages := p.messages(); fmt.Sprint(messages) != fmt.Sprint(expected) {
		t.Errorf("logged %q", messages)
	}
}

func TestFailuresPassAndAreCounted(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	handlers := map[daemon.Reason]http.HandlerFunc{
		daemon.Timeout:     func(http.ResponseWriter, *http.Request) { <-hang },
		daemon.Refused:     func(response http.ResponseWriter, _ *http.Request) { http.Error(response, "busy", 503) },
		daemon.Invalid:     func(response http.ResponseWriter, _ *http.Request) { fmt.Fprint(response, "garbage") },
		daemon.Unreachable: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for reason, handler := range handlers {
		t.Run(string(reason), func(t *testing.T) {
			var requests atomic.Int64
			socket := daemontest.Socket(t)
			daemontest.Serve(t, socket, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
				requests.Add(1)
				handler(response, request)
			}))
			config := testConfig(socket)
			if reason == daemon.Timeout {
				config.Timeout = 20 * time.Millisecond
			}
			p := startPipeline(t, config)
			begin := time.Now()
			for range 50 {
				expectUnchanged(t, p)
			}
			elapsed := time.Since(begin)
			expectItems(t, p, map[outcome]int64{outcome(reason): 50})
			// one line for the change, and a request in each pause, however many batches there are
			expectMessages(t, p, lost+socket)
			if most := 2 + int64(elapsed/(250*time.Millisecond)); requests.Load() > most {
				t.Errorf("%d requests in %v", requests.Load(), elapsed)
			}
			duration, err := p.metrics.GetMetric("otelcol_processor_toascope_request_duration")
			if err != nil {
				t.Fatal(err)
			}
			points := duration.Data.(metricdata.Histogram[float64]).DataPoints
			if result, _ := points[0].Attributes.Value("result"); len(points) != 1 || result.AsString() != string(reason) {
				t.Errorf("durations %v", points)
			}
		})
	}
}

func TestABatchWaitsNoLongerThanTheTimeout(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	socket := daemontest.Socket(t)
	arrived := make(chan struct{}, 10)
	daemontest.Serve(t, socket, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-hang
	}))
	config := testConfig(socket)
	config.Timeout = 100 * time.Millisecond
	config.BatchSize = 1
	p := startPipeline(t, config)
	begin := time.Now()
	// three chunks share the time limit of the batch
	p.send(t, serverSpans(known, peerOf{"198.51.100.7", 2}, peerOf{"198.51.100.7", 3}))
	if elapsed := time.Since(begin); elapsed < config.Timeout || elapsed > 10*config.Timeout {
		t.Errorf("the batch took %v", elapsed)
	}
	expectItems(t, p, map[outcome]int64{outcome(daemon.Timeout): 3})
	if len(arrived) != 1 {
		t.Errorf("%d requests", len(arrived))
	}
}

func TestTheAnswersBeforeAFailureCount(t *testing.T) {
	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	var requests atomic.Int64
	socket := daemontest.Socket(t)
	daemontest.Serve(t, socket, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if requests.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		served.ServeHTTP(response, request)
	}))
	config := testConfig(socket)
	config.BatchSize = 1
	p := startPipeline(t, config)
	p.send(t, serverSpans(known, peerOf{"198.51.100.7", 2}, peerOf{"198.51.100.7", 3}))
	expectItems(t, p, map[outcome]int64{outcomeEnriched: 1, outcome(daemon.Unreachable): 2})
}

func TestADaemonThatComesAndGoes(t *testing.T) {
	socket := daemontest.Socket(t)
	p := startPipeline(t, testConfig(socket))
	expectUnchanged(t, p)
	expectMessages(t, p, lost+socket)

	var served daemontest.Daemon
	served.Add(testPeer, testClient, testConnection{}.json())
	stop := daemontest.Serve(t, socket, &served)
	untilEnriched := func() {
		t.Helper()
		for p.send(t, serverSpans(known))[0]["client.address"] == nil {
			time.Sleep(5 * time.Millisecond)
		}
	}
	untilEnriched()
	expectMessages(t, p, lost+socket, restored+socket)

	stop()
	expectUnchanged(t, p)
	expectUnchanged(t, p)
	expectMessages(t, p, lost+socket, restored+socket, lost+socket)

	daemontest.Serve(t, socket, &served)
	untilEnriched()
	expectMessages(t, p, lost+socket, restored+socket, lost+socket, restored+socket)
}
