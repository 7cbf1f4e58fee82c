// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/confmap"
)

// load reads a configuration as the Collector does.
func load(t *testing.T, keys map[string]any) (*Config, error) {
	t.Helper()
	config := defaultConfig()
	if err := confmap.NewFromStringMap(keys).Unmarshal(config); err != nil {
		return nil, err
	}
	return config, confmap.Validate(config)
}

func TestDefaultConfig(t *testing.T) {
	config, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if config.Endpoint != "/run/toascope/toascope.sock" || config.Timeout != 250*time.Millisecond || config.BatchSize != 512 {
		t.Errorf("defaults %+v", config)
	}
}

func TestConfigOfEachKey(t *testing.T) {
	config, err := load(t, map[string]any{
		"endpoint": "/run/x.sock", "timeout": "1s", "slack": "0s", "batch_size": 1000,
		"policy": "always", "listeners": []any{":443", "192.0.2.2:8080", "[2001:db8::2]:80"},
		"attributes": map[string]any{"link": false},
	})
	if err != nil {
		t.Fatal(err)
	}
	if config.Attributes.Link || !config.Attributes.RTT || len(config.Listeners) != 3 || config.Slack != 0 {
		t.Errorf("read %+v", config)
	}
}

func TestInvalidConfig(t *testing.T) {
	cases := []struct {
		key   string
		value any
		says  string
	}{
		{"endpoint", "http://127.0.0.1:10646", "endpoint: \"http://127.0.0.1:10646\" is a URL; give the path"},
		{"endpoint", "toascope.sock", "endpoint: \"toascope.sock\" is not an absolute path"},
		{"endpoint", "", "endpoint: \"\" is not an absolute path"},
		{"endpoint", "/" + strings.Repeat("x", 107), "endpoint: the path has 108 bytes"},
		{"timeout", "0s", "timeout: 0s is not between 1ms and 10s"},
		{"slack", "-1ms", "slack: -1ms is not between 0s and 10s"},
		{"batch_size", 0, "batch_size: 0 is not between 1 and 1000"},
		{"batch_size", 1001, "batch_size: 1001 is not between 1 and 1000"},
		{"policy", "never", "policy: \"never\" is neither \"keep\" nor \"always\""},
		{"listeners", []any{":443"}, "listeners: they narrow the policy \"always\""},
		{"endpiont", "/x", "endpiont"},
		{"attributes", map[string]any{"rttt": true}, "rttt"},
	}
	for _, one := range cases {
		_, err := load(t, map[string]any{one.key: one.value})
		if err == nil || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: %v: %v", one.key, one.value, err)
		}
	}
	for _, listener := range []string{"443", ":0", ":70000", "192.0.2.2", "host:80", "2001:db8::2:80x"} {
		_, err := load(t, map[string]any{"policy": "always", "listeners": []any{":80", listener}})
		if err == nil || !strings.Contains(err.Error(), "listeners[1]: \""+listener+"\" is not ADDR:PORT or :PORT") {
			t.Errorf("listener %s: %v", listener, err)
		}
	}
}
