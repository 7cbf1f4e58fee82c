// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads segments: all of the TCP header is in the linear part, because tcp_v4_rcv() and
 * tcp_v6_rcv() have pulled it.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/ipv6.h>
#include <net/tcp.h>
#include "toa_profiles.h"
#include "toa_segment.h"
#include "toa_trust.h"

static void put_ipv4(struct toa_address *address, __be32 ipv4)
{
	memset(address, 0, sizeof(*address));
	address->family = 4;
	memcpy(address->bytes, &ipv4, sizeof(ipv4));
}

static void put_ipv6(struct toa_address *address, const struct in6_addr *ipv6)
{
	address->family = 6;
	memcpy(address->bytes, ipv6, sizeof(*ipv6));
}

void toa_segment_source(const struct sk_buff *skb, struct toa_address *address)
{
	if (skb->protocol == htons(ETH_P_IP))
		put_ipv4(address, ip_hdr(skb)->saddr);
	else
		put_ipv6(address, &ipv6_hdr(skb)->saddr);
}

void toa_segment_destination(const struct sk_buff *skb, struct toa_address *address)
{
	if (skb->protocol == htons(ETH_P_IP))
		put_ipv4(address, ip_hdr(skb)->daddr);
	else
		put_ipv6(address, &ipv6_hdr(skb)->daddr);
}

void toa_segment_addresses(const struct sock *sk, struct toa_address *source, struct toa_address *destination)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6 && !ipv6_addr_v4mapped(&sk->sk_v6_daddr)) {
		put_ipv6(source, &sk->sk_v6_daddr);
		put_ipv6(destination, &sk->sk_v6_rcv_saddr);
		return;
	}
#endif
	put_ipv4(source, sk->sk_daddr);
	put_ipv4(destination, sk->sk_rcv_saddr);
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
	list.source = of_syn ? TOA_SOURCE_SYN : tcp_hdr(skb)->syn ? TOA_SOURCE_FAST_OPEN : TOA_SOURCE_SEGMENT;
	rcu_read_lock();
	profiles = toa_profiles_active();
	if (profiles)
		found = toa_find_client(&list, &profiles->table, client, &other);
	rcu_read_unlock();
	if (list.unknown_kind) {
		unknown->kind = list.unknown_kind;
		unknown->length = list.unknown_length;
	}
	return found;
}

u32 toa_segment_merge(const struct toa_client *on_syn, u8 syn_verdict, struct toa_client *later, u32 found)
{
	const struct toa_profiles *profiles;

	rcu_read_lock();
	profiles = toa_profiles_active();
	if (profiles)
		found = toa_merge_found(&profiles->table, on_syn, syn_verdict, later, found);
	rcu_read_unlock();
	return found;
}

u8 toa_segment_verdict(const struct sk_buff *skb, u32 found)
{
	struct toa_address source;

	toa_segment_source(skb, &source);
	return toa_verdict_of(found, toa_trusted(&source));
}

bool toa_segment_acceptable(const struct sock *sk, const struct sk_buff *skb)
{
	const struct tcp_sock *tcp = tcp_sk(sk);
	const struct tcphdr *header = tcp_hdr(skb);
	u32 begin = ntohl(header->seq);

	if (header->syn || header->rst || !header->ack)
		return false;
	if (before(begin + toa_segment_payload(skb) + header->fin, tcp->rcv_wup) ||
	    after(begin, tcp->rcv_wup + tcp->rcv_wnd))
		return false;
	return toa_ack_acceptable(ntohl(header->ack_seq), tcp->snd_una, tcp->bytes_acked, tcp->snd_nxt);
}
