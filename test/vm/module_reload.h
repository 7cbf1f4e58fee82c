/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests that load and unload toa.ko. */
#ifndef TOASCOPE_TEST_VM_MODULE_RELOAD_H
#define TOASCOPE_TEST_VM_MODULE_RELOAD_H

#define NAT64 "fd1415b320010db8000000000000000000000042"
#define NAT64_CLIENT "2001:db8::42 5555"

extern const char *module_file;
extern int cycles;

/* Unloads toa.ko, and repeats that while a caller of getsockopt() holds it for a moment. */
int unload(void);

/* reload_lists.c */
void swap_lists(void);
void load_lists(void);

#endif
