/* SPDX-License-Identifier: Apache-2.0 */
/* Random profiles and option lists that know what an option is. */
#ifndef TOASCOPE_FUZZ_GENERATE_H
#define TOASCOPE_FUZZ_GENERATE_H

#include "option_case.h"
#include "random.h"

/* A kind that a profile may have; those of the built-in ones often. */
uint8_t any_kind(struct random *random);

/* The default profiles, some or all built-in ones, own ones, or both, in any order; and whether lists are a SYN's. */
void generate_layouts(struct option_case *on, struct random *random);

/* A list for the profiles of the case. */
void generate_list(struct option_case *on, struct random *random);

#endif
