/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and attaches bpf/lab.bpf.c, and passes it the options of each socket. */
#include "toa_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "lab.skel.h"

/* mountinfo writes space, tab, newline and backslash as \ooo */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned int byte;

		if (from[0] == '\\' && sscanf(from + 1, "%3o", &byte) == 1) {
			*to = (char)byte;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* Finds the mount point of cgroup v2: hybrid systems mount it separately from v1. */
static int find_cgroup(char path[PATH_MAX])
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	int result = -ENOENT;

	if (!file)
		return -errno;
	while (result && getline(&line, &size, file) > 0) {
		char mount[PATH_MAX], type[32];
		char *rest = strstr(line, " - ");

		/* id parent device root mountpoint ... - type source options */
		if (!rest || sscanf(rest, " - %31s", type) != 1 || strcmp(type, "cgroup2") != 0)
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %4095s", mount) != 1)
			continue;
		unescape(mount);
		strcpy(path, mount);
		result = 0;
	}
	free(line);
	fclose(file);
	return result;
}

static int print_warnings(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static int attach(struct toa_lab *lab, const char *cgroup)
{
	int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	lab->link = bpf_program__attach_cgroup(lab->skeleton->progs.write_toa, fd);
	if (!lab->link)
		error = -errno;
	close(fd);
	return error;
}

int toa_lab_open(struct toa_lab *lab, const char *cgroup)
{
	char found[PATH_MAX];
	int error;

	memset(lab, 0, sizeof(*lab));
	lab->options_fd = -1;
	if (!cgroup) {
		error = find_cgroup(found);
		if (error)
			return error;
		cgroup = found;
	}
	libbpf_set_print(print_warnings);
	lab->skeleton = lab__open_and_load();
	if (!lab->skeleton)
		return -errno;
	lab->options_fd = bpf_map__fd(lab->skeleton->maps.options);
	error = attach(lab, cgroup);
	if (error)
		toa_lab_close(lab);
	return error;
}

int toa_lab_set(const struct toa_lab *lab, int fd, const struct toa_lab_option *option)
{
	return bpf_map_update_elem(lab->options_fd, &fd, option, BPF_ANY) ? -errno : 0;
}

void toa_lab_close(struct toa_lab *lab)
{
	bpf_link__destroy(lab->link);
	lab__destroy(lab->skeleton);
	lab->link = NULL;
	lab->skeleton = NULL;
	lab->options_fd = -1;
}
