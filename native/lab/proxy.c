/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection consists of two sockets. Bytes go from one to the other through one buffer that all
 * connections share. Bytes that the other end does not accept at once are kept for it, and nothing
 * more is read for it until they are sent. A FIN is passed on once everything before it is.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_AT_ONCE 64
#define READS_AT_ONCE 4 /* then other connections are served */
#define BUFFER_SIZE (256 * 1024)

enum side { CLIENT, BACKEND };

struct end {
	struct watch watch;
	enum side side;
	int fd;
	uint32_t events;  /* what epoll watches for; 0: not in epoll */
	bool ended;       /* this end has sent FIN */
	bool shut;        /* we have sent FIN to this end */
	uint8_t *waiting; /* bytes that this end has not accepted yet */
	size_t waiting_at;
	size_t waiting_length;
};

struct connection {
	struct end ends[2];
	bool connected;
	bool dead;
	struct connection *next_dead;
};

static struct connection *connection_of(struct end *end)
{
	return (struct connection *)(end - end->side);
}

/*
 * An end that waits for nothing is removed from epoll, which would otherwise report its errors
 * again and again.
 */
static bool watch_for(struct proxy *proxy, struct end *end, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = &end->watch };
	int operation = !events ? EPOLL_CTL_DEL : end->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == end->events)
		return true;
	if (epoll_ctl(proxy->epoll, operation, end->fd, &event))
		return false;
	end->events = events;
	return true;
}

static void reset_on_close(int fd)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

/* With `reset`, both ends get an RST and learn that something went wrong. */
static void connection_close(struct proxy *proxy, struct connection *connection, bool reset)
{
	for (int i = CLIENT; i <= BACKEND; i++) {
		struct end *end = &connection->ends[i];

		free(end->waiting);
		if (end->fd < 0)
			continue;
		if (reset)
			reset_on_close(end->fd);
		close(end->fd);
	}
	connection->dead = true;
	connection->next_dead = proxy->dead;
	proxy->dead = connection;
}

void proxy_sweep(struct proxy *proxy)
{
	while (proxy->dead) {
		struct connection *connection = proxy->dead;

		proxy->dead = connection->next_dead;
		free(connection);
	}
}

/* Keeps the bytes that the end did not accept. */
static bool keep(struct end *end, const uint8_t *bytes, size_t length)
{
	end->waiting = malloc(length);
	if (!end->waiting)
		return false;
	memcpy(end->waiting, bytes, length);
	end->waiting_at = 0;
	end->waiting_length = length;
	return true;
}

/* Returns the bytes written, 0 if the end accepts none now, or -1 if it is gone. */
static ssize_t put(struct proxy *proxy, struct end *end, const uint8_t *bytes, size_t length)
{
	ssize_t written = send(end->fd, bytes, length, MSG_NOSIGNAL);

	if (written < 0)
		return errno == EAGAIN ? 0 : -1;
	if (end->side == BACKEND)
		proxy->totals.to_backend_bytes += written;
	else
		proxy->totals.to_client_bytes += written;
	return written;
}

static bool flush(struct proxy *proxy, struct end *end)
{
	ssize_t written;

	if (!end->waiting)
		return true;
	written = put(proxy, end, end->waiting + end->waiting_at, end->waiting_length - end->waiting_at);
	if (written < 0)
		return false;
	end->waiting_at += written;
	if (end->waiting_at == end->waiting_length) {
		free(end->waiting);
		end->waiting = NULL;
	}
	return true;
}

/* Forwards from one end to the other what is available and accepted, up to a fair share. */
static bool forward(struct proxy *proxy, struct end *from, struct end *to)
{
	static uint8_t buffer[BUFFER_SIZE];

	for (int i = 0; i < READS_AT_ONCE && !from->ended && !to->waiting; i++) {
		ssize_t length = recv(from->fd, buffer, sizeof(buffer), 0);
		ssize_t written;

		if (length < 0)
			return errno == EAGAIN;
		if (length == 0) {
			from->ended = true;
			break;
		}
		written = put(proxy, to, buffer, length);
		if (written < 0 || (written < length && !keep(to, buffer + written, length - written)))
			return false;
		/* a short read has emptied the socket; if it has not, epoll reports it again */
		if ((size_t)length < sizeof(buffer))
			break;
	}
	if (from->ended && !to->waiting && !to->shut) {
		to->shut = true;
		return shutdown(to->fd, SHUT_WR) == 0;
	}
	return true;
}

static bool watch_both(struct proxy *proxy, struct connection *connection)
{
	for (int i = CLIENT; i <= BACKEND; i++) {
		struct end *end = &connection->ends[i];
		struct end *other = &connection->ends[!i];
		uint32_t events = end->waiting ? EPOLLOUT : 0;

		if (!end->ended && !other->waiting)
			events |= EPOLLIN;
		if (!watch_for(proxy, end, events))
			return false;
	}
	return true;
}

static bool backend_answered(struct proxy *proxy, struct connection *connection)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(connection->ends[BACKEND].fd, SOL_SOCKET, SO_ERROR, &error, &size) || error)
		return false;
	connection->connected = true;
	proxy->totals.connected++;
	return true;
}

void proxy_event(struct proxy *proxy, struct watch *watch, uint32_t events)
{
	struct end *end = (struct end *)watch;
	struct connection *connection = connection_of(end);
	struct end *client = &connection->ends[CLIENT];
	struct end *backend = &connection->ends[BACKEND];

	if (connection->dead)
		return;
	if (!connection->connected && !backend_answered(proxy, connection)) {
		proxy->totals.failed++;
		connection_close(proxy, connection, true);
		return;
	}
	if ((events & EPOLLERR) || !flush(proxy, client) || !flush(proxy, backend) ||
	    !forward(proxy, client, backend) || !forward(proxy, backend, client) ||
	    !watch_both(proxy, connection)) {
		proxy->totals.aborted++;
		connection_close(proxy, connection, true);
		return;
	}
	if (client->shut && backend->shut) {
		proxy->totals.finished++;
		connection_close(proxy, connection, false);
	}
}

/* The last 32 bits of 64:ff9b::/96 are the backend's address (RFC 6052). */
static int connect_backend(struct proxy *proxy, const struct route *route, int client_fd,
			   const struct sockaddr_in6 *client)
{
	struct sockaddr_in6 wanted;
	struct sockaddr_in backend = { .sin_family = AF_INET, .sin_port = htons(route->backend_port) };
	struct sockaddr_in source = { .sin_family = AF_INET, .sin_addr = pool_next(&proxy->pool) };
	socklen_t size = sizeof(wanted);
	struct toa_lab_option option;
	int on = 1;
	int fd;

	if (getsockname(client_fd, (struct sockaddr *)&wanted, &size))
		return -1;
	memcpy(&backend.sin_addr, &wanted.sin6_addr.s6_addr[12], sizeof(backend.sin_addr));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	/*
	 * choose the port at connect(): one address then serves as many connections as there are
	 * ports
	 */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)))
		goto failed;
	if (route_option(route, &client->sin6_addr, ntohs(client->sin6_port), &option) &&
	    toa_lab_set(proxy->lab, fd, &option))
		goto failed;
	if (connect(fd, (struct sockaddr *)&backend, sizeof(backend)) && errno != EINPROGRESS)
		goto failed;
	return fd;

failed:
	close(fd);
	return -1;
}

static void start(struct proxy *proxy, const struct route *route, int fd, const struct sockaddr_in6 *client)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int backend_fd = connection ? connect_backend(proxy, route, fd, client) : -1;
	int on = 1;

	proxy->totals.accepted++;
	if (backend_fd < 0) {
		proxy->totals.failed++;
		reset_on_close(fd);
		close(fd);
		free(connection);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (int i = CLIENT; i <= BACKEND; i++) {
		connection->ends[i].watch.kind = WATCH_END;
		connection->ends[i].side = i;
	}
	connection->ends[CLIENT].fd = fd;
	connection->ends[BACKEND].fd = backend_fd;
	/* the client stays out of epoll until its backend is connected */
	if (!watch_for(proxy, &connection->ends[BACKEND], EPOLLOUT)) {
		proxy->totals.failed++;
		connection_close(proxy, connection, true);
	}
}

/*
 * Resets a pending connection when no descriptor is left: if it stayed pending, epoll would wake us
 * forever.
 */
static void refuse(struct proxy *proxy, int listener)
{
	int fd;

	close(proxy->spare);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		proxy->totals.accepted++;
		proxy->totals.failed++;
		reset_on_close(fd);
		close(fd);
	}
	proxy->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void proxy_accept(struct proxy *proxy, const struct listener *listener)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct sockaddr_in6 client;
		socklen_t size = sizeof(client);
		int fd = accept4(listener->fd, (struct sockaddr *)&client, &size,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			start(proxy, &listener->route, fd, &client);
		else if (errno == EMFILE || errno == ENFILE)
			refuse(proxy, listener->fd);
		else if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}
