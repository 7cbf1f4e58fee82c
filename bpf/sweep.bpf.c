// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweep counts connections that have closed, reads open ones, and closes those whose end no
 * callback reported. The daemon runs it over slices of the table (BPF_PROG_TEST_RUN, repeated: the
 * kernel has a scheduling point between two runs). Two sweeps at the same time are correct, and
 * only wasteful.
 */
#include "observe.h"

/*
 * While a connection is read, it can get its verdict, and then close; after that it is only
 * counted.
 */
#define TRIES 3

/*
 * Sweeps a slot: connections that have closed and new ones, and in a full sweep all open ones.
 * Returns 1 if the connection changed meanwhile, and the slot must be swept again.
 */
__noinline int sweep_slot(__u32 slot, __u32 is_full_sweep)
{
	struct connection *connection = connection_in(slot);
	int result = SWEEP_NOTHING;
	__u8 state;

	if (!connection)
		return 0;
	state = *(volatile __u8 *)&connection->state;
	if (state == SLOT_CLOSED)
		result = SWEEP_COUNT_CLOSED;
	else if (cfg.kernel_reads && state == SLOT_OPEN &&
		 (is_full_sweep || !(connection->flags & CONN_SWEPT)))
		result = sweep_open(connection, is_full_sweep);
	if (result == SWEEP_COUNT_CLOSED)
		count_closed(connection, COUNTED_BY_SWEEP);
	return result == SWEEP_AGAIN;
}

SEC("tc")
int toascope_sweep(struct __sk_buff *skb)
{
	__u32 request[2], first, i, tries; /* the first two words of struct sweep_request */

	if (bpf_skb_load_bytes(skb, 0, request, sizeof(request)))
		return RUN_MISSING;
	/* the packet's control block has the number of runs before this one */
	first = request[0] + skb->cb[0]++ * SLOTS_PER_RUN;
	/* a smaller table is still swept only once: two sweeps of a slot must be apart in time */
	for (i = 0; i < SLOTS_PER_RUN; i++)
		if (i < cfg.connection_slots)
			for (tries = 0; tries < TRIES; tries++)
				if (!sweep_slot((first + i) & (cfg.connection_slots - 1), request[1]))
					break;
	return RUN_OK;
}
