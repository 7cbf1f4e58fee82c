/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-segments DEVICE: plays the remote end of TCP connections, under the control of the
 * caller. It creates the TUN device DEVICE in its network namespace. The hosts behind the device
 * have no kernel, so the only answers are those that the caller writes.
 *
 * Prints {"ready":true}, then reads one segment per line (segment.h) and sends it, and prints as
 * JSON each segment that the kernel sends through the device. It keeps no state of connections:
 * sequence numbers and the order of segments are up to the caller. Ends at the end of standard
 * input.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "segment.h"

/*
 * The kernel's answers wait in the queue of the device, which holds 500: it is emptied after this
 * many segments.
 */
#define SENT_AT_ONCE 64

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/*
 * Creates the device and brings it up. Returns its descriptor, or -1. The caller sets addresses and
 * routes.
 */
static int open_device(const char *name)
{
	int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	bool up;

	if (strlen(name) < sizeof(request.ifr_name))
		strcpy(request.ifr_name, name);
	up = device >= 0 && !ioctl(device, TUNSETIFF, &request) && !ioctl(control, SIOCGIFFLAGS, &request);
	request.ifr_flags |= IFF_UP;
	up = up && !ioctl(control, SIOCSIFFLAGS, &request);
	close(control);
	return up ? device : -1;
}

static void print_answers(int device)
{
	uint8_t packet[PACKET_MAX];
	struct segment segment;
	ssize_t size;

	while ((size = read(device, packet, sizeof(packet))) > 0) {
		if (segment_from_packet(packet, size, &segment))
			segment_print(&segment);
	}
	fflush(stdout);
}

static bool send_segment(int device, char *line)
{
	uint8_t packet[PACKET_MAX];
	struct segment segment;
	char copy[80];

	snprintf(copy, sizeof(copy), "%s", line);
	if (!segment_parse(line, &segment)) {
		fprintf(stderr, "not a segment: %s\n", copy);
		return false;
	}
	if (write(device, packet, segment_to_packet(&segment, packet)) < 0) {
		fprintf(stderr, "%s: %s\n", copy, strerror(errno));
		return false;
	}
	return true;
}

/* Sends the complete lines and keeps the rest. Returns the size of the rest, or -1. */
static ssize_t send_lines(int device, char *text, size_t size)
{
	char *line = text, *end;
	int sent = 0;

	while ((end = memchr(line, '\n', text + size - line))) {
		*end = '\0';
		if (!send_segment(device, line))
			return -1;
		if (++sent % SENT_AT_ONCE == 0)
			print_answers(device);
		line = end + 1;
	}
	size -= line - text;
	memmove(text, line, size);
	return size;
}

static enum exit_code run(int device)
{
	struct pollfd watched[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				    { .fd = device, .events = POLLIN } };
	char text[65536];
	ssize_t kept = 0, count;

	for (;;) {
		if (poll(watched, 2, -1) < 0)
			return EXIT_FAILED;
		if (watched[0].revents) {
			count = read(STDIN_FILENO, text + kept, sizeof(text) - kept);
			if (count <= 0)
				return EXIT_DONE;
			kept = send_lines(device, text, kept + count);
			if (kept < 0)
				return EXIT_FAILED;
		}
		print_answers(device);
	}
}

int main(int argc, char **argv)
{
	int device;

	if (argc != 2) {
		fputs("usage: toascope-segments DEVICE\n", stderr);
		return EXIT_USAGE;
	}
	device = open_device(argv[1]);
	if (device < 0) {
		fprintf(stderr, "device %s: %s\n", argv[1], strerror(errno));
		return EXIT_FAILED;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	return run(device);
}
