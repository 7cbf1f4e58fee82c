// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"testing"
	"time"
)

// clock is a clock that the test moves.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func (c *clock) pass(duration time.Duration) { c.now = c.now.Add(duration) }

var (
	hangs = &Error{Reason: Timeout}
	gone  = &Error{Reason: Unreachable}
)

func TestBackoffPausesLongerWithEachAttempt(t *testing.T) {
	clock := &clock{now: time.Unix(0, 0)}
	backoff := NewBackoff(clock.read)
	attempt, failure := backoff.Enter()
	if failure != nil {
		t.Fatal(failure)
	}
	backoff.Leave(attempt, hangs)
	for _, pause := range []time.Duration{250, 500, 1000, 2000, 4000, 5000, 5000} {
		clock.pass(pause*time.Millisecond - 1)
		if _, failure = backoff.Enter(); failure != hangs {
			t.Fatalf("a request is made %v after the failure: %v", pause*time.Millisecond, failure)
		}
		clock.pass(1)
		if attempt, failure = backoff.Enter(); failure != nil {
			t.Fatalf("no request after %v ms", pause)
		}
		if _, failure = backoff.Enter(); failure != hangs {
			t.Fatal("two requests try at the same time")
		}
		backoff.Leave(attempt, hangs)
	}
	clock.pass(maxPause)
	attempt, _ = backoff.Enter()
	if !backoff.Leave(attempt, nil) {
		t.Error("the success is no change")
	}
	if _, failure = backoff.Enter(); failure != nil {
		t.Error(failure)
	}
}

func TestBackoffOfSimultaneousFailuresIsOne(t *testing.T) {
	clock := &clock{now: time.Unix(0, 0)}
	backoff := NewBackoff(clock.read)
	attempts := make([]Attempt, 10)
	for i := range attempts {
		attempts[i], _ = backoff.Enter()
	}
	changes := 0
	for _, attempt := range attempts {
		if backoff.Leave(attempt, hangs) {
			changes++
		}
	}
	if changes != 1 {
		t.Errorf("%d changes", changes)
	}
	clock.pass(firstPause)
	if _, failure := backoff.Enter(); failure != nil {
		t.Errorf("still pausing: %v", failure)
	}
}

func TestBackoffReportsEachChangeOnce(t *testing.T) {
	clock := &clock{now: time.Unix(0, 0)}
	backoff := NewBackoff(clock.read)
	ends := []struct {
		failure *Error
		changed bool
	}{{nil, false}, {hangs, true}, {hangs, false}, {gone, true}, {gone, false}, {nil, true}, {nil, false}, {&Error{Reason: Canceled}, false}}
	for i, end := range ends {
		clock.pass(maxPause)
		attempt, failure := backoff.Enter()
		if failure != nil {
			t.Fatal(failure)
		}
		if changed := backoff.Leave(attempt, end.failure); changed != end.changed {
			t.Errorf("change %d is %v", i, changed)
		}
	}
}

func TestBackoffTriesAgainAfterARequestThatWasGivenUp(t *testing.T) {
	clock := &clock{now: time.Unix(0, 0)}
	backoff := NewBackoff(clock.read)
	attempt, _ := backoff.Enter()
	backoff.Leave(attempt, hangs)
	clock.pass(firstPause)
	attempt, _ = backoff.Enter()
	backoff.Leave(attempt, &Error{Reason: Canceled})
	if _, failure := backoff.Enter(); failure != nil {
		t.Errorf("nothing tries any more: %v", failure)
	}
}
