/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-runtime others DIR: counts the programs of other software that run for sockets of the
 * cgroup DIR.
 *
 * toascope-runtime floor DIR: attaches programs that do nothing to the cgroup, except that the
 * sockops program requests state callbacks for accepted sockets. This is the minimal cost of
 * programs on toascope's hooks.
 *
 * toascope-runtime measure DIR: enables the kernel's run-time statistics of BPF programs while it
 * runs (BPF_ENABLE_STATS: they are disabled when its descriptor closes, however the process ends),
 * and attaches programs that do nothing to the cgroup, to measure the cost of a bare call. Answers
 * each line on standard input with the runs and nanoseconds of these programs, as JSON.
 *
 * floor and measure exit at the end of standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <bpf/bpf.h>

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static struct empty {
	const char *name;
	enum bpf_prog_type type;
	enum bpf_attach_type hook;
	int program;
	int link;
} empties[] = {
	{ "sockops", BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS },
	{ "getpeername4", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME },
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define EMPTIES LENGTH(empties)

/* return 1 */
static const struct bpf_insn nothing[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
	{ .code = BPF_JMP | BPF_EXIT },
};

/*
 * if (op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
 *         bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
 * return 1
 */
static const struct bpf_insn request_states[] = {
	{ .code = BPF_LDX | BPF_MEM | BPF_W,
	  .dst_reg = BPF_REG_2,
	  .src_reg = BPF_REG_1,
	  .off = offsetof(struct bpf_sock_ops, op) },
	{ .code = BPF_JMP | BPF_JNE | BPF_K,
	  .dst_reg = BPF_REG_2,
	  .off = 2,
	  .imm = BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = BPF_SOCK_OPS_STATE_CB_FLAG },
	{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sock_ops_cb_flags_set },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
	{ .code = BPF_JMP | BPF_EXIT },
};

/* The descriptors, and with them the links, stay open until the process ends. */
static bool attach(struct empty *empty, int cgroup, const struct bpf_insn *code, size_t length)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = empty->hook);

	empty->program = bpf_prog_load(empty->type, "empty", "GPL", code, length, &options);
	if (empty->program < 0)
		return false;
	empty->link = bpf_link_create(empty->program, cgroup, empty->hook, NULL);
	return empty->link >= 0;
}

static bool print(void)
{
	for (size_t i = 0; i < EMPTIES; i++) {
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (bpf_obj_get_info_by_fd(empties[i].program, &info, &size))
			return false;
		printf("%s\"%s\":{\"runs\":%" PRIu64 ",\"ns\":%" PRIu64 "}", i ? "," : "{", empties[i].name,
		       (uint64_t)info.run_cnt, (uint64_t)info.run_time_ns);
	}
	puts("}");
	return !fflush(stdout);
}

/* Counts the programs on toascope's hooks that are attached to this cgroup or one above it. */
static int count_other_programs(int cgroup)
{
	__u32 flags, ids[64], all = 0;

	for (size_t i = 0; i < EMPTIES; i++) {
		__u32 count = LENGTH(ids);

		if (bpf_prog_query(cgroup, empties[i].hook, BPF_F_QUERY_EFFECTIVE, &flags, ids, &count))
			return -1;
		all += count;
	}
	return all;
}

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return EXIT_FAILED;
}

int main(int argc, char **argv)
{
	const char *mode = argc == 3 ? argv[1] : "";
	bool measures = !strcmp(mode, "measure");
	char line[16];
	int cgroup, others;

	if (!measures && strcmp(mode, "others") && strcmp(mode, "floor")) {
		fputs("usage: toascope-runtime others|floor|measure DIR\n", stderr);
		return EXIT_USAGE;
	}
	cgroup = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return fail(argv[2]);
	if (!strcmp(mode, "others")) {
		others = count_other_programs(cgroup);
		if (others < 0)
			return fail("cannot query the programs of the cgroup");
		printf("{\"ready\":true,\"others\":%d}\n", others);
		return EXIT_DONE;
	}
	if (measures && bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		return fail("cannot enable run-time statistics");
	for (size_t i = 0; i < EMPTIES; i++) {
		bool requests_states = !measures && empties[i].type == BPF_PROG_TYPE_SOCK_OPS;

		if (!attach(&empties[i], cgroup, requests_states ? request_states : nothing,
			    requests_states ? LENGTH(request_states) : LENGTH(nothing)))
			return fail(empties[i].name);
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!print())
			return fail("cannot read the statistics");
	}
	return EXIT_DONE;
}
