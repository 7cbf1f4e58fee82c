// SPDX-License-Identifier: Apache-2.0

package toascopeprocessor

import "github.com/toascope/toascope/integrations/otelcol/internal/daemon"

// outcome is what became of an item: the values of the attribute `outcome` of
// otelcol_processor_toascope_items.
type outcome string

const (
	// outcomeEnriched: the item names the client, and has what is known of its connection.
	outcomeEnriched outcome = "enriched"
	// outcomeClaimKept: it has, but its client address is another one, which the policy keeps.
	outcomeClaimKept outcome = "claim_kept"
	// outcomePeerIsClient: the peer that it names is the client already (`transparent: on`).
	outcomePeerIsClient outcome = "peer_is_client"
	// outcomeNoClient: the connection is known, and no trusted TOA option named a client.
	outcomeNoClient outcome = "no_client"
	// outcomeNoPeer: no row of peerRows matches.
	outcomeNoPeer outcome = "no_peer"
	// outcomeUnknown: the daemon knows no connection of the peer at that time.
	outcomeUnknown outcome = "unknown"
	// outcomeAmbiguous: several connections fit.
	outcomeAmbiguous outcome = "ambiguous"
)

// outcomes lists all, with the reasons for which the daemon gave no answer.
var outcomes = []outcome{
	outcomeEnriched, outcomeClaimKept, outcomePeerIsClient, outcomeNoClient,
	outcomeNoPeer, outcomeUnknown, outcomeAmbiguous,
	outcome(daemon.Timeout), outcome(daemon.Unreachable), outcome(daemon.Refused),
	outcome(daemon.Invalid), outcome(daemon.Canceled),
}
