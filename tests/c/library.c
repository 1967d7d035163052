/* A shared library of C that knows nothing of greenlets. Compiled with -O2 -D_FORTIFY_SOURCE=2, so that calls into buffers of
 * known size become those of the checked variants. */
#define _GNU_SOURCE
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long give(const char *from, char *to, long count) {
    if (count > 0)
        memcpy(to, from, count);
    return count;
}

long by_recv(int fd, char *to, size_t length) {
    char room[16];
    return give(room, to, recv(fd, room, length, 0));
}

long by_recvfrom(int fd, char *to, size_t length) {
    char room[16];
    return give(room, to, recvfrom(fd, room, length, 0, NULL, NULL));
}

long by_read(int fd, char *to, size_t length) {
    char room[16];
    return give(room, to, read(fd, room, length));
}

long by_poll(int fd, char *to, size_t length) {
    struct pollfd entries[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1}};
    if (poll(entries, length, -1) != 1)
        return -1;
    return by_read(fd, to, 16);
}

long by_ppoll(int fd, char *to, size_t length) {
    struct pollfd entries[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1}};
    if (ppoll(entries, length, NULL, NULL) != 1)
        return -1;
    return by_read(fd, to, 16);
}

long by_select(int fd, char *to, size_t length) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    if (select(fd + 1, &set, NULL, NULL, NULL) != 1)
        return -1;
    return by_read(fd, to, length);
}

int by_sleep(long nanoseconds) {
    struct timespec length = {.tv_nsec = nanoseconds};
    return nanosleep(&length, NULL);
}

int by_name(const char *name) {
    struct addrinfo *found = NULL;
    int code = getaddrinfo(name, "80", NULL, &found);
    if (code == 0)
        freeaddrinfo(found);
    return code;
}

/* The child lives in its parent's memory, with descriptors of its own. */
int by_vfork(int fd) {
    pid_t child = vfork();
    if (child == 0) {
        dup2(0, fd);
        close(fd);
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WEXITSTATUS(status);
}
