// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"sync"
	"time"
)

const (
	firstPause = 250 * time.Millisecond
	maxPause   = 5 * time.Second
)

// Backoff decides whether the daemon is asked at all. After a failure there is a pause, doubled with
// each further attempt, in which nothing is asked; then one request tries again while the others
// still do without. So a daemon that hangs costs the pipeline one timeout in each pause.
type Backoff struct {
	now func() time.Time

	mutex   sync.Mutex
	failure *Error
	pause   time.Duration
	until   time.Time
	trying  bool
}

// Attempt is the permission to make one request.
type Attempt struct {
	// retry is true for the one request that tries again after a pause.
	retry bool
}

// NewBackoff returns a Backoff that lets requests pass. `now` is the clock: time.Now.
func NewBackoff(now func() time.Time) *Backoff {
	return &Backoff{now: now}
}

// Enter returns an attempt, which Leave must end, or the last failure if no request can be made now.
func (b *Backoff) Enter() (Attempt, *Error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.failure == nil {
		return Attempt{}, nil
	}
	if b.trying || b.now().Before(b.until) {
		return Attempt{}, b.failure
	}
	b.trying = true
	return Attempt{retry: true}, nil
}

// Leave records how a request ended: nil is success. It returns true if that is a change, between
// success and failure or from one reason to another.
func (b *Backoff) Leave(attempt Attempt, failure *Error) (changed bool) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if attempt.retry {
		b.trying = false
	}
	before := b.failure
	if failure == nil {
		b.failure, b.pause = nil, 0
		return before != nil
	}
	if failure.Reason == Canceled {
		return false
	}
	// requests that began before the first failure do not lengthen the pause
	if before == nil || attempt.retry {
		b.pause = min(max(2*b.pause, firstPause), maxPause)
		b.until = b.now().Add(b.pause)
	}
	b.failure = failure
	return before == nil || before.Reason != failure.Reason
}
