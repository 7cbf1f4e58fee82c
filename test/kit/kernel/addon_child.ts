// SPDX-License-Identifier: Apache-2.0
/**
 * A separate process for what must not happen in the process of the tests: `addon_child.ts
 * garbage|workers|load|threadless`. It prints JSON.
 */
import { once } from 'node:events';
import { openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { type BpfObject, type BpfOptions, type NativeError, native } from '../../../native/binding.ts';

/** Small maps, so that many objects fit into memory. */
export const smallObject: BpfOptions = {
	listenerRows: 1,
	mapEntries: {
		listeners: 4,
		listener_keys: 4,
		listener_bases: 4,
		listener_index: 4,
		clients: 16,
		prefix_clients: 32,
		exported: 16,
		connections: 256,
		slot_hashes: 32,
		change_marks: 1,
		extras: 256,
		ring: 4096,
	},
	autoload: {},
	canSetError: true,
	taskHelpers: true,
	mptcpHelpers: true,
	transparentBit: 15,
	kernelReads: true,
	tracingLocks: true,
	fromModule: false,
};

export const open = (options: Partial<BpfOptions> = {}): BpfObject =>
	new (native().BpfObject)({ ...smallObject, ...options });

/** Options with which the object loads on this kernel, whatever the kernel lacks. */
export function optionsHere(): Pick<
	BpfOptions,
	'autoload' | 'canSetError' | 'taskHelpers' | 'mptcpHelpers' | 'transparentBit' | 'kernelReads' | 'tracingLocks'
> {
	const { features, taskHelpers, mptcpHelpers, transparentBit } = native().probe();
	return {
		autoload: { toascope_listeners: features.listeningSockets === '' },
		canSetError: features.setError === '',
		taskHelpers,
		mptcpHelpers,
		transparentBit,
		kernelReads: features.kernelReads === '',
		tracingLocks: features.tracingLocks === '',
	};
}

/** The number of BPF objects of this kind that this process has open. */
export function openObjects(kind: 'map_id' | 'prog_id' | 'link_id'): number {
	return readdirSync('/proc/self/fdinfo').filter((descriptor) => {
		try {
			return readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8').includes(`${kind}:`);
		} catch {
			return false; // the descriptor of the directory itself, closed by now
		}
	}).length;
}

const objects = () => ({
	maps: openObjects('map_id'),
	programs: openObjects('prog_id'),
	links: openObjects('link_id'),
});

async function garbage(): Promise<object> {
	const make = () => {
		for (let made = 0; made < 5; made++) open().attach('toascope_listeners', {});
	};
	make();
	const before = objects();
	for (let attempt = 0; attempt < 200 && openObjects('map_id') > 0; attempt++) {
		globalThis.gc?.();
		await new Promise(setImmediate);
	}
	return { before, after: objects() };
}

async function workers(): Promise<object> {
	const all = Array.from({ length: 4 }, () => new Worker(new URL(import.meta.url)));
	const answers = await Promise.all(all.map(async (worker) => (await once(worker, 'message'))[0] as unknown));
	const before = objects();
	// the first worker is terminated while its object is open; the others end by themselves
	const [first, ...rest] = all as [Worker, ...Worker[]];
	await first.terminate();
	const without = objects();
	const codes = rest.map((worker) => once(worker, 'exit'));
	for (const worker of rest) worker.postMessage('end');
	const ended = (await Promise.all(codes)).map(([code]) => code as unknown);
	return { answers, before, without, ended, after: objects() };
}

/** Keeps the objects reachable, so that they are never garbage. */
const held: BpfObject[] = [];

function inWorker(): void {
	const object = open();
	held.push(object);
	const key = Buffer.alloc(4);
	object.map('generation').update(key, Buffer.from([7, 0, 0, 0]));
	const value = Buffer.alloc(4);
	object.map('generation').lookup(key, value);
	parentPort?.postMessage(value.readUInt32LE());
	// the object stays open: the end of the worker must free it
	parentPort?.once('message', () => parentPort?.close());
}

function load(): object {
	try {
		open().close();
		return {};
	} catch (error) {
		const { code, errno, op, target, log, message } = error as NativeError;
		return { code, errno, op, target, log, message, ...objects() };
	}
}

/** With the preloaded library failing_threads: the error code of the call that creates a thread. */
function threadless(): object {
	const object = open();
	const file = process.env['FAILING_THREADS'] ?? '';
	const codeOf = (call: () => unknown) => {
		writeFileSync(file, '');
		try {
			call();
			return '';
		} catch (error) {
			return (error as NativeError).code;
		} finally {
			rmSync(file);
		}
	};
	const listener = openSync('/dev/null', 'r');
	return { setSaveSyn: codeOf(() => object.setSaveSyn(process.pid, listener, true)) };
}

if (!isMainThread) inWorker();
else if (process.argv[1] === import.meta.filename) {
	const work = { garbage, workers, load, threadless }[process.argv[2] ?? ''];
	console.log(JSON.stringify(await work?.()));
}
