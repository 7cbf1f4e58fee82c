// SPDX-License-Identifier: Apache-2.0
/** Hints name commands that work where toascope runs: in the source tree, or installed. */
import { expect, it } from 'vitest';
import { asInvoked } from '../../daemon/invocation.ts';
import { noColour } from '../../daemon/terminal.ts';

it.each([
	['toascope module build, then toascope run', 'npm run toascope -- module build, then npm run toascope -- run'],
	['npm run toascope -- doctor', 'npm run toascope -- doctor'],
	['systemctl start toascope, or wait', 'systemctl start toascope, or wait'],
	['another toascope has the pins', 'another toascope has the pins'],
	['/usr/bin/toascope runs', '/usr/bin/toascope runs'],
])('%j: adapted to the source tree, unchanged where toascope is installed', (text, typed) => {
	expect(asInvoked(text, true)).toBe(typed);
	expect(asInvoked(text, false)).toBe(text);
});

it.each([
	[undefined, false],
	['', false],
	['1', true],
	['0', true],
])('NO_COLOR=%j turns colours off: %j', (value, off) => {
	expect(noColour(value === undefined ? {} : { NO_COLOR: value })).toBe(off);
});
