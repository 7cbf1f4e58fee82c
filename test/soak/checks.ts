// SPDX-License-Identifier: Apache-2.0
/** The results of a soak test, check by check. */

export interface Check {
	readonly name: string;
	readonly ok: boolean;
	readonly detail: string;
}

export class Checks {
	readonly all: Check[] = [];
	readonly #say: (text: string) => void;

	constructor(say: (text: string) => void) {
		this.#say = say;
	}

	add(name: string, ok: boolean, detail = ''): void {
		this.all.push({ name, ok, detail });
		this.#say(`${ok ? 'ok     ' : 'FAILED '} ${name}${detail === '' ? '' : `: ${detail}`}`);
	}

	/**
	 * Runs a check, whose result is the detail. It fails if it throws or takes longer than
	 * `limitMs`.
	 */
	async run(name: string, limitMs: number, work: () => Promise<string | undefined>): Promise<boolean> {
		try {
			this.add(name, true, await within(limitMs, work()));
			return true;
		} catch (error) {
			this.add(name, false, (error as Error).message);
			return false;
		}
	}
}

/** @throws {Error} if it takes longer */
async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
	const { promise, reject } = Promise.withResolvers<never>();
	const timer = setTimeout(() => reject(new Error(`did not finish within ${limitMs / 1000} s`)), limitMs);
	try {
		return await Promise.race([work, promise]);
	} finally {
		clearTimeout(timer);
	}
}

/** @throws {Error} with both values if they differ */
export function expectEqual(what: string, is: unknown, shouldBe: unknown): void {
	const text = (value: unknown) =>
		JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? String(member) : member));
	if (text(is) !== text(shouldBe)) throw new Error(`${what}: is ${text(is)}, should be ${text(shouldBe)}`);
}
