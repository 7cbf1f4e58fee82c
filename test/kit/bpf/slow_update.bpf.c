/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Occasionally makes the kernel's update of hash maps slow for the processes of one name, so that
 * in tests, too, a program is interrupted while it runs an update.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Apache-2.0";

#define SLOW_NS 20000000ULL
#define EVERY_NS 60000000ULL
#define POLLS_MAX 1000000

static __u64 last;

static bool is_of_test(void)
{
	char comm[16] = {}, name[16] = "backlog";
	int i;

	bpf_get_current_comm(comm, sizeof(comm));
	for (i = 0; i < 8; i++)
		if (comm[i] != name[i])
			return false;
	return true;
}

static long poll_time(__u32 index, __u64 *until)
{
	(void)index;
	return bpf_ktime_get_ns() > *until;
}

SEC("fentry/htab_map_update_elem")
int slow_update(void *unused)
{
	__u64 now = bpf_ktime_get_ns(), until = now + SLOW_NS;

	(void)unused;
	if (now - last < EVERY_NS || !is_of_test())
		return 0;
	last = now;
	bpf_loop(POLLS_MAX, poll_time, &until, 0);
	return 0;
}
