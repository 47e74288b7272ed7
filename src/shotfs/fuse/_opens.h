/* Opens: see _opens.c. For the front. */

#ifndef SHOTFS_OPENS_H
#define SHOTFS_OPENS_H

#include "_front.h"

#include <stdint.h>

extern PyMethodDef opens_methods[];

/* Whether opens by this thread are answered: nobody watches, or Python has looked at it lately. */
int opens_answered_for(uint32_t thread);

/* Note that a thread opened a node. */
void opens_note(uint64_t nodeid, uint32_t thread);

#endif
