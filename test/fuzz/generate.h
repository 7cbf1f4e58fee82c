/* SPDX-License-Identifier: Apache-2.0 */
/* Generates random profiles, and random lists that are mostly made of well-formed options. */
#ifndef TOASCOPE_FUZZ_GENERATE_H
#define TOASCOPE_FUZZ_GENERATE_H

#include "option_case.h"
#include "random.h"

/* A random kind that a profile can have; it is often that of a built-in profile. */
uint8_t any_kind(struct random *random);

/*
 * Sets the profiles of the case (the default ones, some or all built-in ones, own ones, or both, in
 * any order) and its segment.
 */
void generate_layouts(struct option_case *tc, struct random *random);

/* Sets the list of the case, generated for its profiles. */
void generate_list(struct option_case *tc, struct random *random);

#endif
