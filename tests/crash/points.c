/* Ends a process at a named point: the nth fsync, write, rename, ... of files of one kind. Preloaded.
 *
 * SHOTFS_TEST_POINTS   a file that `points.py` fills and this maps: which points there are, how often
 *                      each was reached, and at which one to end with SIGKILL, before or after it.
 *
 * Without the variable every call does what it always did. A call belongs to the first point whose
 * function and pattern fit; patterns are those of fnmatch(3), in which `*` takes slashes, too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

enum function { SYNC, WRITE, TRUNCATE, RENAME, UNLINK, LINK, XATTR, CREATE, CHMOD };
enum when { NEVER, BEFORE, AFTER };

struct point {
    uint32_t reached;
    uint32_t function;
    char pattern[120];
};

struct page {
    uint32_t count, armed, nth, when;
    struct point points[];
};

static struct page *page;

__attribute__((constructor)) static void open_page(void) {
    const char *path = getenv("SHOTFS_TEST_POINTS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct stat status;
    if (file < 0)
        return;
    if (!fstat(file, &status) && status.st_size >= (off_t)sizeof *page) {
        void *mapped = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED)
            page = mapped;
    }
    close(file);
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Count a call; end before it if it is to be. Returns whether to end after it. */
static int reach(enum function function, const char *what) {
    int saved = errno;
    if (!page || !what)
        return 0;
    for (uint32_t index = 0; index < page->count; index++) {
        struct point *point = &page->points[index];
        if (point->function != function || fnmatch(point->pattern, what, 0))
            continue;
        uint32_t reached = __sync_add_and_fetch(&point->reached, 1);
        if (page->when == NEVER || page->armed != index || page->nth != reached)
            break;
        if (page->when == BEFORE)
            end();
        errno = saved;
        return 1;
    }
    errno = saved;
    return 0;
}

static void leave(int last) {
    if (last)
        end();
}

static const char *path_of(int descriptor, char *found) {
    char link[64];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = page ? readlink(link, found, PATH_MAX - 1) : -1;
    errno = saved;
    if (length < 0)
        return NULL;
    found[length] = 0;
    return found;
}

static const char *path_at(int directory, const char *name, char *found) {
    char base[PATH_MAX];
    if (!page || !name)
        return NULL;
    if (name[0] == '/' || directory == AT_FDCWD || !path_of(directory, base))
        return name;
    snprintf(found, 2 * PATH_MAX, "%s/%s", base, name);
    return found;
}

#define REAL(name)                                                                                \
    static __typeof__(&name) real;                                                                \
    if (!real)                                                                                    \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OF_DESCRIPTOR(type, name, kind, parameters, arguments)                                    \
    type name parameters {                                                                        \
        char path[PATH_MAX];                                                                      \
        REAL(name);                                                                               \
        int last = reach(kind, path_of(descriptor, path));                                        \
        type result = real arguments;                                                             \
        leave(last);                                                                              \
        return result;                                                                            \
    }

OF_DESCRIPTOR(int, fsync, SYNC, (int descriptor), (descriptor))
OF_DESCRIPTOR(int, fdatasync, SYNC, (int descriptor), (descriptor))
OF_DESCRIPTOR(ssize_t, pwrite, WRITE, (int descriptor, const void *data, size_t size, off_t at),
              (descriptor, data, size, at))
OF_DESCRIPTOR(ssize_t, pwrite64, WRITE,
              (int descriptor, const void *data, size_t size, off64_t at),
              (descriptor, data, size, at))
OF_DESCRIPTOR(int, ftruncate, TRUNCATE, (int descriptor, off_t size), (descriptor, size))
OF_DESCRIPTOR(int, ftruncate64, TRUNCATE, (int descriptor, off64_t size), (descriptor, size))

static int reach_attribute(const char *path, const char *name) {
    char what[PATH_MAX + 300];
    if (!path)
        return 0;
    snprintf(what, sizeof what, "%s:%s", path, name);
    return reach(XATTR, what);
}

int fsetxattr(int descriptor, const char *name, const void *value, size_t size, int flags) {
    char path[PATH_MAX];
    REAL(fsetxattr);
    int last = reach_attribute(path_of(descriptor, path), name);
    int result = real(descriptor, name, value, size, flags);
    leave(last);
    return result;
}

int setxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
    REAL(setxattr);
    int last = reach_attribute(path, name);
    int result = real(path, name, value, size, flags);
    leave(last);
    return result;
}

static int reach_pair(enum function function, const char *from, const char *to) {
    char what[4 * PATH_MAX + 8];
    if (!page || !from || !to)
        return 0;
    snprintf(what, sizeof what, "%s -> %s", from, to);
    return reach(function, what);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    int last = reach_pair(RENAME, from, to);
    int result = real(from, to);
    leave(last);
    return result;
}

int renameat(int from_in, const char *from, int to_in, const char *to) {
    char one[2 * PATH_MAX], other[2 * PATH_MAX];
    REAL(renameat);
    int last = reach_pair(RENAME, path_at(from_in, from, one), path_at(to_in, to, other));
    int result = real(from_in, from, to_in, to);
    leave(last);
    return result;
}

int link(const char *from, const char *to) {
    REAL(link);
    int last = reach_pair(LINK, from, to);
    int result = real(from, to);
    leave(last);
    return result;
}

int linkat(int from_in, const char *from, int to_in, const char *to, int flags) {
    char one[2 * PATH_MAX], other[2 * PATH_MAX];
    REAL(linkat);
    int last = reach_pair(LINK, path_at(from_in, from, one), path_at(to_in, to, other));
    int result = real(from_in, from, to_in, to, flags);
    leave(last);
    return result;
}

int unlink(const char *path) {
    REAL(unlink);
    int last = reach(UNLINK, path);
    int result = real(path);
    leave(last);
    return result;
}

int unlinkat(int directory, const char *name, int flags) {
    char path[2 * PATH_MAX];
    REAL(unlinkat);
    int last = reach(UNLINK, path_at(directory, name, path));
    int result = real(directory, name, flags);
    leave(last);
    return result;
}

int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    int last = reach(CHMOD, path);
    int result = real(path, mode);
    leave(last);
    return result;
}

#define OPENER(name)                                                                              \
    int name(const char *path, int flags, ...) {                                                  \
        va_list rest;                                                                             \
        va_start(rest, flags);                                                                    \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                             \
        REAL(name);                                                                               \
        int last = flags & O_CREAT ? reach(CREATE, path) : 0;                                     \
        int result = real(path, flags, mode);                                                     \
        leave(last);                                                                              \
        return result;                                                                            \
    }

OPENER(open)
OPENER(open64)
