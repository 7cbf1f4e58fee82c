// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

func enricherOf(t *testing.T, config *Config) *enricher {
	t.Helper()
	made, err := newEnricher(config)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestWhatIsWritten(t *testing.T) {
	one := testItem(t, map[string]any{"network.peer.address": "198.51.100.7", "network.peer.port": 28404})
	links := ptrace.NewSpanLinkSlice()
	one.links = &links
	connection := testConnection{}.parse(t)
	if result := enricherOf(t, defaultConfig()).enrich(one, &connection, false); result != outcomeEnriched {
		t.Error(result)
	}
	expectAttributes(t, one.attributes, map[string]any{
		"network.peer.address": "198.51.100.7", "network.peer.port": 28404,
		"client.address": "2001:db8:c::1e", "client.port": 21317,
		"toascope.verdict": "toa", "toascope.rtt_seconds": 0.041, "toascope.retransmitted_segments": 14,
		"toascope.accept.wait_seconds": 0.0015,
	})
	if links.Len() != 1 || links.At(0).TraceID().String() != testTrace || links.At(0).SpanID().String() != testSpan {
		t.Errorf("%d links", links.Len())
	}
}

func TestNothingIsWrittenThatIsSwitchedOff(t *testing.T) {
	config := defaultConfig()
	config.Attributes = AttributesConfig{}
	span := map[string]any{"network.peer.address": "198.51.100.7", "network.peer.port": 28404}
	one := testItem(t, span)
	links := ptrace.NewSpanLinkSlice()
	one.links = &links
	connection := testConnection{}.parse(t)
	enricherOf(t, config).enrich(one, &connection, false)
	expectAttributes(t, one.attributes, span)
	if links.Len() != 0 {
		t.Errorf("%d links", links.Len())
	}
}

func TestAConnectionWithoutAClient(t *testing.T) {
	one := testItem(t, map[string]any{"network.peer.address": "198.51.100.7", "network.peer.port": 28404, "client.address": "203.0.113.9"})
	links := ptrace.NewSpanLinkSlice()
	one.links = &links
	connection := testConnection{noClient: true, verdict: "untrusted"}.parse(t)
	if result := enricherOf(t, defaultConfig()).enrich(one, &connection, false); result != outcomeNoClient {
		t.Error(result)
	}
	expectAttributes(t, one.attributes, map[string]any{
		"network.peer.address": "198.51.100.7", "network.peer.port": 28404, "client.address": "203.0.113.9",
		"toascope.verdict": "untrusted", "toascope.rtt_seconds": 0.041, "toascope.retransmitted_segments": 14,
		"toascope.accept.wait_seconds": 0.0015,
	})
	if links.Len() != 0 {
		t.Error("a connection without a client has no span to link to")
	}
}

func TestAClientWithoutAPort(t *testing.T) {
	config := defaultConfig()
	config.Attributes = AttributesConfig{Client: true}
	one := testItem(t, map[string]any{"client.address": "198.51.100.7", "client.port": 28404})
	connection := testConnection{client: "203.0.113.80"}.parse(t)
	enricherOf(t, config).enrich(one, &connection, false)
	// the port of the balancer must not be taken for the client's
	expectAttributes(t, one.attributes, map[string]any{
		"client.address": "203.0.113.80", "network.peer.address": "198.51.100.7", "network.peer.port": 28404,
	})
}

func TestWhoseWordCounts(t *testing.T) {
	const forged = "203.0.113.9"
	kept := map[string]any{
		"client.address": forged, "toascope.client.address": "2001:db8:c::1e", "toascope.client.port": 21317,
	}
	replaced := map[string]any{
		"client.address": "2001:db8:c::1e", "client.port": 21317, "toascope.client.address.claimed": forged,
	}
	named := map[string]any{"client.address": "2001:db8:c::1e", "client.port": 21317}
	cases := []struct {
		name      string
		policy    string
		listeners []string
		claimed   string
		expected  map[string]any
		outcome   outcome
	}{
		{"keep", policyKeep, nil, forged, kept, outcomeClaimKept},
		{"keep, the claim is the peer", policyKeep, nil, "::ffff:198.51.100.7", named, outcomeEnriched},
		{"keep, the claim is the client", policyKeep, nil, "2001:DB8:c:0::1e", named, outcomeEnriched},
		{"keep, the claim is empty", policyKeep, nil, "", named, outcomeEnriched},
		{"always", policyAlways, nil, forged, replaced, outcomeEnriched},
		{"always, the claim is no address", policyAlways, nil, "unknown", map[string]any{
			"client.address": "2001:db8:c::1e", "client.port": 21317, "toascope.client.address.claimed": "unknown",
		}, outcomeEnriched},
		{"always, the claim is the peer", policyAlways, nil, "198.51.100.7", named, outcomeEnriched},
		{"always for its port", policyAlways, []string{":80", ":8080"}, forged, replaced, outcomeEnriched},
		{"always for its listener", policyAlways, []string{"192.0.2.2:8080"}, forged, replaced, outcomeEnriched},
		{"always for another port", policyAlways, []string{":443"}, forged, kept, outcomeClaimKept},
		{"always for another address", policyAlways, []string{"192.0.2.3:8080"}, forged, kept, outcomeClaimKept},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			config := defaultConfig()
			config.Policy, config.Listeners, config.Attributes = one.policy, one.listeners, AttributesConfig{Client: true}
			span := testItem(t, map[string]any{
				"network.peer.address": "198.51.100.7", "network.peer.port": 28404, "client.address": one.claimed,
			})
			connection := testConnection{}.parse(t)
			if result := enricherOf(t, config).enrich(span, &connection, false); result != one.outcome {
				t.Errorf("outcome %s", result)
			}
			one.expected["network.peer.address"], one.expected["network.peer.port"] = "198.51.100.7", 28404
			expectAttributes(t, span.attributes, one.expected)
		})
	}
}

func TestAPeerThatIsTheClient(t *testing.T) {
	config := defaultConfig()
	config.Attributes = AttributesConfig{Client: true, RTT: true}
	one := testItem(t, map[string]any{
		"network.peer.address": "2001:db8:c::1e", "network.peer.port": 21317, "client.address": "2001:db8:c::1e",
	})
	connection := testConnection{}.parse(t)
	if result := enricherOf(t, config).enrich(one, &connection, true); result != outcomePeerIsClient {
		t.Error(result)
	}
	expectAttributes(t, one.attributes, map[string]any{
		"network.peer.address": "2001:db8:c::1e", "network.peer.port": 21317,
		"client.address": "2001:db8:c::1e", "client.port": 21317, "toascope.rtt_seconds": 0.041,
		"toascope.peer.address": "198.51.100.7", "toascope.peer.port": 28404,
	})
}
