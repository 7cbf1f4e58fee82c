// SPDX-License-Identifier: Apache-2.0

// `server HOST PORT`: answers each request with the attributes of its span, in JSON.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"

	"go.opentelemetry.io/otel/sdk/trace"
	"toascope.test/in-process/client"
)

func main() {
	tracer := trace.NewTracerProvider().Tracer("server")
	answer := func(response http.ResponseWriter, request *http.Request) {
		ctx, span := tracer.Start(request.Context(), "request")
		client.SetClient(ctx)
		attributes := map[string]any{}
		for _, attribute := range span.(trace.ReadOnlySpan).Attributes() {
			attributes[string(attribute.Key)] = attribute.Value.AsInterface()
		}
		span.End()
		json.NewEncoder(response).Encode(attributes)
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	server := http.Server{Handler: http.HandlerFunc(answer), ConnContext: client.ConnContext}
	panic(server.Serve(listener))
}
