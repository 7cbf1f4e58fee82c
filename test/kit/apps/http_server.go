// SPDX-License-Identifier: Apache-2.0

// A plain server: http_server NETWORK PORT LOG. It logs the peer's address and port, and its own
// pid.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	network, port := os.Args[1], os.Args[2]
	file, err := os.OpenFile(os.Args[3], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen(network, ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		host, port, _ := net.SplitHostPort(request.RemoteAddr)
		fmt.Fprintf(file, "%s %s %d\n", host, port, os.Getpid())
		fmt.Fprintln(response, "ok")
	})))
}
