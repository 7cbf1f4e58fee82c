// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"encoding/hex"
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
)

// attributesAdded is how many attributes an item gets at most.
const attributesAdded = 8

// enricher writes what is known of a connection on the items that it carried.
type enricher struct {
	write AttributesConfig
	// always is true with the policy always; listeners narrows it, none is all.
	always    bool
	listeners []netip.AddrPort
}

func newEnricher(config *Config) (*enricher, error) {
	made := &enricher{write: config.Attributes, always: config.Policy == policyAlways}
	for _, text := range config.Listeners {
		listener, err := parseListener(text)
		if err != nil {
			return nil, err
		}
		made.listeners = append(made.listeners, listener)
	}
	return made, nil
}

// enrich writes on the item what is known of its connection. peerIsClient: the peer that the item
// names is the client of the connection.
func (e *enricher) enrich(one *item, connection *daemon.Connection, peerIsClient bool) outcome {
	one.attributes.EnsureCapacity(one.attributes.Len() + attributesAdded)
	result := outcomeNoClient
	if connection.Client != nil {
		result = outcomeEnriched
		if peerIsClient {
			result = outcomePeerIsClient
		}
		if e.write.Client && !e.writeClient(one, connection, peerIsClient) {
			result = outcomeClaimKept
		}
	}
	e.writeConnection(one, connection)
	return result
}

// writeClient returns false if the item keeps another client's address.
func (e *enricher) writeClient(one *item, connection *daemon.Connection, peerIsClient bool) bool {
	client := connection.Client
	text := client.Address.String()
	named := true
	for _, name := range one.row.clientAttributes(one.attributes) {
		claimed, another := e.claim(one, name, client)
		if another && !e.overrules(connection) {
			named = false
			continue
		}
		if another {
			one.attributes.PutStr(claimedAddress, claimed)
		}
		one.attributes.PutStr(name, text)
	}
	switch {
	case !named:
		one.attributes.PutStr("toascope.client.address", text)
		putPort(one.attributes, "toascope.client.port", client.Port)
		return false
	case peerIsClient:
		// network.peer.* is what getpeername() returned, so the balancer needs names of its own
		one.attributes.PutStr("toascope.peer.address", connection.Peer.Address.String())
		putPort(one.attributes, "toascope.peer.port", connection.Peer.Port)
	case one.row.overlaps():
		port := one.peer.Port()
		one.attributes.PutStr(peerAddress, one.peer.Addr().String())
		putPort(one.attributes, peerPort, &port)
	}
	// the old conventions have no name for the client's port that is not also the peer's
	one.attributes.Remove(clientPort)
	putPort(one.attributes, clientPort, client.Port)
	return true
}

// claim returns what the item says of its client in this attribute, and whether that is another one:
// neither the peer nor the client.
func (e *enricher) claim(one *item, name string, client *daemon.Endpoint) (claimed string, another bool) {
	value, found := one.attributes.Get(name)
	if !found || value.AsString() == "" {
		return "", false
	}
	claimed = value.AsString()
	address, valid := parseAddress(claimed)
	return claimed, !valid || address != one.peer.Addr() && address != client.Address
}

// overrules reports whether the client in the option replaces what an item of this connection says.
func (e *enricher) overrules(connection *daemon.Connection) bool {
	if !e.always || len(e.listeners) == 0 {
		return e.always
	}
	for _, listener := range e.listeners {
		samePort := connection.Local.Port != nil && listener.Port() == *connection.Local.Port
		if samePort && (!listener.Addr().IsValid() || listener.Addr() == connection.Local.Address) {
			return true
		}
	}
	return false
}

// writeConnection writes what does not depend on a client. The names are those of the connection's
// own span (docs/telemetry.md).
func (e *enricher) writeConnection(one *item, connection *daemon.Connection) {
	if e.write.Verdict {
		one.attributes.PutStr(verdictAttribute, connection.Verdict)
	}
	if e.write.RetransmittedSegments {
		one.attributes.PutInt("toascope.retransmitted_segments", connection.RetransmittedSegments)
	}
	if e.write.RTT && connection.RTTSeconds != nil {
		one.attributes.PutDouble("toascope.rtt_seconds", *connection.RTTSeconds)
	}
	if e.write.AcceptWait && connection.AcceptWaitSeconds != nil {
		one.attributes.PutDouble("toascope.accept.wait_seconds", *connection.AcceptWaitSeconds)
	}
	if e.write.Link && one.links != nil {
		addLink(one, connection)
	}
}

// addLink links the span to the connection's. A connection without a client has no span.
func addLink(one *item, connection *daemon.Connection) {
	if connection.TraceID == nil || connection.SpanID == nil {
		return
	}
	var trace pcommon.TraceID
	var span pcommon.SpanID
	if decodeID(trace[:], *connection.TraceID) && decodeID(span[:], *connection.SpanID) {
		link := one.links.AppendEmpty()
		link.SetTraceID(trace)
		link.SetSpanID(span)
	}
}

func decodeID(id []byte, text string) bool {
	if hex.DecodedLen(len(text)) != len(id) {
		return false
	}
	_, err := hex.Decode(id, []byte(text))
	return err == nil
}

func putPort(attributes pcommon.Map, name string, port *uint16) {
	if port != nil {
		attributes.PutInt(name, int64(*port))
	}
}
