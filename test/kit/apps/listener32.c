/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 32-bit server for x86 that needs no 32-bit C library: listener32 PORT. It prints
 * {"ready":true}, accepts, and prints {"error":N} for each connection: the errno of
 * getsockopt(IPPROTO_IP, 4096), or 0 if that succeeds.
 */
enum {
	WRITE = 4,
	SOCKET = 359,
	BIND = 361,
	LISTEN = 363,
	ACCEPT4 = 364,
	GETSOCKOPT = 365,
	READ = 3,
	CLOSE = 6
};
enum { AF_INET = 2, SOCK_STREAM = 1, IPPROTO_IP = 0, TOA_SO_GET_LOOKUP = 4096 };

static long call(long number, long a, long b, long c, long d, long e)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return result;
}

static void print(const char *text, int length)
{
	call(WRITE, 1, (long)text, length, 0, 0);
}

static void report(long error)
{
	char text[] = "{\"error\":000}\n";

	/* JSON does not allow leading zeros */
	text[9] = error >= 100 ? '0' + error / 100 % 10 : ' ';
	text[10] = error >= 10 ? '0' + error / 10 % 10 : ' ';
	text[11] = '0' + error % 10;
	print(text, sizeof(text) - 1);
}

__attribute__((used)) void serve(const long *stack)
{
	const char *digit = (const char *)stack[2];
	unsigned int port = 0;
	unsigned char address[16] = { AF_INET }, answer[20], data[64];
	long listener = call(SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0), fd;

	while (*digit)
		port = port * 10 + *digit++ - '0';
	address[2] = port >> 8;
	address[3] = port & 255;
	if (call(BIND, listener, (long)address, sizeof(address), 0, 0) || call(LISTEN, listener, 16, 0, 0, 0))
		call(1, 1, 0, 0, 0, 0);
	print("{\"ready\":true}\n", 15);
	while ((fd = call(ACCEPT4, listener, 0, 0, 0, 0)) >= 0) {
		long length = sizeof(answer);

		call(READ, fd, (long)data, sizeof(data), 0, 0);
		report(-call(GETSOCKOPT, fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, (long)answer, (long)&length));
		call(CLOSE, fd, 0, 0, 0, 0);
	}
	call(1, 1, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tpush %eax\n\tcall serve\n");
