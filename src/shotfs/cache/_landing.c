/* Landing: many small files written, read back, named and closed, without the interpreter.
 *
 * A small file takes eight system calls. Made from Python each lets the interpreter go and waits
 * for it again, in competition with the threads that fetch and the event loop that serves the mount:
 * that costs more than the calls (docs/design/cache.md, batches). Here a whole batch is one call.
 *
 * Does what `landing.land_small` does without it, in the same order: a file that has no name, its
 * bytes, the same bytes again as the disk has them, its origins, its mode, its name.
 */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DIFFERS -1 /* as `DIFFERS` in landing.py */

struct file {
    const char *directory, *target;
    Py_buffer content, origins;
    int held; /* how many of the buffers are ours */
};

/* 0, or an errno. */
static int write_all(int number, const char *bytes, size_t length) {
    size_t done = 0;
    while (done < length) {
        ssize_t count = pwrite(number, bytes + done, length - done, (off_t)done);
        if (count < 0 && errno != EINTR) return errno;
        if (count > 0) done += (size_t)count;
    }
    return 0;
}

/* 0 if the file has exactly these bytes, DIFFERS if not, or an errno. */
static int compare(int number, const char *bytes, size_t length, char *room) {
    size_t done = 0;
    while (done < length) {
        ssize_t count = pread(number, room + done, length - done, (off_t)done);
        if (count < 0 && errno != EINTR) return errno;
        if (count == 0) return DIFFERS;
        if (count > 0) done += (size_t)count;
    }
    return memcmp(room, bytes, length) == 0 ? 0 : DIFFERS;
}

static int is_unsupported(int error) {
    return error == ENOTSUP || error == E2BIG || error == ERANGE;
}

/* 0, or an errno. The directory is made if it is not there. */
static int name(int number, const struct file *file) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", number);
    if (linkat(AT_FDCWD, link, AT_FDCWD, file->target, AT_SYMLINK_FOLLOW) == 0) return 0;
    if (errno != ENOENT) return errno;
    if (mkdir(file->directory, 0700) != 0 && errno != EEXIST) return errno;
    return linkat(AT_FDCWD, link, AT_FDCWD, file->target, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/* 0, DIFFERS, or an errno: EEXIST if a file of that name is there. */
static int land_one(const struct file *file, const char *attribute, const char *place, char *room,
                    int *plain) {
    int number = open(place, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (number < 0) return errno;
    size_t length = (size_t)file->content.len;
    int error = write_all(number, file->content.buf, length);
    if (error == 0) error = compare(number, file->content.buf, length, room);
    if (error == 0 && file->origins.len > 0 &&
        fsetxattr(number, attribute, file->origins.buf, (size_t)file->origins.len, 0) != 0) {
        if (is_unsupported(errno))
            *plain = 1;
        else
            error = errno;
    }
    if (error == 0 && fchmod(number, 0400) != 0) error = errno;
    if (error == 0) error = name(number, file);
    close(number);
    return error;
}

/* Lands files up to the first that the disk does not take; returns how many were tried. */
static Py_ssize_t land_files(const struct file *files, Py_ssize_t count, const char *attribute,
                             const char *place, char *room, int *results, int *plain) {
    for (Py_ssize_t i = 0; i < count; i++) {
        results[i] = land_one(&files[i], attribute, place, room, plain);
        if (results[i] > 0 && results[i] != EEXIST) return i + 1;
    }
    return count;
}

static int take(struct file *file, PyObject *item) {
    PyObject *content, *origins;
    if (!PyArg_ParseTuple(item, "yyOO", &file->directory, &file->target, &content, &origins))
        return 0;
    if (PyObject_GetBuffer(content, &file->content, PyBUF_SIMPLE) != 0) return 0;
    file->held = 1;
    if (PyObject_GetBuffer(origins, &file->origins, PyBUF_SIMPLE) != 0) return 0;
    file->held = 2;
    return 1;
}

static PyObject *answer(const int *results, Py_ssize_t tried, int plain) {
    PyObject *list = PyList_New(tried);
    if (list == NULL) return NULL;
    for (Py_ssize_t i = 0; i < tried; i++) {
        PyObject *number = PyLong_FromLong(results[i]);
        if (number == NULL || PyList_SetItem(list, i, number) != 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return Py_BuildValue("(NN)", list, PyBool_FromLong(plain));
}

static PyObject *land(PyObject *Py_UNUSED(module), PyObject *arguments) {
    const char *attribute, *place;
    PyObject *items;
    if (!PyArg_ParseTuple(arguments, "yyO!", &attribute, &place, &PyTuple_Type, &items))
        return NULL;
    Py_ssize_t count = PyTuple_Size(items), taken = 0, tried = 0;
    size_t largest = 1;
    PyObject *made = NULL;
    int plain = 0;
    struct file *files = calloc((size_t)count + 1, sizeof *files);
    int *results = calloc((size_t)count + 1, sizeof *results);
    char *room = NULL;
    if (files == NULL || results == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    for (; taken < count; taken++) {
        if (!take(&files[taken], PyTuple_GetItem(items, taken))) {
            taken++;
            goto end;
        }
        if ((size_t)files[taken].content.len > largest) largest = (size_t)files[taken].content.len;
    }
    room = malloc(largest);
    if (room == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    Py_BEGIN_ALLOW_THREADS
    tried = land_files(files, count, attribute, place, room, results, &plain);
    Py_END_ALLOW_THREADS
    made = answer(results, tried, plain);
end:
    for (Py_ssize_t i = 0; files != NULL && i < taken; i++) {
        if (files[i].held > 0) PyBuffer_Release(&files[i].content);
        if (files[i].held > 1) PyBuffer_Release(&files[i].origins);
    }
    free(files);
    free(results);
    free(room);
    return made;
}

static PyMethodDef methods[] = {
    {"land", land, METH_VARARGS,
     "land(attribute, place, files) -> (results, plain)\n\n"
     "Make files of (directory, path, content, origins), in a tuple, without names in the\n"
     "directory *place* until they are right. A result is 0, EEXIST,\n"
     "-1 if the disk gave other bytes, or the errno of the file that was tried last."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "shotfs.cache._landing", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__landing(void) { return PyModule_Create(&definition); }
