// SPDX-License-Identifier: Apache-2.0
/**
 * The lines of docs/in-process.md, each compiled with the server beside this file that uses them,
 * and with the real OpenTelemetry SDK of its language.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from '../applications/application.ts';
import { inGuest } from '../kernel/in_guest.ts';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const page = readFileSync(join(root, 'docs/in-process.md'), 'utf8');
const built = join(root, 'build/in-process');

interface Language {
	readonly name: string;
	/** The program that it requires. */
	readonly toolchain: string;
	/** The files of its directory, besides the server. */
	files(snippet: string): Readonly<Record<string, string>>;
	/** How the directory is built, with `cwd` in it. */
	readonly build: readonly (readonly string[])[];
	readonly environment?: Readonly<Record<string, string>>;
	/** The command that runs the server, below its directory. */
	command(directory: string): readonly string[];
	/** Whether its server speaks HTTP. */
	readonly http?: boolean;
}

const python = ['opentelemetry-api==1.45.2', 'opentelemetry-sdk==1.45.2'];

const goModule = `module toascope.test/in-process

go 1.24

require (
	go.opentelemetry.io/otel v1.47.0
	go.opentelemetry.io/otel/sdk v1.47.0
	go.opentelemetry.io/otel/trace v1.47.0
)
`;

const cargo = `[package]
name = "server"
version = "0.0.0"
edition = "2021"

[[bin]]
name = "server"
path = "server.rs"

[dependencies]
libc = "0.2"
opentelemetry = "=0.33.1"
opentelemetry_sdk = { version = "=0.33.1", features = ["testing"] }
`;

/** Each language of the page, by the word after the opening fence. */
export const languages = {
	python: {
		name: 'Python',
		toolchain: 'python3',
		files: (snippet) => ({ 'client.py': snippet }),
		build: [
			[
				'python3',
				'-m',
				'pip',
				'install',
				'--quiet',
				'--disable-pip-version-check',
				'--retries=1',
				'--target',
				'packages',
				...python,
			],
		],
		command: (directory) => ['env', `PYTHONPATH=${directory}/packages`, 'python3', `${directory}/server.py`],
	},
	go: {
		name: 'Go',
		toolchain: 'go',
		files: (snippet) => ({ 'client/client.go': snippet, 'go.mod': goModule }),
		build: [
			['go', 'mod', 'tidy'],
			['go', 'vet', './...'],
			['go', 'build', '-o', 'server', '.'],
		],
		environment: { GOFLAGS: '-buildvcs=false', GOWORK: 'off', CGO_ENABLED: '0' },
		command: (directory) => [`${directory}/server`],
		http: true,
	},
	rust: {
		name: 'Rust',
		toolchain: 'cargo',
		files: (snippet) => ({ 'client.rs': snippet, 'Cargo.toml': cargo }),
		build: [['cargo', 'build', '--quiet']],
		environment: { RUSTFLAGS: '-Dwarnings' },
		command: (directory) => [`${directory}/target/debug/server`],
	},
	c: {
		name: 'C',
		toolchain: 'cc',
		files: (snippet) => ({ 'client.h': snippet }),
		build: [['cc', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-o', 'server', 'server.c']],
		command: (directory) => [`${directory}/server`],
	},
} as const satisfies Readonly<Record<string, Language>>;

export type LanguageName = keyof typeof languages;

/** The name of the server's source, by language. */
const sources: Readonly<Record<LanguageName, string>> = {
	python: 'server.py',
	go: 'server.go',
	rust: 'server.rs',
	c: 'server.c',
};

/** What a package manager says where it cannot reach its registry. */
const unreachable =
	/dial tcp|no such host|connection refused|i\/o timeout|TLS handshake|GOPROXY|NewConnectionError|No matching distribution|[Cc]ould ?n.t resolve|spurious network error|failed to download|No module named pip/;

/** The lines of the page in a language. */
function snippetOf(language: LanguageName): string {
	const blocks = [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))];
	if (blocks.length !== 1) throw new Error(`docs/in-process.md has ${blocks.length} blocks of ${language}, expected 1`);
	return blocks[0]?.[1] as string;
}

/**
 * Builds the server of a language, once for each version of the page's lines. Resolves to its
 * command, or to a note on why it cannot be built here.
 */
export async function buildServer(
	language: LanguageName,
): Promise<{ readonly command: readonly string[] } | { readonly note: string }> {
	const { name, toolchain, files, build, command, environment = {} }: Language = languages[language];
	if (findProgram(toolchain) === undefined) return { note: `${name}: ${toolchain} is not installed` };
	const source = join(import.meta.dirname, sources[language]);
	const contents = files(snippetOf(language));
	const inputs = JSON.stringify([contents, build, environment, readFileSync(source, 'utf8')]);
	const directory = join(built, `${language}-${createHash('sha256').update(inputs).digest('hex').slice(0, 12)}`);
	if (existsSync(directory)) return { command: command(directory) };
	if (inGuest) return { note: `${name}: a guest cannot download its packages` };
	mkdirSync(built, { recursive: true });
	const unfinished = mkdtempSync(join(built, `${language}-new-`));
	try {
		for (const [path, text] of Object.entries(contents)) {
			mkdirSync(join(unfinished, path, '..'), { recursive: true });
			writeFileSync(join(unfinished, path), text);
		}
		cpSync(source, join(unfinished, sources[language]));
		for (const [program = '', ...args] of build) {
			await execute(program, args, {
				cwd: unfinished,
				env: { ...process.env, ...environment },
				maxBuffer: 16 << 20,
			});
		}
		renameSync(unfinished, directory);
		return { command: command(directory) };
	} catch (error) {
		const { stderr = '', message } = error as { stderr?: string; message: string };
		if (!unreachable.test(stderr)) throw new Error(`${name}: ${stderr || message}`, { cause: error });
		return { note: `${name}: its packages cannot be downloaded: ${stderr.trim().split('\n').at(-1)}` };
	} finally {
		rmSync(unfinished, { recursive: true, force: true });
	}
}
