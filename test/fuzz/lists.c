// SPDX-License-Identifier: Apache-2.0
// Runs both parsers on option lists, without a fuzzing engine.
//
//   lists read PROFILE...               read hex lists from standard input, one per line; for each,
//                                       print the parser's verdict, "; ", and the reference's
//   lists read-syn PROFILE...           as read, for the lists of SYNs
//   lists read-fastopen PROFILE...      as read, for the lists of SYNs that create their socket
//   lists print SEED LISTS PROFILE...   print random lists for these profiles, one in hex per line
//   lists generate SEED LISTS SECONDS   compare both parsers on random lists until either limit is
//                                       reached (0: no limit); print a line of counts every second
//                                       and at the end
//   lists replay FILE                   compare both parsers on the case in a fuzzer's input
//   lists show FILE                     print the case in a fuzzer's input
//
// Exit codes: 0 both parsers agree (or nothing was compared), 1 a finding, which is reported on
// standard output, 2 wrong usage.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compare.h"
#include "generate.h"
#include "parser.h"
#include "reference_parser.h"

enum exit_code { EXIT_AGREED = 0, EXIT_FINDING = 1, EXIT_USAGE = 2 };

#define LISTS_FOR_PROFILES 64 /* lists until the profiles change */
#define LISTS_FOR_CLOCK 8192  /* lists between two queries of the clock */

static bool read_profiles(char **profiles)
{
	for (; *profiles; profiles++) {
		struct layout layout;

		if (!read_layout(&layout, *profiles) || !add_layout(&current_case, layout))
			return false;
	}
	return true;
}

static enum exit_code read_lists(char **profiles)
{
	char line[256], verdict[256];

	if (!read_profiles(profiles))
		return EXIT_USAGE;
	while (fgets(line, sizeof(line), stdin)) {
		struct parse_result result;
		const char *fault;

		read_list(&current_case, line);
		result = run_parser(&current_case, &fault);
		write_result(verdict, sizeof(verdict), &result);
		printf("%s; ", fault ? fault : verdict);
		result = reference_parse(&current_case);
		write_result(verdict, sizeof(verdict), &result);
		puts(verdict);
	}
	return EXIT_AGREED;
}

static enum exit_code print_lists(unsigned long long seed, unsigned long long lists, char **profiles)
{
	struct random random;

	if (!read_profiles(profiles) || !current_case.layout_count)
		return EXIT_USAGE;
	seed_random(&random, seed);
	for (; lists > 0; lists--) {
		generate_list(&current_case, &random);
		for (unsigned i = 0; i < current_case.size; i++)
			printf("%02x", current_case.bytes[i]);
		putchar('\n');
	}
	return EXIT_AGREED;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void print_counts(const unsigned long long *verdicts, double seconds)
{
	unsigned long long lists = 0;

	for (int i = 0; i <= TOA_VERDICT_CONFLICT; i++)
		lists += verdicts[i];
	printf("lists %llu none %llu malformed %llu one %llu conflict %llu seconds %.1f\n", lists,
	       verdicts[TOA_VERDICT_NONE], verdicts[TOA_VERDICT_MALFORMED], verdicts[VERDICT_ONE],
	       verdicts[TOA_VERDICT_CONFLICT], seconds);
	fflush(stdout);
}

static enum exit_code generate_lists(unsigned long long seed, unsigned long long most, double seconds)
{
	unsigned long long verdicts[TOA_VERDICT_CONFLICT + 1] = { 0 };
	double began = seconds_now(), printed = 0, elapsed = 0;
	struct random random;
	enum toa_verdict verdict;

	seed_random(&random, seed);
	for (unsigned long long i = 0; !most || i < most; i++) {
		if (i % LISTS_FOR_CLOCK == 0) {
			keep_alive();
			elapsed = seconds_now() - began;
			if (elapsed - printed >= 1) {
				print_counts(verdicts, elapsed);
				printed = elapsed;
			}
			if (seconds > 0 && elapsed >= seconds)
				break;
		}
		if (i % LISTS_FOR_PROFILES == 0)
			generate_layouts(&current_case, &random);
		generate_list(&current_case, &random);
		if (!parsers_agree(&verdict)) {
			print_counts(verdicts, seconds_now() - began);
			return EXIT_FINDING;
		}
		verdicts[verdict]++;
	}
	print_counts(verdicts, seconds_now() - began);
	return EXIT_AGREED;
}

static void read_input(const char *path)
{
	uint8_t input[4096];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file) {
		perror(path);
		exit(EXIT_USAGE);
	}
	size = fread(input, 1, sizeof(input), file);
	fclose(file);
	decode_case(&current_case, input, size);
}

static enum exit_code show(const char *path)
{
	read_input(path);
	show_case();
	return EXIT_AGREED;
}

static enum exit_code replay(const char *path)
{
	enum toa_verdict verdict;

	read_input(path);
	keep_alive();
	return parsers_agree(&verdict) ? EXIT_AGREED : EXIT_FINDING;
}

int main(int count, char **arguments)
{
	const char *command = count > 1 ? arguments[1] : "";

	catch_crashes();
	if (strcmp(command, "read") == 0)
		return read_lists(arguments + 2);
	if (strcmp(command, "print") == 0 && count > 4)
		return print_lists(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10),
				   arguments + 4);
	if (strcmp(command, "read-syn") == 0) {
		current_case.segment = TOA_SEGMENT_SYN;
		return read_lists(arguments + 2);
	}
	if (strcmp(command, "read-fastopen") == 0) {
		current_case.segment = SEGMENT_FASTOPEN;
		return read_lists(arguments + 2);
	}
	if (strcmp(command, "generate") == 0 && count == 5)
		return generate_lists(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10),
				      atof(arguments[4]));
	if (strcmp(command, "replay") == 0 && count == 3)
		return replay(arguments[2]);
	if (strcmp(command, "show") == 0 && count == 3)
		return show(arguments[2]);
	return EXIT_USAGE;
}
