// SPDX-License-Identifier: Apache-2.0
// Compares the results of both parsers for a case, and reports findings, also from signal handlers.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "parser.h"
#include "reference_parser.h"

#define SECONDS_WITHOUT_PROGRESS 30

struct option_case current_case;

static int write_case(char *to, size_t room)
{
	static const char *const segments[] = { "other", "syn", "fastopen" };
	int used = snprintf(to, room, "segment: %s\nprofiles:", segments[current_case.segment]);

	for (unsigned i = 0; i < current_case.layout_count; i++) {
		used += snprintf(to + used, room - used, " ");
		used += write_layout(to + used, room - used, &current_case.layouts[i]);
	}
	used += snprintf(to + used, room - used, "\noptions: ");
	for (unsigned i = 0; i < current_case.size; i++)
		used += snprintf(to + used, room - used, "%02x", current_case.bytes[i]);
	return used + snprintf(to + used, room - used, "\n");
}

/* Writes without stdio, because signal handlers call this as well. */
static void write_out(const char *text, size_t size)
{
	fflush(stdout);
	if (write(STDOUT_FILENO, text, size) < 0)
		_exit(2);
}

void show_case(void)
{
	char text[2048];

	write_out(text, write_case(text, sizeof(text)));
}

void report_finding(const char *what, const struct parse_result *parser, const struct parse_result *reference)
{
	char text[2048], *at = text;
	const char *end = text + sizeof(text);

	at += snprintf(at, end - at, "finding: %s\n", what);
	at += write_case(at, end - at);
	if (parser) {
		at += snprintf(at, end - at, "parser: ");
		at += write_result(at, end - at, parser);
		at += snprintf(at, end - at, "\n");
	}
	if (reference) {
		at += snprintf(at, end - at, "reference: ");
		at += write_result(at, end - at, reference);
		at += snprintf(at, end - at, "\n");
	}
	if (parser && reference)
		at += snprintf(at, end - at, "unknown: %u:%u %u:%u\n", parser->unknown_kind,
			       parser->unknown_length, reference->unknown_kind, reference->unknown_length);
	write_out(text, at - text);
}

static bool same_server(const struct virtual_server *a, const struct virtual_server *b)
{
	return a->family == b->family && a->port == b->port && a->has_vni == b->has_vni && a->vni == b->vni &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool equal(const struct parse_result *a, const struct parse_result *b)
{
	return a->verdict == b->verdict && a->unknown_kind == b->unknown_kind &&
	       a->unknown_length == b->unknown_length && a->id == b->id && a->family == b->family &&
	       a->port == b->port && memcmp(a->address, b->address, sizeof(a->address)) == 0 &&
	       same_server(&a->virtual_server, &b->virtual_server);
}

bool parsers_agree(enum toa_verdict *verdict)
{
	const char *fault;
	struct parse_result parser = run_parser(&current_case, &fault);
	struct parse_result reference = reference_parse(&current_case);

	*verdict = reference.verdict;
	if (!fault && equal(&parser, &reference))
		return true;
	report_finding(fault ? fault : "the two parsers differ", &parser, &reference);
	return false;
}

/* The reference can be called after a crash, because it has no state of its own. */
static void on_abort(int signal)
{
	struct parse_result reference = reference_parse(&current_case);

	(void)signal;
	report_finding("the parser crashed", NULL, &reference);
	_exit(1);
}

static void on_alarm(int signal)
{
	struct parse_result reference = reference_parse(&current_case);

	(void)signal;
	report_finding("the parser does not terminate", NULL, &reference);
	_exit(1);
}

void catch_crashes(void)
{
	signal(SIGABRT, on_abort);
	signal(SIGALRM, on_alarm);
}

void keep_alive(void)
{
	alarm(SECONDS_WITHOUT_PROGRESS);
}

/* The sanitizers abort, so that on_abort() runs. Leaks do not matter: memory is allocated once. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "abort_on_error=1:detect_leaks=0:allocator_may_return_null=1";
}

const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}
