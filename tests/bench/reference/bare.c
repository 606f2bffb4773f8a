/*
 * bare: what moving a TCP endpoint costs in bare system calls.
 *
 *   bare ADDRESS CONNECTIONS ROUNDS QUEUED
 *
 * It makes CONNECTIONS connections with itself over ADDRESS, puts QUEUED bytes
 * into the receive queue and the send queue of each server side, and ROUNDS
 * times takes every server side out of the kernel and puts it back, with the
 * calls that are needed and no others: freeze, extract, close, insert,
 * activate. It prints the processor time of one such move in microseconds.
 *
 * It is the reference of `make bench`; nothing else uses it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPV6_XFRM_POLICY
#define IPV6_XFRM_POLICY 35
#endif

#define MUST(call)                                                         \
	({                                                                 \
		long must_ = (long)(call);                                 \
		if (must_ < 0) {                                           \
			fprintf(stderr, "bare: %s: %s\n", #call, strerror(errno)); \
			exit(1);                                           \
		}                                                          \
		must_;                                                     \
	})

enum { PORT = 7000, REPAIR_ON = 1, REPAIR_OFF = 0, NO_QUEUE = 0, RECV_QUEUE = 1, SEND_QUEUE = 2, SLACK = 128 << 10 };

struct endpoint {
	struct sockaddr_in6 local, remote;
	struct tcp_info info;
	struct tcp_repair_window window;
	int mss, timestamp;
	uint32_t send_seq, recv_seq; /* after the queues' last byte */
	int send_len, recv_len, unsent;
	char *send, *recv;
};

/* Option kinds, RFC 9293 and RFC 7323; the C library and the kernel do not agree
   on which header has them. */
enum { OPT_MAXSEG = 2, OPT_WINDOW = 3, OPT_SACK_PERMITTED = 4, OPT_TIMESTAMP = 8 };

static int queued;

static void set(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof value) < 0) {
		fprintf(stderr, "bare: setsockopt(%d, %d, %d): %s\n", level, name, value, strerror(errno));
		exit(1);
	}
}

static int get(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof value;
	MUST(getsockopt(fd, IPPROTO_TCP, name, &value, &len));
	return value;
}

static void policy(int fd, int direction, int action)
{
	struct xfrm_userpolicy_info p = { .dir = direction, .action = action };
	p.sel.family = AF_INET6;
	p.lft.soft_byte_limit = p.lft.hard_byte_limit = XFRM_INF;
	p.lft.soft_packet_limit = p.lft.hard_packet_limit = XFRM_INF;
	MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_XFRM_POLICY, &p, sizeof p));
}

static int queue_length(int fd, unsigned long request)
{
	int n = 0;
	MUST(ioctl(fd, request, &n));
	return n;
}

static void freeze(int fd)
{
	policy(fd, XFRM_POLICY_OUT, XFRM_POLICY_BLOCK);
	policy(fd, XFRM_POLICY_IN, XFRM_POLICY_BLOCK);
	set(fd, IPPROTO_TCP, TCP_REPAIR, REPAIR_ON);
}

static void extract(int fd, struct endpoint *e)
{
	socklen_t len = sizeof e->info;
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &e->info, &len));
	len = sizeof e->remote;
	MUST(getpeername(fd, (struct sockaddr *)&e->remote, &len));
	len = sizeof e->local;
	MUST(getsockname(fd, (struct sockaddr *)&e->local, &len));
	e->mss = get(fd, TCP_MAXSEG);
	e->timestamp = get(fd, TCP_TIMESTAMP) & ~1;
	len = sizeof e->window;
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &e->window, &len));
	e->unsent = e->info.tcpi_notsent_bytes;
	e->send_len = queue_length(fd, 0x5411 /* SIOCOUTQ */);
	e->recv_len = queue_length(fd, 0x541B /* SIOCINQ */);
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, RECV_QUEUE);
	e->recv_seq = get(fd, TCP_QUEUE_SEQ);
	if (e->recv_len > 0)
		MUST(recv(fd, e->recv, e->recv_len, MSG_PEEK | MSG_DONTWAIT));
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE);
	e->send_seq = get(fd, TCP_QUEUE_SEQ);
	if (e->send_len > 0)
		MUST(recv(fd, e->send, e->send_len, MSG_PEEK | MSG_DONTWAIT));
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, NO_QUEUE);
	len = sizeof e->info;
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &e->info, &len));
}

static void put(int fd, const char *data, int len)
{
	while (len > 0) {
		int n = MUST(send(fd, data, len, 0));
		data += n;
		len -= n;
	}
}

static int insert(struct endpoint *e)
{
	int fd = MUST(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
	set(fd, IPPROTO_TCP, TCP_REPAIR, REPAIR_ON);
	policy(fd, XFRM_POLICY_IN, XFRM_POLICY_BLOCK);
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE);
	set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, e->send_seq - e->send_len);
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, RECV_QUEUE);
	set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, e->recv_seq - e->recv_len);
	if (e->send_len > 0)
		set(fd, SOL_SOCKET, SO_SNDBUFFORCE, e->send_len + SLACK);
	if (e->recv_len > 0)
		set(fd, SOL_SOCKET, SO_RCVBUFFORCE, e->recv_len + SLACK);
	MUST(bind(fd, (struct sockaddr *)&e->local, sizeof e->local));
	MUST(connect(fd, (struct sockaddr *)&e->remote, sizeof e->remote));
	policy(fd, XFRM_POLICY_OUT, XFRM_POLICY_BLOCK);
	struct tcp_repair_opt options[4] = {
		{ OPT_MAXSEG, e->mss },
		{ OPT_WINDOW, e->info.tcpi_snd_wscale | e->info.tcpi_rcv_wscale << 16 },
		{ OPT_SACK_PERMITTED, 0 },
		{ OPT_TIMESTAMP, 0 },
	};
	MUST(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, sizeof options));
	set(fd, IPPROTO_TCP, TCP_TIMESTAMP, e->timestamp);
	if (e->recv_len > 0)
		put(fd, e->recv, e->recv_len);
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE);
	put(fd, e->send, e->send_len - e->unsent);
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, NO_QUEUE);
	MUST(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &e->window, sizeof e->window));
	return fd;
}

static void activate(int fd, struct endpoint *e)
{
	policy(fd, XFRM_POLICY_OUT, XFRM_POLICY_ALLOW);
	policy(fd, XFRM_POLICY_IN, XFRM_POLICY_ALLOW);
	set(fd, IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF);
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	put(fd, e->send + e->send_len - e->unsent, e->unsent);
}

static double processor_us(void)
{
	struct rusage r;
	MUST(getrusage(RUSAGE_SELF, &r));
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static void fill(int fd)
{
	static char zeros[1 << 20];
	put(fd, zeros, queued);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "use: bare ADDRESS CONNECTIONS ROUNDS QUEUED\n");
		return 2;
	}
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	int connections = atoi(argv[2]), rounds = atoi(argv[3]);
	queued = atoi(argv[4]);
	if (inet_pton(AF_INET6, argv[1], &address.sin6_addr) != 1 || connections < 1 || rounds < 1 || queued < 0 || queued > 1 << 20) {
		fprintf(stderr, "bare: bad argument\n");
		return 2;
	}
	int listener = MUST(socket(AF_INET6, SOCK_STREAM, 0));
	set(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	MUST(bind(listener, (struct sockaddr *)&address, sizeof address));
	MUST(listen(listener, 128));
	int *server = calloc(connections, sizeof *server);
	for (int i = 0; i < connections; i++) {
		int client = MUST(socket(AF_INET6, SOCK_STREAM, 0));
		/* It reads nothing: a small window keeps the server's data unsent,
		   a large buffer takes what the client sends. */
		set(client, SOL_SOCKET, SO_RCVBUF, 4096);
		MUST(connect(client, (struct sockaddr *)&address, sizeof address));
		server[i] = MUST(accept(listener, NULL, NULL));
		set(server[i], SOL_SOCKET, SO_SNDBUFFORCE, queued + SLACK);
		set(server[i], SOL_SOCKET, SO_RCVBUFFORCE, queued + SLACK);
		fill(client);
		fill(server[i]);
	}
	struct endpoint e = { .send = malloc(4 << 20), .recv = malloc(4 << 20) };
	double before = processor_us();
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < connections; i++) {
			freeze(server[i]);
			extract(server[i], &e);
			MUST(close(server[i]));
			server[i] = insert(&e);
			activate(server[i], &e);
		}
	double spent = processor_us() - before;
	if (e.send_len > 2 * queued || e.recv_len != queued) {
		fprintf(stderr, "bare: queues hold %d and %d bytes, not %d\n", e.send_len, e.recv_len, queued);
		return 1;
	}
	printf("%.3f\n", spent / rounds / connections);
	return 0;
}
