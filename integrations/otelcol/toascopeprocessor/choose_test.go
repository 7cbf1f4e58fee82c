// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
)

const ms = time.Millisecond

// after is a time after the connections opened.
func after(duration time.Duration) time.Time { return opened.Add(duration) }

func TestChoose(t *testing.T) {
	peer := map[string]any{"network.peer.address": "198.51.100.7", "network.peer.port": 28404}
	with := func(more map[string]any) map[string]any {
		all := map[string]any{"network.peer.address": "198.51.100.7", "network.peer.port": 28404}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	// the item is at 5 ms unless `at` says otherwise
	cases := []struct {
		name        string
		attributes  map[string]any
		resource    map[string]any
		at          time.Time
		resolution  time.Duration
		connections []testConnection
		// chosen is the index of the connection, -1: unknown, -2: ambiguous
		chosen int
	}{
		{name: "none", attributes: peer, chosen: -1},
		{name: "one that is open", attributes: peer, connections: []testConnection{{}}},
		{name: "one that closed before", attributes: peer, at: after(100 * ms), connections: []testConnection{{closedAt: after(80 * ms)}}, chosen: -1},
		{name: "one that closed within the slack", attributes: peer, at: after(100 * ms), connections: []testConnection{{closedAt: after(91 * ms)}}},
		{name: "one that opened later", attributes: peer, connections: []testConnection{{openedAt: after(16 * ms)}}, chosen: -1},
		{name: "one that opened later, within the slack", attributes: peer, connections: []testConnection{{openedAt: after(14 * ms)}}},
		{name: "the peer's port was used before", attributes: peer, at: after(100 * ms), connections: []testConnection{
			{openedAt: after(90 * ms)}, {closedAt: after(50 * ms)},
		}},
		{name: "used again within the slack", attributes: peer, at: after(100 * ms), connections: []testConnection{
			{openedAt: after(99 * ms)}, {closedAt: after(98 * ms)},
		}},
		{name: "used again within the millisecond that was cut off", attributes: peer, at: after(100 * ms), resolution: ms, connections: []testConnection{
			{openedAt: after(100*ms + 500*time.Microsecond)}, {closedAt: after(100*ms + 200*time.Microsecond)},
		}, chosen: -2},
		{name: "equal addresses in two namespaces", attributes: peer, connections: []testConnection{{}, {}}, chosen: -2},
		{name: "by network.local.port", attributes: with(map[string]any{"network.local.port": 8081}), connections: []testConnection{{}, {local: "192.0.2.2:8081"}}, chosen: 1},
		{name: "by network.local.address", attributes: with(map[string]any{"network.local.address": "192.0.2.3"}), connections: []testConnection{{}, {local: "192.0.2.3:8080"}}, chosen: 1},
		{name: "by server.port", attributes: with(map[string]any{"server.address": "example.test", "server.port": 8081}), connections: []testConnection{{}, {local: "192.0.2.2:8081"}}, chosen: 1},
		{name: "by net.host.port", attributes: with(map[string]any{"net.host.port": 8081}), connections: []testConnection{{}, {local: "192.0.2.2:8081"}}, chosen: 1},
		{name: "network.local.port outweighs server.port", attributes: with(map[string]any{"network.local.port": 8081, "server.port": 8080}), connections: []testConnection{{}, {local: "192.0.2.2:8081"}}, chosen: 1},
		{name: "server.port of the balancer does not exclude", attributes: with(map[string]any{"server.port": 443}), connections: []testConnection{{}}},
		{name: "server.port of the balancer does not narrow", attributes: with(map[string]any{"server.port": 443}), connections: []testConnection{{}, {local: "192.0.2.2:8081"}}, chosen: -2},
		{name: "by container.id", attributes: peer, resource: map[string]any{"container.id": "5f0c2a94be17"}, connections: []testConnection{
			{container: "aaaaaaaaaaaabbbbbbbb"}, {container: "5f0c2a94be17d18c0e7f"},
		}, chosen: 1},
		{name: "by process.pid", attributes: peer, resource: map[string]any{"process.pid": 99}, connections: []testConnection{{}, {pid: 99}}, chosen: 1},
		{name: "two with the same process", attributes: peer, resource: map[string]any{"process.pid": 99}, connections: []testConnection{{pid: 99}, {pid: 99}}, chosen: -2},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			span := testItem(t, one.attributes)
			span.resource = mapOf(t, one.resource)
			if !one.at.IsZero() {
				span.time = one.at
			}
			if one.resolution != 0 {
				span.resolution = one.resolution
			}
			var connections []daemon.Connection
			for _, connection := range one.connections {
				connections = append(connections, connection.parse(t))
			}
			found, result := choose(span, connections, 10*ms)
			switch {
			case one.chosen == -1 && (found != nil || result != outcomeUnknown),
				one.chosen == -2 && (found != nil || result != outcomeAmbiguous):
				t.Errorf("%v, %s", found, result)
			case one.chosen >= 0 && (found == nil || found != &connections[one.chosen]):
				t.Errorf("%v, %s", found, result)
			}
		})
	}
}

func TestResolutionOf(t *testing.T) {
	second := uint64(1_796_081_598_000_000_000)
	for _, one := range []struct {
		time uint64
		most time.Duration
		unit time.Duration
	}{
		{second, time.Second, time.Second},
		{second, time.Millisecond, time.Millisecond},
		{second + 450_000_000, time.Second, time.Millisecond},
		{second + 450_001_000, time.Second, time.Microsecond},
		{second + 450_001_001, time.Second, time.Nanosecond},
	} {
		if unit := resolutionOf(pcommon.Timestamp(one.time), one.most); unit != one.unit {
			t.Errorf("%d: %v", one.time, unit)
		}
	}
}
