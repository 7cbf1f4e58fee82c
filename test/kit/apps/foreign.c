/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaches a third-party program to a cgroup: foreign OBJECT CGROUP [PORT FLAGS WINDOW [only]]. It
 * prints {"ready":true}, and answers each line of input with what the program has counted, as one
 * line with a JSON array. The program is detached when this process ends.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "../bpf/foreign.h"

static void print_counts(int map)
{
	unsigned long long value;

	for (unsigned int i = 0; i < FOREIGN_COUNTS; i++) {
		value = 0;
		bpf_map_lookup_elem(map, &i, &value);
		printf("%s%llu", i ? "," : "[", value);
	}
	puts("]");
}

static void print_seen(int map)
{
	unsigned long long key = 0, *before = NULL;
	const char *mark = "[";
	struct foreign_seen seen;

	while (!bpf_map_get_next_key(map, before, &key)) {
		before = &key;
		if (bpf_map_lookup_elem(map, &key, &seen))
			continue;
		printf("%s{\"level\":%d,\"option\":%d,\"retval\":%d,\"optlen\":%d,\"calls\":%u}", mark,
		       (int)(key >> 32), (int)key, seen.retval, seen.optlen, seen.calls);
		mark = ",";
	}
	puts(before ? "]" : "[]");
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	struct bpf_object *object = argc > 2 ? bpf_object__open(argv[1]) : NULL;
	struct foreign_request spec = { 0 };
	struct bpf_program *program;
	unsigned int zero = 0;
	char line[16];
	int cgroup, counts, seen;

	if (!object || bpf_object__load(object))
		return fail("load");
	if (argc > 5) {
		spec = (struct foreign_request){ .port = atoi(argv[3]),
						 .flags = atoi(argv[4]),
						 .window = atoi(argv[5]),
						 .only = argc > 6 };
		bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "request"), &zero, &spec,
				    BPF_ANY);
	}
	cgroup = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bpf_object__for_each_program(program, object)
	{
		if (cgroup < 0 || !bpf_program__attach_cgroup(program, cgroup))
			return fail("attach");
	}
	counts = bpf_object__find_map_fd_by_name(object, "counts");
	seen = bpf_object__find_map_fd_by_name(object, "seen");
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("{\"ready\":true}");
	while (fgets(line, sizeof(line), stdin)) {
		if (counts >= 0)
			print_counts(counts);
		else
			print_seen(seen);
	}
	return 0;
}
