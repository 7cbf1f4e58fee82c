// SPDX-License-Identifier: Apache-2.0
/** Why connections have no client: the explanation that fits the counts, and the peers. */

import type { PeerJson } from '../api/status.ts';
import type { Status } from '../client/status.ts';
import { profileNames } from './configuration.ts';
import { type Counts, number } from './tally.ts';
import { nameOption } from './unknown_options.ts';

export interface Explanation {
	/** Name of the finding that has the details; undefined: there is none. */
	readonly because?: string;
	readonly advice: string;
}

/** `10.0.0.7 (1,200), 10.0.0.8 (3)`; empty where nothing is known. */
export function namePeers(peers: readonly PeerJson[]): string {
	return peers
		.slice(0, 3)
		.map(({ address, connections }) => `${address} (${number(connections)})`)
		.join(', ');
}

/** `now`: the counts of the last minutes, in which too many connections have no client. */
export function explainMissing(status: Status, now: Counts): Explanation {
	const { untrusted, malformed } = now;
	const none = now.none - now.healthChecks;
	if (untrusted > 0n && untrusted >= malformed && untrusted >= none) {
		const advice = 'options arrive, but from senders outside trust: see Untrusted senders';
		return { because: 'untrusted', advice };
	}
	if (malformed > 0n && malformed >= none) {
		return { because: 'malformed', advice: 'options arrive, but malformed: see Malformed options' };
	}
	return unknownKind(status, now) ?? { advice: withoutOption(status, now) };
}

/** An option that matches no profile, on at least a tenth of the connections that lack one. */
function unknownKind({ recent, config }: Status, { lost }: Counts): Explanation | undefined {
	const [option] = recent?.unknown_options ?? [];
	if (option === undefined || BigInt(option.connections) * 10n < lost) return undefined;
	const { what, like, advice } = nameOption(option, config.values);
	const trust = config.values['trust'] as readonly string[];
	const from = trust.length === 0 ? '' : ', from trusted networks,';
	const found = `${number(option.connections)} of them${from} had ${what}, which no active profile matches${like}`;
	return { because: 'unknown_options', advice: `${found}: ${advice}` };
}

const sum = (peers: readonly PeerJson[]) => peers.reduce((total, { connections }) => total + connections, 0);

/** No option arrived at all, so the explanation depends on which peers these are. */
function withoutOption({ config, peers }: Status, now: Counts): string {
	const names = profileNames(config.values).join(', ');
	const direct = peers.busiest.filter(({ verdict }) => verdict === 'none');
	const trust = config.values['trust'] as readonly string[];
	if (direct.length === 0) {
		return `no option of ${names} arrived: clients connect directly, or the balancer does not send TOA`;
	}
	if (trust.length === 0) {
		return `no option of ${names} arrived; the peers are ${namePeers(direct)}: are these your balancers (then TOA is off there, or only on the SYN, for which a profile needs syn: on), or clients that connect directly?`;
	}
	const [balancers, others] = [direct.filter(({ trusted }) => trusted), direct.filter(({ trusted }) => !trusted)];
	if (now.lost === 0n || (now.toa === 0n && sum(balancers) < sum(others))) {
		return `they come from outside trust, bypassing the balancer: ${namePeers(others)}. Block that path, or add these networks to trust if they are your balancers`;
	}
	const some = now.toa + now.conflict > 0n ? `${sometimes(balancers, peers.busiest)} ` : '';
	return `they come from trusted networks, without an option: ${namePeers(balancers)}. ${some}Switch TOA on in the balancer for this listener. If it sends TOA only on the SYN, a profile needs syn: on; to see the SYNs: ${showSyns(balancers[0]?.address ?? '')}`;
}

/** Other connections have an option: says whether the peers differ, or the connections. */
function sometimes(without: readonly PeerJson[], busiest: readonly PeerJson[]): string {
	const sending = new Set(busiest.filter(({ verdict }) => verdict === 'toa').map(({ address }) => address));
	return without.some(({ address }) => sending.has(address))
		? 'They send options on other connections, so these are other listeners of the balancer, or health checks that send a request.'
		: 'They never send one: these are balancers without TOA, or health checks that send a request.';
}

/** A command that shows the SYNs of a host with their options. */
function showSyns(address: string): string {
	const isSyn = address.includes(':') ? 'ip6[53] & 18 == 2' : 'tcp[13] & 18 == 2';
	return `tcpdump -i any -nvv -c 5 'src host ${address} and ${isSyn}'`;
}
