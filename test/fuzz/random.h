/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers from a seed, which are the same on every machine. */
#ifndef TOASCOPE_FUZZ_RANDOM_H
#define TOASCOPE_FUZZ_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* Never 0. */
struct random {
	uint64_t state;
};

#define RANDOM_FACTOR 0x9e3779b97f4a7c15 /* odd, with bits that have no pattern */

static inline void seed_random(struct random *random, uint64_t seed)
{
	// similar seeds must not give similar sequences, and a state of 0 would remain 0
	random->state = (seed ^ seed >> 31) * RANDOM_FACTOR | 1;
}

/* xorshift, whose three shifts reach all states except 0. Returns the upper half of a product. */
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
