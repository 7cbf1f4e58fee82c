// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
)

// choose returns the connection that the item is about. Nil with outcomeUnknown: none was open at
// that time; nil with outcomeAmbiguous: more than one fits.
//
// Only the time excludes a connection. What the item says of the server's end narrows the choice
// where a connection agrees with it, and is ignored where none does: server.port is the one in the
// Host header, and a process id that of the container's namespace.
func choose(one *item, connections []daemon.Connection, slack time.Duration) (*daemon.Connection, outcome) {
	fitting := make([]*daemon.Connection, 0, len(connections))
	for i := range connections {
		if openAt(&connections[i], one, slack) {
			fitting = append(fitting, &connections[i])
		}
	}
	if len(fitting) == 0 {
		return nil, outcomeUnknown
	}
	for _, agrees := range narrowing {
		if len(fitting) == 1 {
			break
		}
		fitting = narrow(fitting, func(connection *daemon.Connection) bool { return agrees(one, connection) })
	}
	if len(fitting) > 1 {
		return nil, outcomeAmbiguous
	}
	return fitting[0], outcomeEnriched
}

// narrowing has the most reliable source first.
var narrowing = []func(*item, *daemon.Connection) bool{
	func(one *item, connection *daemon.Connection) bool {
		return isLocal(one, connection, "network.local.address", "network.local.port")
	},
	func(one *item, connection *daemon.Connection) bool {
		return isLocal(one, connection, "net.sock.host.addr", "net.sock.host.port")
	},
	inContainer,
	inProcess,
	func(one *item, connection *daemon.Connection) bool {
		return isLocal(one, connection, "server.address", "server.port")
	},
	func(one *item, connection *daemon.Connection) bool {
		return isLocal(one, connection, "net.host.ip", "net.host.port")
	},
	// without slack: only what was cut off from the time of the item is left to it
	func(one *item, connection *daemon.Connection) bool { return openAt(connection, one, 0) },
}

// narrow returns the connections that agree, or all if none does.
func narrow(connections []*daemon.Connection, agrees func(*daemon.Connection) bool) []*daemon.Connection {
	var agreeing []*daemon.Connection
	for _, connection := range connections {
		if agrees(connection) {
			agreeing = append(agreeing, connection)
		}
	}
	if len(agreeing) == 0 {
		return connections
	}
	return agreeing
}

// openAt reports whether the connection was open at the time of the item. The true time of the item
// is between its time and that plus its resolution; slack is added at both ends.
func openAt(connection *daemon.Connection, one *item, slack time.Duration) bool {
	latest := one.time.Add(one.resolution + slack)
	if connection.OpenedAt.After(latest) {
		return false
	}
	return connection.ClosedAt == nil || !one.time.Add(-slack).After(*connection.ClosedAt)
}

// isLocal reports whether these attributes name the server's end of the connection. At least one of
// them must be there; a host name says nothing.
func isLocal(one *item, connection *daemon.Connection, addressName, portName string) bool {
	address, hasAddress := addressOf(one.attributes, addressName)
	port, hasPort := portOf(one.attributes, portName)
	if hasAddress && address != connection.Local.Address {
		return false
	}
	if hasPort && (connection.Local.Port == nil || port != *connection.Local.Port) {
		return false
	}
	return hasAddress || hasPort
}

// inContainer compares container.id of the resource. Both can be shortened to at least 12 digits.
func inContainer(one *item, connection *daemon.Connection) bool {
	value, found := one.resource.Get("container.id")
	if !found || connection.Process == nil {
		return false
	}
	id, other := value.AsString(), connection.Process.ContainerID
	if len(id) > len(other) {
		id, other = other, id
	}
	return len(id) >= 12 && strings.HasPrefix(other, id)
}

func inProcess(one *item, connection *daemon.Connection) bool {
	value, found := one.resource.Get("process.pid")
	return found && value.Type() == pcommon.ValueTypeInt && connection.Process != nil && value.Int() == connection.Process.PID
}
