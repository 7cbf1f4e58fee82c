// SPDX-License-Identifier: Apache-2.0
/** toa.ko where BPF is refused: the report before the first check, and after one that fails. */
import { expect, it } from 'vitest';
import { bpfReader, type OptionReader } from '../../../daemon/capture/provider.ts';
import { ModuleProvider } from '../../../daemon/module/module_provider.ts';

it('reports attachments as unknown before the first check, and after one that fails', () => {
	let error: Error | undefined;
	const reader: OptionReader = {
		...bpfReader,
		check() {
			if (error !== undefined) throw error;
			return { lost: { module: 2n }, missing: [] };
		},
	};
	const provider = new ModuleProvider(reader);
	expect(provider.attachments.missing).toMatchObject([{ reason: 'attachments_unknown' }]);
	provider.checkAttachments();
	expect(provider.attachments.missing).toEqual([]);
	error = Object.assign(new Error('gone at this moment'), { code: 'ENOENT', errno: -2 });
	expect(() => provider.checkAttachments()).toThrow('gone at this moment');
	expect(provider.attachments).toMatchObject({
		lost: { module: 2n },
		missing: [{ reason: 'attachments_unknown', text: expect.stringContaining('ENOENT') }],
	});
	error = undefined;
	provider.checkAttachments();
	expect(provider.attachments.missing).toEqual([]);
});
