/* SPDX-License-Identifier: Apache-2.0 */
/* Both readings of a case, and how a finding is told. */
#ifndef TOASCOPE_FUZZ_COMPARE_H
#define TOASCOPE_FUZZ_COMPARE_H

#include "option_case.h"

/* The case under way: what a crash or a hang is reported with. */
extern struct option_case current_case;

/* Whether both readings of current_case say the same; *verdict is the second reading's. Reports it if not. */
bool readings_agree(enum verdict *verdict);

/* Writes current_case to standard output: the lines segment, profiles and options. */
void show_case(void);

/*
 * Writes the lines of a finding to standard output: finding, segment, profiles, options, parser, second, unknown
 * (test/fuzz/finding.ts reads them). A NULL reading stands for none.
 */
void report_finding(const char *what, const struct reading *parser, const struct reading *second);

/* From now on a crash and a hang are reported: each case has a few seconds from keep_alive() on. */
void catch_crashes(void);
void keep_alive(void);

#endif
