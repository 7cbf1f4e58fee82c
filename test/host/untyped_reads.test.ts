// SPDX-License-Identifier: Apache-2.0
/**
 * Kernels on which no program can read memory by address (lockdown=confidentiality): data that has
 * a type is read nevertheless, data that has none is left out, and everything else works. There no
 * sweep reads open connections and no lookup finds them: what is known about a connection is in its
 * records for spans. Any kernel can be treated as such a kernel.
 */
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BpfProvider } from '../../daemon/capture/bpf_provider.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { type Config, toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import type { Connection } from '../../daemon/model/connection.ts';
import { type Features, native, type Probed } from '../../native/binding.ts';
import { type Accepted, Stage, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(2);
const real = native().probe();
const log = { info() {}, warn() {}, error() {} };

const withRefused = (refused: Partial<Features>, more: Partial<Probed> = {}): Probed => ({
	...real,
	...more,
	features: { ...real.features, ...refused },
});
const config = (settings: object = {}): Config =>
	toConfig(fileSchema.parse({ listeners: { ports: [port] }, bpf: { pin: 'off' }, ...settings }), {});

let stage: Stage;
beforeAll(async () => {
	stage = await Stage.open(port);
});
afterAll(() => stage?.[Symbol.asyncDispose]());

function failed(step: string, cause: unknown): never {
	throw new Error(`${step} failed`, { cause });
}

/** Opens a provider that emits the records of closed connections. */
function open(refused: Partial<Features>, more: Partial<Probed> = {}): BpfProvider {
	const provider = BpfProvider.open(config(), bpfReader, log, withRefused(refused, more));
	provider.enableEvents({ every: ['closed'] });
	return provider;
}

/**
 * Resolves with the record of the close: only then is it certain that no program observed the
 * accept.
 */
async function closeRecord(provider: BpfProvider, { accepted }: Accepted): Promise<Connection> {
	const found: Connection[] = [];
	for (;;) {
		provider.drain(({ connection }) => found.push(connection), failed);
		const [record] = found.filter(({ peer }) => peer.text === accepted.address && peer.port === accepted.port);
		if (record !== undefined) return record;
		await setImmediate();
	}
}

async function closed(provider: BpfProvider, silently: boolean): Promise<Connection> {
	const connection = await stage.connect('AF_INET', 'nat64', { silently });
	const { result } = await connection.probe.getsockopt(0, 4096, 20);
	expect(result).toBe(0);
	await connection[Symbol.asyncDispose]();
	const record = await closeRecord(provider, connection);
	expect(record.state).toBe('closed');
	return record;
}

const typed = real.taskHelpers && real.features.tracingLocks === '';

describe.runIf(typed)('with helpers that return typed pointers', () => {
	let provider: BpfProvider;
	beforeAll(() => {
		provider = open({ kernelReads: 'EPERM' });
	});
	afterAll(() => provider?.close(false));

	it('the process that accepts is known by pid and name', async () => {
		const { pid } = stage.probe('AF_INET');
		expect(await closed(provider, false)).toMatchObject({
			verdict: 'toa',
			seen: provider.acceptProgram,
			owner: { pid, comm: 'probe', by: 'accept' },
		});
	});

	it('and so is the process that listens', async () => {
		const { pid } = stage.probe('AF_INET');
		const by = provider.acceptProgram === 'fexit' ? 'accept' : 'listener';
		expect(await closed(provider, true)).toMatchObject({ verdict: 'toa', owner: { pid, comm: 'probe', by } });
	});
});

describe('without these helpers', () => {
	const nothing = {
		kernelReads: 'EPERM',
		taskRegisters: 'EPERM',
		tracingLocks: 'EINVAL',
		listeningSockets: 'EPERM',
		fexit: 'EINVAL',
	};
	let provider: BpfProvider;
	const listener = () => provider.counters.readListeners().find(({ endpoint }) => endpoint?.port === port);
	beforeAll(() => {
		provider = open(nothing, { taskHelpers: false });
	});
	afterAll(() => provider?.close(false));

	it.each([false, true])('connections have clients and counts; silently accepted: %s', async (silently) => {
		const connection = await closed(provider, silently);
		expect(connection).toMatchObject({ verdict: 'toa', profile: 'nat64', seen: 'unseen' });
		expect(connection.owner).toBeUndefined();
	});

	// the record of a close is emitted just before the connection is counted
	it('each connection is counted once', () =>
		expect.poll(listener).toMatchObject({ handshakes: { toa: 2n }, total: { opened: 2n, closed: 2n } }));

	it('open connections count at once, and their bytes when they close', async () => {
		const before = listener()?.total.receivedBytes;
		const connection = await stage.connect('AF_INET', 'nat64');
		for (let flushes = 0; flushes < 3; flushes++) await provider.flush(() => setImmediate());
		const open = listener();
		await connection[Symbol.asyncDispose]();
		const { receivedBytes } = await closeRecord(provider, connection);
		expect(open).toMatchObject({ handshakes: { toa: 3n }, total: { opened: 3n, closed: 2n, receivedBytes: before } });
		expect(receivedBytes).toBeGreaterThan(0n);
		const total = { closed: 3n, receivedBytes: (before ?? 0n) + receivedBytes };
		await expect.poll(listener).toMatchObject({ total });
	});
});

it('a profile that is read on the SYN: listeners that existed before do not save SYNs, and the log says so', () => {
	const warnings: object[] = [];
	const warn = (fields: object) => warnings.push(fields);
	const probed = withRefused({ listeningSockets: 'EPERM', kernelReads: 'EPERM', tracingLocks: 'EINVAL' });
	BpfProvider.open(config({ profiles: ['cdn4'] }), bpfReader, { ...log, warn }, probed).close(false);
	expect(warnings).toEqual([expect.objectContaining({ code: 'EPERM', hint: 'restart these servers' })]);
});

it('the provider module is refused, because no program could read what toa.ko reports', () => {
	expect(() =>
		BpfProvider.open(config(), { ...bpfReader, name: 'module' }, log, withRefused({ kernelReads: 'EPERM' })),
	).toThrow(expect.objectContaining({ code: 'PROVIDER_UNSUPPORTED', message: expect.stringContaining('toa.ko') }));
});
