/* Opens: which thread opened which of the files that the front answers for.
 *
 * Python wants to know what jobs open (the recorder, look-ahead), but not to be asked each time. So
 * each open is noted in a ring, which Python empties a moment later. Who a thread belongs to can be
 * found out only while its process lives, and a process that opens is certain to live for as long
 * as its open is not answered: the first open of each thread, and one every second, goes to Python,
 * which looks at the process and then tells that it knows the thread.
 *
 * The front's thread notes, Python's takes: one each, so the ring needs no lock. If it is full, what
 * comes is counted and lost.
 */

#define _GNU_SOURCE
#include "_opens.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RING_OPENS (1u << 14)
#define THREADS (1u << 12)
#define KNOWN_MS 1000

struct open_note {
    uint64_t nodeid, at_ns;
    uint64_t thread;
};

static struct open_note ring[RING_OPENS];
static uint64_t noted, taken, lost;
static uint64_t threads[THREADS]; /* number << 32 | until when, in ms */
static int watching;
static int armed; /* Python sleeps, and wants to be woken */
static int bell = -1;

static uint64_t clock_ns(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t now_ms(void) { return (uint32_t)(clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000u); }

int opens_answered_for(uint32_t thread) {
    /* 0: a process of another pid namespace, of which nothing can be found out. */
    if (thread == 0 || !__atomic_load_n(&watching, __ATOMIC_ACQUIRE)) return 1;
    uint64_t known = __atomic_load_n(&threads[thread % THREADS], __ATOMIC_RELAXED);
    return known >> 32 == thread && (int32_t)((uint32_t)known - now_ms()) > 0;
}

void opens_note(uint64_t nodeid, uint32_t thread) {
    if (thread == 0 || !__atomic_load_n(&watching, __ATOMIC_ACQUIRE)) return;
    if (noted - __atomic_load_n(&taken, __ATOMIC_ACQUIRE) >= RING_OPENS) {
        __atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
        return;
    }
    ring[noted % RING_OPENS] =
        (struct open_note){nodeid, clock_ns(CLOCK_MONOTONIC_COARSE), thread};
    __atomic_store_n(&noted, noted + 1, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&armed, 0, __ATOMIC_SEQ_CST)) {
        uint64_t one = 1;
        while (write(bell, &one, sizeof one) < 0 && errno == EINTR) continue;
    }
}

/* --- what Python calls ------------------------------------------------------------------------- */

/* opens_bell() -> descriptor that is readable when there is something to take */
static PyObject *opens_bell(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    if (bell < 0) bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell < 0) return PyErr_SetFromErrno(PyExc_OSError);
    return PyLong_FromLong(bell);
}

/* watch_opens(): note opens, until unwatch. After opens_bell(). */
static PyObject *watch_opens(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    if (bell < 0) {
        PyErr_SetString(PyExc_RuntimeError, "watch_opens: nobody has the bell");
        return NULL;
    }
    if (!__atomic_load_n(&watching, __ATOMIC_RELAXED)) {
        __atomic_store_n(&armed, 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&watching, 1, __ATOMIC_RELEASE);
    }
    Py_RETURN_NONE;
}

/* unwatch_opens(): nothing is noted any more. The descriptor stays: the front may still write it. */
static PyObject *unwatch_opens(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    __atomic_store_n(&watching, 0, __ATOMIC_RELEASE);
    Py_RETURN_NONE;
}

/* know_thread(number): its opens may be answered without Python, for a while */
static PyObject *know_thread(PyObject *module, PyObject *number) {
    (void)module;
    unsigned long thread = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred()) return NULL;
    uint64_t known = (uint64_t)thread << 32 | (uint32_t)(now_ms() + KNOWN_MS);
    __atomic_store_n(&threads[thread % THREADS], known, __ATOMIC_RELAXED);
    Py_RETURN_NONE;
}

static int append(PyObject *list, PyObject *one) {
    int failed = one == NULL || PyList_Append(list, one) < 0;
    Py_XDECREF(one);
    return failed ? -1 : 0;
}

/* The lists of *thread* in *opens*, borrowed; made if it has none. */
static PyObject *lists_of(PyObject *opens, uint64_t thread) {
    PyObject *key = PyLong_FromUnsignedLongLong(thread);
    if (key == NULL) return NULL;
    PyObject *lists = PyDict_GetItemWithError(opens, key);
    if (lists == NULL && !PyErr_Occurred()) {
        lists = Py_BuildValue("[][]");
        if (lists != NULL) {
            int failed = PyDict_SetItem(opens, key, lists);
            Py_DECREF(lists); /* the dictionary has it */
            if (failed < 0) lists = NULL;
        }
    }
    Py_DECREF(key);
    return lists;
}

/* take_opens(now_s) -> {thread: ([nodeid], [when, in seconds])}, how many were lost so far */
static PyObject *take_opens(PyObject *module, PyObject *now) {
    (void)module;
    double now_s = PyFloat_AsDouble(now);
    if (PyErr_Occurred()) return NULL;
    uint64_t rung;
    while (read(bell, &rung, sizeof rung) < 0 && errno == EINTR) continue;
    /* Armed first: what is noted after the look below rings again. */
    __atomic_store_n(&armed, 1, __ATOMIC_SEQ_CST);
    uint64_t stop = __atomic_load_n(&noted, __ATOMIC_SEQ_CST);
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    PyObject *opens = PyDict_New(), *lists = NULL;
    if (opens == NULL) return NULL;
    uint64_t thread = 0;
    for (uint64_t at = taken; at < stop; at++) {
        const struct open_note *note = &ring[at % RING_OPENS];
        if (lists == NULL || note->thread != thread) {
            thread = note->thread;
            lists = lists_of(opens, thread);
        }
        double age_s = (double)(now_ns - note->at_ns) / 1e9;
        if (lists == NULL ||
            append(PyTuple_GetItem(lists, 0), PyLong_FromUnsignedLongLong(note->nodeid)) < 0 ||
            append(PyTuple_GetItem(lists, 1), PyFloat_FromDouble(now_s - age_s)) < 0) {
            Py_DECREF(opens);
            return NULL;
        }
    }
    __atomic_store_n(&taken, stop, __ATOMIC_RELEASE);
    return Py_BuildValue("NK", opens, (unsigned long long)__atomic_load_n(&lost, __ATOMIC_RELAXED));
}

PyMethodDef opens_methods[] = {
    {"opens_bell", opens_bell, METH_NOARGS, "A descriptor that tells of opens."},
    {"watch_opens", watch_opens, METH_NOARGS, "Note opens."},
    {"unwatch_opens", unwatch_opens, METH_NOARGS, "Note opens no more."},
    {"know_thread", know_thread, METH_O, "Answer opens of this thread for a while."},
    {"take_opens", take_opens, METH_O, "What was noted, and how many were lost."},
    {NULL, NULL, 0, NULL},
};
