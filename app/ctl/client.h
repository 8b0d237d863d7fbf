/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator's end of the control socket (app/headgate/control.c). Errors are printed to stderr.
 */
#ifndef HG_APP_CTL_CLIENT_H
#define HG_APP_CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Sends request (and drops the reference) and returns the answer, or NULL. */
json_t *client_ask(const char *socket, json_t *request);

/* Sends request (and drops the reference) and returns the stream that the answer comes on, or NULL. */
FILE *client_send(const char *socket, json_t *request);
/* One line of it, or NULL. */
json_t *client_line(FILE *f);

/* Writes a volume to a sparse file. Progress goes to a terminal's stderr. Exit status. */
int client_export(const char *socket, const char *volume, const char *file, bool json);

#endif /* HG_APP_CTL_CLIENT_H */
