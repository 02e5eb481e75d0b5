/*
 * Which message goes to which function. One feature, one file; the file is named behind each group.
 */
#ifndef MOLT_LSP_SERVER_HANDLERS_H
#define MOLT_LSP_SERVER_HANDLERS_H

#include "lsp-server/server.h"

/* method, handler */
#define SERVER_REQUESTS(X)                                                                                   \
    X("initialize", lifecycle_initialize) /* lifecycle.c */                                                  \
    X("shutdown", lifecycle_shutdown)                                                                        \
    X("workspace/executeCommand", command_execute) /* command.c */                                           \
    X("molt/status", status_request)               /* status.c */                                            \
    X("molt/review", review_request)               /* review.c */                                            \
    X("molt/running", review_running)                                                                        \
    X("workspace/textDocumentContent", review_content)                                                       \
    X("textDocument/codeLens", code_lens_request) /* code_lens.c */                                          \
    X("codeLens/resolve", code_lens_resolve)                                                                 \
    X("textDocument/codeAction", code_action_request) /* code_action.c */                                    \
    X("textDocument/inlayHint", inlay_hint_request)   /* inlay_hint.c */

#define SERVER_NOTIFICATIONS(X)                                                                              \
    X("initialized", lifecycle_initialized) /* lifecycle.c */                                                \
    X("workspace/didChangeConfiguration", lifecycle_configured)                                              \
    X("workspace/didChangeWorkspaceFolders", lifecycle_folders)                                              \
    X("textDocument/didOpen", sync_did_open) /* sync.c */                                                    \
    X("textDocument/didChange", sync_did_change)                                                             \
    X("textDocument/didClose", sync_did_close)                                                               \
    X("workspace/didChangeWatchedFiles", sync_watched_files)                                                 \
    X("textDocument/willSave", save_will_save) /* save.c */                                                  \
    X("textDocument/didSave", save_did_save)                                                                 \
    X("window/workDoneProgress/cancel", progress_cancelled) /* progress.c */

#define X(method, handler) server_request handler;
SERVER_REQUESTS(X)
#undef X
#define X(method, handler) server_notification handler;
SERVER_NOTIFICATIONS(X)
#undef X

#endif
