/* What a request of the kernel costs before anybody thinks: a FUSE server that answers GETATTR from
 * memory, over read and writev of the device or over io_uring, and clients that stat its root.
 *
 *   transport MOUNTPOINT device|io_uring CLIENTS
 *
 * Raw protocol, no library: neither libfuse 3.14 nor liburing is asked. Root only.
 * References: <linux/fuse.h> of Linux 6.14 (protocol 7.42), Documentation/filesystems/fuse-io-uring.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GETATTR = 3, FORGET = 2, BATCH_FORGET = 42 };
enum { MAX_PAGES = 1u << 22, INIT_EXT = 1u << 30, OVER_IO_URING = 1u << (41 - 32) };
enum { REGISTER = 1, COMMIT_AND_FETCH = 2 };
enum { DEPTH = 8, PAYLOAD_BYTES = 128 * 1024, ROUNDS = 7, STATS = 20000, SQE_BYTES = 128 };

struct in_header {
    uint32_t len, opcode;
    uint64_t unique, nodeid;
    uint32_t uid, gid, pid, extra;
};
struct out_header {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};
struct attr_out {
    uint64_t valid;
    uint32_t valid_nsec, dummy;
    uint64_t ino, size, blocks, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};
struct init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth, unused[6];
};
struct ring_entry { /* struct fuse_uring_ent_in_out */
    uint64_t flags, commit_id;
    uint32_t payload_bytes, padding;
    uint64_t reserved;
};
struct ring_header { /* struct fuse_uring_req_header */
    char in_out[128], operation[128];
    struct ring_entry entry;
};
struct ring_command { /* struct fuse_uring_cmd_req */
    uint64_t flags, commit_id;
    uint16_t queue;
    uint8_t padding[6];
};

static int device;
static long answered_by_rings;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int answer(uint32_t opcode, void *out, size_t *bytes) {
    static const struct attr_out root = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 2};
    *bytes = opcode == GETATTR ? sizeof root : 0;
    memcpy(out, &root, *bytes);
    return opcode == GETATTR ? 0 : -ENOSYS;
}

static void *serve_device(void *unused) {
    static __thread char request[1 << 20];
    (void)unused;
    for (;;) {
        if (read(device, request, sizeof request) < 0) {
            if (errno == EINTR || errno == ENOENT) continue;
            return NULL; /* unmounted */
        }
        struct in_header *in = (void *)request;
        if (in->opcode == FORGET || in->opcode == BATCH_FORGET) continue;
        char body[256];
        size_t bytes;
        int error = answer(in->opcode, body, &bytes);
        struct out_header out = {sizeof out + bytes, error, in->unique};
        struct iovec parts[] = {{&out, sizeof out}, {body, bytes}};
        if (writev(device, parts, bytes ? 2 : 1) < 0 && errno != ENOENT) fail("reply");
    }
}

struct ring {
    int fd, queue;
    unsigned pending;
    uint32_t *sq_tail, sq_mask, *sq_array, *cq_head, *cq_tail, cq_mask;
    char *sqes;
    struct io_uring_cqe *cqes;
    struct ring_header headers[DEPTH];
    struct iovec parts[DEPTH][2];
};

static void *map(int fd, size_t bytes, off_t what) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
    if (at == MAP_FAILED) fail("mmap of a ring");
    return at;
}

static void open_ring(struct ring *ring) {
    struct io_uring_params p = {.flags = IORING_SETUP_SQE128};
    ring->fd = (int)syscall(SYS_io_uring_setup, DEPTH, &p);
    if (ring->fd < 0) fail("io_uring_setup");
    char *sq = map(ring->fd, p.sq_off.array + p.sq_entries * 4, IORING_OFF_SQ_RING);
    char *cq = map(ring->fd, p.cq_off.cqes + p.cq_entries * 16, IORING_OFF_CQ_RING);
    ring->sqes = map(ring->fd, p.sq_entries * SQE_BYTES, IORING_OFF_SQES);
    ring->sq_tail = (void *)(sq + p.sq_off.tail);
    ring->sq_mask = *(uint32_t *)(sq + p.sq_off.ring_mask);
    ring->sq_array = (void *)(sq + p.sq_off.array);
    ring->cq_head = (void *)(cq + p.cq_off.head);
    ring->cq_tail = (void *)(cq + p.cq_off.tail);
    ring->cq_mask = *(uint32_t *)(cq + p.cq_off.ring_mask);
    ring->cqes = (void *)(cq + p.cq_off.cqes);
}

static void submit(struct ring *ring, int slot, uint32_t command, uint64_t commit_id) {
    uint32_t tail = *ring->sq_tail, at = tail & ring->sq_mask;
    struct io_uring_sqe *sqe = (void *)(ring->sqes + (size_t)at * SQE_BYTES);
    memset(sqe, 0, SQE_BYTES);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = device;
    sqe->off = command;
    sqe->user_data = (uint64_t)slot;
    sqe->addr = (uint64_t)ring->parts[slot];
    sqe->len = 2;
    struct ring_command *body = (void *)((char *)sqe + 48);
    body->queue = (uint16_t)ring->queue;
    body->commit_id = commit_id;
    ring->sq_array[at] = at;
    __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
    ring->pending++;
}

static void *serve_ring(void *queue) {
    static __thread struct ring ring;
    ring.queue = (int)(intptr_t)queue;
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(ring.queue, &own);
    sched_setaffinity(0, sizeof own, &own); /* the kernel has a queue for each processor */
    open_ring(&ring);
    for (int slot = 0; slot < DEPTH; slot++) {
        ring.parts[slot][0] = (struct iovec){&ring.headers[slot], sizeof ring.headers[slot]};
        ring.parts[slot][1] = (struct iovec){malloc(PAYLOAD_BYTES), PAYLOAD_BYTES};
        submit(&ring, slot, REGISTER, 0);
    }
    for (;;) {
        long done = syscall(SYS_io_uring_enter, ring.fd, ring.pending, 1, IORING_ENTER_GETEVENTS,
                            NULL, 0);
        if (done < 0 && errno != EINTR) fail("io_uring_enter");
        if (done > 0) ring.pending -= (unsigned)done;
        uint32_t head = *ring.cq_head, tail = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++) {
            struct io_uring_cqe *cqe = &ring.cqes[head & ring.cq_mask];
            int slot = (int)cqe->user_data;
            if (cqe->res == -ENOTCONN) return NULL; /* unmounted */
            errno = -cqe->res;
            if (cqe->res < 0) fail("a ring's command");
            struct ring_header *header = &ring.headers[slot];
            struct in_header in;
            memcpy(&in, header->in_out, sizeof in);
            size_t bytes;
            int error = answer(in.opcode, ring.parts[slot][1].iov_base, &bytes);
            struct out_header out = {sizeof out + bytes, error, in.unique};
            memcpy(header->in_out, &out, sizeof out);
            header->entry.payload_bytes = (uint32_t)bytes;
            __atomic_fetch_add(&answered_by_rings, 1, __ATOMIC_RELAXED);
            submit(&ring, slot, COMMIT_AND_FETCH, header->entry.commit_id);
        }
        __atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
    }
}

static void open_session(const char *mountpoint, int rings) {
    static char request[1 << 20];
    char options[100];
    device = open("/dev/fuse", O_RDWR);
    if (device < 0) fail("/dev/fuse");
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
    if (mount("transport", mountpoint, "fuse.transport", 0, options)) fail("mount");
    if (read(device, request, sizeof request) < 0) fail("FUSE_INIT");
    struct in_header *in = (void *)request;
    const uint32_t *offered = (void *)(request + sizeof *in);
    int offers = (offered[3] & INIT_EXT) && (offered[4] & OVER_IO_URING);
    if (rings && !offers)
        fprintf(stderr, "the kernel does not offer io_uring (fuse.enable_uring)\n");
    struct {
        struct out_header header;
        struct init_out body;
    } out = {{sizeof out, 0, in->unique},
             {.major = 7,
              .minor = offered[1],
              .max_readahead = 1 << 17,
              .flags = INIT_EXT | MAX_PAGES,
              .max_background = 12,
              .congestion_threshold = 9,
              .max_write = PAYLOAD_BYTES,
              .time_gran = 1,
              .max_pages = 32,
              .flags2 = rings && offers ? OVER_IO_URING : 0}};
    if (write(device, &out, sizeof out) < 0) fail("answer to FUSE_INIT");
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double round_us(const char *mountpoint, int clients) {
    double began_s = now_s();
    for (int client = 0; client < clients; client++) {
        if (fork()) continue;
        struct stat found;
        for (int index = 0; index < STATS; index++)
            if (stat(mountpoint, &found)) _exit(1);
        _exit(0);
    }
    int failed = 0;
    for (int client = 0, status; client < clients; client++)
        failed |= wait(&status) < 0 || status != 0;
    return failed ? -1 : (now_s() - began_s) / STATS / clients * 1e6;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: transport MOUNTPOINT device|io_uring CLIENTS\n");
        return 2;
    }
    const char *mountpoint = argv[1];
    int rings = strcmp(argv[2], "io_uring") == 0, clients = atoi(argv[3]);
    open_session(mountpoint, rings);
    pthread_t thread;
    for (long cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
        pthread_create(&thread, NULL, serve_device, NULL);
        if (rings) pthread_create(&thread, NULL, serve_ring, (void *)cpu);
    }
    double best_us = -1;
    for (int round = 0; round < ROUNDS; round++) {
        double us = round_us(mountpoint, clients);
        if (us < 0) break;
        if (best_us < 0 || us < best_us) best_us = us;
    }
    umount2(mountpoint, MNT_DETACH);
    printf("%-8s  %d client(s)  %6.2f us a stat  %ld by rings\n", argv[2], clients, best_us,
           answered_by_rings);
    fflush(stdout);
    _exit(best_us < 0);
}
