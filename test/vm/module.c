// SPDX-License-Identifier: Apache-2.0
/* Loading, parameters and counters of toa.ko. */
#include "module.h"
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PARAMETERS "/sys/module/toa/parameters/"
#define LINE_SIZE 4096

int module_load(const char *file, const char *parameters)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), result;

	if (fd < 0)
		err(1, "%s", file);
	result = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return result;
}

int module_remove(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

int module_unload(void)
{
	return module_remove("toa");
}

int parameter_write(const char *name, const char *value)
{
	char path[256];
	ssize_t written;
	int fd, result;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	written = write(fd, value, strlen(value));
	result = written < 0 ? -errno : 0;
	close(fd);
	return result;
}

const char *parameter_read(const char *name)
{
	static char text[LINE_SIZE + 1];
	char path[256];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = read(fd, text, LINE_SIZE);
	close(fd);
	if (length < 1)
		err(1, "%s", path);
	text[length - 1] = '\0';
	return text;
}

long long counter(const char *name)
{
	FILE *file = fopen("/proc/net/toa_counters", "re");
	long long value, found = -1;
	char line_name[128];

	if (!file)
		return -1;
	while (fscanf(file, "%127s %lld", line_name, &value) == 2)
		if (!strcmp(line_name, name))
			found = value;
	fclose(file);
	return found;
}

long long vendor_row(const char *name)
{
	FILE *file = fopen("/proc/net/toa_stats", "re");
	char line[LINE_SIZE];
	long long found = -1;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':'), *at;

		if (!colon || strncmp(line, name, strlen(name)) ||
		    (line[strlen(name)] != ' ' && line[strlen(name)] != ':'))
			continue;
		found = 0;
		for (at = strtok(colon + 1, " \n"); at; at = strtok(NULL, " \n"))
			found += atoll(at);
	}
	fclose(file);
	return found;
}

long long slab_objects(const char *cache)
{
	char name[64], line[LINE_SIZE];
	long long active, found = -1;
	FILE *file = fopen("/proc/slabinfo", "re");

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %lld", name, &active) == 2 && !strcmp(name, cache))
			found = active;
	fclose(file);
	return found;
}

int listen_on(int family, bool six_only, uint16_t *port)
{
	struct sockaddr_in6 address = { .sin6_family = family };
	socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), only = six_only;

	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)))
		err(1, "IPV6_V6ONLY");
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&address, &size))
		err(1, "listening");
	*port = ntohs(address.sin6_port);
	return fd;
}

int get_client(int fd, char text[64])
{
	struct toa_nat64_peer peer;
	socklen_t length = sizeof(peer);
	char address[INET6_ADDRSTRLEN];

	memset(&peer, 0xa5, sizeof(peer));
	strcpy(text, "-");
	if (getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, &peer, &length))
		return -errno;
	if (length != sizeof(peer) || peer.padding) {
		snprintf(text, 64, "length %u, padding %04x", length, peer.padding);
		return 0;
	}
	inet_ntop(AF_INET6, &peer.saddr, address, sizeof(address));
	snprintf(text, 64, "%s %u", address, ntohs(peer.sport));
	return 0;
}
