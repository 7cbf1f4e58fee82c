// SPDX-License-Identifier: Apache-2.0

// Package daemontest has stand-ins of the toascope daemon at real Unix sockets, also for what a real
// daemon cannot be made to do. test/host/collector_processor.test.ts uses the real one.
package daemontest

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
)

// Socket returns the path of a socket that does not exist yet.
func Socket(t testing.TB) string {
	return filepath.Join(t.TempDir(), "toascope.sock")
}

// Serve answers requests at the socket until the test ends or the returned function is called.
func Serve(t testing.TB, socket string, handler http.Handler) (stop func()) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	stop = sync.OnceFunc(func() {
		_ = server.Close()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// connection is the JSON of each field.
type connection map[string]json.RawMessage

// Daemon answers lookups as the daemon does (docs/http.md), from a table.
type Daemon struct {
	mutex       sync.Mutex
	connections map[string][]connection
	requests    [][]string
	fields      []string
}

// Add adds a connection, as the JSON of the API. `client` is "" if it has none; both are ADDR:PORT.
func (d *Daemon) Add(peer, client, text string) {
	var added connection
	if err := json.Unmarshal([]byte(text), &added); err != nil {
		panic(err)
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.connections == nil {
		d.connections = make(map[string][]connection)
	}
	d.connections["peer "+peer] = append(d.connections["peer "+peer], added)
	if client != "" {
		d.connections["client "+client] = append(d.connections["client "+client], added)
	}
}

// Requests returns the queries of each request so far, each as `KEY ADDR:PORT`.
func (d *Daemon) Requests() [][]string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return append([][]string(nil), d.requests...)
}

// Fields returns the fields that the last request asked for.
func (d *Daemon) Fields() []string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.fields
}

func (d *Daemon) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	var body struct {
		Queries []map[string]string `json:"queries"`
		Fields  []string            `json:"fields"`
	}
	if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	type result struct {
		Connections []connection `json:"connections"`
	}
	var asked []string
	results := []result{}
	for _, query := range body.Queries {
		for key, endpoint := range query {
			asked = append(asked, key+" "+endpoint)
			found := []connection{}
			for _, known := range d.connections[key+" "+endpoint] {
				found = append(found, known.only(body.Fields))
			}
			results = append(results, result{found})
		}
	}
	d.requests, d.fields = append(d.requests, asked), body.Fields
	response.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(response).Encode(map[string]any{"results": results})
}

func (c connection) only(fields []string) connection {
	part := make(connection, len(fields))
	for _, field := range fields {
		part[field] = c[field]
	}
	return part
}
