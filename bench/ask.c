/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-ask SOCKET PEERS: looks up the clients behind peers over a daemon's Unix socket, as fast
 * as the daemon answers. Each line of PEERS holds a peer's address and port and its client's
 * address, as toascope-hold writes them. Each line on standard input is answered with JSON on
 * standard output:
 *   run SECONDS CONNECTIONS   keep CONNECTIONS connections open, with one request at a time on each
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
#define LOOKUPS_MAX 1000000 /* per connection */

struct peer {
	char at[64];
	char client[64];
};

struct worker {
	pthread_t thread;
	const char *path;
	int first; /* index of the first peer to look up */
	double until;
	float *micros; /* latency of each answer */
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

/*
 * Reads a response as RFC 9112 frames it: a header section, then Content-Length bytes. Returns the
 * text from the empty line on, or NULL on an error or a status other than 200.
 */
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

/* Returns true only if the answer names the client that is behind the peer. */
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
	struct worker *worker = argument;
	uint64_t cpu_ns = thread_cpu_ns();
	int fd = connect_to(worker->path), next = worker->first;
	double began = monotonic_seconds();

	while (fd >= 0 && began < worker->until && worker->lookups < LOOKUPS_MAX) {
		const struct peer *peer = &peers[next++ % peer_count];
		double ended;

		if (!look_up(fd, peer, answer)) {
			worker->errors++;
			break;
		}
		ended = monotonic_seconds();
		worker->micros[worker->lookups++] = (ended - began) * 1e6;
		began = ended;
	}
	if (fd < 0)
		worker->errors++;
	else
		close(fd);
	worker->cpu_ns = thread_cpu_ns() - cpu_ns;
	return NULL;
}

static int compare_floats(const void *a, const void *b)
{
	float one = *(const float *)a, other = *(const float *)b;

	return (one > other) - (one < other);
}

/* The nearest-rank quantile of sorted values. */
static float quantile(const float *sorted, long count, double share)
{
	long rank = share * count;

	return count ? sorted[rank < share * count ? rank : rank - 1] : 0;
}

static bool report(const struct worker *workers, int count, double seconds)
{
	long lookups = 0, errors = 0, at = 0;
	uint64_t cpu_ns = 0;
	float *all;

	for (int i = 0; i < count; i++) {
		lookups += workers[i].lookups;
		errors += workers[i].errors;
		cpu_ns += workers[i].cpu_ns;
	}
	all = malloc((lookups + 1) * sizeof(*all));
	if (!all)
		return false;
	for (int i = 0; i < count; at += workers[i++].lookups)
		memcpy(all + at, workers[i].micros, workers[i].lookups * sizeof(*all));
	qsort(all, lookups, sizeof(*all), compare_floats);
	printf("{\"lookups\":%ld,\"errors\":%ld,\"seconds\":%.6f,\"cpu_seconds\":%.6f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
	       lookups, errors, seconds, cpu_ns / 1e9, quantile(all, lookups, 0.5),
	       quantile(all, lookups, 0.99), quantile(all, lookups, 1));
	free(all);
	return !fflush(stdout);
}

static bool run(const char *path, double seconds, int count)
{
	struct worker workers[THREADS_MAX] = {};
	double began = monotonic_seconds();
	bool fine = true;

	for (int i = 0; i < count; i++) {
		struct worker *worker = &workers[i];

		worker->path = path;
		worker->first = i * (peer_count / count);
		worker->until = began + seconds;
		worker->micros = malloc(LOOKUPS_MAX * sizeof(*worker->micros));
		worker->started = worker->micros && !pthread_create(&worker->thread, NULL, work, worker);
		fine &= worker->started;
	}
	for (int i = 0; i < count; i++) {
		if (workers[i].started)
			pthread_join(workers[i].thread, NULL);
	}
	fine = fine && report(workers, count, monotonic_seconds() - began);
	for (int i = 0; i < count; i++)
		free(workers[i].micros);
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
		fprintf(stderr, "cannot read any peer from %s\n", argv[2]);
		return EXIT_FAILED;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %lf %d", &seconds, &count) != 2 || count < 1 || count > THREADS_MAX ||
		    !run(argv[1], seconds, count)) {
			fprintf(stderr, "invalid or failed command: %s", line);
			return EXIT_FAILED;
		}
	}
	return EXIT_DONE;
}
