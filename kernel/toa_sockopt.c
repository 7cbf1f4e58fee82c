// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers getsockopt(fd, IPPROTO_IP, 4096, answer, 20). A socket of AF_INET6 is handled here as
 * well: ipv6_getsockopt() passes the level IPPROTO_IP on to IPv4. The level IPPROTO_IPV6 has no
 * option 4096, and will not get one.
 */
#define pr_fmt(fmt) "TOA: " fmt

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/netfilter.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "toa_count.h"
#include "toa_sockopt.h"
#include "toa_store.h"

enum ipv4 { IPV4_MAPPED, IPV4_REFUSE };

static const char *const ipv4_names[] = { [IPV4_MAPPED] = "mapped", [IPV4_REFUSE] = "refuse" };

static int ipv4_client = IPV4_MAPPED;

static int set_ipv4(const char *value, const struct kernel_param *unused)
{
	int found = sysfs_match_string(ipv4_names, value);

	if (found < 0) {
		pr_err("sockopt_ipv4: must be mapped or refuse, not %s\n", value);
		return found;
	}
	WRITE_ONCE(ipv4_client, found);
	return 0;
}

static int get_ipv4(char *to, const struct kernel_param *unused)
{
	return scnprintf(to, PAGE_SIZE, "%s\n", ipv4_names[READ_ONCE(ipv4_client)]);
}

static const struct kernel_param_ops ipv4_ops = {
	.set = set_ipv4,
	.get = get_ipv4,
};

module_param_cb(sockopt_ipv4, &ipv4_ops, NULL, 0644);
MODULE_PARM_DESC(
	sockopt_ipv4,
	"What getsockopt(4096) returns for an IPv4 client: mapped, its address as ::ffff:a.b.c.d (default); refuse, EINVAL, for applications that interpret success as an IPv6 client.");

/*
 * Copies the client that the application can be shown. A client from the SYN can be shown before
 * the verdict, until a later segment has an option. Returns whether there is one.
 */
static bool copy_client(const struct sock *sk, struct toa_client *client)
{
	struct toa_connection *connection;
	bool known = false;
	unsigned long flags;

	rcu_read_lock();
	connection = toa_store_find(sk);
	if (connection) {
		raw_spin_lock_irqsave(&connection->lock, flags);
		known = toa_has_client(connection->verdict) || (connection->verdict == TOA_VERDICT_PENDING &&
								toa_has_client(connection->syn_verdict));
		*client = connection->client;
		raw_spin_unlock_irqrestore(&connection->lock, flags);
	}
	rcu_read_unlock();
	return known;
}

static int get_lookup(struct sock *sk, int optname, void __user *user, int *length)
{
	struct toa_nat64_peer answer;
	struct toa_client client;

	/*
	 * the kernel calls this for sockets of every protocol; without a handler it would return
	 * ENOPROTOOPT
	 */
	if (sk->sk_type != SOCK_STREAM || sk->sk_protocol != IPPROTO_TCP)
		return -ENOPROTOOPT;
	if (*length < (int)sizeof(answer)) {
		toa_count(TOA_COUNT_ASKED_SHORT);
		return -EINVAL;
	}
	if (!copy_client(sk, &client)) {
		toa_count(TOA_COUNT_ASKED_NONE);
		return -EINVAL;
	}
	if (client.family == 4 && READ_ONCE(ipv4_client) == IPV4_REFUSE) {
		toa_count(TOA_COUNT_ASKED_IPV4);
		return -EINVAL;
	}
	toa_answer(&answer, &client);
	if (copy_to_user(user, &answer, sizeof(answer)))
		return -EFAULT;
	*length = sizeof(answer);
	toa_count(TOA_COUNT_ASKED_OK);
	return 0;
}

static struct nf_sockopt_ops lookup = {
	.pf = PF_INET,
	.get_optmin = TOA_SO_GET_LOOKUP,
	.get_optmax = TOA_SO_GET_LOOKUP + 1,
	.get = get_lookup,
	.owner = THIS_MODULE,
};

int toa_sockopt_setup(void)
{
	return nf_register_sockopt(&lookup);
}

void toa_sockopt_teardown(void)
{
	nf_unregister_sockopt(&lookup);
}
