// SPDX-License-Identifier: GPL-2.0-only
/* Reading of segments: all of the TCP header is in the linear part, since tcp_v4_rcv() and tcp_v6_rcv() pulled it. */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/tcp.h>
#include "toa_profiles.h"
#include "toa_segment.h"
#include "toa_trust.h"

static void address_of(const struct sk_buff *skb, bool source, struct toa_address *address)
{
	memset(address, 0, sizeof(*address));
	if (skb->protocol == htons(ETH_P_IP)) {
		const struct iphdr *ip = ip_hdr(skb);

		address->family = 4;
		memcpy(address->bytes, source ? &ip->saddr : &ip->daddr, sizeof(ip->saddr));
	} else {
		const struct ipv6hdr *ip = ipv6_hdr(skb);

		address->family = 6;
		memcpy(address->bytes, source ? &ip->saddr : &ip->daddr, sizeof(ip->saddr));
	}
}

void toa_segment_source(const struct sk_buff *skb, struct toa_address *address)
{
	address_of(skb, true, address);
}

void toa_segment_destination(const struct sk_buff *skb, struct toa_address *address)
{
	address_of(skb, false, address);
}

enum toa_found toa_segment_find(const struct sk_buff *skb, bool of_syn, struct toa_client *client,
				struct toa_unknown *unknown)
{
	unsigned int length = tcp_optlen(skb);
	enum toa_found found = TOA_FOUND_NONE;
	const struct toa_profiles *profiles;
	struct toa_list list = {};
	struct toa_client other;

	if (!length || length > TOA_OPTIONS_MAX)
		return TOA_FOUND_NONE;
	memcpy(list.bytes, tcp_hdr(skb) + 1, length);
	list.length = length;
	list.of_syn = of_syn;
	rcu_read_lock();
	profiles = toa_profiles_now();
	if (profiles)
		found = toa_find(&list, &profiles->table, client, &other);
	rcu_read_unlock();
	if (list.unknown_kind) {
		unknown->kind = list.unknown_kind;
		unknown->length = list.unknown_length;
	}
	return found;
}

u8 toa_segment_judge(const struct sk_buff *skb, enum toa_found found)
{
	struct toa_address source;

	toa_segment_source(skb, &source);
	if (!toa_trusted(&source))
		return TOA_VERDICT_UNTRUSTED;
	return found == TOA_FOUND_CONFLICT ? TOA_VERDICT_CONFLICT : TOA_VERDICT_TOA;
}

bool toa_segment_acceptable(const struct sock *sk, const struct sk_buff *skb)
{
	const struct tcp_sock *tcp = tcp_sk(sk);
	const struct tcphdr *header = tcp_hdr(skb);
	u32 begin = ntohl(header->seq), acknowledged = ntohl(header->ack_seq);
	u32 first = tcp->snd_una - (u32)tcp->bytes_acked;

	if (header->syn || header->rst || !header->ack)
		return false;
	if (before(begin + toa_segment_payload(skb) + header->fin, tcp->rcv_wup) ||
	    after(begin, tcp->rcv_wup + tcp->rcv_wnd))
		return false;
	return acknowledged - first <= tcp->snd_nxt - first;
}
