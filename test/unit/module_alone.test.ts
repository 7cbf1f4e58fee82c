// SPDX-License-Identifier: Apache-2.0
/** toa.ko where BPF is refused: what is reported before the first check, and of one that fails. */
import { expect, it } from 'vitest';
import { bpfReader, type OptionReader } from '../../daemon/capture/provider.ts';
import { ModuleAlone } from '../../daemon/module/alone.ts';

it('knows nothing before the first check, and where a check fails', () => {
	let error: Error | undefined;
	const reader: OptionReader = {
		...bpfReader,
		check() {
			if (error !== undefined) throw error;
			return { lost: { module: 2n }, missing: [] };
		},
	};
	const alone = new ModuleAlone(reader, undefined);
	expect(alone.attachments.missing).toMatchObject([{ reason: 'attachments_unknown' }]);
	alone.checkAttachments();
	expect(alone.attachments.missing).toEqual([]);
	error = Object.assign(new Error('gone at this moment'), { code: 'ENOENT', errno: -2 });
	expect(() => alone.checkAttachments()).toThrow('gone at this moment');
	expect(alone.attachments).toMatchObject({
		lost: { module: 2n },
		missing: [{ reason: 'attachments_unknown', text: expect.stringContaining('ENOENT') }],
	});
	error = undefined;
	alone.checkAttachments();
	expect(alone.attachments.missing).toEqual([]);
});
