/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-load: makes connections on loopback, each with its own TOA option, one request and one
 * response, and reports what it did. It reads commands line by line from standard input and exits
 * at the end of input, so that one process can be moved from cgroup to cgroup between runs.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "server.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum argument { PORT, THREADS, BATCH, REQUEST, RESPONSE, CLIENTS, NUMBERS, PROFILE = NUMBERS, CGROUP, HTTP };

struct arguments {
	const char *mode;
	long numbers[NUMBERS];
	const char *profile;
	const char *cgroup;
	const char *http;
};

static const struct {
	long most;
	long otherwise;
} limits[NUMBERS] = {
	[PORT] = { 65535, 7000 },         [THREADS] = { THREADS_MAX, 2 },     [BATCH] = { BATCH_MAX, 16 },
	[REQUEST] = { PAYLOAD_MAX, 100 }, [RESPONSE] = { PAYLOAD_MAX, 1000 }, [CLIENTS] = { 1 << 24, 1000 },
};

static const char usage[] =
	"usage: toascope-load server|client|both [OPTION...]\n"
	"  --port PORT        on 127.0.0.1 (default 7000)\n"
	"  --threads N        threads of each half (default 2)\n"
	"  --batch N          connections that each client thread has open at a time (default 16)\n"
	"  --request BYTES    size of a request (default 100)\n"
	"  --response BYTES   size of a response (default 1000); the server closes first\n"
	"  --http PATH        client: GET PATH over HTTP; --response is the size of the body\n"
	"  --clients N        distinct client addresses in TOA options (default 1000)\n"
	"  --profile NAME     nat64 (default), toa6, toa4, or none\n"
	"  --cgroup DIR       cgroup v2 directory for the program that writes TOA (default: the root)\n"
	"Commands on standard input, one a line, each answered with JSON on standard output:\n"
	"  open                        listen (server)\n"
	"  close                       stop listening, report (server)\n"
	"  run SECONDS [CONNECTIONS [RATE [PORT]]]\n"
	"                              make connections until either limit is reached, then report\n"
	"                              (client); at most RATE per second; 0: no limit\n";

static bool parse_number(const char *text, long most, long *number)
{
	char *end;

	errno = 0;
	*number = strtol(text, &end, 10);
	return !errno && end != text && !*end && *number > 0 && *number <= most;
}

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option known[] = {
		{ "port", required_argument, NULL, PORT },
		{ "threads", required_argument, NULL, THREADS },
		{ "batch", required_argument, NULL, BATCH },
		{ "request", required_argument, NULL, REQUEST },
		{ "response", required_argument, NULL, RESPONSE },
		{ "clients", required_argument, NULL, CLIENTS },
		{ "profile", required_argument, NULL, PROFILE },
		{ "cgroup", required_argument, NULL, CGROUP },
		{ "http", required_argument, NULL, HTTP },
		{ 0 },
	};
	int option;

	for (int i = 0; i < NUMBERS; i++)
		arguments->numbers[i] = limits[i].otherwise;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == PROFILE)
			arguments->profile = optarg;
		else if (option == CGROUP)
			arguments->cgroup = optarg;
		else if (option == HTTP)
			arguments->http = optarg;
		else if (option >= NUMBERS || option < 0 ||
			 !parse_number(optarg, limits[option].most, &arguments->numbers[option]))
			return false;
	}
	arguments->mode = argc - optind == 1 ? argv[optind] : "";
	/* the server half does not implement HTTP */
	return !strcmp(arguments->mode, "client") ||
	       (!arguments->http && (!strcmp(arguments->mode, "server") || !strcmp(arguments->mode, "both")));
}

/* Executes one command. Returns false if it is invalid in the current state, or fails. */
static bool execute(const char *line, struct client *client, struct server *server, bool *open)
{
	unsigned short port = client->exchange.port;
	unsigned long long connections = 0;
	struct report report;
	double seconds, began, rate = 0;

	if (server && !*open && !strcmp(line, "open\n")) {
		int error = server_open(server, &client->exchange, serve_exchange);

		if (error) {
			fprintf(stderr, "port %u: %s\n", client->exchange.port, strerror(-error));
			return false;
		}
		*open = true;
		puts("{\"role\":\"server\",\"listening\":true}");
		fflush(stdout);
		return true;
	}
	if (server && *open && !strcmp(line, "close\n")) {
		report = server_close(server);
		report_print("server", &report, 0);
		*open = false;
		return true;
	}
	if (client->source.clients &&
	    sscanf(line, "run %lf %llu %lf %hu", &seconds, &connections, &rate, &port) >= 1) {
		struct client there = *client;

		there.exchange.port = port;
		began = monotonic_seconds();
		report = client_run(&there, seconds, connections, rate);
		report_print("client", &report, monotonic_seconds() - began);
		return true;
	}
	fprintf(stderr, "invalid command in this state: %s", line);
	return false;
}

static int run(struct client *client, struct server *server)
{
	char line[128];
	bool open = false, fine = true;

	puts("{\"ready\":true}");
	fflush(stdout);
	while (fine && fgets(line, sizeof(line), stdin))
		fine = execute(line, client, server, &open);
	if (open)
		server_close(server);
	return fine ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	static struct server server;
	static const char payload[PAYLOAD_MAX];
	struct arguments arguments = { .profile = "nat64" };
	struct client client = { .request = payload };
	struct toa_lab lab;
	bool serves, makes;
	int error, result;

	if (!parse_arguments(argc, argv, &arguments) ||
	    (strcmp(arguments.profile, "none") &&
	     toa_lab_profile(arguments.profile, &client.source.profile))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	serves = strcmp(arguments.mode, "client");
	makes = strcmp(arguments.mode, "server");
	client.exchange.port = arguments.numbers[PORT];
	client.exchange.threads = arguments.numbers[THREADS];
	client.exchange.request_bytes = arguments.numbers[REQUEST];
	client.exchange.response_bytes = arguments.numbers[RESPONSE];
	client.batch = arguments.numbers[BATCH];
	client.source.clients = makes ? arguments.numbers[CLIENTS] : 0;
	if (arguments.http && client_use_http(&client, arguments.http)) {
		fputs("the path is too long\n", stderr);
		return EXIT_USAGE;
	}
	if (!makes || !strcmp(arguments.profile, "none"))
		return run(&client, serves ? &server : NULL);
	error = toa_lab_open(&lab, arguments.cgroup);
	if (error) {
		fprintf(stderr, "cannot load or attach the program that writes TOA: %s\n", strerror(-error));
		return EXIT_FAILED;
	}
	client.source.lab = &lab;
	result = run(&client, serves ? &server : NULL);
	toa_lab_close(&lab);
	return result;
}
