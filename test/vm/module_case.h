/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of toa.ko: connections of hand-made hosts, and checks of their clients. */
#ifndef TOASCOPE_TEST_VM_MODULE_CASE_H
#define TOASCOPE_TEST_VM_MODULE_CASE_H

#include "check.h"
#include "module.h"
#include "wire.h"

#define NAT64 "fd1415b320010db8000000000000000000000042"
#define OTHER "fd1415b320010db8000000000000000000000043"
#define TOA4 "fe0815b3cb007107"
#define CDN4 "1c0701cb007107"
#define NAT64_CLIENT "2001:db8::42 5555"
#define TOA4_CLIENT "::ffff:203.0.113.7 5555"
#define DEFAULT_PROFILES "nat64,toa6,toa4"
#define CLIENT_TEXT_SIZE 64

extern const char *module_file, *vectors_file, *no_memory_file;
extern int wire;

/* Makes the handshake, with options as hex. Returns the accepted socket, whose peer is the host. */
int connection(int listener, struct host *host, const char *on_syn, const char *on_ack);

/* Accepts a connection, and checks that its address is the host's. */
int accept_host(int listener, const struct host *host);

/* Reads what the host sends, so that the kernel acknowledges it. */
void receive(int fd, const char *data);

/* Checks the result of get_client(): its text, or EINVAL if `expected` is `-`. */
void expect_client(int fd, const char *expected, const char *when);

void end(int fd, struct host *host);

#define TRACING "/sys/kernel/tracing/"

/* Writes text to a file of the kernel, or appends it; exits if that fails. */
void write_file(const char *path, const char *text);
void append_file(const char *path, const char *text);

/* Runs on this CPU from now on. */
void pin(int cpu);

/* Adds count kprobes to a kernel function, beside toa.ko's; each reads some 2,000 single bytes. */
void add_slow_probes(const char *function, int count);
void remove_slow_probes(void);

/* module_contract.c */
void contract(void);
void contract_elsewhere(void);
void wrong_pointers(void);
void multipath(void);
void other_protocols(void);
void ipv4_refused(void);

/* module_segments.c */
void later_segments(void);
void on_the_syn(void);
void with_cookies(void);
void fast_open(void);
void another_connection(void);

/* module_probes.c */
void missed_calls(void);
void return_probe_missed(void);
void interrupted_probe(void);

/* module_parameters.c */
void trust(void);
void profiles(void);
void failed_loads(void);
void full(void);

/* module_vectors.c */
void vectors(void);

/* module_race.c */
void lost_race(void);

/* module_no_memory.c */
void no_memory(void);

/* module_counters.c */
void counters(void);
void vendor_layout(void);
void tracepoints(void);

#endif
