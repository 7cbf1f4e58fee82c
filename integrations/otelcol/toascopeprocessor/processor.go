// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"context"
	"net/netip"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
)

// toascope is the processor of one signal.
type toascope struct {
	config    *Config
	lookup    *lookup
	enricher  *enricher
	telemetry *telemetry
}

func newToascope(settings processor.Settings, config *Config) (*toascope, error) {
	enricher, err := newEnricher(config)
	if err != nil {
		return nil, err
	}
	telemetry, err := newTelemetry(settings.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &toascope{
		config:    config,
		lookup:    newLookup(config, settings.Logger, telemetry),
		enricher:  enricher,
		telemetry: telemetry,
	}, nil
}

func (t *toascope) shutdown(context.Context) error {
	t.lookup.close()
	return nil
}

func (t *toascope) processTraces(ctx context.Context, traces ptrace.Traces) (ptrace.Traces, error) {
	t.process(ctx, spanItems(traces))
	return traces, nil
}

func (t *toascope) processLogs(ctx context.Context, logs plog.Logs) (plog.Logs, error) {
	t.process(ctx, logItems(logs))
	return logs, nil
}

// process enriches what it can. It never fails: what has no answer passes as it is, and is counted.
func (t *toascope) process(ctx context.Context, items []item) {
	answers := t.answers(ctx, items)
	counts := make(map[outcome]int64)
	for i := range items {
		one := &items[i]
		counts[t.processItem(one, answers[one.peer])]++
	}
	t.telemetry.countItems(ctx, counts)
}

// answers asks the daemon about the peers of the items. It returns in time: what has not been
// answered within config.Timeout is a failure.
func (t *toascope) answers(ctx context.Context, items []item) map[netip.AddrPort]answer {
	ctx, cancel := context.WithTimeout(ctx, t.config.Timeout)
	defer cancel()
	answers := t.lookup.ask(ctx, distinctPeers(items, func(*item) bool { return true }))
	t.lookup.addProcesses(ctx, answers, distinctPeers(items, func(one *item) bool {
		found := answers[one.peer]
		_, result := choose(one, found.connections, t.config.Slack)
		return result == outcomeAmbiguous && !found.byClient
	}))
	return answers
}

func (t *toascope) processItem(one *item, found answer) outcome {
	if one.row == nil {
		return outcomeNoPeer
	}
	if found.failure != nil {
		return outcome(found.failure.Reason)
	}
	connection, result := choose(one, found.connections, t.config.Slack)
	if connection == nil {
		return result
	}
	return t.enricher.enrich(one, connection, found.byClient)
}
