// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweep: counts connections that have closed, reads open ones, and closes those that ended unheard. The daemon runs it over slices
 * of the table (BPF_PROG_TEST_RUN, repeated: the kernel has a scheduling point between two runs). Two sweeps at once are right, and only
 * wasteful.
 */
#include "observe.h"

#define OK 0
#define BAD_REQUEST 1

/* A verdict can fall while a connection is read, and then it can close; from then on nothing but counting happens to it. */
#define TRIES 3

/*
 * `open`: open connections as well as those that have closed; new ones always. Returns 1: the connection changed meanwhile, and this is to
 * be done again.
 */
__noinline int sweep_slot(__u32 slot, __u32 open)
{
	struct connection *connection = connection_in(slot);
	int result = SWEEP_NOTHING;
	__u8 state;

	if (!connection)
		return 0;
	state = *(volatile __u8 *)&connection->state;
	if (state == SLOT_CLOSED)
		result = SWEEP_COUNT_CLOSED;
	else if (kernel_reads && state == SLOT_OPEN && (open || !(connection->flags & CONN_SWEPT)))
		result = sweep_open(connection, open);
	if (result == SWEEP_COUNT_CLOSED)
		count_closed(connection, COUNTED_BY_SWEEP);
	return result == SWEEP_AGAIN;
}

SEC("tc")
int toascope_sweep(struct __sk_buff *skb)
{
	__u32 request[2], first, i, tries; /* the first two words of struct sweep_request */

	if (bpf_skb_load_bytes(skb, 0, request, sizeof(request)))
		return BAD_REQUEST;
	/* the run before left in the packet's control block how many there were */
	first = request[0] + skb->cb[0]++ * SLOTS_A_RUN;
	/* a table of fewer slots is gone through once all the same: two sweeps of a slot are to be apart */
	for (i = 0; i < SLOTS_A_RUN; i++)
		if (i < connection_slots)
			for (tries = 0; tries < TRIES; tries++)
				if (!sweep_slot((first + i) & (connection_slots - 1), request[1]))
					break;
	return OK;
}
