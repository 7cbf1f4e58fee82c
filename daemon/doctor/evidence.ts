// SPDX-License-Identifier: Apache-2.0
/** Why no option was believed: the explanation that fits what was counted, with who sends what. */
import { builtInProfiles } from '../config/profiles.ts';
import { profileNames } from './configuration.ts';
import type { PeerJson, Status, TallyJson } from './status.ts';

const count = (value: number | bigint) => value.toLocaleString('en');

/** `10.0.0.7 (1,200), 10.0.0.8 (3)`; empty where nothing is known. */
export function namePeers(peers: readonly PeerJson[]): string {
	return peers
		.slice(0, 3)
		.map(({ address, connections }) => `${address} (${count(connections)})`)
		.join(', ');
}

/** `now`: what was counted in the last minutes; no option was believed. */
export function explainAbsence(status: Status, now: TallyJson): string {
	const [none, untrusted, malformed] = [now.none, now.untrusted, now.malformed].map(BigInt) as [bigint, bigint, bigint];
	if (untrusted > 0n && untrusted >= malformed && untrusted >= none)
		return 'options come, from senders outside of trust: see Untrusted senders';
	if (malformed > 0n && malformed >= none) return 'options come, but broken: see Malformed options';
	return wrongKind(status, none) ?? withoutOption(status);
}

/** An option that nobody looks for, on a good part of the connections whose options are counted: those from trusted senders. */
function wrongKind({ recent, config, peers }: Status, none: bigint): string | undefined {
	const [option] = recent?.unknown_options ?? [];
	const trust = config.values.trust as readonly string[];
	const counted = trust.length === 0 ? none : BigInt(sum(peersWithout(peers.busiest).filter(({ trusted }) => trusted)));
	if (option === undefined || BigInt(option.connections) * 10n < (counted < none ? counted : none)) return undefined;
	const { kind, length } = option;
	const from = trust.length === 0 ? '' : ', from trusted networks,';
	const seen = `${count(BigInt(option.connections))} of them${from} had an option of kind ${kind} and length ${length}, which no active profile takes`;
	const known = builtInProfiles.find((profile) => profile.kind === kind && profile.length === length);
	if (known !== undefined) return `${seen}: if it is your balancer's, add ${known.name} to profiles`;
	const sameKind = builtInProfiles.find(
		(profile) => profile.kind === kind && profileNames(config.values).includes(profile.name),
	);
	const like = sameKind === undefined ? '' : ` (${sameKind.name} has length ${sameKind.length})`;
	return `${seen}${like}: if it is your balancer's, describe it as a profile of your own (docs/reference/configuration.md)`;
}

/** Peers of connections without an option. */
const peersWithout = (busiest: readonly PeerJson[]) => busiest.filter(({ verdict }) => verdict === 'none');

const sum = (of: readonly PeerJson[]) => of.reduce((total, { connections }) => total + connections, 0);

/** No option at all: then it matters who the peers are. */
function withoutOption({ config, peers }: Status): string {
	const names = profileNames(config.values).join(', ');
	const direct = peersWithout(peers.busiest);
	const trust = config.values.trust as readonly string[];
	if (direct.length === 0) {
		return `no option of ${names} came: clients connect directly, or the balancer does not send TOA`;
	}
	if (trust.length === 0) {
		return `no option of ${names} came; the peers are ${namePeers(direct)}: are these your balancers (then TOA is off there, or on the SYN alone: profiles with syn), or clients that come directly?`;
	}
	const [balancers, others] = [direct.filter(({ trusted }) => trusted), direct.filter(({ trusted }) => !trusted)];
	return sum(balancers) >= sum(others)
		? `they come from trusted networks, without an option: ${namePeers(balancers)}. Switch TOA on in the balancer, for this listener; or is it on the SYN alone, for which a profile needs syn: on? ${showSyns(balancers[0]?.address ?? '')}`
		: `they come from outside of trust, past the balancer: ${namePeers(others)}. Close that way, or add these networks to trust if they are your balancers`;
}

/** A command that shows the SYNs of a host, options and all. */
function showSyns(address: string): string {
	const isSyn = address.includes(':') ? 'ip6[53] & 18 == 2' : 'tcp[13] & 18 == 2';
	return `tcpdump -i any -nvv -c 5 'src host ${address} and ${isSyn}'`;
}
