/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-ask SOCKET PEERS: asks a daemon over its Unix socket who is behind a peer, as fast as it
 * answers. PEERS has lines of a peer's address and port and of its client, as toascope-hold writes them. A line
 * on standard input is answered with JSON on standard output:
 *   run SECONDS CONNECTIONS   so many connections, each kept, each with one question at a time
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "report.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define PEERS_MAX 65536
#define ANSWER_MAX 65536
#define LOOKUPS_MAX 1000000 /* of a connection */

struct peer {
	char at[64];
	char client[64];
};

struct asker {
	pthread_t thread;
	const char *path;
	int first; /* place of the first peer that it asks for */
	double until;
	float *micros; /* what each answer took */
	long lookups;
	long errors;
	uint64_t cpu_ns;
	bool started;
};

static struct peer peers[PEERS_MAX];
static int peer_count;

static bool read_peers(const char *path)
{
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	while (peer_count < PEERS_MAX &&
	       fscanf(file, "%63s %63s", peers[peer_count].at, peers[peer_count].client) == 2)
		peer_count++;
	fclose(file);
	return peer_count > 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) < sizeof(address.sun_path))
		strcpy(address.sun_path, path);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* RFC 9112: a head, then so many bytes as its Content-Length says. Its text, or NULL. */
static const char *read_answer(int fd, char *answer)
{
	static const char field[] = "content-length: ";
	size_t length = 0, all = 0;

	while (!all || length < all) {
		ssize_t got = recv(fd, answer + length, ANSWER_MAX - 1 - length, 0);
		const char *end, *found;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return NULL;
		length += got;
		answer[length] = '\0';
		end = strstr(answer, "\r\n\r\n");
		if (all || !end)
			continue;
		found = strcasestr(answer, field);
		if (!found || found > end)
			return NULL;
		all = end + 4 - answer + strtoul(found + sizeof(field) - 1, NULL, 10);
		if (all >= ANSWER_MAX)
			return NULL;
	}
	return strncmp(answer, "HTTP/1.1 200 ", 13) ? NULL : strstr(answer, "\r\n\r\n");
}

/* Asks, and takes only the client that is behind the peer for an answer. */
static bool look_up(int fd, const struct peer *peer, char *answer)
{
	char request[256], client[96];
	const char *body;
	int length = snprintf(request, sizeof(request),
			      "GET /v1/connections?peer=%s HTTP/1.1\r\nHost: toascope\r\n\r\n", peer->at);

	snprintf(client, sizeof(client), "\"client\":{\"address\":\"%s\"", peer->client);
	if (!send_all(fd, request, length))
		return false;
	body = read_answer(fd, answer);
	return body && strstr(body, client);
}

static void *work(void *argument)
{
	static _Thread_local char answer[ANSWER_MAX];
	struct asker *asker = argument;
	uint64_t cpu_ns = thread_cpu_ns();
	int fd = connect_to(asker->path), next = asker->first;
	double begun = monotonic_seconds();

	while (fd >= 0 && begun < asker->until && asker->lookups < LOOKUPS_MAX) {
		const struct peer *peer = &peers[next++ % peer_count];
		double ended;

		if (!look_up(fd, peer, answer)) {
			asker->errors++;
			break;
		}
		ended = monotonic_seconds();
		asker->micros[asker->lookups++] = (ended - begun) * 1e6;
		begun = ended;
	}
	if (fd < 0)
		asker->errors++;
	else
		close(fd);
	asker->cpu_ns = thread_cpu_ns() - cpu_ns;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	float one = *(const float *)a, other = *(const float *)b;

	return (one > other) - (one < other);
}

/* The value that this share of the sorted ones do not exceed (nearest rank). */
static float quantile(const float *sorted, long count, double share)
{
	long rank = share * count;

	return count ? sorted[rank < share * count ? rank : rank - 1] : 0;
}

static bool report(const struct asker *askers, int count, double seconds)
{
	long lookups = 0, errors = 0, at = 0;
	uint64_t cpu_ns = 0;
	float *all;

	for (int i = 0; i < count; i++) {
		lookups += askers[i].lookups;
		errors += askers[i].errors;
		cpu_ns += askers[i].cpu_ns;
	}
	all = malloc((lookups + 1) * sizeof(*all));
	if (!all)
		return false;
	for (int i = 0; i < count; at += askers[i++].lookups)
		memcpy(all + at, askers[i].micros, askers[i].lookups * sizeof(*all));
	qsort(all, lookups, sizeof(*all), compare);
	printf("{\"lookups\":%ld,\"errors\":%ld,\"seconds\":%.6f,\"cpu_seconds\":%.6f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
	       lookups, errors, seconds, cpu_ns / 1e9, quantile(all, lookups, 0.5),
	       quantile(all, lookups, 0.99), quantile(all, lookups, 1));
	free(all);
	return !fflush(stdout);
}

static bool run(const char *path, double seconds, int count)
{
	struct asker askers[THREADS_MAX] = {};
	double begun = monotonic_seconds();
	bool fine = true;

	for (int i = 0; i < count; i++) {
		struct asker *asker = &askers[i];

		asker->path = path;
		asker->first = i * (peer_count / count);
		asker->until = begun + seconds;
		asker->micros = malloc(LOOKUPS_MAX * sizeof(*asker->micros));
		asker->started = asker->micros && !pthread_create(&asker->thread, NULL, work, asker);
		fine &= asker->started;
	}
	for (int i = 0; i < count; i++) {
		if (askers[i].started)
			pthread_join(askers[i].thread, NULL);
	}
	fine = fine && report(askers, count, monotonic_seconds() - begun);
	for (int i = 0; i < count; i++)
		free(askers[i].micros);
	return fine;
}

int main(int argc, char **argv)
{
	char line[128];
	double seconds;
	int count;

	if (argc != 3) {
		fputs("usage: toascope-ask SOCKET PEERS\n", stderr);
		return EXIT_USAGE;
	}
	if (!read_peers(argv[2])) {
		fprintf(stderr, "%s: no peers\n", argv[2]);
		return EXIT_FAILED;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %lf %d", &seconds, &count) != 2 || count < 1 || count > THREADS_MAX ||
		    !run(argv[1], seconds, count)) {
			fprintf(stderr, "cannot do this: %s", line);
			return EXIT_FAILED;
		}
	}
	return EXIT_DONE;
}
