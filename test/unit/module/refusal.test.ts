// SPDX-License-Identifier: Apache-2.0
/** Why toa.ko is not loaded: each reason has its own error code, and a hint for the operator. */
import { release } from 'node:os';
import { describe, expect, it } from 'vitest';
import { KernelLog, messageOf } from '../../../daemon/host/kernel_log.ts';
import { type KernelObject, parseModinfo } from '../../../daemon/module/kernel_object.ts';
import { loadError, requireOwn, requireOwnFile } from '../../../daemon/module/load.ts';
import type { LoadedModule } from '../../../daemon/module/loaded.ts';
import type { Policy } from '../../../daemon/module/policy.ts';
import { version } from '../../../daemon/version.ts';

const open: Policy = { lockdown: 'none', signedOnly: false, secureBoot: undefined };
const object: KernelObject = {
	file: '/x/toa.ko',
	origin: 'own',
	version: '0.1.0',
	srcversion: '30CB',
	vermagic: '5.10.0-1-amd64 SMP mod_unload modversions ',
	release: '5.10.0-1-amd64',
	signed: false,
};
const insmod = (what: string) => `insmod: ERROR: could not insert module /x/toa.ko: ${what}\n`;
const modprobe = (what: string) => `modprobe: ERROR: could not insert 'toa': ${what}\n`;

describe.each([
	['insmod', insmod],
	['modprobe', modprobe],
])('%s', (_, failure) => {
	it('built for another kernel', () => {
		const kernelLog = ["toa: version magic '5.10.0-1-amd64 SMP' should be '6.1.0 SMP'"];
		const error = loadError(failure('Invalid module format'), kernelLog, { object, policy: open });
		expect(error).toMatchObject({ code: 'MODULE_VERMAGIC', exitCode: 1 });
		expect(error.message).toBe(`/x/toa.ko was built for ${object.vermagic}; this is ${release()}`);
		expect(error.detail).toContain(kernelLog[0]);
	});

	it('built for this kernel, but from other sources or options', () => {
		const same = { ...object, release: release(), vermagic: `${release()} SMP mod_unload modversions` };
		const kernelLog = ['toa: disagrees about version of symbol tcp_prot'];
		const error = loadError(failure('Invalid module format'), kernelLog, { object: same, policy: open });
		expect(error.message).toBe(`/x/toa.ko was built for another build of ${release()}`);
		expect(error.hint).toMatch(/headers are newer than the running kernel, reboot/);
		expect(error.detail).toContain(kernelLog[0]);
	});

	it('not signed, where signatures are enforced', () => {
		const error = loadError(failure('Key was rejected by service'), [], {
			object,
			policy: { ...open, signedOnly: true },
		});
		expect(error).toMatchObject({ code: 'MODULE_UNSIGNED', exitCode: 3 });
		expect(error.message).toContain('module.sig_enforce is on');
		expect(error.message).toContain('is not signed');
		expect(error.hint).toMatch(/sign it.*provider to bpf/);
	});

	it('signed with an unknown key', () => {
		const error = loadError(failure('Required key not available'), [], {
			object: { ...object, signed: true },
			policy: open,
		});
		expect(error.code).toBe('MODULE_UNSIGNED');
		expect(error.message).toContain('signed, but not with a trusted key');
	});

	it('under lockdown', () => {
		const kernelLog = ['Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7'];
		const policy = { lockdown: 'integrity', signedOnly: false, secureBoot: true };
		const error = loadError(failure('Operation not permitted'), kernelLog, { object, policy });
		expect(error.code).toBe('MODULE_UNSIGNED');
		expect(error.message).toContain('kernel lockdown is integrity under Secure Boot');
		expect(error.detail).toContain(kernelLog[0]);
	});

	it('not permitted, without lockdown', () => {
		const error = loadError(failure('Operation not permitted'), [], { object, policy: open });
		expect(error).toMatchObject({ code: 'NO_PRIVILEGE', exitCode: 3 });
	});

	it('any other error, with the lines of the kernel log', () => {
		const error = loadError(failure('No such file or directory'), ['TOA: cannot attach to tracepoint tcp_probe: -2'], {
			object,
			policy: open,
		});
		expect(error.code).toBe('MODULE_LOAD_FAILED');
		expect(error.detail).toBe(
			`${failure('No such file or directory').trim()}\nTOA: cannot attach to tracepoint tcp_probe: -2`,
		);
	});
});

describe('the module that is loaded', () => {
	const loaded: LoadedModule = {
		origin: 'foreign',
		version: undefined,
		srcversion: 'ABC',
		parameters: {},
		references: 0,
		taint: 'OE',
	};

	it('is left in place if it is foreign', () => {
		expect(() => requireOwn(loaded)).toThrow(/another module called toa is loaded \(without a version, srcversion ABC/);
	});

	it('must be replaced if it has another version', () => {
		expect(() => requireOwn({ ...loaded, origin: 'other', version: '0.0.9' })).toThrow(/toa\.ko of another toascope/);
	});

	it('is accepted if it has this version', () => {
		expect(() => requireOwn({ ...loaded, origin: 'own' })).not.toThrow();
	});
});

describe('modinfo', () => {
	const text = `filename:       /x/toa.ko
license:        GPL
version:        ${version}
srcversion:     30CB13F3B785E045A1EF730
depends:        
vermagic:       6.1.0-56-amd64 SMP preempt mod_unload modversions 
parm:           trust:Networks that may send TOA
parm:           profiles:Layouts of the option, with commas
parm:           connections:Connections at the same time (uint)
`;

	it('shows whose the module is, and for which kernel', () => {
		expect(parseModinfo(text)).toEqual({
			file: '/x/toa.ko',
			origin: 'own',
			version,
			srcversion: '30CB13F3B785E045A1EF730',
			vermagic: '6.1.0-56-amd64 SMP preempt mod_unload modversions',
			release: '6.1.0-56-amd64',
			signed: false,
		});
	});

	it('shows that the module is signed', () => {
		const signature = 'sig_id:         PKCS#7\nsigner:         another\n';
		expect(parseModinfo(text + signature)?.signed).toBe(true);
	});

	const stating = (other: string) =>
		text.replace(`version:        ${version}`, `version:        ${other}`).replace('30CB13', 'AAAAAA');

	it('of this version is accepted', () => {
		expect(() => requireOwnFile(parseModinfo(stating(version)) as KernelObject)).not.toThrow();
	});

	it('of another version is refused', () => {
		expect(() => requireOwnFile(parseModinfo(stating('0.0.9')) as KernelObject)).toThrow(
			expect.objectContaining({
				code: 'MODULE_OTHER_VERSION',
				message: expect.stringContaining('/x/toa.ko is of another toascope version (version 0.0.9'),
			}),
		);
	});

	it("of a vendor's module that states the same version is refused", () => {
		const vendors = stating(version).replace(/^parm:.*\n/gm, '');
		expect(() => requireOwnFile(parseModinfo(vendors) as KernelObject)).toThrow(
			expect.objectContaining({ code: 'MODULE_FOREIGN', exitCode: 3 }),
		);
	});

	it('of a file that is not a module is undefined', () => {
		expect(parseModinfo('modinfo: ERROR: Module /x not found.\n')).toBeUndefined();
	});
});

it.each([
	['6,1234,5678,-;TOA: toa loaded\n SUBSYSTEM=x\n', 'TOA: toa loaded'],
	['4,1,2,c;half\n', 'half'],
	// systemd and others also write there, with facility 3 and above
	['30,1,2,-;systemd[1]: Started\n', undefined],
])('a record of the kernel log: %j', (record, message) => {
	expect(messageOf(record)).toBe(message);
});

it('a file that is not a kernel log has no lines', () => {
	const log = new KernelLog('/dev/null');
	expect(log.lines()).toEqual([]);
	log.close();
});
