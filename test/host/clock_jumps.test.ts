// SPDX-License-Identifier: Apache-2.0
/**
 * The wall clock is set while the daemon runs: earlier events are found by the time that the clock
 * showed then, and are shown with it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { preload } from '../kit/kernel/c_program.ts';
import { startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { type Accepted, Stage, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(2);
const minuteNs = 60_000_000_000n;

test.each([
	['one minute forward', 60n],
	['one minute back', -60n],
])('a clock that is set %s does not move earlier connections', async (_, seconds) => {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	const shift = join(directory, 'shift');
	const set = (by: bigint) => writeFileSync(shift, new BigInt64Array([by]));
	set(0n);
	const receiver = await startOtlpReceiver();
	try {
		await using stage = await Stage.open(port);
		await using daemon = await Daemon.start({
			config: `listeners: {ports: [${port}]}\ntrust: ["${network.pool}"]`,
			env: {
				...preload('shifted_clock'),
				SHIFTED_CLOCK: shift,
				OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
				OTEL_BSP_SCHEDULE_DELAY: '100',
			},
		});
		const find = async ({ accepted }: Accepted, at: string) => {
			const path = `/v1/connections?peer=${accepted.address}:${accepted.port}&at=${at}`;
			return (await daemon.json<{ connections: ConnectionJson[] }>(path)).connections[0];
		};
		const now = () => BigInt(Date.now()) * 1_000_000n;
		const unix = (ns: bigint) => `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`;

		const held = await stage.connect('AF_INET', 'nat64');
		// Date.now() is truncated to milliseconds, and the connection can have opened in the
		// current one
		let openAt = now();
		let before = await find(held, unix(openAt));
		while (before === undefined) {
			openAt = now();
			before = await find(held, unix(openAt));
		}
		set(seconds);
		// the time of the daemon's snapshot shows that it has noticed the change
		await daemon.until((samples) => {
			const shown = Number(samples.find(({ name }) => name === 'toascope_snapshot_timestamp_seconds')?.value);
			return Math.abs(shown - Date.now() / 1000 - Number(seconds)) < 20 ? true : undefined;
		});
		// the connection is found at both times, and its opening time is unchanged
		expect((await find(held, unix(openAt)))?.opened_at).toBe(before.opened_at);
		expect((await find(held, unix(now() + seconds * 1_000_000_000n)))?.opened_at).toBe(before.opened_at);
		const closedAt = now();
		await held[Symbol.asyncDispose]();
		const [span] = await receiver.waitForSpans(1);
		const started = span?.startTimeUnixNano ?? 0n;
		expect(openAt - started).toBeGreaterThanOrEqual(0n);
		expect(openAt - started).toBeLessThan(minuteNs / 2n);
		const duration = (span?.endTimeUnixNano ?? 0n) - started;
		// by a clock that was set back the connection would end before it began: then the span has
		// its real duration
		const expected = closedAt - openAt + (seconds > 0n ? minuteNs : 0n);
		expect(duration).toBeGreaterThan(expected - 1_000_000_000n);
		expect(duration).toBeLessThan(expected + minuteNs / 2n);
	} finally {
		await receiver.close();
		rmSync(directory, { recursive: true });
	}
});
