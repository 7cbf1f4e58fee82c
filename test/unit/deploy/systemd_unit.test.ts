// SPDX-License-Identifier: Apache-2.0
/** The settings of the systemd unit; test/host/systemd_unit.test.ts tests how it behaves. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { errorCodes, exitCode } from '../../../daemon/errors.ts';
import { unitEnvironment } from '../../kit/daemon/unit_environment.ts';

const read = (name: string) => readFileSync(new URL(`../../../deploy/systemd/${name}`, import.meta.url), 'utf8');
const unit = read('toascope.service');
const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1];

it.each(['toascope.service', 'module.conf'])('%s starts even if one of its writable paths is missing', (name) => {
	const paths = [...read(name).matchAll(/^ReadWritePaths=(.*)$/gm)].flatMap(([, list = '']) => list.split(' '));
	expect(paths).not.toEqual([]);
	for (const path of paths) expect(path).toMatch(/^-\//);
});

it('restarts without limit, except after wrong usage or an invalid configuration', () => {
	expect(value('Restart')).toBe('on-failure');
	expect(value('StartLimitIntervalSec')).toBe('0');
	const final = (value('RestartPreventExitStatus') ?? '').split(' ').map(Number);
	expect(final).toEqual([exitCode.usage]);
	for (const code of [
		'CONFIG_UNREADABLE',
		'ADDRESS_IN_USE',
		'ADDRESS_NOT_AVAILABLE',
		'NO_CGROUP2',
		'NO_BPFFS',
		'MODULE_NO_HEADERS',
		'MISSING_TOOL',
	] as const) {
		expect(final, code).not.toContain(errorCodes[code].exit);
	}
	expect(final).toContain(errorCodes.CONFIG_INVALID.exit);
});

it('keeps programs attached, allows for slow machines, waits for reloads, and starts before web servers', () => {
	expect(unitEnvironment).toMatchObject({ TOASCOPE_ON_EXIT: 'keep' });
	expect(Number(value('TimeoutStartSec'))).toBeGreaterThanOrEqual(180);
	expect(value('ExecReload')).toMatch(/^\/usr\/bin\/toascope reload /);
	expect(value('Before')).toContain('nginx.service');
});
