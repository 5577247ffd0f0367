// Open-loop HTTP/1.1 load: sends the same request at given times, whatever the answers do, and writes what came of each.
//
// open_loop PORT CONNECTIONS REQUEST SCHEDULE OUT GRACE_S
//   REQUEST: a file with the bytes of one request. SCHEDULE: int64 nanoseconds from the start, ascending, little endian.
//   OUT: for each an int64 of nanoseconds from its scheduled time to its whole answer (-1: none), and its int64 status.
// A request whose time comes while no connection is free waits for one, and its latency counts from its time all the
// same. Answers must have a content-length.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, EVENTS = 256 };

struct connection {
    int fd, busy, have, need, status;  // need: bytes of the whole answer, 0 while its head is not complete
    long request;
    size_t sent;
    char buffer[BUFFER];
};

static struct sockaddr_in address;
static struct connection *connections;
static int *idle, idle_count, epoll;
static char *body;
static size_t body_size;
static int64_t *schedule, *out, began;
static long count, next_due, answered;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static char *slurp(const char *path, size_t *size) {
    struct stat s;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &s) < 0) fail(path);
    char *data = malloc(s.st_size + 1);
    for (size_t at = 0; at < (size_t)s.st_size;) {
        ssize_t n = read(fd, data + at, s.st_size - at);
        if (n <= 0) fail(path);
        at += n;
    }
    close(fd);
    *size = s.st_size;
    return data;
}

static void dial(struct connection *c, int index) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = index};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0) fail("epoll_ctl");
    c->busy = c->have = c->need = 0;
}

static void await_writable(struct connection *c, int index, int wanted) {
    struct epoll_event e = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.u32 = index};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void lost(struct connection *c, int index) {  // no answer: counted as such, and dialled again
    close(c->fd);
    if (c->busy) answered++;
    int was_busy = c->busy;
    dial(c, index);
    if (was_busy) idle[idle_count++] = index;
}

static void push(struct connection *c, int index) {
    while (c->sent < body_size) {
        ssize_t n = send(c->fd, body + c->sent, body_size - c->sent, MSG_NOSIGNAL);
        if (n > 0) c->sent += n;
        else if (errno == EAGAIN) { await_writable(c, index, 1); return; }
        else { lost(c, index); return; }
    }
}

static void start_due(int64_t at) {
    while (next_due < count && schedule[next_due] <= at && idle_count) {
        int index = idle[--idle_count];
        struct connection *c = &connections[index];
        c->busy = 1;
        c->have = c->need = 0;
        c->sent = 0;
        c->request = next_due++;
        push(c, index);
    }
}

static void take(struct connection *c, int index) {
    for (;;) {
        ssize_t n = recv(c->fd, c->buffer + c->have, BUFFER - 1 - c->have, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) { lost(c, index); return; }
        if (n < 0) return;
        c->have += n;
        if (!c->need) {
            c->buffer[c->have] = 0;
            char *end = strstr(c->buffer, "\r\n\r\n");
            if (!end) continue;
            char *length = strcasestr(c->buffer, "\r\ncontent-length:");
            if (!length || length > end) { lost(c, index); return; }
            c->need = end + 4 - c->buffer + atoi(length + 17);
            c->status = atoi(c->buffer + 9);
            if (c->need >= BUFFER) { fprintf(stderr, "an answer is too long\n"); exit(1); }
        }
        if (c->have < c->need || !c->busy) continue;
        out[2 * c->request] = now() - began - schedule[c->request];
        out[2 * c->request + 1] = c->status;
        answered++;
        c->busy = 0;
        idle[idle_count++] = index;
        return;
    }
}

int main(int argc, char **argv) {
    if (argc != 7) { fprintf(stderr, "usage: open_loop PORT CONNECTIONS REQUEST SCHEDULE OUT GRACE_S\n"); return 2; }
    int total = atoi(argv[2]);
    size_t bytes;
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    body = slurp(argv[3], &body_size);
    schedule = (int64_t *)slurp(argv[4], &bytes);
    count = bytes / 8;
    out = malloc(count * 16);
    for (long i = 0; i < count; i++) out[2 * i] = -1, out[2 * i + 1] = 0;
    connections = calloc(total, sizeof *connections);
    idle = malloc(total * sizeof *idle);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll = epoll_create1(0);
    for (int i = 0; i < total; i++) {
        dial(&connections[i], i);
        idle[idle_count++] = i;
    }
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = UINT32_MAX}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e);
    began = now() + 20000000;
    int64_t last = began + (count ? schedule[count - 1] : 0) + atoll(argv[6]) * 1000000000LL, armed = -1;
    while (answered < count && now() < last) {
        start_due(now() - began);
        if (next_due < count && idle_count && schedule[next_due] != armed) {
            armed = schedule[next_due];
            int64_t at = began + armed;
            struct itimerspec spec = {.it_value = {at / 1000000000LL, at % 1000000000LL}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
        }
        int n = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            uint32_t index = events[i].data.u32;
            if (index == UINT32_MAX) {
                uint64_t ticks;
                if (read(timer, &ticks, 8) < 0 && errno != EAGAIN) fail("timer");
                continue;
            }
            struct connection *c = &connections[index];
            if (events[i].events & EPOLLOUT) {
                await_writable(c, index, 0);
                push(c, index);
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(c, index);
        }
    }
    int fd = open(argv[5], O_CREAT | O_TRUNC | O_WRONLY, 0644);
    for (long at = 0; at < count * 16;) {
        ssize_t n = write(fd, (char *)out + at, count * 16 - at);
        if (n <= 0) fail("write");
        at += n;
    }
    return 0;
}
