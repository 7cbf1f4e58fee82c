/* SPDX-License-Identifier: GPL-2.0-only */
/* The parameter `profiles`. */
#ifndef TOA_PROFILES_PARAM_H
#define TOA_PROFILES_PARAM_H

/* Sets the default if the parameter was not given. */
int toa_profiles_param_setup(void);

#endif
