/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the results of both parsers for a case, and reports findings. */
#ifndef TOASCOPE_FUZZ_COMPARE_H
#define TOASCOPE_FUZZ_COMPARE_H

#include "option_case.h"

/* The current case, with which a crash or a hang is reported. */
extern struct option_case current_case;

/*
 * Returns whether both parsers agree on current_case, and reports a finding if not. *verdict is
 * that of the reference.
 */
bool parsers_agree(enum toa_verdict *verdict);

/* Writes current_case to standard output: the lines segment, profiles and options. */
void show_case(void);

/*
 * Writes the lines of a finding to standard output: finding, segment, profiles, options, parser,
 * reference, unknown (test/fuzz/finding.ts parses them). If a result is NULL, its line is left out.
 */
void report_finding(const char *what, const struct parse_result *parser,
		    const struct parse_result *reference);

/*
 * After catch_crashes(), crashes and hangs are reported. A hang is a time of 30 s after
 * keep_alive() without another call of it.
 */
void catch_crashes(void);
void keep_alive(void);

#endif
