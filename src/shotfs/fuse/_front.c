/* Front: a native thread that stands between the FUSE device and pyfuse3.
 *
 * It reads every request. What it can answer from its table, it answers: opens, reads and closes of
 * files that Python has told it are whole and never change, their attributes, and extended
 * attributes of others' names. Everything else it queues, and pyfuse3 takes it from the queue where
 * it would have read the device: an eventfd stands in the place of the device's descriptor, and is
 * readable while something is queued. Replies of pyfuse3 go straight to the device.
 *
 * The thread never touches Python. Python adds and takes away nodes under one short lock. A node
 * that is taken away while files of it are open stays until the last RELEASE, which is passed on to
 * Python: so Python knows when nobody has it open.
 *
 * Nothing here may wait for a disk: a read that is not in the page cache is passed on.
 *
 * References: struct fuse_in_header and the opcodes in <linux/fuse.h>, protocol 7.40.
 */

#define _GNU_SOURCE
#include "_front.h"
#include "_opens.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- the protocol ------------------------------------------------------------------------------ */

enum { OP_GETATTR = 3, OP_OPEN = 14, OP_READ = 15, OP_RELEASE = 18, OP_GETXATTR = 22 };

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

struct open_in {
    uint32_t flags, open_flags;
};

struct open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

struct release_in {
    uint64_t fh;
    uint32_t flags, release_flags;
    uint64_t lock_owner;
};

struct read_in {
    uint64_t fh, offset;
    uint32_t size, read_flags;
    uint64_t lock_owner;
    uint32_t flags, padding;
};

struct getxattr_in {
    uint32_t size, padding;
};

_Static_assert(sizeof(struct in_header) == 40, "struct fuse_in_header");
_Static_assert(sizeof(struct out_header) == 16, "struct fuse_out_header");
_Static_assert(sizeof(struct release_in) == 24, "struct fuse_release_in");
_Static_assert(sizeof(struct read_in) == 40, "struct fuse_read_in");

#define ATTR_OUT_BYTES 104
#define REQUEST_BYTES_MAX (1024 * 1024 + 64 * 1024) /* what libfuse 3 reads at most, and some */
#define READ_BYTES_MAX (1024 * 1024)
#define COPIED_BYTES_MAX (64 * 1024)
#define QUEUE_BYTES_MAX (64 * 1024 * 1024)
#define WOKEN_AT_END (1 << 20) /* tasks that may wait for the queue when it ends */

static const char OUR_ATTRIBUTES[] = "user.shotfs.";

/* --- nodes that the front answers for ---------------------------------------------------------- */

struct node {
    uint64_t nodeid; /* 0: no node */
    uint64_t fh;
    uint64_t size;
    int fd;
    uint32_t open_flags;
    int32_t backing_id;
    uint32_t opens;
    uint8_t used;    /* opened since Python asked last */
    uint8_t retired; /* takes no more opens */
    uint8_t has_attr;
    uint8_t attr[ATTR_OUT_BYTES];
};

static struct {
    pthread_mutex_t lock;
    struct node *slots; /* open addressing, linear probing */
    uint64_t mask;
    uint64_t count, count_max;
    uint64_t opens; /* of all nodes, now */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Numbers for Python; each is written by one thread and read by another. */
static struct {
    uint64_t opens, releases, reads, read_bytes, attributes, xattrs, forwarded;
} counted;

#define COUNT(what, by) __atomic_fetch_add(&counted.what, (by), __ATOMIC_RELAXED)

static uint64_t home(uint64_t nodeid) {
    return (nodeid * 0x9e3779b97f4a7c15ull >> 20) & table.mask;
}

static struct node *find(uint64_t nodeid) {
    if (table.slots == NULL || nodeid == 0) return NULL;
    for (uint64_t at = home(nodeid);; at = (at + 1) & table.mask) {
        if (table.slots[at].nodeid == nodeid) return &table.slots[at];
        if (table.slots[at].nodeid == 0) return NULL;
    }
}

static void erase(struct node *gone) {
    /* Close the gap: whatever would not be found any more moves up (Knuth, vol. 3, 6.4, R). */
    uint64_t hole = (uint64_t)(gone - table.slots);
    for (uint64_t at = (hole + 1) & table.mask; table.slots[at].nodeid != 0;
         at = (at + 1) & table.mask) {
        uint64_t wanted = home(table.slots[at].nodeid);
        if (((at - wanted) & table.mask) >= ((at - hole) & table.mask)) {
            table.slots[hole] = table.slots[at];
            hole = at;
        }
    }
    table.slots[hole].nodeid = 0;
    table.count--;
}

/* --- the queue to pyfuse3 ---------------------------------------------------------------------- */

struct request {
    struct request *next;
    size_t length;
    char bytes[];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct request *first, **last;
    size_t bytes;
    int ended;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .room = PTHREAD_COND_INITIALIZER};

static int device = -1;      /* the FUSE device, while the front runs */
static int place = -1;       /* the number that pyfuse3 knows it by, where the eventfd stands */
static int stopping = -1;    /* eventfd: end the thread */
static int queued = -1;      /* eventfd: counts what is queued; `place` is a duplicate */
static int running;
static pthread_t thread;

static struct fuse_session *session;
static int (*set_custom_io)(struct fuse_session *, const struct fuse_custom_io *, int);

static void wake(int fd, uint64_t by) {
    while (write(fd, &by, sizeof by) < 0 && errno == EINTR) continue;
}

static int enqueue(struct request *request) {
    pthread_mutex_lock(&queue.lock);
    while (queue.bytes > QUEUE_BYTES_MAX && !queue.ended)
        pthread_cond_wait(&queue.room, &queue.lock);
    if (queue.ended) {
        pthread_mutex_unlock(&queue.lock);
        free(request);
        return -1;
    }
    request->next = NULL;
    *queue.last = request;
    queue.last = &request->next;
    queue.bytes += request->length;
    pthread_mutex_unlock(&queue.lock);
    COUNT(forwarded, 1);
    wake(queued, 1);
    return 0;
}

/* What libfuse calls in place of read(2) on the device. */
static ssize_t take(int fd, void *buffer, size_t size, void *userdata) {
    (void)userdata;
    uint64_t one;
    if (!__atomic_load_n(&running, __ATOMIC_ACQUIRE)) return read(fd, buffer, size);
    ssize_t got = read(queued, &one, sizeof one);
    pthread_mutex_lock(&queue.lock);
    struct request *request = got == sizeof one ? queue.first : NULL;
    int ended = queue.ended;
    if (request != NULL) {
        queue.first = request->next;
        if (queue.first == NULL) queue.last = &queue.first;
        queue.bytes -= request->length;
        pthread_cond_signal(&queue.room);
    }
    pthread_mutex_unlock(&queue.lock);
    if (request == NULL) {
        errno = ended ? ENODEV : EINTR; /* pyfuse3 ends on EAGAIN */
        return -1;
    }
    size_t length = request->length;
    if (length <= size) memcpy(buffer, request->bytes, length);
    free(request);
    if (length > size) {
        errno = EIO;
        return -1;
    }
    return (ssize_t)length;
}

static ssize_t give(int fd, struct iovec *iov, int count, void *userdata) {
    (void)userdata;
    int to = __atomic_load_n(&device, __ATOMIC_ACQUIRE);
    return writev(to >= 0 ? to : fd, iov, count);
}

static const struct fuse_custom_io io = {.writev = give, .read = take};

/* --- answers ----------------------------------------------------------------------------------- */

static int reply(uint64_t unique, int error, const void *body, size_t length) {
    struct out_header out = {.len = (uint32_t)(sizeof out + length), .error = error, .unique = unique};
    struct iovec iov[2] = {{&out, sizeof out}, {(void *)(uintptr_t)body, length}};
    return writev(device, iov, length > 0 ? 2 : 1) < 0 ? -1 : 0;
}

static int answer_open(const struct in_header *in, const struct open_in *asked) {
    if ((asked->flags & O_ACCMODE) != O_RDONLY || asked->flags & (O_TRUNC | O_DIRECT)) return 0;
    struct open_out out = {0};
    pthread_mutex_lock(&table.lock);
    struct node *node = find(in->nodeid);
    if (node != NULL && !node->retired && opens_answered_for(in->pid)) {
        node->opens++;
        node->used = 1;
        table.opens++;
        out = (struct open_out){node->fh, node->open_flags, node->backing_id};
    } else {
        node = NULL;
    }
    pthread_mutex_unlock(&table.lock);
    if (node == NULL) return 0;
    COUNT(opens, 1);
    opens_note(in->nodeid, in->pid);
    if (reply(in->unique, 0, &out, sizeof out) < 0) {
        /* The session ends: nobody has it open, and no RELEASE will come. */
        pthread_mutex_lock(&table.lock);
        if ((node = find(in->nodeid)) != NULL && node->opens > 0) node->opens--, table.opens--;
        pthread_mutex_unlock(&table.lock);
    }
    return 1;
}

static int answer_release(const struct in_header *in, const struct release_in *asked) {
    int last_of_retired = 0;
    pthread_mutex_lock(&table.lock);
    struct node *node = find(in->nodeid);
    if (node != NULL && node->fh == asked->fh && node->opens > 0) {
        node->opens--;
        table.opens--;
        last_of_retired = node->retired && node->opens == 0;
        if (last_of_retired) erase(node);
    } else {
        node = NULL;
    }
    pthread_mutex_unlock(&table.lock);
    if (node == NULL || last_of_retired) return 0; /* Python gives its own hold up now */
    COUNT(releases, 1);
    reply(in->unique, 0, NULL, 0);
    return 1;
}

static int answer_read(const struct in_header *in, const struct read_in *asked) {
    static char buffer[READ_BYTES_MAX]; /* of the one thread */
    int fd = -1;
    uint64_t size = 0;
    pthread_mutex_lock(&table.lock);
    struct node *node = find(in->nodeid);
    if (node != NULL && node->fh == asked->fh && node->opens > 0) {
        /* Open by whoever reads, so the descriptor stays until his RELEASE. */
        fd = node->fd;
        size = node->size;
    }
    pthread_mutex_unlock(&table.lock);
    if (fd < 0 || asked->size > sizeof buffer) return 0;
    uint64_t wanted = asked->offset >= size ? 0 : size - asked->offset;
    if (wanted > asked->size) wanted = asked->size;
    if (wanted > 0) {
        struct iovec iov = {buffer, wanted};
        ssize_t got = preadv2(fd, &iov, 1, (off_t)asked->offset, RWF_NOWAIT);
        if (got < 0 || (uint64_t)got != wanted) return 0; /* the disk must be asked: not here */
    }
    COUNT(reads, 1);
    COUNT(read_bytes, wanted);
    reply(in->unique, 0, buffer, wanted);
    return 1;
}

static int answer_getattr(const struct in_header *in) {
    uint8_t attr[ATTR_OUT_BYTES];
    pthread_mutex_lock(&table.lock);
    struct node *node = find(in->nodeid);
    int known = node != NULL && !node->retired && node->has_attr;
    if (known) memcpy(attr, node->attr, sizeof attr);
    pthread_mutex_unlock(&table.lock);
    if (!known) return 0;
    COUNT(attributes, 1);
    reply(in->unique, 0, attr, sizeof attr);
    return 1;
}

static int answer_getxattr(const struct in_header *in, const char *name, size_t length) {
    if (memchr(name, 0, length) == NULL) return 0;
    if (strncmp(name, OUR_ATTRIBUTES, sizeof OUR_ATTRIBUTES - 1) == 0) return 0;
    COUNT(xattrs, 1);
    reply(in->unique, -ENODATA, NULL, 0);
    return 1;
}

static int answer(const struct in_header *in, const char *body, size_t length) {
    switch (in->opcode) {
    case OP_OPEN:
        return length >= sizeof(struct open_in) && answer_open(in, (const void *)body);
    case OP_RELEASE:
        return length >= sizeof(struct release_in) && answer_release(in, (const void *)body);
    case OP_READ:
        return length >= sizeof(struct read_in) && answer_read(in, (const void *)body);
    case OP_GETATTR:
        return answer_getattr(in);
    case OP_GETXATTR:
        return length > sizeof(struct getxattr_in) &&
               answer_getxattr(in, body + sizeof(struct getxattr_in),
                               length - sizeof(struct getxattr_in));
    default:
        return 0;
    }
}

/* --- the thread -------------------------------------------------------------------------------- */

static void end_queue(void) {
    pthread_mutex_lock(&queue.lock);
    queue.ended = 1;
    pthread_cond_broadcast(&queue.room);
    pthread_mutex_unlock(&queue.lock);
    wake(queued, WOKEN_AT_END);
}

/* Return 0 when there may be something to read, -1 when the thread shall end. */
static int wait_for_request(void) {
    struct pollfd both[2] = {{.fd = device, .events = POLLIN}, {.fd = stopping, .events = POLLIN}};
    while (poll(both, 2, -1) < 0)
        if (errno != EINTR) return -1;
    return both[1].revents ? -1 : 0;
}

static struct request *copy_of(const struct request *large, size_t length) {
    struct request *made = malloc(sizeof *made + length);
    if (made != NULL) memcpy(made->bytes, large->bytes, length);
    return made;
}

static void *serve(void *unused) {
    (void)unused;
    struct request *request = NULL;
    for (;;) {
        if (request == NULL) request = malloc(sizeof *request + REQUEST_BYTES_MAX);
        if (request == NULL) break;
        ssize_t got = read(device, request->bytes, REQUEST_BYTES_MAX);
        if (got < 0) {
            if (errno == EAGAIN) {
                if (wait_for_request() < 0) break;
            } else if (errno != EINTR && errno != ENOENT) {
                break; /* ENODEV: unmounted, or the connection was cut */
            }
            continue;
        }
        size_t length = (size_t)got;
        const struct in_header *in = (const void *)request->bytes;
        if (length >= sizeof *in && answer(in, request->bytes + sizeof *in, length - sizeof *in))
            continue;
        /* Writes pass their buffer on; all else is small, and keeps the buffer here. */
        struct request *queued_one = length > COPIED_BYTES_MAX ? request : copy_of(request, length);
        if (queued_one == request) request = NULL;
        if (queued_one == NULL) break;
        queued_one->length = length;
        if (enqueue(queued_one) < 0) break;
    }
    free(request);
    end_queue();
    return NULL;
}

/* --- what Python calls ------------------------------------------------------------------------- */

void front_session(struct fuse_session *made,
                   int (*custom_io)(struct fuse_session *, const struct fuse_custom_io *, int)) {
    session = made;
    set_custom_io = custom_io;
}

static PyObject *failed(void) { return PyErr_SetFromErrno(PyExc_OSError); }

static void close_all(void) {
    int gone = __atomic_exchange_n(&device, -1, __ATOMIC_ACQ_REL);
    if (gone >= 0) close(gone);
    if (queued >= 0) close(queued);
    if (stopping >= 0) close(stopping);
    queued = stopping = -1;
    free(table.slots);
    table.slots = NULL;
    table.count = table.opens = 0;
    while (queue.first != NULL) {
        struct request *request = queue.first;
        queue.first = request->next;
        free(request);
    }
    queue.last = &queue.first;
    queue.bytes = 0;
}

/* start(descriptor, files_max) -> descriptor of the device from now on */
static PyObject *start(PyObject *module, PyObject *args) {
    (void)module;
    int number;
    unsigned long long files_max;
    if (!PyArg_ParseTuple(args, "iK", &number, &files_max)) return NULL;
    if (running || session == NULL || set_custom_io == NULL) {
        errno = running ? EALREADY : EOPNOTSUPP;
        return failed();
    }
    uint64_t slots = 64;
    while (slots < 2 * files_max) slots *= 2;
    memset(&counted, 0, sizeof counted);
    queue.ended = 0;
    queue.last = &queue.first;
    device = fcntl(number, F_DUPFD_CLOEXEC, 0);
    stopping = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queued = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    table.slots = calloc(slots, sizeof *table.slots);
    table.mask = slots - 1;
    table.count_max = files_max;
    if (device < 0 || stopping < 0 || queued < 0 || table.slots == NULL) goto refused;
    int flags = fcntl(device, F_GETFL);
    if (flags < 0 || fcntl(device, F_SETFL, flags | O_NONBLOCK) < 0) goto refused;
    int error = -set_custom_io(session, &io, number);
    if (error) {
        errno = error;
        goto refused;
    }
    if (dup3(queued, number, O_CLOEXEC) < 0) goto refused;
    place = number;
    __atomic_store_n(&running, 1, __ATOMIC_RELEASE);
    /* Signals are for the thread that runs Python. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        __atomic_store_n(&running, 0, __ATOMIC_RELEASE);
        dup3(device, place, O_CLOEXEC);
        errno = error;
        goto refused;
    }
    return PyLong_FromLong(device);
refused:
    failed();
    close_all();
    return NULL;
}

/* stop(): pyfuse3 has its device back; nothing is answered here any more */
static PyObject *stop(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    if (!running) Py_RETURN_NONE;
    wake(stopping, 1);
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&queue.lock);
    queue.ended = 1; /* also where it waits for room in the queue */
    pthread_cond_broadcast(&queue.room);
    pthread_mutex_unlock(&queue.lock);
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    __atomic_store_n(&running, 0, __ATOMIC_RELEASE);
    dup3(device, place, O_CLOEXEC);
    close_all();
    Py_RETURN_NONE;
}

/* add(nodeid, fh, descriptor, size, open_flags, backing_id, attributes) -> whether it was added */
static PyObject *add(PyObject *module, PyObject *args) {
    (void)module;
    unsigned long long nodeid, fh, size;
    int fd, backing_id;
    unsigned int open_flags;
    const char *attr;
    Py_ssize_t attr_bytes;
    if (!PyArg_ParseTuple(args, "KKiKIiy#", &nodeid, &fh, &fd, &size, &open_flags, &backing_id,
                          &attr, &attr_bytes))
        return NULL;
    if (attr_bytes != 0 && attr_bytes != ATTR_OUT_BYTES) {
        PyErr_SetString(PyExc_ValueError, "attributes are a struct fuse_attr_out, or empty");
        return NULL;
    }
    int added = 0;
    pthread_mutex_lock(&table.lock);
    if (running && nodeid != 0 && table.count < table.count_max && find(nodeid) == NULL) {
        uint64_t at = home(nodeid);
        while (table.slots[at].nodeid != 0) at = (at + 1) & table.mask;
        struct node *node = &table.slots[at];
        *node = (struct node){.nodeid = nodeid, .fh = fh, .size = size, .fd = fd, .used = 1,
                              .open_flags = open_flags, .backing_id = backing_id,
                              .has_attr = attr_bytes != 0};
        if (attr_bytes != 0) memcpy(node->attr, attr, ATTR_OUT_BYTES);
        table.count++;
        added = 1;
    }
    pthread_mutex_unlock(&table.lock);
    return PyBool_FromLong(added);
}

/* retire(nodeid) -> how many have it open; 0: it is gone, else the last RELEASE comes to Python */
static PyObject *retire(PyObject *module, PyObject *number) {
    (void)module;
    unsigned long long nodeid = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred()) return NULL;
    uint32_t opens = 0;
    pthread_mutex_lock(&table.lock);
    struct node *node = find(nodeid);
    if (node != NULL) {
        opens = node->opens;
        node->retired = 1;
        if (opens == 0) erase(node);
    }
    pthread_mutex_unlock(&table.lock);
    return PyLong_FromUnsignedLong(opens);
}

/* take_used(nodeid) -> whether it was opened since this was asked last, or is open now */
static PyObject *take_used(PyObject *module, PyObject *number) {
    (void)module;
    unsigned long long nodeid = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred()) return NULL;
    int used = 0;
    pthread_mutex_lock(&table.lock);
    struct node *node = find(nodeid);
    if (node != NULL) {
        used = node->used || node->opens > 0;
        node->used = 0;
    }
    pthread_mutex_unlock(&table.lock);
    return PyBool_FromLong(used);
}

static PyObject *counts(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    pthread_mutex_lock(&table.lock);
    unsigned long long nodes = table.count, open_now = table.opens;
    pthread_mutex_unlock(&table.lock);
#define GET(what) (unsigned long long)__atomic_load_n(&counted.what, __ATOMIC_RELAXED)
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "files", nodes, "open_files",
                         open_now, "open", GET(opens), "release", GET(releases), "read",
                         GET(reads), "read_bytes", GET(read_bytes), "getattr", GET(attributes),
                         "getxattr", GET(xattrs), "forwarded", GET(forwarded));
}

PyMethodDef front_methods[] = {
    {"start", start, METH_VARARGS, "Stand between the device and pyfuse3; gives the device."},
    {"stop", stop, METH_NOARGS, "Give pyfuse3 its device back."},
    {"add", add, METH_VARARGS, "Answer for a node."},
    {"retire", retire, METH_O, "Answer for a node no more; how many have it open."},
    {"take_used", take_used, METH_O, "Whether a node was used since asked last."},
    {"counts", counts, METH_NOARGS, "What was answered, and what was passed on."},
    {NULL, NULL, 0, NULL},
};
