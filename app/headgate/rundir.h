/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL's directory of this process, and those that killed nodes have left. Control thread. */
#ifndef APP_HEADGATE_RUNDIR_H
#define APP_HEADGATE_RUNDIR_H

#define RUNDIR_MAX 256 /* bytes of a path, NUL included */

/* Where EAL, which runs, keeps this process's files. */
void rundir_note(char path[RUNDIR_MAX]);
/* Removes what other nodes left beside `path`, as far as nobody uses it. */
void rundir_sweep(const char *path);
/* Removes `path`, once EAL has ended; "": nothing. */
void rundir_remove(const char *path);

#endif /* APP_HEADGATE_RUNDIR_H */
