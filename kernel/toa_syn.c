// SPDX-License-Identifier: GPL-2.0-only
/*
 * A SYN leaves no socket behind, and its options are gone when the ACK arrives. TCP_SAVE_SYN would
 * keep them, but it belongs to the application. So options that a profile looks for on a SYN are
 * kept here, by addresses, ports and initial sequence number; other SYNs leave nothing. This works
 * with SYN cookies, and for listeners that are older than the module.
 */
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "toa_count.h"
#include "toa_profiles.h"
#include "toa_segment.h"
#include "toa_syn.h"

#define SETS 4096
#define WAYS 4
#define LIFETIME (120 * HZ) /* SYN-ACKs are repeated for 63 s by default */

struct syn_key {
	const struct net *net;
	struct toa_address source, destination;
	__be16 source_port, destination_port;
	u32 isn;
};

struct syn {
	struct syn_key key;
	unsigned long seen; /* jiffies */
	struct toa_client client;
	u8 verdict; /* TOA_VERDICT_PENDING: the slot is free */
};

struct set {
	raw_spinlock_t lock;
	struct syn syn[WAYS];
};

static struct set *sets;
static u32 seed;

int toa_syn_setup(void)
{
	struct set *fresh;
	int i;

	if (sets)
		return 0;
	fresh = kvcalloc(SETS, sizeof(*fresh), GFP_KERNEL);
	if (!fresh)
		return -ENOMEM;
	seed = get_random_u32();
	for (i = 0; i < SETS; i++)
		raw_spin_lock_init(&fresh[i].lock);
	smp_store_release(&sets, fresh);
	return 0;
}

void toa_syn_teardown(void)
{
	kvfree(sets);
	sets = NULL;
}

/* All bytes of the key count, also those between the fields. */
static void make_key(struct syn_key *key, const struct sock *listener, const struct sk_buff *skb)
{
	const struct tcphdr *header = tcp_hdr(skb);

	memset(key, 0, sizeof(*key));
	key->net = sock_net(listener);
	toa_segment_source(skb, &key->source);
	toa_segment_destination(skb, &key->destination);
	key->source_port = header->source;
	key->destination_port = header->dest;
	key->isn = ntohl(header->seq);
}

/*
 * Makes the same key from the socket that the SYN led to, because a hook can be without a segment.
 */
static void make_key_of_child(struct syn_key *key, const struct sock *child)
{
	memset(key, 0, sizeof(*key));
	key->net = sock_net(child);
	toa_segment_addresses(child, &key->source, &key->destination);
	key->source_port = child->sk_dport;
	key->destination_port = htons(child->sk_num);
	key->isn = tcp_sk(child)->copied_seq - 1;
}

static struct set *set_of(struct set *table, const struct syn_key *key)
{
	BUILD_BUG_ON(sizeof(*key) % sizeof(u32));
	return &table[jhash2((const u32 *)key, sizeof(*key) / sizeof(u32), seed) % SETS];
}

static bool is_free(const struct syn *syn)
{
	return syn->verdict == TOA_VERDICT_PENDING || time_after(jiffies, syn->seen + LIFETIME);
}

/*
 * Returns whether `a` is evicted before `b`. Entries without a client are evicted first, then older
 * ones.
 */
static bool evicted_before(const struct syn *a, const struct syn *b)
{
	if (toa_has_client(a->verdict) != toa_has_client(b->verdict))
		return toa_has_client(b->verdict);
	return time_before(a->seen, b->seen);
}

/*
 * Returns the slot of the same SYN (a retransmission), a free slot, or that of the entry to evict.
 * NULL: every slot holds a client and this SYN names none; otherwise any host could evict what a
 * balancer wrote.
 */
static struct syn *choose_slot(struct set *set, const struct syn_key *key, u8 verdict)
{
	struct syn *free_slot = NULL, *victim = &set->syn[0];
	int i;

	for (i = 0; i < WAYS; i++) {
		struct syn *syn = &set->syn[i];

		if (syn->verdict != TOA_VERDICT_PENDING && !memcmp(&syn->key, key, sizeof(*key)))
			return syn;
		if (!free_slot && is_free(syn))
			free_slot = syn;
		if (evicted_before(syn, victim))
			victim = syn;
	}
	if (free_slot)
		return free_slot;
	toa_count(TOA_COUNT_SYN_EVICTED);
	return toa_has_client(verdict) || !toa_has_client(victim->verdict) ? victim : NULL;
}

/* Returns whether a profile is looked for on SYNs. */
static bool profiles_read_syn(void)
{
	const struct toa_profiles *profiles;
	bool wanted;

	rcu_read_lock();
	profiles = toa_profiles_active();
	wanted = profiles && profiles->read_syn;
	rcu_read_unlock();
	return wanted;
}

void toa_syn_arrived(const struct sock *listener, const struct sk_buff *skb)
{
	struct set *table = smp_load_acquire(&sets), *set;
	const struct tcphdr *header = tcp_hdr(skb);
	struct toa_client client = {};
	struct toa_unknown unused;
	enum toa_found found;
	unsigned long flags;
	struct syn *syn;
	struct syn_key key;
	u8 verdict;

	if (!table || !header->syn || header->ack || header->rst || !profiles_read_syn())
		return;
	found = toa_segment_find(skb, true, &client, &unused);
	if (found == TOA_FOUND_NONE)
		return;
	verdict = found == TOA_FOUND_MALFORMED ? TOA_VERDICT_MALFORMED : toa_segment_verdict(skb, found);
	make_key(&key, listener, skb);
	set = set_of(table, &key);
	raw_spin_lock_irqsave(&set->lock, flags);
	syn = choose_slot(set, &key, verdict);
	if (syn) {
		syn->key = key;
		syn->seen = jiffies;
		syn->client = client;
		syn->verdict = verdict;
	}
	raw_spin_unlock_irqrestore(&set->lock, flags);
}

u8 toa_syn_take(const struct sock *child, struct toa_client *client)
{
	struct set *table = smp_load_acquire(&sets), *set;
	u8 verdict = TOA_VERDICT_PENDING;
	unsigned long flags;
	struct syn_key key;
	int i;

	if (!table)
		return verdict;
	make_key_of_child(&key, child);
	set = set_of(table, &key);
	raw_spin_lock_irqsave(&set->lock, flags);
	for (i = 0; i < WAYS; i++) {
		struct syn *syn = &set->syn[i];

		if (!is_free(syn) && !memcmp(&syn->key, &key, sizeof(key))) {
			verdict = syn->verdict;
			*client = syn->client;
			syn->verdict = TOA_VERDICT_PENDING;
		}
	}
	raw_spin_unlock_irqrestore(&set->lock, flags);
	return verdict;
}
