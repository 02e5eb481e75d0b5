/*
 * A workspace: one source root with its build, its recorder and the program that runs from it. All of it
 * belongs to the loop's thread; what a job needs is lent to it, and the flag beside it says so.
 */
#ifndef MOLT_LSP_SERVER_WORKSPACE_H
#define MOLT_LSP_SERVER_WORKSPACE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "lsp-server/baseline.h"
#include "lsp-server/server.h"
#include "lsp-server/settings.h"
#include "patch/session.h"
#include "recorder/recorder.h"

struct engine;
struct update;

/* A document that the editor has open. */
struct document {
    struct document *next;
    char *path;
    bool dirty;      /* edited since it was opened or saved */
    bool saving;     /* willSave came, didSave not yet */
    int save_reason; /* of the save under way: 1 manual, 2 after a delay, 3 focus lost */
};

/* A notification about a document that came while the workspace was loading. */
struct deferred {
    struct deferred *next;
    server_notification *handle;
    json_t *params;
};

enum workspace_state {
    WORKSPACE_LOADING,  /* the build is being read; there is no recorder yet */
    WORKSPACE_NO_BUILD, /* no compile database, or an unusable one: `trouble` says which */
    WORKSPACE_READY,
};

struct workspace {
    struct workspace *next;
    struct server *server;
    char *folder; /* as the editor names it, absolute path */
    char *uri;    /* of the folder */
    char *root;   /* source root; the folder until the build has been read */
    enum workspace_state state;
    bool closing;  /* to be freed when no job uses it any more */
    unsigned jobs; /* that use it */
    char *trouble; /* with settings or build: one line, or NULL */
    char *doubt;   /* what the warm-up found out about the program; an update that succeeds dispels it */
    char *ended;   /* the last program that ended, and when, in words; or NULL */
    bool doubted;  /* the baseline does not lead to the binary */
    bool retaking; /* the warm-up under way tries the files on disk in its place: it is waited for */

    struct settings settings;
    struct recorder *recorder;
    bool journalled; /* the recorder keeps a journal */
    struct document *documents;
    struct deferred *deferred;

    struct patch_session *session;
    json_t *include_directories; /* that the build searches: array of strings */
    json_t *modules;             /* of the session: array of {path, build_id} */
    bool session_lent;           /* a job uses session */
    bool baseline_lent;          /* a job uses baseline */
    struct baseline *baseline;
    int lock; /* descriptor of .molt/lock, -1: another server holds it */
    char *lock_holder;

    volatile int stop_warming;
    bool warm;            /* the baseline's objects are there */
    json_t *reloaded_for; /* pids of programs for whose sake the build was read again: once is enough */

    struct update *update;
    char *held;        /* why the last save did not update, or NULL */
    bool undo_refused; /* the last update cannot be rolled back: undoing its edits takes a patch of its own */
    bool held_back;    /* by molt.discard, until the next edit */
    json_t *last_update; /* as in molt/status, or NULL */
    json_t *failed;      /* the failed validation as in molt/status, until the next attempt; or NULL */
    json_t *sent_status; /* last molt/status, or NULL */
    json_t *plan; /* what the builder makes of the pending changes: {"types", "sites", "source", "skeletons"},
                     or NULL */
    int plan_revision;           /* counts plans */
    int plan_wanted;             /* revision of the change set that it is to be of */
    struct instances *instances; /* instances.c; NULL until somebody wants to know */
    struct counting *counting;   /* the job that is counting them, or NULL */
    bool plan_due;               /* a preview is to be made for it */
    bool previewing;             /* one is being made */
    json_t *said, *notes;        /* diagnostics by URI: of the last attempt; of what the preview has found */
    json_t *published;           /* URIs that have diagnostics: keys of an object */
    uv_timer_t status_timer;
    uv_timer_t settle_timer;
    uv_timer_t follow_timer;
    uv_timer_t plan_timer;
};

/* The workspace that the file at PATH belongs to, or NULL. */
struct workspace *workspace_of(struct server *server, const char *path);
/* By its URI, or NULL. */
struct workspace *workspace_at(struct server *server, const char *uri);

/* Adds FOLDER (absolute, copied) unless it is there, and starts to load it. NULL: no memory. */
struct workspace *workspace_add(struct server *server, const char *folder);
/* Lets go of it, as soon as no job uses it. */
void workspace_remove(struct workspace *workspace);
void workspaces_destroy(struct server *server);

/* Loads it now; nothing of it may be lent. For workspace_reload and those who give back what it waits for. */
void workspace_load(struct workspace *workspace);

/* Reads settings and build again, in the background. */
void workspace_reload(struct workspace *workspace);

/* A job that uses the workspace ends: must be called at the start of its DONE. False: the workspace was
 * closed and is gone now. */
bool workspace_job_done(struct workspace *workspace);

/* Whether a document that comes now must wait; if so it was noted and is handled again later. */
bool workspace_defer(struct workspace *workspace, server_notification *handle, json_t *params);

/* The open document at PATH, or NULL. */
struct document *workspace_document(struct workspace *workspace, const char *path);

/* Tells the recorder what the running program was made from: the baseline's copy of the file at PATH
 * (absolute). COMMITTED: the file is one that the recorder follows already. */
void workspace_state_baseline(struct workspace *workspace, const char *path, bool committed);

/* The engines have changed: follow their updates, say so. */
void workspace_engines_changed(struct workspace *workspace);

/* ENGINE is at its end, and about to be forgotten. */
void workspace_program_ended(struct workspace *workspace, const struct engine *engine);

/* If another server held the workspace and is gone now: takes it over. True if it did; the workspace is
 * loading then. */
bool workspace_take_lock(struct workspace *workspace);

/* The baseline moved for FILES (array of {"path"} relative to the root, NULL: any): recorder and client are
 * told. */
void workspace_baseline_moved(struct workspace *workspace, const json_t *files);

/* Keeps what ERROR (borrowed, NULL: nothing) says against updating this program. */
void workspace_set_doubt(struct workspace *workspace, const struct molt_error *error);

/* Whether the program may be made from other sources than the baseline, and nothing builds upon that yet. */
bool workspace_baseline_doubted(const struct workspace *workspace);

/* Tries the files on disk in place of a doubted baseline, in the background. False: there is no need, or it
 * cannot be done now. At its end comes update_resume. */
bool workspace_retake_baseline(struct workspace *workspace);

/* Starts the background warm-up if it is due. */
void workspace_warm_up(struct workspace *workspace);

/* A line for the log about ERROR, which is freed. NULL is fine. */
void workspace_log(const struct workspace *workspace, struct molt_error *error);

#endif
