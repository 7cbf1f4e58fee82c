// SPDX-License-Identifier: Apache-2.0

// Package toascopeprocessor is the processor `toascope` of the OpenTelemetry Collector. It names the
// real client of a request on SERVER and CONSUMER spans and on log records: it asks the toascope
// daemon of its host which client is behind the peer that an instrumentation has recorded.
package toascopeprocessor
