/*
 * What is said on Molt's websocket, defined once for both ends.
 *
 * Each process with an engine listens on a Unix socket, DIRECTORY/PID.sock, where DIRECTORY is the first of
 * $XDG_RUNTIME_DIR/molt, /run/user/UID/molt and /tmp/molt-UID that can be had. Whoever can speak to it can
 * run code in the program: the directory is 0700, the socket 0600, and a peer that is neither the program's
 * user nor root is turned away before a byte of his is read. On it: HTTP upgrade, subprotocol molt.v1,
 * JSON-RPC 2.0 in text frames, the bytes of a patch in binary frames.
 *
 *   status    {memory?} -> {pid, name, exe, version, build_ids: [{path, build_id}], threads,
 *                  coroutines: {made, registered, overflow, stacks: [{low, size, registered}]},
 *                  updates: [{id, title, functions, revertible}], last: result or null,
 *                  memory: {mappings: [{start, end, what}], thread_local: {offset, size}}}
 *   upload    {size}, then SIZE bytes in binary frames -> {upload}
 *   prepare   {upload}                      -> result, and {update} if it is "prepared"
 *   commit    {update, timeout_ms, strict?, known_stacks?, transfer_ms?, dry_run?,
 *              rehearse?} -> result
 *   discard   {update}                      -> result
 *   rollback  {timeout_ms, strict?, known_stacks?, transfer_ms?, hold?} -> result
 *   settle    {restore?, timeout_ms, strict?, known_stacks?, transfer_ms?} -> result
 *   instances {update, layouts?, limit?, timeout_ms} -> result, and {tracked, obstacle, types, unknown,
 *                                              buffers, foreign, instances}
 *   stacks    {}                            -> {pause_ms, all, modules: [path],
 *                                              threads: [{tid, name, lost, frames}]}
 *
 * `stacks` stops the program for a moment and changes nothing. Frames are innermost first: {suspended: it
 * waits for a call, slot: where its own return address stands, and module: index, offset | function, unit,
 * offset: of a patch's code, from its start}, the offset being that of the return address in the module's
 * file; lost: the outer frames of the thread are not known; all false: there was no room for all.
 *
 * `coroutines` are the stacks that the program has made itself, by makecontext or registered with
 * <molt/engine.h>, as far as the engine knows (ended ones included), and the first 16 of them; `overflow`:
 * there have been more than it can keep account of, and updates are refused.
 *
 * `memory` is the engine's own, and only told if asked for with true.
 *
 * A function that waits for a call is waited for during `transfer_ms` (200), then it is taken over where it
 * waits, if the patch says how; never if `strict`; at once if nothing else blocks than what had to be taken
 * over in an earlier update. `transferred` of the result says how many were, `transfers` which: ["thread 123
 * (name) in main, line 12"].
 *
 * `known_stacks` true: memory is not searched for suspended stacks that the program has not registered.
 *
 * `rehearse` true tries an update that runs policies, validations or allocation functions of the program in a
 * copy of the process first; "always" any that changes instances. A dry run ends as "prepared"; then it is
 * that and nothing else.
 *
 * A rollback with `hold` can be taken back: `settle` with `restore` brings the update back ("updated"),
 * without it, or when the connection closes, the rollback is final. Until then other connections are refused
 * changes.
 *
 * `instances` takes a prepared query (patch/query.h) and counts what the program holds, stopping it for
 * `pause_ms`; "prepared": it was done. `layouts`: those that are asked for, by their index in the query (all
 * of them without), `limit`: as many of their instances are copied out. The answer:
 *
 *   types     [{layout, name, unit, size, count, bytes, place_count, places}], by bytes; each place {kind,
 *             count, ...}: kind is heap or array (of blocks; {blocks, bytes, guessed, file, line}), tail (of
 *             objects of {owner}), variable or thread-local ({name, file, line, bytes}),
 *             member ({owner, name})
 *   unknown   {blocks, bytes, site_count, sites: [{blocks, bytes, largest, file, line}]} of blocks whose type
 *             is not known; buffers: the same of blocks that hold no instances; foreign: of what code without
 *             debug information holds
 *   instances [{address, layout, bytes: hex, path, file, line | variable,
 *             pointers: [{offset, type?, distance?, text?, file, line | variable | memory | module,
 *             code: address of a function in a module of the query}]}]
 *   obstacle  why an update of these types would be refused, or ""
 *   tracked   false if the program's blocks are not known
 *
 * An update that was prepared belongs to the connection and is discarded when that closes. One call is
 * carried out at a time; while a commit waits for its safe point, the caller is sent
 *
 *   progress  {phase, message}
 *
 * and every connection is sent `changed` {} after the status has changed. `result` is the object of `molt
 * apply --json`: {result, functions, types, instances, moved, waited_ms, pause_ms, total_ms, blocked_by,
 * reason, rewritten: {typed, untyped}, warnings: [text], validation: null or {kind, name, file, line, type,
 * instance, message, old, new, rehearsal}, rehearsal: null or {passed, pause_ms, total_ms}}. `rewritten`
 * counts addresses that lead to another place now, found by their types or by their values. `validation` is
 * what made the update fail: kind is policy (what happens between the old and the new instance), validation,
 * invariant or system; old and new are {"bytes": hex} or null; `rehearsal` is true if it failed in the copy.
 */
#ifndef MOLT_LINK_PROTOCOL_H
#define MOLT_LINK_PROTOCOL_H

#define LINK_SUBPROTOCOL "molt.v1"

/* name, method */
#define LINK_METHODS(X)                                                                                      \
    X(STATUS, "status")                                                                                      \
    X(UPLOAD, "upload")                                                                                      \
    X(PREPARE, "prepare")                                                                                    \
    X(COMMIT, "commit")                                                                                      \
    X(DISCARD, "discard")                                                                                    \
    X(ROLLBACK, "rollback")                                                                                  \
    X(SETTLE, "settle")                                                                                      \
    X(INSTANCES, "instances")                                                                                \
    X(STACKS, "stacks")                                                                                      \
    X(PROGRESS, "progress")                                                                                  \
    X(CHANGED, "changed")

/* name, word of "result", words for people, exit status of the command line */
#define LINK_RESULTS(X)                                                                                      \
    X(PREPARED, "prepared", "can be updated", 0)                                                             \
    X(UPDATED, "updated", "updated", 0)                                                                      \
    X(NOTHING, "nothing", "nothing to update", 0)                                                            \
    X(ROLLED_BACK, "rolled-back", "rolled back", 0)                                                          \
    X(DISCARDED, "discarded", "discarded", 0)                                                                \
    X(REFUSED, "refused", "refused", 2)                                                                      \
    X(VALIDATION, "validation", "discarded, a validation failed", 3)                                         \
    X(NO_SAFE_POINT, "no-safe-point", "no safe point", 4)

/* name, JSON-RPC code beside those of base/jsonrpc.h */
#define LINK_ERROR_CODES(X)                                                                                  \
    X(TOO_LARGE, -32010) /* a size beyond the engine's limit */                                              \
    X(TOO_MANY, -32011)  /* more requests than the engine takes at a time */                                 \
    X(NO_SUCH, -32012)   /* no such upload or update on this connection */                                   \
    X(NO_MEMORY, -32013) /* the engine has no memory for it */                                               \
    X(NOT_READY, -32014) /* the engine's core could not be set up in this process */

#define LINK_METHODS_CONSTANT(name, method) LINK_METHOD_##name,
#define LINK_RESULTS_CONSTANT(name, word, text, status) LINK_RESULT_##name,
#define LINK_ERROR_CODES_CONSTANT(name, code) LINK_ERROR_##name = (code),

enum link_method { LINK_METHODS(LINK_METHODS_CONSTANT) };
enum link_result { LINK_RESULTS(LINK_RESULTS_CONSTANT) };
enum link_error_code { LINK_ERROR_CODES(LINK_ERROR_CODES_CONSTANT) };

/* The method's name; a result's word in JSON, its words for people, and the exit status that stands for it.
 */
const char *link_method_name(enum link_method method);
const char *link_result_word(enum link_result result);
const char *link_result_text(enum link_result result);
int link_result_exit_status(enum link_result result);

/* The method or result that WORD names, or -1. */
int link_method_of(const char *word);
int link_result_of(const char *word);

/* The engine's limits; link_server_limits can lower or raise them. */
#define LINK_UPLOAD_MAX ((size_t)256 << 20) /* bytes of a patch */
#define LINK_TEXT_MAX ((size_t)1 << 20)     /* bytes of one message */
#define LINK_CONNECTIONS_MAX 16
#define LINK_REQUESTS_PER_SECOND 200 /* of one connection, on average; as many may come at once */
#define LINK_ACCEPTS_PER_SECOND 2000
#define LINK_PENDING_MAX 64               /* requests of one connection that wait for their turn */
#define LINK_UNSENT_MAX ((size_t)4 << 20) /* bytes that a connection may leave unread before it is closed */
#define LINK_HANDSHAKE_MS 5000            /* from connecting to the end of the HTTP upgrade */

#endif
