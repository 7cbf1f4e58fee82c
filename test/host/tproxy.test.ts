// SPDX-License-Identifier: Apache-2.0
/**
 * TPROXY: the listener has one port, its connections have another, and only the latter is watched.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { closedConnection } from '../kit/daemon/lookup.ts';
import { Listener } from '../kit/wire/listener.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { hasNft, tproxy } from '../kit/wire/tproxy.ts';
import { Wire, wireNetwork } from '../kit/wire/wire.ts';

const cdn4 = toaOption('cdn4', '203.0.113.7');
const nat64 = toaOption('nat64', '2001:db8::42');
const port = somePorts(2);
const config = `listeners: {ports: [${port}]}\nprofiles: [nat64, cdn4]\ntrust: ["${wireNetwork.hosts4}", "${wireNetwork.hosts6}"]`;

describe.skipIf(!hasNft())('a listener on a port that is not watched gets the connections of one that is', () => {
	let lab: Lab;
	let wire: Wire;

	beforeAll(async () => {
		lab = await Lab.open();
		wire = await Wire.open(lab);
		await tproxy(lab, port, port + 1);
	});
	afterAll(async () => {
		await lab?.close();
	});

	/** What the daemon reports about a connection with these options on its SYN and ACK. */
	async function reported(daemon: Daemon, family: 4 | 6, onSyn: string, onAck?: string) {
		const one = wire.connection({ to: port, family });
		one.syn({ options: onSyn });
		await one.synAck();
		one.acknowledge(onAck);
		one.reset();
		const { local, verdict, profile, segment, client } = await closedConnection(daemon, one.peer);
		return { port: local.port, verdict, profile, segment, client: client?.address };
	}

	const onSyn = { port, verdict: 'toa', profile: 'cdn4', segment: 'syn', client: '203.0.113.7' };
	const onAck = { port, verdict: 'toa', profile: 'nat64', segment: 'ack', client: '2001:db8::42' };

	it.each(['before', 'after'])('that started %s toascope: the option on the SYN, and on the ACK', async (when) => {
		const listen = () => Listener.start(lab, 'dual', port + 1, 'transparent', 'reporting');
		let listener = when === 'before' ? await listen() : undefined;
		await using daemon = await Daemon.start({ config });
		listener ??= await listen();
		for (const family of [4, 6] as const) {
			expect(await reported(daemon, family, cdn4)).toEqual(onSyn);
			expect(await listener.nextReport()).toMatchObject({ save: 1 });
			expect(await reported(daemon, family, '', nat64)).toEqual(onAck);
			expect(await listener.nextReport()).toMatchObject({ save: 1 });
		}
		await daemon.stop();
		// the daemon has restored the setting of the listener
		const one = wire.connection({ to: port });
		one.syn({ options: cdn4 });
		await one.synAck();
		one.acknowledge();
		one.reset();
		expect(await listener.nextReport()).toEqual({ save: 0, saved: 0 });
		await listener[Symbol.asyncDispose]();
	});
});
