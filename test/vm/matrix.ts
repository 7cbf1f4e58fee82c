// SPDX-License-Identifier: Apache-2.0
/** Runs the tests on each kernel of the matrix, two guests at a time, or one beside other tests. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileAll } from '../kit/kernel/c_program.ts';
import { buildWith, compilers } from '../kit/kernel/compilers.ts';
import { buildOtherLayout } from '../kit/kernel/other_layout.ts';
import { thisMachine } from '../kit/kernel/target.ts';
import { Unavailable } from './apt.ts';
import { type Architecture, amd64 } from './architectures.ts';
import { buildModule, buildPrograms, noMemory, type Source, toa } from './build.ts';
import { foreignGuestRoot } from './cross_build.ts';
import { runGuest, type Step } from './guest.ts';
import { kernels as all, type Kernel, type Work } from './kernels.ts';
import type { GuestRoot } from './machine.ts';
import { type Fetched, fetchKernel } from './packages.ts';
import type { StepReport } from './report.ts';
import { vectorLines } from './vectors.ts';

const root = join(import.meta.dirname, '../..');
const work = join(root, 'build/vm');
/** A path in guests; guests of other architectures have their own programs there. */
const programs = join(work, 'programs');
const vectors = join(work, 'vectors');

/** The processors of a guest are one thread of QEMU, and this machine has two processors. */
const atOnce = 2;

export interface Plan extends Work {
	/** Additional tests, by the names of their kernels. */
	readonly testsOf?: Readonly<Record<string, readonly string[]>>;
	/** The names of kernels on which only the module is tested, without a daemon. */
	readonly moduleOnly?: readonly string[];
	/** The time limit of each guest. */
	readonly limitSeconds: number;
	/** The time limit of all guests together. */
	readonly allSeconds: number;
}

/** The result for one kernel. */
export interface KernelReport {
	readonly kernel: Kernel;
	/** As `uname -r` prints it; undefined: the kernel is not available. */
	readonly release?: string;
	readonly steps: readonly StepReport[];
	/** What failed outside of any test: the build, or the guest itself. */
	readonly problems: readonly string[];
	/** Why it did not run at all. */
	readonly skipped?: string;
	/** For the build and the guest. */
	readonly seconds: number;
}

/** What this machine lacks for guests of an architecture; undefined: nothing that is known yet. */
export function missingRequirement({ commands }: Architecture = amd64): string | undefined {
	if (process.arch !== 'x64') return `kernels of the matrix are built and run on x86_64, and this is ${process.arch}`;
	if (process.getuid?.() !== 0) return 'not root';
	for (const name of [...commands, 'busybox', 'modprobe', 'cpio', 'xz', 'zstd', 'mmdebstrap']) {
		try {
			execFileSync('sh', ['-c', 'command -v "$1"', 'sh', name], { stdio: 'ignore' });
		} catch {
			return `${name} is not installed`;
		}
	}
	return undefined;
}

/** Kernels with the same key share the result of `make`. */
function shared<T>(
	make: (kernel: Kernel) => Promise<T>,
	key = ({ suite, version }: Kernel) => `${suite} ${version}`,
): (kernel: Kernel) => Promise<T> {
	const results = new Map<string, Promise<T>>();
	return (kernel) => {
		const found = results.get(key(kernel)) ?? make(kernel);
		results.set(key(kernel), found);
		return found;
	};
}

const fetched: (kernel: Kernel) => Promise<Fetched> = shared(fetchKernel);

const rootOf: (kernel: Kernel) => Promise<GuestRoot | undefined> = shared(
	({ architecture }) => foreignGuestRoot(architecture),
	({ architecture }) => architecture.name,
);

async function build(kernel: Kernel, directory: string, source: Source): Promise<string> {
	const sources = await fetched(kernel);
	return buildModule(kernel, sources, join(work, directory, sources.release), source);
}

/** toa.ko; undefined: there are no headers to build it with. */
const moduleOf = shared(async (kernel) => (kernel.build === 'nowhere' ? undefined : build(kernel, 'modules', toa)));

const noMemoryOf = shared((kernel) => build(kernel, 'no_memory', noMemory));

/** A toa.ko that was built for another kernel. */
function foreignOf({ architecture, version }: Kernel): Promise<string | undefined> {
	const others = all.filter((kernel) => kernel.architecture === architecture && kernel.build === 'here');
	const other = others.find((kernel) => `${kernel.version}` !== `${version}`);
	return other === undefined ? Promise.resolve(undefined) : moduleOf(other);
}

interface Modules {
	readonly module: string | undefined;
	readonly foreign: string | undefined;
	/** Makes allocations of `module` fail. */
	readonly noMemory: string | undefined;
}

function workOf({ name, only }: Kernel, plan: Plan): Work {
	const { times, tests } = only ?? plan;
	if (plan.moduleOnly?.includes(name) === true) return { times, tests: [] };
	return { times, tests: [...tests, ...(plan.testsOf?.[name] ?? [])] };
}

function stepsFor({ module, foreign, noMemory }: Modules, { times, tests }: Work): Step[] {
	const steps: Step[] = [];
	if (module !== undefined && noMemory !== undefined) {
		steps.push({ name: 'module', command: [join(programs, 'module_test'), module, vectors, noMemory] });
		steps.push({ name: 'reload', command: [join(programs, 'module_reload'), module, String(times)] });
	}
	if (tests.length > 0) {
		const files = { TOA_TEST_MODULE: module, TOA_TEST_FOREIGN_MODULE: foreign };
		const has = Object.entries(files).flatMap(([name, file]) => (file === undefined ? [] : [`${name}=${file}`]));
		const runner = [join(root, 'scripts/node.sh'), join(import.meta.dirname, 'guest_tests.ts')];
		steps.push({ name: 'daemon', command: ['env', ...has, 'sh', ...runner, ...tests] });
	}
	return steps;
}

async function runKernel(kernel: Kernel, plan: Plan, print: (line: string) => void): Promise<KernelReport> {
	const began = performance.now();
	const seconds = () => (performance.now() - began) / 1000;
	const directory = join(work, kernel.name);
	mkdirSync(directory, { recursive: true });
	let release: string | undefined;
	try {
		const sources = await fetched(kernel);
		release = sources.release;
		const module = await moduleOf(kernel);
		const foreign = module === undefined || kernel.boot !== undefined ? undefined : await foreignOf(kernel);
		const own = workOf(kernel, plan);
		const noMemory = module === undefined || own.times === 0 ? undefined : await noMemoryOf(kernel);
		print(module === undefined ? `${release} has no headers, so no toa.ko` : `toa.ko built for ${release}, no warning`);
		const root = await rootOf(kernel);
		const { report, log } = await runGuest({
			fetched: sources,
			...(root === undefined ? {} : { root }),
			steps: stepsFor({ module, foreign, noMemory }, own),
			directory,
			kernelArguments: kernel.boot ?? [],
			limitSeconds: plan.limitSeconds,
			onLine: (line) => /^(ok|skip) /.test(line) || print(line),
		});
		if (report.failed > 0) print(`failed; the serial log: ${log}`);
		return { kernel, release, steps: report.steps, problems: report.problems, seconds: seconds() };
	} catch (error) {
		const { message } = error as Error;
		const had = release === undefined ? {} : { release };
		if (error instanceof Unavailable) {
			return { kernel, ...had, steps: [], problems: [], skipped: message, seconds: seconds() };
		}
		return { kernel, ...had, steps: [], problems: [message], seconds: seconds() };
	}
}

/**
 * Until `otherTests` has resolved, only one guest runs at a time. Calls `print` with each line about
 * the progress.
 */
export async function runMatrix(
	kernels: readonly Kernel[],
	plan: Plan,
	print: (line: string) => void,
	otherTests: Promise<unknown>,
): Promise<KernelReport[]> {
	await buildPrograms(thisMachine);
	writeFileSync(vectors, vectorLines());
	compileAll();
	// built before the guests start, which only use them
	const here = kernels.filter(({ architecture }) => architecture.node === process.arch);
	const filters = here.flatMap((kernel) => workOf(kernel, plan).tests);
	const has = (file: string) => filters.some((filter) => file.includes(filter));
	if (has('test/host/layouts.test.ts')) buildOtherLayout();
	if (has('test/host/compilers.test.ts')) for (const compiler of compilers()) buildWith(compiler);
	const waiting = [...kernels.entries()];
	const nameWidth = Math.max(...kernels.map(({ name }) => name.length));
	const reports: KernelReport[] = [];
	const began = performance.now();
	const worker = async () => {
		for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
			const [index, kernel] = next;
			const left = plan.allSeconds - (performance.now() - began) / 1000;
			const limitSeconds = Math.max(1, Math.min(plan.limitSeconds, Math.floor(left)));
			const own = { ...plan, limitSeconds };
			reports[index] = await runKernel(kernel, own, (line) => print(`${kernel.name.padEnd(nameWidth)} ${line}`));
		}
	};
	const beside = Array.from({ length: atOnce - 1 }, () => otherTests.then(worker));
	await Promise.all([worker(), ...beside]);
	return reports;
}
