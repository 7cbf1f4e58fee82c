// SPDX-License-Identifier: Apache-2.0
/** Why a toa.ko is not loaded, in an operator's words: each way has a code and a way out of its own. */
import { release } from 'node:os';
import { describe, expect, it } from 'vitest';
import { KernelLog, messageOf } from '../../daemon/module/kernel_log.ts';
import { type KernelObject, parseModinfo } from '../../daemon/module/kernel_object.ts';
import { explainRefusal, requireOwn, requireOwnFile } from '../../daemon/module/load.ts';
import type { Loaded } from '../../daemon/module/loaded.ts';
import type { Policy } from '../../daemon/module/policy.ts';
import { version } from '../../daemon/version.ts';

const open: Policy = { lockdown: 'none', signedOnly: false, secureBoot: undefined };
const object: KernelObject = {
	file: '/x/toa.ko',
	whose: 'own',
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
])('%s', (_, says) => {
	it('of another kernel', () => {
		const said = ["toa: version magic '5.10.0-1-amd64 SMP' should be '6.1.0 SMP'"];
		const error = explainRefusal(says('Invalid module format'), said, { object, policy: open });
		expect(error).toMatchObject({ code: 'MODULE_VERMAGIC', exitCode: 1 });
		expect(error.message).toBe(`/x/toa.ko was built for ${object.vermagic}; this is ${release()}`);
		expect(error.detail).toContain(said[0]);
	});

	it('of this kernel, built from other sources or options', () => {
		const same = { ...object, release: release(), vermagic: `${release()} SMP mod_unload modversions` };
		const said = ['toa: disagrees about version of symbol tcp_prot'];
		const error = explainRefusal(says('Invalid module format'), said, { object: same, policy: open });
		expect(error.message).toBe(`/x/toa.ko was built for another build of ${release()}`);
		expect(error.hint).toMatch(/headers are newer than the running kernel: restart/);
		expect(error.detail).toContain(said[0]);
	});

	it('of no known key, where signatures are enforced', () => {
		const error = explainRefusal(says('Key was rejected by service'), [], {
			object,
			policy: { ...open, signedOnly: true },
		});
		expect(error).toMatchObject({ code: 'MODULE_UNSIGNED', exitCode: 3 });
		expect(error.message).toContain('module.sig_enforce is on');
		expect(error.message).toContain('is not signed');
		expect(error.hint).toMatch(/sign it.*provider to bpf/);
	});

	it('signed by somebody else', () => {
		const error = explainRefusal(says('Required key not available'), [], {
			object: { ...object, signed: true },
			policy: open,
		});
		expect(error.code).toBe('MODULE_UNSIGNED');
		expect(error.message).toContain('signed, but of no key that counts');
	});

	it('under lockdown', () => {
		const said = ['Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7'];
		const policy = { lockdown: 'integrity', signedOnly: false, secureBoot: true };
		const error = explainRefusal(says('Operation not permitted'), said, { object, policy });
		expect(error.code).toBe('MODULE_UNSIGNED');
		expect(error.message).toContain('kernel lockdown is integrity under Secure Boot');
		expect(error.detail).toContain(said[0]);
	});

	it('not permitted, and no lockdown', () => {
		const error = explainRefusal(says('Operation not permitted'), [], { object, policy: open });
		expect(error).toMatchObject({ code: 'NO_PRIVILEGE', exitCode: 3 });
	});

	it('anything else, with what the kernel said', () => {
		const error = explainRefusal(says('No such file or directory'), ['TOA: no tracepoint tcp_probe: -2'], {
			object,
			policy: open,
		});
		expect(error.code).toBe('MODULE_LOAD_FAILED');
		expect(error.detail).toBe(`${says('No such file or directory').trim()}\nTOA: no tracepoint tcp_probe: -2`);
	});
});

describe('the module that is loaded', () => {
	const loaded: Loaded = {
		whose: 'foreign',
		version: undefined,
		srcversion: 'ABC',
		parameters: {},
		references: 0,
		taint: 'OE',
	};

	it('of somebody else is left in place', () => {
		expect(() => requireOwn(loaded)).toThrow(/another module called toa is loaded \(without a version, srcversion ABC/);
	});

	it('of another version is to be exchanged', () => {
		expect(() => requireOwn({ ...loaded, whose: 'other', version: '0.0.9' })).toThrow(/toa\.ko of another toascope/);
	});

	it('of this one is good', () => {
		expect(() => requireOwn({ ...loaded, whose: 'own' })).not.toThrow();
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

	it('says whose it is and for what', () => {
		expect(parseModinfo(text)).toEqual({
			file: '/x/toa.ko',
			whose: 'own',
			version,
			srcversion: '30CB13F3B785E045A1EF730',
			vermagic: '6.1.0-56-amd64 SMP preempt mod_unload modversions',
			release: '6.1.0-56-amd64',
			signed: false,
		});
	});

	it('says that it is signed', () => {
		const signature = 'sig_id:         PKCS#7\nsigner:         somebody\n';
		expect(parseModinfo(text + signature)?.signed).toBe(true);
	});

	const stating = (other: string) =>
		text.replace(`version:        ${version}`, `version:        ${other}`).replace('30CB13', 'AAAAAA');

	it('of this version is loaded', () => {
		expect(() => requireOwnFile(parseModinfo(stating(version)) as KernelObject)).not.toThrow();
	});

	it('of another version is not loaded', () => {
		expect(() => requireOwnFile(parseModinfo(stating('0.0.9')) as KernelObject)).toThrow(
			expect.objectContaining({
				code: 'MODULE_OTHER_VERSION',
				message: expect.stringContaining('/x/toa.ko is of another toascope (version 0.0.9'),
			}),
		);
	});

	it("of a vendor's that states the very version is not loaded", () => {
		const vendors = stating(version).replace(/^parm:.*\n/gm, '');
		expect(() => requireOwnFile(parseModinfo(vendors) as KernelObject)).toThrow(
			expect.objectContaining({ code: 'MODULE_FOREIGN', exitCode: 3 }),
		);
	});

	it('of what is none', () => {
		expect(parseModinfo('modinfo: ERROR: Module /x not found.\n')).toBeUndefined();
	});
});

it.each([
	['6,1234,5678,-;TOA: toa loaded\n SUBSYSTEM=x\n', 'TOA: toa loaded'],
	['4,1,2,c;half\n', 'half'],
	// systemd and others write there too: facility 3 and above
	['30,1,2,-;systemd[1]: Started\n', undefined],
])('a record of the kernel log: %j', (record, message) => {
	expect(messageOf(record)).toBe(message);
});

it('a kernel log that is none has no lines', () => {
	const log = new KernelLog('/dev/null');
	expect(log.lines()).toEqual([]);
	log.close();
});
