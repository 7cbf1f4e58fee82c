// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"os"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
)

type metadata struct {
	Type       string
	ScopeName  string `yaml:"scope_name"`
	Attributes map[string]struct{ Enum []string }
	Telemetry  struct {
		Metrics map[string]struct {
			Description string
			Unit        string
			Histogram   *struct {
				Boundaries []float64 `yaml:"bucket_boundaries"`
			}
			Attributes []string
		}
	}
}

func TestMetadataDescribesTheMetrics(t *testing.T) {
	text, err := os.ReadFile("metadata.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var described metadata
	if err := yaml.Unmarshal(text, &described); err != nil {
		t.Fatal(err)
	}
	if described.Type != NewFactory().Type().String() || described.ScopeName != scopeName {
		t.Errorf("type %s, scope %s", described.Type, described.ScopeName)
	}
	var names []string
	for _, one := range outcomes {
		names = append(names, string(one))
	}
	if !slices.Equal(described.Attributes["outcome"].Enum, names) {
		t.Errorf("outcomes %v", described.Attributes["outcome"].Enum)
	}
	results := []string{resultOK}
	for _, reason := range []daemon.Reason{daemon.Timeout, daemon.Unreachable, daemon.Refused, daemon.Invalid, daemon.Canceled} {
		results = append(results, string(reason))
	}
	if !slices.Equal(described.Attributes["result"].Enum, results) {
		t.Errorf("results %v", described.Attributes["result"].Enum)
	}

	p := startPipeline(t, testConfig("/nonexistent/toascope.sock"))
	p.send(t, serverSpans(known))
	for name, metric := range described.Telemetry.Metrics {
		found, err := p.metrics.GetMetric("otelcol_" + name)
		if err != nil {
			t.Error(err)
			continue
		}
		if found.Description != metric.Description || found.Unit != metric.Unit {
			t.Errorf("%s: %q, %s", name, found.Description, found.Unit)
		}
		if histogram, ok := found.Data.(metricdata.Histogram[float64]); ok && !slices.Equal(histogram.DataPoints[0].Bounds, metric.Histogram.Boundaries) {
			t.Errorf("%s: %v", name, histogram.DataPoints[0].Bounds)
		}
	}
}
