// SPDX-License-Identifier: Apache-2.0

package daemon

// Reason says why there is no answer.
type Reason string

// The reasons of Error.
const (
	// Timeout: the daemon did not answer in time.
	Timeout Reason = "timeout"
	// Unreachable: no connection could be made, or it broke before the answer had arrived.
	Unreachable Reason = "unreachable"
	// Refused: the daemon answered with a status other than 200.
	Refused Reason = "refused"
	// Invalid: the answer is not what the API promises.
	Invalid Reason = "invalid"
	// Canceled: the caller gave the batch up. It says nothing about the daemon.
	Canceled Reason = "canceled"
)

// Error is the error of Client.Lookup.
type Error struct {
	Reason Reason
	Detail string
}

func (e *Error) Error() string {
	return string(e.Reason) + ": " + e.Detail
}
