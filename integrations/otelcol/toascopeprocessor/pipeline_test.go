// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"context"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// pipeline is a processor between its factory and a sink, as the Collector runs it.
type pipeline struct {
	traces  processor.Traces
	logs    processor.Logs
	spans   *consumertest.TracesSink
	records *consumertest.LogsSink
	log     *observer.ObservedLogs
	metrics *componenttest.Telemetry
}

func startPipeline(t testing.TB, config *Config) *pipeline {
	t.Helper()
	core, log := observer.New(zap.InfoLevel)
	metrics := componenttest.NewTelemetry()
	settings := processor.Settings{
		ID:                component.MustNewID("toascope"),
		TelemetrySettings: metrics.NewTelemetrySettings(),
	}
	settings.Logger = zap.New(core)
	made := &pipeline{spans: new(consumertest.TracesSink), records: new(consumertest.LogsSink), log: log, metrics: metrics}
	factory := NewFactory()
	var err error
	if made.traces, err = factory.CreateTraces(t.Context(), settings, config, made.spans); err != nil {
		t.Fatal(err)
	}
	if made.logs, err = factory.CreateLogs(t.Context(), settings, config, made.records); err != nil {
		t.Fatal(err)
	}
	for _, one := range []component.Component{made.traces, made.logs} {
		if err = one.Start(t.Context(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := one.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { _ = metrics.Shutdown(context.Background()) })
	return made
}

// send sends spans and returns the attributes of each, in their order, as they come out.
func (p *pipeline) send(t testing.TB, traces ptrace.Traces) []map[string]any {
	t.Helper()
	p.spans.Reset()
	if err := p.traces.ConsumeTraces(t.Context(), traces); err != nil {
		t.Fatal(err)
	}
	var attributes []map[string]any
	for _, out := range p.spans.AllTraces() {
		for _, resource := range out.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					attributes = append(attributes, span.Attributes().AsRaw())
				}
			}
		}
	}
	return attributes
}

// items returns the counts of otelcol_processor_toascope_items.
func (p *pipeline) items(t testing.TB) map[outcome]int64 {
	t.Helper()
	found, err := p.metrics.GetMetric("otelcol_processor_toascope_items")
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[outcome]int64)
	for _, point := range found.Data.(metricdata.Sum[int64]).DataPoints {
		value, _ := point.Attributes.Value("outcome")
		counts[outcome(value.AsString())] += point.Value
	}
	return counts
}

func (p *pipeline) messages() []string {
	var messages []string
	for _, entry := range p.log.All() {
		messages = append(messages, entry.Message+" "+entry.ContextMap()["endpoint"].(string))
	}
	return messages
}

// serverSpans returns a span of kind SERVER for each of these peers, 5 ms after the connections opened.
func serverSpans(peers ...peerOf) ptrace.Traces {
	traces := ptrace.NewTraces()
	spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for _, peer := range peers {
		span := spans.AppendEmpty()
		span.SetKind(ptrace.SpanKindServer)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(after(5 * ms)))
		span.Attributes().PutStr("network.peer.address", peer.address)
		span.Attributes().PutInt("network.peer.port", peer.port)
	}
	return traces
}

type peerOf struct {
	address string
	port    int64
}

func logRecord(peer peerOf) (plog.Logs, plog.LogRecord) {
	logs := plog.NewLogs()
	record := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.SetTimestamp(pcommon.NewTimestampFromTime(after(5 * ms)))
	record.Attributes().PutStr("network.peer.address", peer.address)
	record.Attributes().PutInt("network.peer.port", peer.port)
	return logs, record
}
