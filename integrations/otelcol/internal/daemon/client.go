// SPDX-License-Identifier: Apache-2.0

// Package daemon is a client of the toascope daemon's lookup, POST /v1/connections (docs/http.md),
// over its Unix socket.
package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// MaxQueries is the largest number of queries that the daemon accepts in one request.
	MaxQueries = 1000
	// maxConnections is how many requests the daemon works on at a time for one processor. The daemon
	// has one thread, so more would only wait there.
	maxConnections = 4
	// maxResponse bounds what a process that is not the daemon can make the Collector read, in bytes.
	maxResponse = 64 << 20
	// maxDetail is how much of a refusal is quoted, in bytes.
	maxDetail = 300
)

// Client asks one daemon. It can be used by many goroutines at a time.
type Client struct {
	http *http.Client
}

// NewClient returns a client for the Unix socket at this path. It connects with the first request.
func NewClient(socket string) *Client {
	var dialer net.Dialer
	return &Client{http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			MaxConnsPerHost:     maxConnections,
			MaxIdleConnsPerHost: maxConnections,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes idle connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
}

// Lookup returns the connections of each query, in the order of the queries, newest first, with these
// fields; the others are zero. At most MaxQueries are allowed. The deadline of the context limits the
// time.
//
// The error is always an *Error.
func (c *Client) Lookup(ctx context.Context, queries []Query, fields []Field) ([][]Connection, error) {
	body, err := json.Marshal(struct {
		Queries []Query `json:"queries"`
		Fields  []Field `json:"fields"`
	}{queries, fields})
	if err != nil {
		return nil, &Error{Reason: Invalid, Detail: err.Error()}
	}
	// the host name has no meaning over a Unix socket, but HTTP requires one
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://toascope/v1/connections", bytes.NewReader(body))
	if err != nil {
		return nil, &Error{Reason: Invalid, Detail: err.Error()}
	}
	request.Header.Set("content-type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, transportError(ctx, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err != nil {
		return nil, transportError(ctx, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, &Error{Reason: Refused, Detail: refusal(response.StatusCode, text)}
	}
	if len(text) > maxResponse {
		return nil, &Error{Reason: Invalid, Detail: fmt.Sprintf("the answer exceeds %d bytes", maxResponse)}
	}
	return parseAnswer(text, len(queries))
}

func transportError(ctx context.Context, err error) error {
	// the causes come first: a request that was given up also breaks its connection
	if errors.Is(ctx.Err(), context.Canceled) {
		return &Error{Reason: Canceled, Detail: err.Error()}
	}
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return &Error{Reason: Timeout, Detail: err.Error()}
	}
	// net/http has no typed error for an answer that is not HTTP
	if strings.Contains(err.Error(), "malformed") {
		return &Error{Reason: Invalid, Detail: err.Error()}
	}
	return &Error{Reason: Unreachable, Detail: err.Error()}
}

// refusal returns the detail of an RFC 9457 problem document, or the start of another answer.
func refusal(status int, text []byte) string {
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		text = []byte(problem.Detail)
	}
	if len(text) > maxDetail {
		text = text[:maxDetail]
	}
	return fmt.Sprintf("status %d: %s", status, strings.ToValidUTF8(string(text), "?"))
}
