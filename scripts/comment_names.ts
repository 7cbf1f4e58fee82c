// SPDX-License-Identifier: Apache-2.0
/**
 * Finds functions that a comment names but that no code has: a rename has left the comment behind.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const sources = /^(daemon|bpf|kernel|native|integrations|test|bench)\/.*\.(ts|c|h|cc|def)$/;
/** A comment, or a literal, which is matched so that what looks like a comment in it is not one. */
const token = /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
const isComment = (text: string): boolean => /^\/[*/]/.test(text);
/**
 * A name in code that is called, declared as a function, or has a function as its value or type.
 */
const inCode = /\b(\w+)\??(?=\s*\(|<\w|\??\s*[:=]\s*(?:async\s*)?[(<])/g;
const inComment = /\b(\w+)\(\)/g;

/** Functions of the kernel, of libbpf and system calls, which no code here calls. */
const outside = `
	__inet_accept check_max_stack_depth inet_accept inet_csk_accept io_uring_enter io_uring_setup
	ipv6_getsockopt kernel_getpeername kmalloc libbpf_probe_bpf_helper maybe_wait_bpf_programs
	pidfd_open populate_bpffs same_magic sk_clone sock_graft task_pt_regs tcp_ack tcp_close tcp_close_state
	tcp_fin tcp_parse_auth_options tcp_queue_rcv tcp_rcv_state_process tcp_reset tcp_send_fin
	tcp_set_state
	tcp_v4_rcv tcp_v4_syn_recv_sock tcp_v6_rcv tcp_v6_syn_recv_sock tcp_validate_incoming
	tcp_write_err
`;

/** One line for each such name: `FILE:LINE: no function is called NAME()`. */
export function commentNameProblems(root: string, files: readonly string[]): string[] {
	const texts = files
		.filter((file) => sources.test(file))
		.map((file) => [file, readFileSync(join(root, file), 'utf8')] as const);
	const known = new Set(outside.trim().split(/\s+/));
	for (const [, text] of texts) {
		const code = text.replace(token, (found) => (isComment(found) ? ' ' : found));
		for (const [, name = ''] of code.matchAll(inCode)) known.add(name);
	}
	return texts.flatMap(([file, text]) =>
		[...text.matchAll(token)]
			.filter(([found]) => isComment(found))
			.flatMap(({ 0: comment, index: start }) =>
				[...comment.matchAll(inComment)]
					.filter(([, name = '']) => !known.has(name))
					.map(({ 0: name, index }) => {
						const line = text.slice(0, start + index).split('\n').length;
						return `${file}:${line}: no function is called ${name}`;
					}),
			),
	);
}
