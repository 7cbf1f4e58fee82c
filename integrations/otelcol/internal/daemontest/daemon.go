// SPDX-License-Identifier: Apache-2.0

// Package daemontest has stand-ins of the toascope daemon at real Unix sockets, also for what a real
// daemon cannot be made to do. test/host/collector_processor.test.ts uses the real one.
package daemontest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
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

// Daemon answers lookups as the daemon does (docs/http.md), from a table.
type Daemon struct {
	// ByClient: the daemon knows the query key `client`.
	ByClient bool

	mutex       sync.Mutex
	connections map[string][]string
	clients     map[string][]string
	requests    [][]string
}

// Add adds a connection, as the JSON of the API. `client` is "" if it has none; both are ADDR:PORT.
func (d *Daemon) Add(peer, client, connection string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.connections == nil {
		d.connections, d.clients = make(map[string][]string), make(map[string][]string)
	}
	d.connections[peer] = append(d.connections[peer], connection)
	if client != "" {
		d.clients[client] = append(d.clients[client], connection)
	}
}

// Requests returns the queries of each request so far, each as `KEY ADDR:PORT`.
func (d *Daemon) Requests() [][]string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return append([][]string(nil), d.requests...)
}

func (d *Daemon) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	var body struct {
		Queries []map[string]string `json:"queries"`
	}
	if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		refuse(response, "the body must be JSON")
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	var asked, results []string
	refused := ""
	for i, query := range body.Queries {
		var found []string
		for key, endpoint := range query {
			asked = append(asked, key+" "+endpoint)
			switch {
			case key == "peer":
				found = d.connections[endpoint]
			case key == "client" && d.ByClient:
				found = d.clients[endpoint]
			default:
				refused = fmt.Sprintf("queries[%d]: unknown parameter '%s'; the parameters are peer, local, netns, at", i, key)
			}
		}
		results = append(results, `{"connections":[`+strings.Join(found, ",")+`]}`)
	}
	d.requests = append(d.requests, asked)
	if refused != "" {
		refuse(response, refused)
		return
	}
	response.Header().Set("content-type", "application/json")
	fmt.Fprintf(response, `{"results":[%s]}`, strings.Join(results, ","))
}

func refuse(response http.ResponseWriter, detail string) {
	response.Header().Set("content-type", "application/problem+json")
	response.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(response).Encode(map[string]any{"status": http.StatusBadRequest, "detail": detail})
}
