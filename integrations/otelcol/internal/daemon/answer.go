// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net/netip"
	"time"

	jsoniter "github.com/json-iterator/go"
)

// parseAnswer reads the answer to so many queries. It reads value by value, because most of the
// processor's time would go into encoding/json, which takes three times as long. json-iterator is the
// library that the Collector itself reads OTLP/JSON with.
func parseAnswer(text []byte, queries int) ([][]Connection, error) {
	found := make([][]Connection, 0, queries)
	iter := jsoniter.ParseBytes(jsoniter.ConfigDefault, text)
	eachField(iter, func(field string) {
		if field != "results" {
			iter.Skip()
			return
		}
		for iter.ReadArray() {
			found = append(found, readResult(iter))
		}
	})
	if iter.Error != nil {
		return nil, &Error{Reason: Invalid, Detail: iter.Error.Error()}
	}
	if len(found) != queries {
		return nil, &Error{Reason: Invalid, Detail: fmt.Sprintf("%d results for %d queries", len(found), queries)}
	}
	return found, nil
}

// eachField calls `read` with the name of each field of an object; it must read or skip the value.
// A null is an object without fields.
func eachField(iter *jsoniter.Iterator, read func(field string)) {
	iter.ReadObjectCB(func(_ *jsoniter.Iterator, field string) bool {
		read(field)
		return iter.Error == nil
	})
}

func readResult(iter *jsoniter.Iterator) []Connection {
	var connections []Connection
	eachField(iter, func(field string) {
		if field != "connections" {
			iter.Skip()
			return
		}
		for iter.ReadArray() {
			connections = append(connections, readConnection(iter))
		}
	})
	return connections
}

func readConnection(iter *jsoniter.Iterator) Connection {
	var connection Connection
	eachField(iter, func(field string) {
		switch Field(field) {
		case FieldPeer:
			connection.Peer = readEndpoint(iter)
		case FieldClient:
			connection.Client = orNull(iter, readEndpoint)
		case FieldLocal:
			connection.Local = readEndpoint(iter)
		case FieldVerdict:
			connection.Verdict = iter.ReadString()
		case FieldOpenedAt:
			connection.OpenedAt = readTime(iter)
		case FieldClosedAt:
			connection.ClosedAt = orNull(iter, readTime)
		case FieldProcess:
			connection.Process = orNull(iter, readProcess)
		case FieldRetransmittedSegments:
			connection.RetransmittedSegments = iter.ReadInt64()
		case FieldRTT:
			connection.RTTSeconds = orNull(iter, (*jsoniter.Iterator).ReadFloat64)
		case FieldAcceptWait:
			connection.AcceptWaitSeconds = orNull(iter, (*jsoniter.Iterator).ReadFloat64)
		case FieldTraceID:
			connection.TraceID = orNull(iter, (*jsoniter.Iterator).ReadString)
		case FieldSpanID:
			connection.SpanID = orNull(iter, (*jsoniter.Iterator).ReadString)
		default:
			iter.Skip()
		}
	})
	return connection
}

// orNull returns nil for null.
func orNull[T any](iter *jsoniter.Iterator, read func(*jsoniter.Iterator) T) *T {
	if iter.ReadNil() {
		return nil
	}
	value := read(iter)
	return &value
}

func readEndpoint(iter *jsoniter.Iterator) Endpoint {
	var endpoint Endpoint
	eachField(iter, func(field string) {
		switch field {
		case "address":
			endpoint.Address = parsed(iter, netip.ParseAddr)
		case "port":
			endpoint.Port = orNull(iter, (*jsoniter.Iterator).ReadUint16)
		default:
			iter.Skip()
		}
	})
	return endpoint
}

func readProcess(iter *jsoniter.Iterator) Process {
	var process Process
	eachField(iter, func(field string) {
		switch field {
		case "pid":
			process.PID = iter.ReadInt64()
		case "container_id":
			// ReadString returns "" for null
			process.ContainerID = iter.ReadString()
		default:
			iter.Skip()
		}
	})
	return process
}

func readTime(iter *jsoniter.Iterator) time.Time {
	return parsed(iter, func(text string) (time.Time, error) { return time.Parse(time.RFC3339Nano, text) })
}

// parsed reads a string and parses it.
func parsed[T any](iter *jsoniter.Iterator, parse func(string) (T, error)) T {
	value, err := parse(iter.ReadString())
	if err != nil && iter.Error == nil {
		iter.Error = err
	}
	return value
}
