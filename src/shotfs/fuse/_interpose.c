/* Interpose: what pyfuse3 3.5 cannot tell the kernel, said at the level of the protocol.
 *
 * Loaded with RTLD_GLOBAL before pyfuse3, so that pyfuse3's calls of libfuse come through here:
 *
 *   fuse_reply_open, fuse_reply_create   an open file may be read and written by the kernel itself
 *                                        (FOPEN_PASSTHROUGH), need no FLUSH (FOPEN_NOFLUSH), and a
 *                                        directory may be listed from the kernel's pages
 *   fuse_session_new                     a mount without opens reads by inode, who closes a file
 *                                        is known, and a native thread can stand before the
 *                                        session (_front.c)
 *
 * There is no state per file: what is asked for stands in the upper bits of the file handle, which
 * only the server interprets (`fuse/handles.py` packs them). A handle without those bits goes
 * through the library's own function, unchanged. Runs in the thread that calls pyfuse3.
 *
 * References: struct fuse_open_out, fuse_entry_out and FOPEN_* in <linux/fuse.h>, protocol 7.40.
 */

#define _GNU_SOURCE
#include "_front.h"
#include "_opens.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

/* The upper bits of a file handle. */
#define FH_NOFLUSH (1ull << 29)
#define FH_CACHE_DIR (1ull << 30)
#define FH_KEEP_CACHE (1ull << 31)
#define FH_BACKING_SHIFT 32
#define FH_FLAGS (FH_NOFLUSH | FH_CACHE_DIR | FH_KEEP_CACHE)

/* <linux/fuse.h> of Debian 12 is older than the kernels that this is for. */
#define SHOTFS_FOPEN_DIRECT_IO (1u << 0)
#define SHOTFS_FOPEN_KEEP_CACHE (1u << 1)
#define SHOTFS_FOPEN_NONSEEKABLE (1u << 2)
#define SHOTFS_FOPEN_CACHE_DIR (1u << 3)
#define SHOTFS_FOPEN_NOFLUSH (1u << 5)
#define SHOTFS_FOPEN_PASSTHROUGH (1u << 7)

struct open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

struct attr_out {
    uint64_t ino, size, blocks, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};

struct entry_out {
    uint64_t nodeid, generation, entry_valid, attr_valid;
    uint32_t entry_valid_nsec, attr_valid_nsec;
    struct attr_out attr;
};

_Static_assert(sizeof(struct open_out) == 16, "struct fuse_open_out");
_Static_assert(sizeof(struct attr_out) == 88, "struct fuse_attr");
_Static_assert(sizeof(struct entry_out) == 128, "struct fuse_entry_out");

static struct {
    int (*reply_open)(fuse_req_t, const struct fuse_file_info *);
    int (*reply_create)(fuse_req_t, const struct fuse_entry_param *, const struct fuse_file_info *);
    int (*reply_buf)(fuse_req_t, const char *, size_t);
    struct fuse_session *(*session_new)(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t,
                                        void *);
    int (*custom_io)(struct fuse_session *, const struct fuse_custom_io *, int);
    const struct fuse_ctx *(*req_ctx)(fuse_req_t);
    int (*version)(void);
} real;

static struct fuse_lowlevel_ops operations; /* pyfuse3's, with ours in between */
static void (*read_of_library)(fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
static void (*flush_of_library)(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
static void (*init_of_library)(void *, struct fuse_conn_info *);
static int reads_by_inode;
static pid_t flushed_by; /* the thread that the FLUSH is of which pyfuse3 was given last */

static int is_ours(const struct fuse_file_info *fi) {
    return (fi->fh & FH_FLAGS) != 0 || (fi->fh >> FH_BACKING_SHIFT) != 0;
}

static struct open_out open_out(const struct fuse_file_info *fi) {
    struct open_out out = {.fh = fi->fh};
    if (fi->fh & FH_NOFLUSH) out.open_flags |= SHOTFS_FOPEN_NOFLUSH;
    out.backing_id = (int32_t)(fi->fh >> FH_BACKING_SHIFT);
    if (out.backing_id != 0) {
        /* The kernel refuses any flag beside these two (fuse_file_passthrough_open). */
        out.open_flags |= SHOTFS_FOPEN_PASSTHROUGH;
        return out;
    }
    if (fi->direct_io) out.open_flags |= SHOTFS_FOPEN_DIRECT_IO;
    if (fi->nonseekable) out.open_flags |= SHOTFS_FOPEN_NONSEEKABLE;
    if (fi->keep_cache || fi->fh & FH_KEEP_CACHE) out.open_flags |= SHOTFS_FOPEN_KEEP_CACHE;
    if (fi->fh & FH_CACHE_DIR) out.open_flags |= SHOTFS_FOPEN_CACHE_DIR;
    return out;
}

static void split_time(double seconds, uint64_t *whole, uint32_t *nanoseconds) {
    /* The bounds of libfuse's own conversion: whatever is asked for fits the protocol. */
    if (!(seconds > 0)) seconds = 0;
    if (seconds > 1e9) seconds = 1e9;
    *whole = (uint64_t)seconds;
    *nanoseconds = (uint32_t)((seconds - (double)*whole) * 1e9);
}

static struct entry_out entry_out(const struct fuse_entry_param *entry) {
    const struct stat *st = &entry->attr;
    struct entry_out out = {.nodeid = entry->ino, .generation = entry->generation};
    split_time(entry->entry_timeout, &out.entry_valid, &out.entry_valid_nsec);
    split_time(entry->attr_timeout, &out.attr_valid, &out.attr_valid_nsec);
    out.attr = (struct attr_out){
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .atime = (uint64_t)st->st_atim.tv_sec,
        .mtime = (uint64_t)st->st_mtim.tv_sec,
        .ctime = (uint64_t)st->st_ctim.tv_sec,
        .atimensec = (uint32_t)st->st_atim.tv_nsec,
        .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
        .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
        .mode = st->st_mode,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .rdev = (uint32_t)st->st_rdev,
        .blksize = (uint32_t)st->st_blksize,
    };
    return out;
}

/* --- what pyfuse3 calls instead of libfuse ----------------------------------------------------- */

int fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi) {
    if (!is_ours(fi)) return real.reply_open(req, fi);
    struct open_out out = open_out(fi);
    return real.reply_buf(req, (const char *)&out, sizeof out);
}

int fuse_reply_create(fuse_req_t req, const struct fuse_entry_param *entry,
                      const struct fuse_file_info *fi) {
    if (!is_ours(fi)) return real.reply_create(req, entry, fi);
    struct {
        struct entry_out entry;
        struct open_out open;
    } out = {entry_out(entry), open_out(fi)};
    return real.reply_buf(req, (const char *)&out, sizeof out);
}

static void read_by_inode(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                          struct fuse_file_info *fi) {
    struct fuse_file_info named = *fi;
    named.fh = ino;
    read_of_library(req, ino, size, off, &named);
}

static void flush_by_thread(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    flushed_by = real.req_ctx(req)->pid;
    flush_of_library(req, ino, fi);
}

static void init_without_splice(void *userdata, struct fuse_conn_info *conn) {
    init_of_library(userdata, conn);
    /* Requests come from the front's queue by memory; requests by pipe would need a copy more. */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

struct fuse_session *fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op,
                                      size_t op_size, void *userdata) {
    struct fuse_session *made;
    if (op_size == sizeof operations) {
        memcpy(&operations, op, sizeof operations);
        if (reads_by_inode) {
            read_of_library = operations.read;
            operations.read = read_by_inode;
        }
        flush_of_library = operations.flush;
        if (flush_of_library != NULL) operations.flush = flush_by_thread;
        init_of_library = operations.init;
        if (init_of_library != NULL) operations.init = init_without_splice;
        made = real.session_new(args, &operations, sizeof operations, userdata);
        front_session(made, init_of_library != NULL ? real.custom_io : NULL);
    } else {
        made = real.session_new(args, op, op_size, userdata);
        front_session(made, NULL);
    }
    return made;
}

/* --- what Python calls ------------------------------------------------------------------------- */

static PyObject *set_reads_by_inode(PyObject *module, PyObject *wanted) {
    (void)module;
    int truth = PyObject_IsTrue(wanted);
    if (truth < 0) return NULL;
    reads_by_inode = truth;
    Py_RETURN_NONE;
}

static PyObject *flush_thread(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    return PyLong_FromLong(flushed_by);
}

static PyObject *libfuse_version(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    return PyLong_FromLong(real.version());
}

static PyObject *is_interposed(PyObject *module, PyObject *nothing) {
    (void)module;
    (void)nothing;
    /* What a library sees that was loaded after us. */
    return PyBool_FromLong(dlsym(RTLD_DEFAULT, "fuse_reply_open") == (void *)fuse_reply_open);
}

static PyMethodDef methods[] = {
    {"set_reads_by_inode", set_reads_by_inode, METH_O, "Let reads of sessions to come bear the inode."},
    {"flush_thread", flush_thread, METH_NOARGS, "The thread that closed the file of the last FLUSH."},
    {"libfuse_version", libfuse_version, METH_NOARGS, "The version of libfuse, for example 314."},
    {"is_interposed", is_interposed, METH_NOARGS, "Whether later libraries find our functions."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "shotfs.fuse._interpose", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

static int find(void *library, const char *name, void *slot) {
    void *found = dlsym(library, name);
    if (found == NULL) {
        PyErr_Format(PyExc_ImportError, "libfuse has no %s", name);
        return -1;
    }
    memcpy(slot, &found, sizeof found);
    return 0;
}

PyMODINIT_FUNC PyInit__interpose(void) {
    void *library = dlopen("libfuse3.so.3", RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL) {
        PyErr_SetString(PyExc_ImportError, dlerror());
        return NULL;
    }
    if (find(library, "fuse_reply_open", &real.reply_open) ||
        find(library, "fuse_reply_create", &real.reply_create) ||
        find(library, "fuse_reply_buf", &real.reply_buf) ||
        find(library, "fuse_session_new", &real.session_new) ||
        find(library, "fuse_req_ctx", &real.req_ctx) ||
        find(library, "fuse_version", &real.version) ||
        find(library, "fuse_session_custom_io", &real.custom_io))
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    if (PyModule_AddFunctions(module, front_methods) ||
        PyModule_AddFunctions(module, opens_methods) || PyModule_AddIntConstant(module, "NUMBER_BITS", 29) ||
        PyModule_AddIntConstant(module, "NOFLUSH", (long)FH_NOFLUSH) ||
        PyModule_AddIntConstant(module, "CACHE_DIR", (long)FH_CACHE_DIR) ||
        PyModule_AddIntConstant(module, "KEEP_CACHE", (long)FH_KEEP_CACHE) ||
        PyModule_AddIntConstant(module, "BACKING_SHIFT", FH_BACKING_SHIFT)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
