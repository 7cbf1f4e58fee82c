// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/netip"
	"time"
)

// Query asks for the connections of one endpoint. Exactly one of its fields is set; both have the
// form ADDR:PORT, with IPv6 addresses in brackets.
type Query struct {
	// Peer is the other end of the server's socket, as getpeername() returns it without toascope.
	Peer string `json:"peer,omitempty"`
	// Client is the endpoint in the TOA option. Where the option has no port, the peer's counts, which
	// is what accept() returns with `transparent: on`.
	Client string `json:"client,omitempty"`
}

// Field is a field of a connection in the API.
type Field string

// The fields of Connection.
const (
	FieldPeer                  Field = "peer"
	FieldClient                Field = "client"
	FieldLocal                 Field = "local"
	FieldVerdict               Field = "verdict"
	FieldOpenedAt              Field = "opened_at"
	FieldClosedAt              Field = "closed_at"
	FieldProcess               Field = "process"
	FieldRetransmittedSegments Field = "retransmitted_segments"
	FieldRTT                   Field = "rtt_seconds"
	FieldAcceptWait            Field = "accept_wait_seconds"
	FieldTraceID               Field = "trace_id"
	FieldSpanID                Field = "span_id"
)

// Endpoint is an address and a port. Port is nil where the option carried none.
type Endpoint struct {
	Address netip.Addr
	Port    *uint16
}

// Process is the process that owns the connection, as the host numbers it.
type Process struct {
	PID int64
	// ContainerID has 64 hexadecimal digits; it is empty if the process runs in no container.
	ContainerID string
}

// Connection is the part of an answer of /v1/connections that spans and log records can use. The
// shape is documented in docs/http.md; pointers are nil where the API says null.
type Connection struct {
	Peer                  Endpoint
	Client                *Endpoint
	Local                 Endpoint
	Verdict               string
	OpenedAt              time.Time
	ClosedAt              *time.Time
	Process               *Process
	RetransmittedSegments int64
	RTTSeconds            *float64
	AcceptWaitSeconds     *float64
	// TraceID and SpanID are those of the connection's own span, in hexadecimal.
	TraceID *string
	SpanID  *string
}
