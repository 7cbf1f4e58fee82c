// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/toascope/toascope/integrations/otelcol/internal/daemon"
)

// Values of Config.Policy.
const (
	// policyKeep leaves a client address that another source has named.
	policyKeep = "keep"
	// policyAlways replaces it, and keeps it as toascope.client.address.claimed.
	policyAlways = "always"
)

// maxSocketPath is the size of sockaddr_un.sun_path less its final zero byte (unix(7)).
const maxSocketPath = 107

// Config is the configuration of the processor; README.md documents it.
type Config struct {
	// Endpoint is the path of the daemon's Unix socket.
	Endpoint string `mapstructure:"endpoint"`
	// Timeout is the longest time for which a batch waits for the daemon.
	Timeout time.Duration `mapstructure:"timeout"`
	// Slack is by how much the start of a span can miss the life of its connection.
	Slack time.Duration `mapstructure:"slack"`
	// BatchSize is the largest number of peers in one request to the daemon.
	BatchSize int `mapstructure:"batch_size"`
	// Policy is keep or always.
	Policy string `mapstructure:"policy"`
	// Listeners narrows the policy always to connections that arrive at these: ADDR:PORT or :PORT.
	Listeners []string `mapstructure:"listeners"`
	// Attributes selects what is written.
	Attributes AttributesConfig `mapstructure:"attributes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// AttributesConfig selects what is written besides the client.
type AttributesConfig struct {
	Client                bool `mapstructure:"client"`
	Link                  bool `mapstructure:"link"`
	RTT                   bool `mapstructure:"rtt"`
	RetransmittedSegments bool `mapstructure:"retransmitted_segments"`
	AcceptWait            bool `mapstructure:"accept_wait"`
	Verdict               bool `mapstructure:"verdict"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func defaultConfig() *Config {
	return &Config{
		Endpoint:  "/run/toascope/toascope.sock",
		Timeout:   250 * time.Millisecond,
		Slack:     10 * time.Millisecond,
		BatchSize: 512,
		Policy:    policyKeep,
		Attributes: AttributesConfig{
			Client:                true,
			Link:                  true,
			RTT:                   true,
			RetransmittedSegments: true,
			AcceptWait:            true,
			Verdict:               true,
		},
	}
}

// Validate reports every problem, each with the key that it is in.
func (c *Config) Validate() error {
	return errors.Join(
		validateEndpoint(c.Endpoint),
		validateDuration("timeout", c.Timeout, time.Millisecond, 10*time.Second),
		validateDuration("slack", c.Slack, 0, 10*time.Second),
		validateBatchSize(c.BatchSize),
		validatePolicy(c.Policy, c.Listeners),
	)
}

func validateEndpoint(path string) error {
	switch {
	case strings.Contains(path, "://"):
		return fmt.Errorf("endpoint: %q is a URL; give the path of the daemon's Unix socket (http.socket), such as /run/toascope/toascope.sock", path)
	case !filepath.IsAbs(path):
		return fmt.Errorf("endpoint: %q is not an absolute path", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("endpoint: the path has %d bytes; a Unix socket's has at most %d", len(path), maxSocketPath)
	}
	return nil
}

func validateDuration(key string, value, least, most time.Duration) error {
	if value < least || value > most {
		return fmt.Errorf("%s: %v is not between %v and %v", key, value, least, most)
	}
	return nil
}

func validateBatchSize(size int) error {
	if size < 1 || size > daemon.MaxQueries {
		return fmt.Errorf("batch_size: %d is not between 1 and %d, the most that the daemon accepts", size, daemon.MaxQueries)
	}
	return nil
}

func validatePolicy(policy string, listeners []string) error {
	if policy != policyKeep && policy != policyAlways {
		return fmt.Errorf("policy: %q is neither %q nor %q", policy, policyKeep, policyAlways)
	}
	if policy == policyKeep && len(listeners) > 0 {
		return fmt.Errorf("listeners: they narrow the policy %q; remove them or set it", policyAlways)
	}
	var problems []error
	for i, text := range listeners {
		if _, err := parseListener(text); err != nil {
			problems = append(problems, fmt.Errorf("listeners[%d]: %w", i, err))
		}
	}
	return errors.Join(problems...)
}

// parseListener parses ADDR:PORT, or :PORT, which has the zero address.
func parseListener(text string) (netip.AddrPort, error) {
	if digits, found := strings.CutPrefix(text, ":"); found {
		port, err := strconv.ParseUint(digits, 10, 16)
		if err == nil && port > 0 {
			return netip.AddrPortFrom(netip.Addr{}, uint16(port)), nil
		}
	} else if listener, err := netip.ParseAddrPort(text); err == nil && listener.Port() > 0 {
		return netip.AddrPortFrom(listener.Addr().Unmap(), listener.Port()), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%q is not ADDR:PORT or :PORT, such as 192.0.2.2:8080, [2001:db8::2]:8080 or :8080", text)
}
