// SPDX-License-Identifier: Apache-2.0
/** The text output of `toascope module status`. */
import { expect, it } from 'vitest';
import { formatStatus, type ModuleStatus } from '../../../daemon/module/status.ts';

const status: ModuleStatus = {
	version: '0.1.0',
	kernel: '6.1.0',
	takes_modules: true,
	loaded: null,
	installed: null,
	built: null,
	build: { directory: '/b', headers: '/h', missing: ['the headers'], install: 'apt install linux-headers-6.1.0' },
	policy: { lockdown: undefined, signedOnly: false, secureBoot: undefined } as ModuleStatus['policy'],
	dkms: null,
	loaded_at_boot: false,
};

it('a kernel without modules is reported, without advice to build one', () => {
	expect(formatStatus({ ...status, takes_modules: false })).toBe(
		'kernel        6.1.0, which does not support modules\n',
	);
	expect(formatStatus(status)).toMatch(/^to build +missing: the headers; apt install linux-headers-6\.1\.0$/m);
});
