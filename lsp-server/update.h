/*
 * An update on its way, from the save to the result. One at a time per workspace.
 *
 *      IDLE --request--> WAITING --other saves are in--> BUILDING --patch--> DELIVERING --result--> IDLE
 *                           ^                               |
 *                           +------ another save came ------+
 */
#ifndef MOLT_LSP_SERVER_UPDATE_H
#define MOLT_LSP_SERVER_UPDATE_H

#include <stdbool.h>

struct reply;
struct update;
struct workspace;

/* NULL without memory. */
struct update *update_create(struct workspace *workspace);
/* No job may be under way. NULL is fine. Whoever waits for an answer gets an error. */
void update_destroy(struct update *update);

/* Updates the program from the files on disk. BY_HAND: the user asked for it and is told even if there is no
 * program. REPLY (taken, may be NULL) is answered with the workspace's status when it is over. */
void update_request(struct update *update, bool by_hand, struct reply *reply);

/* Takes the program back to before its last update. REPLY as above. */
void update_roll_back(struct update *update, struct reply *reply);

/* Drops what is on its way, unless it is being committed. */
void update_cancel(struct update *update);

/* A document was saved, or a lent thing has come back: go on if that was what was waited for. */
void update_resume(struct update *update);

/* Whether the client knows it by this progress token. */
bool update_has_progress(const struct update *update, const char *token);

/* A job reports: PHASE as in docs/protocol.md or a word of the builder's, MESSAGE for people or "". */
void update_noted(struct update *update, const char *phase, const char *message);

bool update_idle(const struct update *update);

/* The word for `phase` in molt/status, or NULL while idle. */
const char *update_phase(const struct update *update);

#endif
