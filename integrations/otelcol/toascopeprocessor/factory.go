// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
)

// NewFactory returns the factory of the processor `toascope`.
func NewFactory() processor.Factory {
	return processor.NewFactory(
		component.MustNewType("toascope"),
		func() component.Config { return defaultConfig() },
		processor.WithTraces(createTraces, component.StabilityLevelDevelopment),
		processor.WithLogs(createLogs, component.StabilityLevelDevelopment),
	)
}

func createTraces(ctx context.Context, settings processor.Settings, config component.Config, next consumer.Traces) (processor.Traces, error) {
	made, err := create(settings, config)
	if err != nil {
		return nil, err
	}
	return processorhelper.NewTraces(ctx, settings, config, next, made.processTraces, made.options()...)
}

func createLogs(ctx context.Context, settings processor.Settings, config component.Config, next consumer.Logs) (processor.Logs, error) {
	made, err := create(settings, config)
	if err != nil {
		return nil, err
	}
	return processorhelper.NewLogs(ctx, settings, config, next, made.processLogs, made.options()...)
}

func create(settings processor.Settings, config component.Config) (*toascope, error) {
	own, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("configuration of type %T", config)
	}
	return newToascope(settings, own)
}

func (t *toascope) options() []processorhelper.Option {
	return []processorhelper.Option{
		processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true}),
		processorhelper.WithShutdown(t.shutdown),
	}
}
