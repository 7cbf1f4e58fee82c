// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"net/netip"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// peerRow is one pair of attributes in which instrumentations record the peer of a connection.
type peerRow struct {
	address string
	port    string
	// client is the attribute that names the client in the same version of the conventions.
	client string
	// writers is who writes this pair; docs/collector-processor.md has the same text.
	writers string
}

const (
	clientAddress  = "client.address"
	clientPort     = "client.port"
	httpClientIP   = "http.client_ip"
	peerAddress    = "network.peer.address"
	peerPort       = "network.peer.port"
	claimedAddress = "toascope.client.address.claimed"
)

// peerRows are tried in this order: the pair that names only the peer precedes those that can also
// name a client behind a proxy. The first whose address is an IP address and whose port is a port
// counts.
//
// Sources: the semantic conventions of HTTP, stable (1.23.0) and as they were (1.20.0 and before),
// and what the instrumentations of `writers` write.
var peerRows = []peerRow{
	{peerAddress, peerPort, clientAddress, "stable conventions: Node.js, Java agent, Go otelhttp and otelgrpc"},
	{"net.sock.peer.addr", "net.sock.peer.port", httpClientIP, "conventions 1.13 to 1.20: nginx-otel, older Java agents and Go otelhttp"},
	{peerAddress, clientPort, clientAddress, "PHP: Laravel"},
	{"net.sock.peer.addr", "net.peer.port", httpClientIP, "conventions 1.13 to 1.20, where both ports are equal"},
	{"net.peer.ip", "net.peer.port", httpClientIP, "Python by default, older Node.js"},
	{"net.peer.ip", clientPort, httpClientIP, "PHP: Symfony"},
	{clientAddress, clientPort, clientAddress, "Python with OTEL_SEMCONV_STABILITY_OPT_IN=http"},
}

// overlaps reports whether naming the client overwrites a part of the pair.
func (r *peerRow) overlaps() bool {
	return r.address == clientAddress || r.port == clientPort
}

// clientAttributes returns the attributes that name the client in the dialects that the item speaks:
// that of the row, and with OTEL_SEMCONV_STABILITY_OPT_IN=http/dup the other one too.
func (r *peerRow) clientAttributes(attributes pcommon.Map) []string {
	other, sign := clientAddress, "http.request.method"
	if r.client == clientAddress {
		other, sign = httpClientIP, "http.method"
	}
	if _, found := attributes.Get(sign); found {
		return []string{r.client, other}
	}
	return []string{r.client}
}

// findPeer returns the peer that an item names, and the row that it was found by, or nil.
func findPeer(attributes pcommon.Map) (netip.AddrPort, *peerRow) {
	for i := range peerRows {
		row := &peerRows[i]
		address, known := addressOf(attributes, row.address)
		if !known {
			continue
		}
		if port, known := portOf(attributes, row.port); known {
			return netip.AddrPortFrom(address, port), row
		}
	}
	return netip.AddrPort{}, nil
}

// addressOf returns the IP address in an attribute. Those of dual-stack sockets (::ffff:a.b.c.d) are
// the IPv4 addresses that they stand for.
func addressOf(attributes pcommon.Map, name string) (netip.Addr, bool) {
	value, found := attributes.Get(name)
	if !found || value.Type() != pcommon.ValueTypeStr {
		return netip.Addr{}, false
	}
	return parseAddress(value.Str())
}

func parseAddress(text string) (netip.Addr, bool) {
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		text = text[1 : len(text)-1]
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return address.Unmap().WithZone(""), true
}

// portOf returns the port in an attribute: an integer, a whole number or, from PHP, a string of digits.
func portOf(attributes pcommon.Map, name string) (uint16, bool) {
	value, found := attributes.Get(name)
	if !found {
		return 0, false
	}
	port := int64(0)
	switch value.Type() {
	case pcommon.ValueTypeInt:
		port = value.Int()
	case pcommon.ValueTypeDouble: // a number of an access log in JSON
		port = int64(value.Double())
		if float64(port) != value.Double() {
			return 0, false
		}
	case pcommon.ValueTypeStr:
		parsed, err := strconv.ParseUint(value.Str(), 10, 16)
		if err != nil {
			return 0, false
		}
		port = int64(parsed)
	default:
		return 0, false
	}
	return uint16(port), port > 0 && port <= 0xffff
}
