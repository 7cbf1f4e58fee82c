/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-runtime others DIR: how many programs of others run for sockets of that cgroup.
 * toascope-runtime floor DIR: attaches programs that do nothing to the cgroup, but that the one of
 * sockets asks to be told of each state of accepted ones: the least that hooks like ours cost.
 * toascope-runtime measure DIR: switches the run-time statistics of BPF programs on while it lives
 * (BPF_ENABLE_STATS: they go off with its descriptor, however it ends), and attaches programs
 * that do nothing to the cgroup, to tell what a call alone costs. Answers each line on standard
 * input with the runs and nanoseconds of these programs, as JSON.
 * The latter two end at the end of the input.
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

/* if (op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG); return 1 */
static const struct bpf_insn watching[] = {
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

/* The descriptors stay open until the process ends, and with them the links. */
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

/* Programs on our hooks that were attached at this cgroup, or above it. */
static int count_others(int cgroup)
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
		others = count_others(cgroup);
		if (others < 0)
			return fail("cannot ask for the programs of a cgroup");
		printf("{\"ready\":true,\"others\":%d}\n", others);
		return EXIT_DONE;
	}
	if (measures && bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		return fail("cannot switch run-time statistics on");
	for (size_t i = 0; i < EMPTIES; i++) {
		bool watches = !measures && empties[i].type == BPF_PROG_TYPE_SOCK_OPS;

		if (!attach(&empties[i], cgroup, watches ? watching : nothing,
			    watches ? LENGTH(watching) : LENGTH(nothing)))
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
