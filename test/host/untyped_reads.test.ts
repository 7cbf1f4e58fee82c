// SPDX-License-Identifier: Apache-2.0
/**
 * Kernels that let no program read memory by address (lockdown=confidentiality): what has a type is read all the same, what has none
 * is left out, and everything else works. No sweep reads connections there, and no lookup finds them: what is known of one is in its
 * records for spans. Any kernel can be taken for one.
 */
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Features, native, type Probed } from '../../daemon/capture/native.ts';
import { Programs } from '../../daemon/capture/programs.ts';
import { bpfReader, type Provider } from '../../daemon/capture/provider.ts';
import { type Config, toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import type { Connection } from '../../daemon/model/connection.ts';
import { type Accepted, Stage, somePorts } from '../fixtures/stage.ts';

const port = somePorts(2);
const real = native().probe();
const log = { info() {}, warn() {}, error() {} };

const than = (refused: Partial<Features>, more: Partial<Probed> = {}): Probed => ({
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

/** Opens it, and has it tell of what closes. */
function open(refused: Partial<Features>, more: Partial<Probed> = {}): Programs {
	const provider = Programs.open(config(), bpfReader, log, than(refused, more));
	provider.listen('closed');
	return provider;
}

/** What is known of it when it has closed: then it is sure that nobody saw the accept. */
async function known(provider: Provider, { accepted }: Accepted): Promise<Connection> {
	const found: Connection[] = [];
	for (;;) {
		provider.drain(({ connection }) => found.push(connection), failed);
		const [it] = found.filter(({ peer }) => peer.text === accepted.address && peer.port === accepted.port);
		if (it !== undefined) return it;
		await setImmediate();
	}
}

async function closed(provider: Provider, silently: boolean): Promise<Connection> {
	const connection = await stage.connect('AF_INET', 'nat64', { silently });
	const { result } = await connection.probe.getsockopt(0, 4096, 20);
	expect(result).toBe(0);
	await connection[Symbol.asyncDispose]();
	const it = await known(provider, connection);
	expect(it.state).toBe('closed');
	return it;
}

const typed = real.taskHelpers && real.features.tracingLocks === '';

describe.runIf(typed)('with helpers that give types', () => {
	let provider: Programs;
	beforeAll(() => {
		provider = open({ kernelReads: 'EPERM' });
	});
	afterAll(() => provider?.close(false));

	it('who accepts is known by pid and name', async () => {
		const { pid } = stage.probe('AF_INET');
		expect(await closed(provider, false)).toMatchObject({
			verdict: 'toa',
			seen: provider.acceptProgram,
			owner: { pid, comm: 'probe', by: 'accept' },
		});
	});

	it('and who listens', async () => {
		const { pid } = stage.probe('AF_INET');
		const by = provider.acceptProgram === 'fexit' ? 'accept' : 'listener';
		expect(await closed(provider, true)).toMatchObject({ verdict: 'toa', owner: { pid, comm: 'probe', by } });
	});
});

describe('without', () => {
	const nothing = {
		kernelReads: 'EPERM',
		taskRegisters: 'EPERM',
		tracingLocks: 'EINVAL',
		listeningSockets: 'EPERM',
		fexit: 'EINVAL',
	};
	let provider: Programs;
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

	// a connection tells of its close just before it is counted
	it('each once', () =>
		expect.poll(listener).toMatchObject({ handshakes: { toa: 2n }, total: { opened: 2n, closed: 2n } }));

	it('open ones count at once, and their bytes when they close', async () => {
		const before = listener()?.total.receivedBytes;
		const connection = await stage.connect('AF_INET', 'nat64');
		for (let flushes = 0; flushes < 3; flushes++) await provider.flush(() => setImmediate());
		const open = listener();
		await connection[Symbol.asyncDispose]();
		const { receivedBytes } = await known(provider, connection);
		expect(open).toMatchObject({ handshakes: { toa: 3n }, total: { opened: 3n, closed: 2n, receivedBytes: before } });
		expect(receivedBytes).toBeGreaterThan(0n);
		const total = { closed: 3n, receivedBytes: (before ?? 0n) + receivedBytes };
		await expect.poll(listener).toMatchObject({ total });
	});
});

it('a profile that is looked for on the SYN: listeners from before are not told, which is said', () => {
	const said: object[] = [];
	const warn = (fields: object) => said.push(fields);
	const probed = than({ listeningSockets: 'EPERM', kernelReads: 'EPERM', tracingLocks: 'EINVAL' });
	Programs.open(config({ profiles: ['cdn4'] }), bpfReader, { ...log, warn }, probed).close(false);
	expect(said).toEqual([expect.objectContaining({ code: 'EPERM', hint: 'restart these servers' })]);
});

it('what toa.ko says would not be heard', () => {
	expect(() => Programs.open(config(), { ...bpfReader, name: 'module' }, log, than({ kernelReads: 'EPERM' }))).toThrow(
		expect.objectContaining({ code: 'PROVIDER_UNSUPPORTED', message: expect.stringContaining('toa.ko') }),
	);
});
