/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of a seed: the same ones on every machine. */
#ifndef TOASCOPE_FUZZ_RANDOM_H
#define TOASCOPE_FUZZ_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* Never 0. */
struct random {
	uint64_t state;
};

#define RANDOM_FACTOR 0x9e3779b97f4a7c15 /* odd, its bits without pattern */

static inline void seed_random(struct random *random, uint64_t seed)
{
	// close seeds must not give close sequences, and 0 would stay 0
	random->state = (seed ^ seed >> 31) * RANDOM_FACTOR | 1;
}

/* xorshift: three shifts that go through all states but 0; the upper half of a product is returned. */
static inline uint32_t next(struct random *random)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return random->state * RANDOM_FACTOR >> 32;
}

static inline unsigned below(struct random *random, unsigned limit)
{
	return (uint64_t)next(random) * limit >> 32;
}

static inline bool one_in(struct random *random, unsigned n)
{
	return below(random, n) == 0;
}

#endif
