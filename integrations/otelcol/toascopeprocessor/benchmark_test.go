// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemontest"
)

// BenchmarkBatch is the time for a batch of 512 spans, with the requests to a stand-in of the daemon
// in the same process. `per peer` is how many spans a keep-alive connection has in the batch.
func BenchmarkBatch(b *testing.B) {
	const spans = 512
	var served daemontest.Daemon
	for i := range spans {
		endpoint := fmt.Sprintf("198.51.100.7:%d", 1000+i)
		served.Add(endpoint, "", testConnection{peer: endpoint}.json())
	}
	socket, _ := startDaemon(b, &served)
	for _, perPeer := range []int{1, 16, spans} {
		b.Run(fmt.Sprintf("%d per peer", perPeer), func(b *testing.B) {
			p := startPipeline(b, testConfig(socket))
			var peers []peerOf
			for i := range spans {
				peers = append(peers, peerOf{"198.51.100.7", int64(1000 + i/perPeer)})
			}
			original := serverSpans(peers...)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				batch := ptrace.NewTraces()
				original.CopyTo(batch)
				p.spans.Reset()
				b.StartTimer()
				if err := p.traces.ConsumeTraces(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(spans)*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}
