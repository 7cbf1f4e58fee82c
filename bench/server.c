/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that accept from one listener, and each serve one connection at a time. */
#include "server.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 65535 /* the kernel limits it to net.core.somaxconn */

void serve_exchange(struct server_worker *worker, int fd, char *buffer)
{
	static const char payload[PAYLOAD_MAX];
	const struct exchange *exchange = &worker->server->exchange;
	size_t received;

	if (receive(fd, buffer, exchange->request_bytes, &received) && received == exchange->request_bytes &&
	    send_all(fd, payload, exchange->response_bytes)) {
		worker->report.connections++;
		worker->report.sent_bytes += exchange->response_bytes;
	} else {
		worker->report.errors++;
	}
	worker->report.received_bytes += received;
	close(fd);
}

static void *work(void *argument)
{
	static _Thread_local char buffer[PAYLOAD_MAX];
	struct server_worker *worker = argument;
	uint64_t cpu_ns = thread_cpu_ns();

	for (;;) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int fd = accept4(worker->server->listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);

		if (fd >= 0)
			worker->server->serve(worker, fd, buffer);
		else if (errno == EINVAL) /* shutdown() by server_close() */
			break;
		else if (errno != EINTR && errno != ECONNABORTED)
			worker->report.errors++;
	}
	worker->report.cpu_ns = thread_cpu_ns() - cpu_ns;
	return NULL;
}

int listen_on(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, error;

	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	    !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, BACKLOG))
		return fd;
	error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

int server_open(struct server *server, const struct exchange *exchange, serve_fn *serve)
{
	int listener = listen_on(exchange->port), error;

	if (listener < 0)
		return listener;
	memset(server, 0, sizeof(*server));
	server->exchange = *exchange;
	server->serve = serve;
	server->listener = listener;
	for (int i = 0; i < exchange->threads; i++) {
		struct server_worker *worker = &server->workers[i];

		worker->server = server;
		error = pthread_create(&worker->thread, NULL, work, worker);
		if (error) {
			server_close(server);
			return -error;
		}
		worker->started = true;
	}
	return 0;
}

struct report server_close(struct server *server)
{
	struct report sum = {};

	shutdown(server->listener, SHUT_RDWR);
	for (int i = 0; i < server->exchange.threads; i++) {
		if (!server->workers[i].started)
			continue;
		pthread_join(server->workers[i].thread, NULL);
		report_add(&sum, &server->workers[i].report);
	}
	close(server->listener);
	return sum;
}
