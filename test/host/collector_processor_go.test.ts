// SPDX-License-Identifier: Apache-2.0
/**
 * integrations/otelcol: its Go tests, with the race detector where there is a C compiler, and the
 * configuration that its page shows.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildProcessorCollector, go, hasGo, unreachable } from '../kit/telemetry/go_programs.ts';
import { scaleTimeout } from '../kit/timeouts.ts';

const module = join(import.meta.dirname, '../../integrations/otelcol');
const page = join(import.meta.dirname, '../../docs/collector-processor.md');
const hasCompiler = spawnSync('cc', ['--version']).error === undefined;

describe.skipIf(!hasGo)('integrations/otelcol', () => {
	it('its Go tests pass', { timeout: scaleTimeout(600_000) }, async ({ skip }) => {
		try {
			await go(['test', ...(hasCompiler ? ['-race'] : []), './...'], module);
		} catch (error) {
			const { message } = error as Error;
			if (!/^(---|\s*--- FAIL|FAIL)/m.test(message) && unreachable.test(message)) skip(message);
			throw error;
		}
	});

	it('the configuration of the page is valid, and a wrong one gets an error that says what to do', async ({ skip }) => {
		const program = await buildProcessorCollector();
		if (program === undefined) return skip('the Collector cannot be built');
		const [, configuration = ''] = /```yaml\n(.*?)```/s.exec(readFileSync(page, 'utf8')) ?? [];
		const validate = (yaml: string) => spawnSync(program, ['validate', `--config=yaml:${yaml}`], { encoding: 'utf8' });
		expect(validate(configuration)).toMatchObject({ status: 0, stderr: '' });
		const wrong = validate(configuration.replace('/run/toascope/toascope.sock', 'http://127.0.0.1:10646'));
		expect(wrong.status).not.toBe(0);
		expect(wrong.stderr).toContain("is a URL; give the path of the daemon's Unix socket");
	});

	it('is formatted', () => {
		expect(spawnSync('gofmt', ['-l', '.'], { cwd: module, encoding: 'utf8' }).stdout).toBe('');
	});
});
