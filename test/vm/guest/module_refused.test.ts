// SPDX-License-Identifier: Apache-2.0
/** A kernel that takes signed modules alone (module.sig_enforce=1, or lockdown): what is said, and `auto` takes `bpf`. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readPolicy } from '../../../daemon/module/load.ts';
import { toascope } from '../../fixtures/command.ts';
import { Daemon } from '../../fixtures/daemon.ts';
import { noConfig } from '../../fixtures/module.ts';
import { moduleFile } from '../../fixtures/module_file.ts';
import { Stage, somePorts } from '../../fixtures/stage.ts';

const policy = readPolicy();
const enforced = policy.signedOnly || (policy.lockdown ?? 'none') !== 'none';

it.runIf(enforced)('the module is refused, with a way out', async () => {
	const { code, err } = await toascope(['module', 'load', moduleFile(), ...noConfig]);
	expect(code).toBe(3);
	expect(err).toMatch(/the kernel takes signed modules alone \(.*\), and .*toa\.ko is not signed \[MODULE_UNSIGNED\]/);
	expect(err).toMatch(/ {2}sign it with a key.* or set provider to bpf/);
	expect(readFileSync('/proc/modules', 'utf8')).not.toMatch(/^toa /m);
});

it.runIf(enforced)('auto takes bpf, and applications are told', async () => {
	const port = somePorts(2);
	await using stage = await Stage.open(port);
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}` });
	expect(await daemon.logged(/^attached/)).toMatchObject({ provider: 'bpf' });
	await using connection = await stage.connect('AF_INET', 'nat64');
	expect((await connection.probe.getsockopt(0, 4096, 20)).result).toBe(0);
});
