// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const scopeName = "github.com/toascope/toascope/integrations/otelcol/toascopeprocessor"

// resultOK is the value of `result` for a request that was answered; the others are daemon.Reason.
const resultOK = "ok"

var durationBounds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1}

// telemetry has the processor's own metrics, which metadata.yaml lists.
type telemetry struct {
	items    metric.Int64Counter
	duration metric.Float64Histogram
	// outcomes are the options of each outcome, made once.
	outcomes map[outcome]metric.MeasurementOption
}

func newTelemetry(settings component.TelemetrySettings) (*telemetry, error) {
	meter := settings.MeterProvider.Meter(scopeName)
	items, itemsErr := meter.Int64Counter(
		"otelcol_processor_toascope_items",
		metric.WithDescription("SERVER and CONSUMER spans and log records, by what became of them."),
		metric.WithUnit("{item}"),
	)
	duration, durationErr := meter.Float64Histogram(
		"otelcol_processor_toascope_request_duration",
		metric.WithDescription("Duration of requests to the toascope daemon."),
		metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(durationBounds...),
	)
	options := make(map[outcome]metric.MeasurementOption, len(outcomes))
	for _, one := range outcomes {
		options[one] = metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", string(one))))
	}
	return &telemetry{items, duration, options}, errors.Join(itemsErr, durationErr)
}

func (t *telemetry) countItems(ctx context.Context, counts map[outcome]int64) {
	for one, count := range counts {
		t.items.Add(ctx, count, t.outcomes[one])
	}
}

func (t *telemetry) recordRequest(ctx context.Context, duration time.Duration, result string) {
	t.duration.Record(ctx, duration.Seconds(), metric.WithAttributes(attribute.String("result", result)))
}
