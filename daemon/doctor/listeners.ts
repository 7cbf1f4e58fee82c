// SPDX-License-Identifier: Apache-2.0
/** Listener by listener: which has no TOA any more, which loses options, and whether it should wait for data. */
import { includesPort } from '../config/ports.ts';
import { type Check, check, dueTo } from './check.ts';
import type { Values } from './configuration.ts';
import type { ListeningJson, RecentJson, Status } from './status.ts';
import { type Counts, countsOf, missing, number, ofClients, tooManyMissing, withClient } from './tally.ts';

type Line = RecentJson['listeners'][number];

const shownMax = 3;

/** `A (x), B (y) and 2 more` */
function listed(lines: readonly Line[], what: (counts: Counts) => string): string {
	const names = lines.slice(0, shownMax).map((line) => `${line.listener} (${what(countsOf(line))})`);
	const more = lines.length > shownMax ? ` and ${lines.length - shownMax} more` : '';
	return `${names.join(', ')}${more}`;
}

/** A listener that had TOA and has none any more, while another may go on. `cause`: where all of it has none. */
export function silentListeners({ listeners }: RecentJson, cause: string | undefined): Check[] {
	const silent = listeners.filter((line) => {
		const counts = countsOf(line);
		return BigInt(line.believed_before) > 0n && ofClients(counts) > 0n && withClient(counts) === 0n;
	});
	if (silent.length === 0) return [];
	const found = listed(silent, (counts) => `0 of ${number(ofClients(counts))}`);
	const advice = 'it had before: was the balancer of this listener changed?';
	return [dueTo(cause, check('silent_listeners', 'Listeners gone silent', 'warn', found, advice))];
}

/** Listeners on which too many connections of trusted peers have no option. */
function losing({ recent, config }: Status): readonly Line[] {
	const trust = config.values['trust'] as readonly string[];
	return (recent?.listeners ?? []).filter((line) => {
		const counts = countsOf(line);
		return counts.lost > 0n && tooManyMissing(counts, trust);
	});
}

/** Beside others that are well, one would not be seen in the sum. */
export function lostOptions(status: Status, cause: string | undefined): Check[] {
	const lines = losing(status);
	if (lines.length === 0) return [];
	const found = `without the option that their peers should have sent: ${listed(lines, (counts) => `${number(counts.lost)} of ${number(missing(counts) + withClient(counts))}`)}`;
	const advice =
		'is TOA on for these listeners of the balancer? Its health checks are left out, where they send no data';
	return [dueTo(cause, check('lost_options', 'Options lost', 'warn', found, advice))];
}

/**
 * An option on the first data comes after accept() has returned, unless the kernel waits for data (TCP_DEFER_ACCEPT); where it
 * does, it drops the bare ACK, and an option that is there alone.
 */
export function deferChecks(status: Status): Check[] {
	const { recent, config, peers } = status;
	const listening = peers.listening ?? [];
	const of = (wanted: (counts: Counts, socket: ListeningJson) => boolean) =>
		(recent?.listeners ?? []).filter((line) => {
			const socket = socketOf(line.listener, listening);
			return socket !== undefined && wanted(countsOf(line), socket);
		});
	const late = of(({ onSyn, onAck, onData }, { local, defers_accept: defers }) => {
		return !defers && onData > 0n && onData > onSyn + onAck && isTransparent(config.values, portOf(local));
	});
	const lost = new Set(losing(status));
	const deaf = of((_counts, { defers_accept: defers }) => defers).filter((line) => lost.has(line));
	return [
		...(late.length === 0
			? []
			: [
					check(
						'accept_before_data',
						'Accepted before the option',
						'warn',
						`options come with the first data, when accept() has given the balancer: ${listed(late, ({ onData }) => number(onData))}`,
						'have the listener wait for data (TCP_DEFER_ACCEPT; nginx: listen ... deferred), or the application ask getpeername() when it reads (docs/transparent.md)',
					),
				]),
		...(deaf.length === 0
			? []
			: [
					check(
						'deferred_accept',
						'Bare ACKs dropped',
						'warn',
						`listeners wait for data (TCP_DEFER_ACCEPT), so the kernel drops the ACK that ends the handshake: ${listed(deaf, ({ lost: count }) => `${number(count)} without an option`)}`,
						'if the balancer sends the option on that ACK alone, take TCP_DEFER_ACCEPT away (nginx: listen without deferred), and restart the server',
					),
				]),
	];
}

const portOf = (local: string) => Number(local.slice(local.lastIndexOf(':') + 1));

/** The socket that takes connections to this address: the one bound to it, else one bound to all. */
export function socketOf(listener: string, listening: readonly ListeningJson[]): ListeningJson | undefined {
	const any = [`0.0.0.0:${portOf(listener)}`, `[::]:${portOf(listener)}`];
	const places = [listener, ...(listener.startsWith('[') ? any.slice(1) : any)];
	return places.map((place) => listening.find(({ local }) => local === place)).find((socket) => socket !== undefined);
}

/** Whether accept() and getpeername() are to give the client on this port. */
export function isTransparent(values: Values, port: number): boolean {
	if (values['transparent.enabled'] !== 'on') return false;
	const ports = values['transparent.ports'] as 'all' | readonly (number | string)[];
	return ports === 'all' || includesPort(rangesOf(ports), port);
}

/** `80`, `"8000-8100"` */
function rangesOf(ports: readonly (number | string)[]) {
	return ports.map((each) => {
		const [first = 0, last = first] = String(each).split('-').map(Number);
		return { first, last };
	});
}
