// SPDX-License-Identifier: Apache-2.0
/** TCP_SAVE_SYN on listeners: a refused configuration changes nothing, log lines are limited. */
import { expect, it } from 'vitest';
import type { Listening, ListeningSockets } from '../../../daemon/capture/listening.ts';
import { SavedSyns } from '../../../daemon/capture/saved_syns.ts';
import { loadConfig } from '../../../daemon/config/load.ts';
import type { LogSink } from '../../../daemon/log_line.ts';
import type { BpfObject } from '../../../native/binding.ts';

const log: LogSink = { info() {}, warn() {}, error() {} };
const listener = {
	local: { family: 4, text: '127.0.0.1', port: 80 },
	owner: { pid: 1 },
	fd: 3,
	savesSyns: false,
	savedByUs: false,
} as Listening;

it('a later check does not apply a configuration that was refused', () => {
	const calls: unknown[] = [];
	let refused = true;
	const sockets = {
		refused: '',
		read() {
			if (refused) throw Object.assign(new Error('no memory'), { code: 'ENOMEM' });
			return [listener];
		},
	};
	const bpf = { setSaveSyn: (...call: unknown[]) => void calls.push(call) };
	const savedSyns = new SavedSyns(bpf as unknown as BpfObject, sockets as unknown as ListeningSockets, log, true);
	const config = loadConfig({ path: undefined, env: { TOASCOPE_PROFILES: 'cdn4' } });
	expect(config.profiles.some(({ onSyn }) => onSyn)).toBe(true);
	expect(() => savedSyns.apply(config, false)).toThrow('no memory');
	refused = false;
	expect(savedSyns.check()).toBe(0);
	expect(calls).toEqual([]);
	savedSyns.apply(config, false);
	expect(calls).toEqual([[1, 3, true]]);
});

it('refusals are logged once a minute for each error code, even if their number changes', () => {
	const lines: unknown[] = [];
	let listeners = 0;
	const sockets = { refused: '', read: () => Array.from({ length: ++listeners }, () => listener) };
	const setSaveSyn = () => {
		throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
	};
	const warn = (context: object) => void lines.push(context);
	const savedSyns = new SavedSyns(
		{ setSaveSyn } as unknown as BpfObject,
		sockets as unknown as ListeningSockets,
		{ ...log, warn },
		true,
	);
	savedSyns.apply(loadConfig({ path: undefined, env: { TOASCOPE_PROFILES: 'cdn4' } }), false);
	for (let check = 0; check < 5; check++) savedSyns.check();
	expect(lines).toEqual([{ code: 'EPERM', listeners: 1, hint: expect.any(String) }]);
});

it('listeners that keep losing the setting are logged once a minute', () => {
	const lines: unknown[] = [];
	const sockets = { refused: '', read: () => [listener] };
	const bpf = { setSaveSyn() {} };
	const warn = (context: object, text: string) => void lines.push({ ...context, text });
	const savedSyns = new SavedSyns(
		bpf as unknown as BpfObject,
		sockets as unknown as ListeningSockets,
		{ ...log, warn },
		true,
	);
	savedSyns.apply(loadConfig({ path: undefined, env: { TOASCOPE_PROFILES: 'cdn4' } }), false);
	expect(Array.from({ length: 5 }, () => savedSyns.check())).toEqual([1, 1, 1, 1, 1]);
	expect(lines).toEqual([{ listeners: 1, text: expect.stringContaining('TCP_SAVE_SYN is set again') }]);
});
