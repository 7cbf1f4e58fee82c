/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOA options on ordinary client sockets, as a balancer writes them:
 *
 *	struct toa_lab lab;
 *	struct toa_lab_option option;
 *
 *	toa_lab_open(&lab, NULL);
 *	fd = socket(AF_INET, SOCK_STREAM, 0);
 *	toa_lab_encode(TOA_LAB_NAT64, &client, client_port, &option);
 *	toa_lab_set(&lab, fd, &option);
 *	connect(fd, ...);
 *
 * The program is attached by an unpinned link beside other programs (ALLOW_MULTI), and is detached
 * when the process ends, however it ends. Requires CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root.
 */
#ifndef TOASCOPE_LAB_TOA_SOCKET_H
#define TOASCOPE_LAB_TOA_SOCKET_H

#include "lab.h"
#include "toa_option_bytes.h"

struct lab;
struct bpf_link;

struct toa_lab {
	struct lab *skeleton;
	struct bpf_link *link;
	int options_fd;
};

/*
 * Loads the program and attaches it to a cgroup v2 directory that contains the processes whose
 * sockets will carry options; NULL: the root of the first cgroup v2 mount. Returns 0 or -errno
 * (-ENOENT: no cgroup v2 is mounted). Writes details to standard error.
 */
int toa_lab_open(struct toa_lab *lab, const char *cgroup);

/* Sets the options of a socket. Must be called before connect(). Returns 0 or -errno. */
int toa_lab_set(const struct toa_lab *lab, int fd, const struct toa_lab_option *option);

/* Detaches and unloads the program. Safe after a failed toa_lab_open(), and when called twice. */
void toa_lab_close(struct toa_lab *lab);

#endif
