/* SPDX-License-Identifier: Apache-2.0 */
/* Random profiles and option lists that know what an option is. */
#ifndef TOASCOPE_FUZZ_GENERATE_H
#define TOASCOPE_FUZZ_GENERATE_H

#include "option_case.h"

/* Never 0. The same state gives the same numbers on every machine. */
struct random {
	uint64_t state;
};

void seed_random(struct random *random, uint64_t seed);

/* The default profiles, some or all built-in ones, own ones, or both, in any order. */
void generate_layouts(struct option_case *on, struct random *random);

/* A list for the profiles of the case. */
void generate_list(struct option_case *on, struct random *random);

#endif
