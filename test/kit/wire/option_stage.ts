// SPDX-License-Identifier: Apache-2.0
/** Connections whose TOA options a test chooses, made segment by segment. */
import type { Daemon } from '../daemon/daemon.ts';
import { toaOption } from './toa_option.ts';
import { wireNetwork } from './wire.ts';
import { WireStage } from './wire_stage.ts';

/** One listener, and one that waits for data (TCP_DEFER_ACCEPT). */
export type OptionStage = WireStage<'plain' | 'deferred'>;

export const openOptionStage = (): Promise<OptionStage> => WireStage.open({ plain: ['4'], deferred: ['4', 'defer'] });

/** Lines of a daemon's configuration. */
export const onlyPortsOf = ({ listeners: { plain, deferred } }: OptionStage): string =>
	`listeners: {ports: [${plain.port}, ${deferred.port}]}`;
export const trustPeers = `trust: [${wireNetwork.hosts4}]`;
export const trustOthers = 'trust: [203.0.113.0/24]';

export const nat64Option = (address = '2001:db8::42'): string => toaOption('nat64', address);

/** An option of a kind and length that no profile has. */
export const unknownOption = (kind: string, length: number): string =>
	`${kind}${length.toString(16).padStart(2, '0')}${'00'.repeat(length - 2)}`;

/**
 * Makes connections with an option on the ACK that ends the handshake, or on the first data, and
 * resets them.
 */
export async function connect(
	stage: OptionStage,
	ack: string | undefined,
	count = 1,
	data?: string,
	to: 'plain' | 'deferred' = 'plain',
): Promise<void> {
	for (let made = 0; made < count; made++) {
		const connection = await stage.connection(to).open(ack);
		connection.data('x', { options: data });
		await connection.acknowledged(1);
		connection.reset();
	}
	await stage.wire.handled();
}

/** Waits until the daemon shows this many connections as closed, and with a verdict. */
export async function untilCounted(daemon: Daemon, count: number): Promise<void> {
	await daemon.until((samples) => {
		const sum = (name: string) =>
			samples.filter((sample) => sample.name === name).reduce((total, { value }) => total + Number(value), 0);
		return (
			(sum('toascope_connections_closed_total') >= count && sum('toascope_handshakes_total') >= count) || undefined
		);
	});
}
