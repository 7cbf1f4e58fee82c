/* SPDX-License-Identifier: GPL-2.0-only */
/* getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, ...), which the vendor's applications use. */
#ifndef TOA_SOCKOPT_H
#define TOA_SOCKOPT_H

int toa_sockopt_setup(void);
void toa_sockopt_teardown(void);

#endif
