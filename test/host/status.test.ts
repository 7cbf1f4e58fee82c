// SPDX-License-Identifier: Apache-2.0
/** `/v1/status`: the settings in force, and the counts of the last minutes. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Status } from '../../daemon/client/status.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { checkNamed, examine } from '../kit/daemon/doctor.ts';
import {
	connect,
	nat64Option,
	type OptionStage,
	onlyPortsOf,
	openOptionStage,
	trustOthers,
	trustPeers,
	unknownOption,
	untilCounted,
} from '../kit/wire/option_stage.ts';
import { wireNetwork } from '../kit/wire/wire.ts';

const peer = '198.18.0.1';

let stage: OptionStage;
beforeAll(async () => {
	stage = await openOptionStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

test('/v1/status shows the active settings, without passwords, and the counts of the last minutes', async () => {
	await using daemon = await Daemon.start({
		config: [onlyPortsOf(stage), trustPeers, 'otel: {endpoint: "http://me:secret@127.0.0.1:1/", spans: off}'].join(
			'\n',
		),
		env: { TOASCOPE_CLIENTS_IDLE: '1 min' },
	});
	await connect(stage, nat64Option(), 2);
	await connect(stage, unknownOption('fd', 12));
	await untilCounted(daemon, 3);
	const text = await (await fetch(`${daemon.url}/v1/status?peers=on`)).text();
	expect(text).not.toContain('secret');
	const status = JSON.parse(text) as Status;
	expect(status.config).toMatchObject({
		file: daemon.configFile,
		variables: ['TOASCOPE_CLIENTS_IDLE'],
		values: { trust: [wireNetwork.hosts4], 'clients.idle': '1 min', 'otel.endpoint': 'http://127.0.0.1:1/' },
	});
	const counts = {
		opened: '3',
		toa: '2',
		none: '1',
		malformed: '0',
		untrusted: '0',
		conflict: '0',
		health_checks: '0',
		lost_options: '1',
		hidden_by_family: '0',
		options_syn: '0',
		options_ack: '2',
		options_data: '0',
	};
	expect(status.total).toEqual(counts);
	expect(status.recent).toMatchObject({
		total: counts,
		listeners: [
			{ listener: `${wireNetwork.server4}:${stage.listeners.plain.port}`, ...counts, had_client_before: '0' },
		],
		unknown_options: [{ kind: 253, length: 12, connections: '1' }],
	});
	const listener = `${wireNetwork.server4}:${stage.listeners.plain.port}`;
	expect(status.peers).toEqual({
		connections: 3,
		busiest: [
			{ address: peer, verdict: 'toa', listener, trusted: true, connections: 2 },
			{ address: peer, verdict: 'none', listener, trusted: true, connections: 1 },
		],
		listening: [
			{
				local: `0.0.0.0:${stage.listeners.plain.port}`,
				pid: expect.any(Number),
				comm: 'listener',
				defers_accept: false,
			},
			{
				local: `0.0.0.0:${stage.listeners.deferred.port}`,
				pid: expect.any(Number),
				comm: 'listener',
				defers_accept: true,
			},
		],
	});
	const plain = await daemon.json<object>('/v1/status');
	expect(plain).not.toHaveProperty('peers');
});

test('options that match no profile are counted only for trusted senders: others cannot use up the slots', async () => {
	const config = (trust: string) =>
		`${onlyPortsOf(stage)}\n${trust}\nbpf: {pin: off}\nlog: {format: json, level: debug}`;
	await using daemon = await Daemon.start({ config: config(trustOthers) });
	const kinds = 70;
	for (let kind = 100; kind < 100 + kinds; kind++) await connect(stage, unknownOption(kind.toString(16), 4));
	await untilCounted(daemon, kinds);
	expect((await daemon.json<Status>('/v1/status')).recent).toMatchObject({ unknown_options: [], drops: {} });
	await daemon.reload(config(trustPeers));
	await connect(stage, unknownOption('fd', 12));
	await untilCounted(daemon, kinds + 1);
	expect((await daemon.json<Status>('/v1/status')).recent).toMatchObject({
		unknown_options: [{ kind: 253, length: 12, connections: '1' }],
	});
});

test('a request for a fresh collection shows connections right after they were made', async () => {
	await using daemon = await Daemon.start({ config: `${onlyPortsOf(stage)}\n${trustPeers}` });
	for (let count = 1; count <= 5; count++) {
		await connect(stage, nat64Option());
		const { total } = await daemon.json<{ total: { opened: string } }>('/v1/status?fresh=on');
		expect(total.opened).toBe(String(count));
	}
	expect(checkNamed(await examine(daemon), 'toa').found).toMatch(/^5 of 5 /);
});
