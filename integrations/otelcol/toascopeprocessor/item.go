// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"net/netip"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// verdictAttribute is on every item that was enriched, and on what the daemon itself sends, unless
// the verdict is switched off.
const verdictAttribute = "toascope.verdict"

// connectionEvent is the name of the daemon's own log records.
const connectionEvent = "toascope.connection"

// item is a span or a log record that the processor handles.
type item struct {
	attributes pcommon.Map
	resource   pcommon.Map
	// links of the span; a log record has none.
	links *ptrace.SpanLinkSlice
	// time is when the span started, or of the log record; resolution is how much of it was cut off.
	time       time.Time
	resolution time.Duration
	peer       netip.AddrPort
	// row is nil if the item names no peer.
	row *peerRow
}

func spanItems(traces ptrace.Traces) []item {
	items := make([]item, 0, traces.SpanCount())
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				if span.Kind() != ptrace.SpanKindServer && span.Kind() != ptrace.SpanKindConsumer || handled(span.Attributes()) {
					continue
				}
				links := span.Links()
				one := item{attributes: span.Attributes(), resource: resource.Resource().Attributes(), links: &links}
				one.time = span.StartTimestamp().AsTime()
				one.resolution = resolutionOf(span.StartTimestamp(), time.Millisecond)
				one.peer, one.row = findPeer(one.attributes)
				items = append(items, one)
			}
		}
	}
	return items
}

func logItems(logs plog.Logs) []item {
	items := make([]item, 0, logs.LogRecordCount())
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				if record.EventName() == connectionEvent || handled(record.Attributes()) {
					continue
				}
				at := record.Timestamp()
				if at == 0 {
					at = record.ObservedTimestamp()
				}
				one := item{attributes: record.Attributes(), resource: resource.Resource().Attributes()}
				one.time = at.AsTime()
				one.resolution = resolutionOf(at, time.Second)
				one.peer, one.row = findPeer(one.attributes)
				items = append(items, one)
			}
		}
	}
	return items
}

// handled reports whether an agent before this Collector, or the daemon, has enriched the item.
func handled(attributes pcommon.Map) bool {
	_, found := attributes.Get(verdictAttribute)
	return found
}

// resolutionOf returns the unit that a time was truncated to, at most `most`: Node.js cuts the start
// of a span to the millisecond, access logs have milliseconds or seconds.
func resolutionOf(at pcommon.Timestamp, most time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if unit <= most && uint64(at)%uint64(unit) == 0 {
			return unit
		}
	}
	return time.Nanosecond
}
