// SPDX-License-Identifier: Apache-2.0
/** The unit as deploy/systemd/README.md installs it, under a real systemd in a guest. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionLayout } from '../../daemon/capture/records/layout.gen.ts';
import { inGuest } from '../kit/kernel/in_guest.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { Unavailable } from '../vm/apt.ts';
import { kernels } from '../vm/kernels.ts';
import { missingRequirement } from '../vm/matrix.ts';
import { fetchKernel } from '../vm/packages.ts';
import { SystemdGuest } from '../vm/systemd_guest.ts';

const limitSeconds = scaleTimeout(900);
/** The default of connections.max. */
const defaultSlots = 65_536;
let guest: SystemdGuest | undefined;
let missing = inGuest ? 'guests cannot run guests' : missingRequirement();

beforeAll(async () => {
	const kernel = kernels.find(({ name }) => name === '6.1');
	if (missing !== undefined || kernel === undefined) return;
	const root = join(import.meta.dirname, '../..');
	execFileSync('sh', [join(root, 'scripts/build.sh')], { stdio: 'ignore' });
	try {
		const fetched = await fetchKernel(kernel);
		const directory = join(root, 'build/vm/systemd-unit');
		guest = await SystemdGuest.boot({ fetched, directory, limitSeconds });
	} catch (error) {
		if (!(error instanceof Unavailable)) throw error;
		missing = error.message;
	}
}, limitSeconds * 1000);
afterAll(async () => guest?.[Symbol.asyncDispose]());

const install = `
set -e
ln -s /opt/toascope/bin/toascope /usr/bin/toascope
install -D -m 0644 -t /etc/toascope /opt/toascope/deploy/toascope.yaml /opt/toascope/deploy/toascope.schema.json
install -m 0644 /opt/toascope/deploy/systemd/toascope.service /etc/systemd/system/
mkdir /etc/systemd/system/toascope.service.d
printf '[Service]\\nMemoryMax=256M\\n' >/etc/systemd/system/toascope.service.d/memory.conf
systemctl daemon-reload
systemctl start toascope || { journalctl --quiet --unit=toascope; exit 1; }
ls /sys/fs/bpf/toascope/v*/links`;

test('the unit starts, reloads, and keeps programs attached after a stop; toascope detach detaches them', {
	timeout: limitSeconds * 1000,
}, async ({ skip }) => {
	if (guest === undefined) return skip(missing);
	const { run } = { run: (script: string) => (guest as SystemdGuest).run(script) };
	const started = await run(install);
	expect(started, started.text).toMatchObject({ code: 0, text: expect.stringContaining('toascope_sockops') });
	const pid = (await guest.status('toascope'))['MainPID'];
	const memory = await run(
		'cd /sys/fs/cgroup/system.slice/toascope.service && cat memory.max memory.events memory.stat',
	);
	expect(memory.text).toMatch(/^268435456$/m);
	expect(memory.text).toMatch(/^oom_kill 0$/m);
	const [, charged] = /^kernel (\d+)$/m.exec(memory.text) ?? [];
	expect(Number(charged)).toBeGreaterThan(defaultSlots * connectionLayout.size);

	const wrong = await run('echo "nonsense: 1" >>/etc/toascope/toascope.yaml; systemctl reload toascope');
	expect(wrong.code, wrong.text).not.toBe(0);
	expect(await guest.status('toascope')).toMatchObject({ ActiveState: 'active', MainPID: pid });
	const right = await run('sed -i /nonsense/d /etc/toascope/toascope.yaml; systemctl reload toascope');
	expect(right, right.text).toMatchObject({ code: 0 });
	expect(await guest.status('toascope')).toMatchObject({ ActiveState: 'active', MainPID: pid });

	const stopped = await run('systemctl stop toascope; ls /sys/fs/bpf/toascope/v*/links');
	expect(stopped, stopped.text).toMatchObject({ code: 0, text: expect.stringContaining('toascope_sockops') });
	const detached = await run('toascope detach; ls /sys/fs/bpf/toascope');
	expect(detached.text).toMatch(/^detached .*toascope_sockops/);
	expect(detached.text).toMatch(/No such file or directory/);

	// systemd restarts the unit until a missing configuration exists, but does not restart it with
	// an invalid one
	const later = await run('mv /etc/toascope/toascope.yaml /root/; systemctl start toascope; systemctl show toascope');
	expect(later.text).toMatch(/^(SubState=auto-restart|NRestarts=[1-9])/m);
	const came = await run('mv /root/toascope.yaml /etc/toascope/; until systemctl is-active toascope; do sleep 1; done');
	expect(came.code).toBe(0);
	const bad = await run(
		'echo "nonsense: 1" >>/etc/toascope/toascope.yaml; systemctl restart toascope; systemctl show toascope',
	);
	expect(bad.text).toMatch(/^ActiveState=failed$/m);
	expect(bad.text).toMatch(/^ExecMainStatus=2$/m);
});
