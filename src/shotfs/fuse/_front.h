/* Front: see _front.c. Functions for Python, and what the interposed session gives it. */

#ifndef SHOTFS_FRONT_H
#define SHOTFS_FRONT_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#define FUSE_USE_VERSION 35
#include <fuse3/fuse_lowlevel.h>

extern PyMethodDef front_methods[];

/* The session that pyfuse3 made last, and libfuse's own function. */
void front_session(struct fuse_session *session,
                   int (*custom_io)(struct fuse_session *, const struct fuse_custom_io *, int));

#endif
