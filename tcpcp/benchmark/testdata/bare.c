/*
 * bare QUEUE MOVES: moves an established connection of a network namespace of
 * its own, MOVES times, out of one socket and into the next, with the system
 * calls that package tcpcp makes and nothing around them. QUEUE bytes lie in
 * each queue. Prints the processor time of a move in nanoseconds.
 *
 * This is the floor that tcpcp is measured against.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPV6_XFRM_POLICY
#define IPV6_XFRM_POLICY 35
#endif
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

enum { NONE, RECEIVE, SEND };

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void set(int fd, int level, int name, int value)
{
	check(setsockopt(fd, level, name, &value, sizeof value) == 0, "setsockopt");
}

static int get(int fd, int level, int name)
{
	int value = 0;
	socklen_t n = sizeof value;
	check(getsockopt(fd, level, name, &value, &n) == 0, "getsockopt");
	return value;
}

static void getall(int fd, int level, int name, void *to, socklen_t n)
{
	check(getsockopt(fd, level, name, to, &n) == 0, "getsockopt");
}

static void block(int fd, int dir)
{
	struct xfrm_userpolicy_info p = {
		.sel.family = AF_INET6,
		.lft = { .soft_byte_limit = XFRM_INF, .hard_byte_limit = XFRM_INF,
			 .soft_packet_limit = XFRM_INF, .hard_packet_limit = XFRM_INF },
		.dir = dir,
		.action = XFRM_POLICY_BLOCK,
	};
	check(setsockopt(fd, IPPROTO_IPV6, IPV6_XFRM_POLICY, &p, sizeof p) == 0, "IPV6_XFRM_POLICY");
}

static void unblock(int fd)
{
	check(setsockopt(fd, IPPROTO_IPV6, IPV6_XFRM_POLICY, NULL, 0) == 0, "IPV6_XFRM_POLICY");
}

static unsigned seq(int fd, int queue)
{
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
	return get(fd, IPPROTO_TCP, TCP_QUEUE_SEQ);
}

static void put(int fd, const char *b, int n)
{
	while (n > 0) {
		int k = send(fd, b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		check(k > 0, "send");
		b += k;
		n -= k;
	}
}

static char received[1 << 20], tosend[1 << 20];

static int move(int fd)
{
	struct sockaddr_in6 local, remote;
	socklen_t n = sizeof remote;
	char name[16], one;
	struct linger linger;

	/* freeze */
	check(getpeername(fd, (struct sockaddr *)&remote, &n) == 0, "getpeername");
	n = sizeof local;
	check(getsockname(fd, (struct sockaddr *)&local, &n) == 0, "getsockname");
	get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
	getall(fd, IPPROTO_TCP, TCP_ULP, name, sizeof name);
	get(fd, SOL_SOCKET, SO_KEEPALIVE);
	set(fd, IPPROTO_TCP, TCP_REPAIR, 1);
	struct tcp_repair_window window;
	getall(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window);
	if (seq(fd, RECEIVE) != window.rcv_wup)
		set(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	block(fd, XFRM_POLICY_OUT);
	block(fd, XFRM_POLICY_IN);

	/* extract */
	struct tcp_info info, again;
	unsigned mem[9];
	int unread = 0, queued = 0;
	getall(fd, IPPROTO_TCP, TCP_INFO, &info, 148);
	int mss = get(fd, IPPROTO_TCP, TCP_MAXSEG);
	int stamp = get(fd, IPPROTO_TCP, TCP_TIMESTAMP);
	getall(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window);
	getall(fd, SOL_SOCKET, SO_MEMINFO, mem, sizeof mem);
	unsigned rcv = seq(fd, RECEIVE);
	if (mem[0] > 0) {
		struct pollfd p = { .fd = fd, .events = POLLRDHUP };
		int mark;
		get(fd, SOL_SOCKET, SO_OOBINLINE);
		set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
		ioctl(fd, SIOCINQ, &unread);
		ioctl(fd, SIOCATMARK, &mark);
		check(recv(fd, received, unread, MSG_PEEK | MSG_DONTWAIT) == unread, "peek");
		poll(&p, 1, 0);
	} else {
		recv(fd, &one, 1, MSG_PEEK | MSG_DONTWAIT);
	}
	unsigned snd = seq(fd, SEND);
	if (mem[5] > 0) {
		ioctl(fd, SIOCOUTQ, &queued);
		check(recv(fd, tosend, queued, MSG_PEEK | MSG_DONTWAIT) == queued, "peek");
	}
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, NONE);
	getall(fd, IPPROTO_TCP, TCP_INFO, &again, 148);
	get(fd, IPPROTO_TCP, TCP_NODELAY);
	get(fd, IPPROTO_TCP, TCP_CORK);
	get(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	get(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	get(fd, IPPROTO_TCP, TCP_KEEPCNT);
	get(fd, IPPROTO_IPV6, IPV6_TCLASS);
	get(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
	get(fd, SOL_SOCKET, SO_OOBINLINE);
	int lock = get(fd, SOL_SOCKET, SO_BUF_LOCK);
	getall(fd, IPPROTO_TCP, TCP_CONGESTION, name, sizeof name);
	getall(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);

	/* forget */
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	check(connect(fd, &none, sizeof remote) == 0, "disconnect");
	close(fd);

	/* insert */
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	check(fd >= 0, "socket");
	set(fd, IPPROTO_TCP, TCP_REPAIR, 1);
	block(fd, XFRM_POLICY_IN);
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND);
	set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, snd - queued);
	set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, RECEIVE);
	set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, rcv - unread);
	int rcvbuf = mem[1] / 2, sndbuf = mem[3] / 2, margin = 128 << 10;
	int rcvwant = unread > 0 && unread + margin > rcvbuf ? unread + margin : rcvbuf;
	int sndwant = queued > 0 && queued + margin > sndbuf ? queued + margin : sndbuf;
	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, rcvwant);
	set(fd, SOL_SOCKET, SO_SNDBUFFORCE, sndwant);
	check(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)) == 0, "TCP_CONGESTION");
	check(bind(fd, (struct sockaddr *)&local, sizeof local) == 0, "bind");
	check(connect(fd, (struct sockaddr *)&remote, sizeof remote) == 0, "connect");
	block(fd, XFRM_POLICY_OUT);
	struct tcp_repair_opt opts[] = {
		{ 2, mss },
		{ 3, info.tcpi_snd_wscale | info.tcpi_rcv_wscale << 16 },
		{ 4, 0 },
		{ 8, 0 },
	};
	check(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, opts, sizeof opts) == 0, "TCP_REPAIR_OPTIONS");
	if (mss > 1220)
		check(setsockopt(fd, IPPROTO_IPV6, IPV6_2292PKTOPTIONS, "", 1) == 0, "IPV6_2292PKTOPTIONS");
	set(fd, IPPROTO_TCP, TCP_TIMESTAMP, (stamp & ~1) + 2);
	put(fd, received, unread);
	if (queued > 0) {
		set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND);
		put(fd, tosend, queued);
		set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, NONE);
	}
	check(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window) == 0, "TCP_REPAIR_WINDOW");
	if (rcvwant > rcvbuf)
		set(fd, SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf);

	/* activate */
	unblock(fd);
	set(fd, IPPROTO_TCP, TCP_REPAIR, 0);
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (sndwant > sndbuf)
		set(fd, SOL_SOCKET, SO_SNDBUFFORCE, sndbuf);
	set(fd, SOL_SOCKET, SO_BUF_LOCK, lock);
	return fd;
}

/* A connection of ::1 with itself, with so many bytes in each of its queues. */
static int prepare(int queue)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t n = sizeof a;

	check(unshare(CLONE_NEWNET) == 0, "unshare");
	/* A window that takes the whole queue at once. */
	FILE *rmem = fopen("/proc/sys/net/ipv4/tcp_rmem", "w");
	check(rmem && fputs("4096 1048576 33554432", rmem) >= 0 && fclose(rmem) == 0, "tcp_rmem");
	int ln = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET6, SOCK_STREAM, 0);
	check(ioctl(ln, SIOCSIFFLAGS, &lo) == 0, "lo");
	check(bind(ln, (struct sockaddr *)&a, sizeof a) == 0 && listen(ln, 1) == 0, "listen");
	getsockname(ln, (struct sockaddr *)&a, &n);
	check(connect(client, (struct sockaddr *)&a, sizeof a) == 0, "connect");
	int server = accept4(ln, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	check(server >= 0, "accept");
	close(ln);
	if (queue > 0) {
		put(client, received, queue);
		int unread = 0;
		while (unread < queue)
			ioctl(server, SIOCINQ, &unread);
		block(client, XFRM_POLICY_OUT);
		block(client, XFRM_POLICY_IN);
		put(server, tosend, queue);
	}
	return server;
}

static long long processor(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int queue = argc > 1 ? atoi(argv[1]) : 0, moves = argc > 2 ? atoi(argv[2]) : 1000;
	if (queue < 0 || queue > (int)sizeof received || moves < 1) {
		fprintf(stderr, "usage: bare QUEUE MOVES\n");
		return 2;
	}
	int fd = prepare(queue);
	for (int i = 0; i < moves / 10; i++)
		fd = move(fd);
	long long start = processor();
	for (int i = 0; i < moves; i++)
		fd = move(fd);
	printf("%lld\n", (processor() - start) / moves);
	return 0;
}
