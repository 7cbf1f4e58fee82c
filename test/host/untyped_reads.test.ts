// SPDX-License-Identifier: Apache-2.0
/**
 * Kernels that let no program read memory by address (lockdown=confidentiality): what has a type is read all the same, what has none
 * is left out, and everything else works. Any kernel can be taken for one.
 */
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Features, native, type Probed } from '../../daemon/capture/native.ts';
import { Programs } from '../../daemon/capture/programs.ts';
import { bpfReader, type Provider } from '../../daemon/capture/provider.ts';
import { type Config, toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
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

function known(provider: Provider, { accepted }: Accepted) {
	const [found] = provider.lookup({ peer: { family: 4, text: accepted.address, port: accepted.port } }, failed);
	return found;
}

/** What is known of it when it has closed: then it is sure that nobody saw the accept. */
async function closed(provider: Provider, silently: boolean) {
	const connection = await stage.connect('AF_INET', 'nat64', { silently });
	const { result } = await connection.probe.getsockopt(0, 4096, 20);
	expect(result).toBe(0);
	await connection[Symbol.asyncDispose]();
	for (;;) {
		const found = known(provider, connection);
		if (found?.state === 'closed') return found;
		await setImmediate();
	}
}

const typed = real.taskHelpers && real.features.tracingLocks === '';

describe.runIf(typed)('with helpers that give types', () => {
	let provider: Programs;
	beforeAll(() => {
		provider = Programs.open(config(), bpfReader, log, than({ kernelReads: 'EPERM' }));
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

/** A kernel without locks in iterators reads sockets by the iterator over their storage alone, which hardened ones refuse. */
const readable = real.features.storageIterator === '';

describe.runIf(readable)('without', () => {
	const nothing = {
		kernelReads: 'EPERM',
		taskRegisters: 'EPERM',
		tracingLocks: 'EINVAL',
		listeningSockets: 'EPERM',
	};
	let provider: Programs;
	beforeAll(() => {
		provider = Programs.open(config(), bpfReader, log, than(nothing, { taskHelpers: false }));
	});
	afterAll(() => provider?.close(false));

	it.each([false, true])('connections have clients and counts; silently accepted: %s', async (silently) => {
		const seen = provider.acceptProgram === 'fexit' ? 'fexit' : 'unseen';
		const connection = await closed(provider, silently);
		expect(connection).toMatchObject({ verdict: 'toa', profile: 'nat64', seen });
		const { pid } = stage.probe('AF_INET');
		expect(connection.owner).toEqual(
			seen === 'unseen' ? undefined : { pid, comm: 'probe', by: 'accept', cgroupId: expect.any(BigInt) },
		);
	});

	it('each once', () => {
		const [listener] = provider.counters.readListeners().filter(({ endpoint }) => endpoint?.port === port);
		expect(listener).toMatchObject({ handshakes: { toa: 2n }, total: { opened: 2n, closed: 2n } });
	});
});

it.runIf(readable)('a profile that is looked for on the SYN: listeners from before are not told, which is said', () => {
	const said: object[] = [];
	const warn = (fields: object) => said.push(fields);
	const probed = than({ listeningSockets: 'EPERM', kernelReads: 'EPERM', tracingLocks: 'EINVAL' });
	Programs.open(config({ profiles: ['cdn4'] }), bpfReader, { ...log, warn }, probed).close(false);
	expect(said).toEqual([expect.objectContaining({ code: 'EPERM', hint: 'restart these servers' })]);
});

it('open connections can be read in neither way', () => {
	const neither = than({ storageIterator: 'EPERM', tracingLocks: 'EINVAL' });
	expect(() => Programs.open(config(), bpfReader, log, neither)).toThrow(
		expect.objectContaining({ code: 'PROVIDER_UNSUPPORTED', message: expect.stringContaining('EPERM, EINVAL') }),
	);
});

it('what toa.ko says would not be heard', () => {
	expect(() => Programs.open(config(), { ...bpfReader, name: 'module' }, log, than({ kernelReads: 'EPERM' }))).toThrow(
		expect.objectContaining({ code: 'PROVIDER_UNSUPPORTED', message: expect.stringContaining('toa.ko') }),
	);
});
