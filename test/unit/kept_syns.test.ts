// SPDX-License-Identifier: Apache-2.0
/** Listeners that keep their SYNs: what a configuration that was refused leaves. */
import { expect, it } from 'vitest';
import { KeptSyns } from '../../daemon/capture/kept_syns.ts';
import type { Listening, ListeningSockets } from '../../daemon/capture/listening.ts';
import type { BpfObject } from '../../daemon/capture/native.ts';
import { loadConfig } from '../../daemon/config/load.ts';
import type { LogSink } from '../../daemon/log_lines.ts';

const log: LogSink = { info() {}, warn() {}, error() {} };
const listener = {
	local: { family: 4, text: '127.0.0.1', port: 80 },
	owner: { pid: 1 },
	fd: 3,
	keepsSyns: false,
	keptForUs: false,
} as Listening;

it('a configuration that was refused is not put in force by a later check', () => {
	const told: unknown[] = [];
	let refused = true;
	const sockets = {
		refused: '',
		read() {
			if (refused) throw Object.assign(new Error('no memory'), { code: 'ENOMEM' });
			return [listener];
		},
	};
	const bpf = { keepSyns: (...call: unknown[]) => void told.push(call) };
	const keptSyns = new KeptSyns(bpf as unknown as BpfObject, sockets as unknown as ListeningSockets, log, true);
	const config = loadConfig({ path: undefined, env: { TOASCOPE_PROFILES: 'cdn4' } });
	expect(config.profiles.some(({ onSyn }) => onSyn)).toBe(true);
	expect(() => keptSyns.apply(config, false)).toThrow('no memory');
	refused = false;
	expect(keptSyns.check()).toBe(0);
	expect(told).toEqual([]);
	keptSyns.apply(config, false);
	expect(told).toEqual([[1, 3, true]]);
});

it('refusals whose number changes at each check are one line a minute for each code', () => {
	const lines: unknown[] = [];
	let listeners = 0;
	const sockets = { refused: '', read: () => Array.from({ length: ++listeners }, () => listener) };
	const keepSyns = () => {
		throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
	};
	const warn = (context: object) => void lines.push(context);
	const keptSyns = new KeptSyns(
		{ keepSyns } as unknown as BpfObject,
		sockets as unknown as ListeningSockets,
		{ ...log, warn },
		true,
	);
	keptSyns.apply(loadConfig({ path: undefined, env: { TOASCOPE_PROFILES: 'cdn4' } }), false);
	for (let check = 0; check < 5; check++) keptSyns.check();
	expect(lines).toEqual([{ code: 'EPERM', listeners: 1, hint: expect.any(String) }]);
});

it('listeners that lose the setting over and over are one line a minute', () => {
	const lines: unknown[] = [];
	const sockets = { refused: '', read: () => [listener] };
	const bpf = { keepSyns() {} };
	const warn = (context: object, text: string) => void lines.push({ ...context, text });
	const keptSyns = new KeptSyns(
		bpf as unknown as BpfObject,
		sockets as unknown as ListeningSockets,
		{ ...log, warn },
		true,
	);
	keptSyns.apply(loadConfig({ path: undefined, env: { TOASCOPE_PROFILES: 'cdn4' } }), false);
	expect(Array.from({ length: 5 }, () => keptSyns.check())).toEqual([1, 1, 1, 1, 1]);
	expect(lines).toEqual([{ listeners: 1, text: expect.stringContaining('told to again') }]);
});
