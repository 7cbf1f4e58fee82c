/* SPDX-License-Identifier: GPL-2.0-only */
/* getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, ...): how the vendor's applications ask. */
#ifndef TOA_SOCKOPT_H
#define TOA_SOCKOPT_H

int toa_sockopt_setup(void);
void toa_sockopt_teardown(void);

#endif
