/* A disk that forgets: fsync and its kin answer 0 and do nothing, for the negative control.
 *
 * SHOTFS_TEST_NOSYNC says of which files: "all", or a text that their path must contain
 * ("/files/", "journal.sqlite"). Preloaded; what a program asks of the kernel itself is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int forgets(int descriptor) {
    const char *which = getenv("SHOTFS_TEST_NOSYNC");
    char link[64], path[4096];
    ssize_t length;
    if (which == NULL) return 0;
    if (strcmp(which, "all") == 0) return 1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = '\0';
    return strstr(path, which) != NULL;
}

static int really(const char *name, int descriptor) {
    int (*call)(int);
    *(void **)&call = dlsym(RTLD_NEXT, name);
    return call(descriptor);
}

int fsync(int descriptor) { return forgets(descriptor) ? 0 : really("fsync", descriptor); }

int fdatasync(int descriptor) { return forgets(descriptor) ? 0 : really("fdatasync", descriptor); }
