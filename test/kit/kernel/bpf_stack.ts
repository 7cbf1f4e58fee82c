// SPDX-License-Identifier: Apache-2.0
/**
 * The stack that chains of calls in a BPF object use. Verifiers before 6.9 round each frame up to a
 * multiple of 32 bytes and allow 512 bytes per chain (check_max_stack_depth(),
 * kernel/bpf/verifier.c). The kernel of the host can be one that rounds less.
 */
import { readFileSync } from 'node:fs';

/** The stack that a chain of functions uses, the outermost function first. */
export interface Chain {
	readonly bytes: number;
	readonly functions: readonly string[];
}

interface Section {
	readonly type: number;
	readonly offset: number;
	readonly size: number;
	readonly link: number;
	readonly info: number;
}

interface Function {
	readonly name: string;
	readonly section: number;
	readonly start: number;
	readonly end: number;
}

const frameUnit = 32;
/** SHT_SYMTAB, SHT_REL and STT_FUNC of include/uapi/linux/elf.h. */
const [shtSymtab, shtRel, sttFunc] = [2, 9, 2];
const instructionBytes = 8;

function readSections(elf: Buffer): Section[] {
	const at = Number(elf.readBigUInt64LE(0x28));
	const [size, count] = [elf.readUInt16LE(0x3a), elf.readUInt16LE(0x3c)];
	return Array.from({ length: count }, (_, index) => {
		const header = at + index * size;
		return {
			type: elf.readUInt32LE(header + 4),
			offset: Number(elf.readBigUInt64LE(header + 0x18)),
			size: Number(elf.readBigUInt64LE(header + 0x20)),
			link: elf.readUInt32LE(header + 0x28),
			info: elf.readUInt32LE(header + 0x2c),
		};
	});
}

const sectionAt = (sections: readonly Section[], index: number): Section => {
	const section = sections[index];
	if (section === undefined) throw new Error(`no section ${index}`);
	return section;
};

interface Symbol {
	readonly name: string;
	readonly type: number;
	readonly section: number;
	readonly value: number;
	readonly size: number;
}

function readSymbols(elf: Buffer, sections: readonly Section[]): Symbol[] {
	const table = sections.find(({ type }) => type === shtSymtab);
	if (table === undefined) throw new Error('no symbols');
	const names = sectionAt(sections, table.link).offset;
	return Array.from({ length: table.size / 24 }, (_, index) => {
		const at = table.offset + index * 24;
		const name = names + elf.readUInt32LE(at);
		return {
			name: elf.toString('latin1', name, elf.indexOf(0, name)),
			type: elf.readUInt8(at + 4) & 15,
			section: elf.readUInt16LE(at + 6),
			value: Number(elf.readBigUInt64LE(at + 8)),
			size: Number(elf.readBigUInt64LE(at + 16)),
		};
	});
}

/**
 * The size of a frame, in bytes below r10: from loads and stores relative to r10, and from
 * constants added to copies of r10.
 */
function frameOf(code: Buffer): number {
	const copies = new Set<number>();
	let depth = 0;
	for (let at = 0; at < code.length; at += instructionBytes) {
		const [opcode, registers] = [code.readUInt8(at), code.readUInt8(at + 1)];
		const [target, source, offset] = [registers & 15, registers >> 4, code.readInt16LE(at + 2)];
		const kind = opcode & 7;
		const isLoad = kind === 1;
		const isStore = kind === 2 || kind === 3;
		if ((isLoad && source === 10) || (isStore && target === 10)) depth = Math.max(depth, -offset);
		if (opcode === 0xbf && source === 10) {
			copies.add(target);
		} else if (opcode === 0x07 && copies.delete(target)) {
			depth = Math.max(depth, -code.readInt32LE(at + 4));
		} else if (!isStore) {
			copies.delete(target);
		}
	}
	return depth;
}

/** Every chain that starts at a function that no other calls, the largest first. */
export function stackChains(file: string): Chain[] {
	const elf = readFileSync(file);
	const sections = readSections(elf);
	const symbols = readSymbols(elf, sections);
	const functions: Function[] = symbols
		.filter(({ type }) => type === sttFunc)
		.map(({ name, section, value, size }) => ({ name, section, start: value, end: value + size }));
	const holder = (section: number, at: number) =>
		functions.find((each) => each.section === section && at >= each.start && at < each.end);
	const callees = new Map(functions.map((each) => [each, new Set<Function>()]));

	/** Targets of calls that the loader relocates, by section and offset. */
	const relocated = new Map<string, Symbol>();
	for (const { type, offset, size, info } of sections) {
		if (type !== shtRel) continue;
		for (let at = offset; at < offset + size; at += 16) {
			const symbol = symbols[elf.readUInt32LE(at + 12)];
			if (symbol !== undefined) relocated.set(`${info}:${elf.readBigUInt64LE(at)}`, symbol);
		}
	}
	for (const caller of functions) {
		for (let at = caller.start; at < caller.end; at += instructionBytes) {
			const position = sectionAt(sections, caller.section).offset + at;
			// only BPF_JMP | BPF_CALL with BPF_PSEUDO_CALL calls another function of the object
			if (elf.readUInt8(position) !== 0x85 || elf.readUInt8(position + 1) >> 4 !== 1) continue;
			const symbol = relocated.get(`${caller.section}:${at}`);
			const immediate = elf.readInt32LE(position + 4);
			const inSection = (immediate + 1) * instructionBytes;
			const callee =
				symbol === undefined
					? holder(caller.section, at + inSection)
					: holder(symbol.section, symbol.type === sttFunc ? symbol.value : symbol.value + inSection);
			if (callee === undefined) throw new Error(`${caller.name}: the call at ${at} is not to a function`);
			callees.get(caller)?.add(callee);
		}
	}

	const frames = new Map(
		functions.map((each) => {
			const { offset } = sectionAt(sections, each.section);
			const frame = frameOf(elf.subarray(offset + each.start, offset + each.end));
			return [each, Math.ceil(Math.max(frame, 1) / frameUnit) * frameUnit];
		}),
	);
	const called = new Set([...callees.values()].flatMap((each) => [...each]));
	const chainsFrom = (each: Function): Chain[] => {
		const bytes = frames.get(each) ?? 0;
		const further = [...(callees.get(each) ?? [])].flatMap(chainsFrom);
		if (further.length === 0) return [{ bytes, functions: [each.name] }];
		return further.map((rest) => ({ bytes: bytes + rest.bytes, functions: [each.name, ...rest.functions] }));
	};
	return functions
		.filter((each) => !called.has(each))
		.flatMap(chainsFrom)
		.sort((a, b) => b.bytes - a.bytes);
}
