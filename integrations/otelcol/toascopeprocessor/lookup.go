// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
)

// answer is what the daemon said of one peer.
type answer struct {
	connections []daemon.Connection
	// byClient: these are the connections whose client the peer is.
	byClient bool
	// failure is why there is no answer.
	failure *daemon.Error
}

// lookup asks the daemon about the peers of a batch.
type lookup struct {
	config    *Config
	client    *daemon.Client
	backoff   *daemon.Backoff
	logger    *zap.Logger
	telemetry *telemetry
	fields    []daemon.Field
}

func newLookup(config *Config, logger *zap.Logger, telemetry *telemetry) *lookup {
	return &lookup{
		config:    config,
		client:    daemon.NewClient(config.Endpoint),
		backoff:   daemon.NewBackoff(time.Now),
		logger:    logger,
		telemetry: telemetry,
		fields:    fieldsOf(config.Attributes),
	}
}

// fieldsOf returns the fields that choose a connection, and those of the attributes that are written.
func fieldsOf(attributes AttributesConfig) []daemon.Field {
	fields := []daemon.Field{daemon.FieldClient, daemon.FieldLocal, daemon.FieldOpenedAt, daemon.FieldClosedAt}
	add := func(wanted bool, more ...daemon.Field) {
		if wanted {
			fields = append(fields, more...)
		}
	}
	add(attributes.Link, daemon.FieldTraceID, daemon.FieldSpanID)
	add(attributes.RTT, daemon.FieldRTT)
	add(attributes.RetransmittedSegments, daemon.FieldRetransmittedSegments)
	add(attributes.AcceptWait, daemon.FieldAcceptWait)
	add(attributes.Verdict, daemon.FieldVerdict)
	return fields
}

func (l *lookup) close() {
	l.client.Close()
}

// ask returns an answer for each peer. The deadline of the context limits the time.
func (l *lookup) ask(ctx context.Context, peers []netip.AddrPort) map[netip.AddrPort]answer {
	answers := make(map[netip.AddrPort]answer, len(peers))
	var unknown []netip.AddrPort
	for i, found := range l.askAll(ctx, peers, byPeer, l.fields) {
		answers[peers[i]] = found
		if found.failure == nil && len(found.connections) == 0 {
			unknown = append(unknown, peers[i])
		}
	}
	fields := append(slices.Clone(l.fields), daemon.FieldPeer)
	for i, found := range l.askAll(ctx, unknown, byClient, fields) {
		// without an answer to this, the peer remains unknown
		if found.failure == nil {
			found.byClient = true
			answers[unknown[i]] = found
		}
	}
	return answers
}

// addProcesses asks again about these peers, for the processes that own their connections, which
// double the size of an answer. Without an answer to this, the first remains.
func (l *lookup) addProcesses(ctx context.Context, answers map[netip.AddrPort]answer, peers []netip.AddrPort) {
	fields := append(slices.Clone(l.fields), daemon.FieldProcess)
	for i, found := range l.askAll(ctx, peers, byPeer, fields) {
		if found.failure == nil {
			answers[peers[i]] = found
		}
	}
}

// distinctPeers returns the peers of the items that `wanted` returns true for.
func distinctPeers(items []item, wanted func(*item) bool) []netip.AddrPort {
	seen := make(map[netip.AddrPort]struct{})
	var peers []netip.AddrPort
	for i := range items {
		peer := items[i].peer
		if _, found := seen[peer]; !found && items[i].row != nil && wanted(&items[i]) {
			seen[peer] = struct{}{}
			peers = append(peers, peer)
		}
	}
	return peers
}

func byPeer(endpoint netip.AddrPort) daemon.Query {
	return daemon.Query{Peer: endpoint.String()}
}

func byClient(endpoint netip.AddrPort) daemon.Query {
	return daemon.Query{Client: endpoint.String()}
}

// askAll returns an answer for each endpoint, in their order. After a failure the rest is not asked.
func (l *lookup) askAll(ctx context.Context, endpoints []netip.AddrPort, queryOf func(netip.AddrPort) daemon.Query, fields []daemon.Field) []answer {
	answers := make([]answer, 0, len(endpoints))
	for len(answers) < len(endpoints) {
		rest := endpoints[len(answers):]
		queries := make([]daemon.Query, min(len(rest), l.config.BatchSize))
		for i := range queries {
			queries[i] = queryOf(rest[i])
		}
		found, failure := l.request(ctx, queries, fields)
		if failure != nil {
			for range rest {
				answers = append(answers, answer{failure: failure})
			}
			break
		}
		for _, connections := range found {
			answers = append(answers, answer{connections: connections})
		}
	}
	return answers
}

// request makes one request, unless the daemon has failed a moment ago.
func (l *lookup) request(ctx context.Context, queries []daemon.Query, fields []daemon.Field) ([][]daemon.Connection, *daemon.Error) {
	attempt, failure := l.backoff.Enter()
	if failure != nil {
		return nil, failure
	}
	begin := time.Now()
	found, err := l.client.Lookup(ctx, queries, fields)
	result := resultOK
	if errors.As(err, &failure) {
		result = string(failure.Reason)
	}
	l.telemetry.recordRequest(ctx, time.Since(begin), result)
	l.leave(attempt, failure)
	return found, failure
}

// leave ends an attempt, and logs a change: a line for each batch would flood the log.
func (l *lookup) leave(attempt daemon.Attempt, failure *daemon.Error) {
	if !l.backoff.Leave(attempt, failure) {
		return
	}
	endpoint := zap.String("endpoint", l.config.Endpoint)
	if failure == nil {
		l.logger.Info("the toascope daemon answers again", endpoint)
		return
	}
	l.logger.Warn(
		"no answer from the toascope daemon; spans and log records pass without their client",
		endpoint,
		zap.String("reason", string(failure.Reason)),
		zap.String("detail", failure.Detail),
	)
}
