// SPDX-License-Identifier: Apache-2.0
/** What a command of `toascope` consists of: its words, its exit codes, and its action. */
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { exitCode } from '../errors.ts';

/**
 * What each exit code means for a command; `usage` only where it differs from the usual meaning.
 */
export interface ExitCodes {
	readonly done: string;
	readonly failed: string;
	readonly usage?: string;
	readonly unsupported?: string;
}

export interface CommandSpec<Options> {
	readonly name: string;
	readonly description: string;
	/** `<required>` or `[optional]`, and its description. */
	readonly argument?: readonly [name: string, description: string];
	readonly options?: readonly Option[];
	readonly exitCodes: ExitCodes;
	/**
	 * Returns the exit code. It imports the modules that it needs itself, so that no command loads
	 * those of another one.
	 */
	run(options: Options, argument: string | undefined): number | Promise<number>;
}

/** The last lines of a command's help. */
export function describeExitCodes(codes: ExitCodes): string {
	const { done, failed, usage = 'wrong usage or configuration', unsupported } = codes;
	const lines = [
		`${exitCode.done}  ${done}`,
		`${exitCode.failed}  ${failed}`,
		`${exitCode.usage}  ${usage}`,
		...(unsupported === undefined ? [] : [`${exitCode.unsupported}  ${unsupported}`]),
	];
	return `\nExit codes:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/** `onExit` receives the exit code of the command when it has run. */
export function addCommand<Options>(parent: Command, spec: CommandSpec<Options>, onExit: (code: number) => void): void {
	const command = parent.command(spec.name).description(spec.description);
	if (spec.argument !== undefined) command.argument(...spec.argument);
	for (const option of spec.options ?? []) command.addOption(option);
	command.addHelpText('after', describeExitCodes(spec.exitCodes)).action(async (...args: unknown[]) => {
		const [argument, options] = spec.argument === undefined ? [undefined, args[0]] : args;
		onExit(await spec.run(options as Options, argument as string | undefined));
	});
}

/** An option's value: a whole number above 0. */
export function positiveInteger(text: string): number {
	const number = Number(text);
	if (Number.isSafeInteger(number) && number > 0) return number;
	throw new InvalidArgumentError('It must be a whole number above 0.');
}

export const write = (text: string): void => void process.stdout.write(text);
