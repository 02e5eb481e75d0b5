/*
 * Appending, replaying, rewriting. The lock is a file of its own, since rewriting replaces the journal's
 * inode; it is an open file description lock, so the kernel drops it with the process however that ends.
 */
#include "recorder/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "recorder/token.h"

static const char magic[8] = "MOLTJ\1\0";

enum { FRAME = 12, GROWTH_MIN = 4 << 20 };

struct journal {
    char *path, *new_path, *lock_path;
    int file;     /* the journal */
    int new_file; /* its successor while rewriting, else -1 */
    int lock;
    uint64_t size;      /* of the file being written to */
    uint64_t kept_size; /* of the journal while its successor is written */
    uint64_t compact;   /* size after the last rewriting */
};

static void close_file(int *file)
{
    if (*file >= 0) {
        close(*file);
    }
    *file = -1;
}

void journal_close(struct journal *journal)
{
    if (!journal) {
        return;
    }
    journal_rewrite_abort(journal);
    close_file(&journal->file);
    close_file(&journal->lock);
    free(journal->path);
    free(journal->new_path);
    free(journal->lock_path);
    free(journal);
}

/* Who holds the lock, as far as the lock file says. */
static long read_holder(int file)
{
    char text[32] = "";
    ssize_t size = pread(file, text, sizeof(text) - 1, 0);

    return size > 0 ? strtol(text, NULL, 10) : 0;
}

static struct molt_error *take_lock(struct journal *journal)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    journal->lock = open(journal->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (journal->lock < 0) {
        return molt_error_errno(errno, "%s", journal->lock_path);
    }
    if (fcntl(journal->lock, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES) {
            return molt_error_errno(errno, "%s: cannot be locked", journal->lock_path);
        }
        return molt_error_new(MOLT_ERROR_REFUSED,
                              "%s is in use by another Molt, process %ld; end it, or record elsewhere",
                              journal->path, read_holder(journal->lock));
    }
    char text[32];
    int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(journal->lock, 0) < 0 || pwrite(journal->lock, text, (size_t)length, 0) != length) {
        molt_log(MOLT_LOG_WARNING, "%s: %s", journal->lock_path, strerror(errno));
    }
    return NULL;
}

static struct molt_error *open_files(struct journal *journal, const char *directory)
{
    journal->path = path_join(directory, "journal");
    journal->new_path = path_join(directory, "journal.new");
    journal->lock_path = path_join(directory, "journal.lock");
    if (!journal->path || !journal->new_path || !journal->lock_path) {
        return molt_error_nomem();
    }
    if (mkdir(directory, 0777) < 0 && errno != EEXIST) {
        return molt_error_errno(errno, "%s", directory);
    }
    struct molt_error *error = take_lock(journal);
    if (error) {
        return error;
    }
    journal->file = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return journal->file < 0 ? molt_error_errno(errno, "%s", journal->path) : NULL;
}

struct molt_error *journal_open(const char *directory, struct journal **ret)
{
    struct journal *journal = calloc(1, sizeof(*journal));

    if (!journal) {
        return molt_error_nomem();
    }
    journal->file = journal->new_file = journal->lock = -1;
    struct molt_error *error = open_files(journal, directory);
    if (error) {
        journal_close(journal);
        return error;
    }
    *ret = journal;
    return NULL;
}

/* Reads all of FILE; *ret is malloc'd. */
static struct molt_error *read_all(const struct journal *journal, char **ret, size_t *ret_size)
{
    struct stat status;

    if (fstat(journal->file, &status) < 0) {
        return molt_error_errno(errno, "%s", journal->path);
    }
    char *bytes = malloc((size_t)status.st_size + 1);
    size_t size = 0;
    while (bytes && size < (size_t)status.st_size) {
        ssize_t got = pread(journal->file, bytes + size, (size_t)status.st_size - size, (off_t)size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            free(bytes);
            return molt_error_errno(errno, "%s", journal->path);
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    if (!bytes) {
        return molt_error_nomem();
    }
    *ret = bytes;
    *ret_size = size;
    return NULL;
}

/* Makes the file an empty journal. */
static struct molt_error *start_file(int file, const char *path, uint64_t *ret_size)
{
    if (ftruncate(file, 0) < 0 || pwrite(file, magic, sizeof(magic), 0) != sizeof(magic)) {
        return molt_error_errno(errno, "%s", path);
    }
    *ret_size = sizeof(magic);
    return NULL;
}

/* The next whole record of ALL, or false. */
static bool next_record(struct cursor *all, struct cursor *ret)
{
    uint32_t size = cursor_u32(all);
    uint64_t checksum = cursor_u64(all);
    const void *payload = cursor_take(all, size);

    if (cursor_failed(all) || hash_bytes(0, payload, size) != checksum) {
        return false;
    }
    *ret = cursor_of(payload, size);
    return true;
}

struct molt_error *journal_replay(struct journal *journal, journal_replay_record *replay, void *context)
{
    char *bytes = NULL;
    size_t size = 0;

    struct molt_error *error = read_all(journal, &bytes, &size);
    if (error) {
        return error;
    }
    if (size < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0) {
        if (size) {
            molt_log(MOLT_LOG_WARNING, "%s is not a journal of this version: starting a new one",
                     journal->path);
        }
        free(bytes);
        return start_file(journal->file, journal->path, &journal->size);
    }
    struct cursor all = cursor_of(bytes, size), record;
    cursor_seek(&all, sizeof(magic));
    size_t good = all.position;
    while (!error && cursor_left(&all) && next_record(&all, &record)) {
        error = replay(record, context);
        good = all.position;
    }
    if (!error && good < size) {
        molt_log(MOLT_LOG_WARNING, "%s: the last %zu bytes are damaged and were dropped", journal->path,
                 size - good);
        error =
            ftruncate(journal->file, (off_t)good) < 0 ? molt_error_errno(errno, "%s", journal->path) : NULL;
    }
    journal->size = journal->compact = good;
    free(bytes);
    return error;
}

/* Writes all of the record; on failure the file is cut back to where it was. */
struct molt_error *journal_append(struct journal *journal, const void *payload, size_t size)
{
    int file = journal->new_file >= 0 ? journal->new_file : journal->file;
    uint32_t size_field = (uint32_t)size;
    uint64_t checksum = hash_bytes(0, payload, size);
    char frame[FRAME];

    if (size > UINT32_MAX) {
        return molt_error_new(MOLT_ERROR_INTERNAL, "%s: a record of more than 4 GB", journal->path);
    }
    memcpy(frame, &size_field, 4);
    memcpy(frame + 4, &checksum, 8);
    struct iovec parts[] = { { frame, FRAME }, { (void *)payload, size } };
    ssize_t written;
    do {
        written = pwritev(file, parts, 2, (off_t)journal->size);
    } while (written < 0 && errno == EINTR);
    if (written != (ssize_t)(FRAME + size)) {
        int errnum = written < 0 ? errno : ENOSPC;
        if (ftruncate(file, (off_t)journal->size) < 0) {
            molt_log(MOLT_LOG_WARNING, "%s: %s", journal->path, strerror(errno));
        }
        return molt_error_errno(errnum, "%s", journal->path);
    }
    journal->size += FRAME + size;
    return NULL;
}

bool journal_has_grown(const struct journal *journal)
{
    return journal->size > GROWTH_MIN + 2 * journal->compact;
}

struct molt_error *journal_rewrite_begin(struct journal *journal)
{
    journal->kept_size = journal->size;
    journal->new_file = open(journal->new_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (journal->new_file < 0) {
        return molt_error_errno(errno, "%s", journal->new_path);
    }
    struct molt_error *error = start_file(journal->new_file, journal->new_path, &journal->size);
    if (error) {
        journal_rewrite_abort(journal);
    }
    return error;
}

struct molt_error *journal_rewrite_end(struct journal *journal)
{
    if (fdatasync(journal->new_file) < 0 || rename(journal->new_path, journal->path) < 0) {
        struct molt_error *error = molt_error_errno(errno, "%s", journal->new_path);
        journal_rewrite_abort(journal);
        return error;
    }
    close_file(&journal->file);
    journal->file = journal->new_file;
    journal->new_file = -1;
    journal->compact = journal->size;
    return NULL;
}

void journal_rewrite_abort(struct journal *journal)
{
    if (journal->new_file >= 0) {
        close_file(&journal->new_file);
        unlink(journal->new_path);
        journal->size = journal->kept_size;
    }
}
