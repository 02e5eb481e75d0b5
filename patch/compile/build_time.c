/*
 * A source that names __DATE__ or __TIME__ has another code each time it is compiled: functions that nobody
 * edited would differ, and no program would be what its sources make. So all that is compiled here is told
 * one and the same time, and where a program tells of another one, that is no difference.
 *
 * The time is that of the program's build, as near as is known. It is kept with the objects: another one
 * would need them all anew.
 */
#include "patch/compile/build_time.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "patch/file.h"
#include "patch/memory.h"

/* The C locale's names, whatever locale the process has. */
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec", days[] = "SunMonTueWedThuFriSat";

static void write_time(time_t when, struct build_time *ret)
{
    struct tm local;

    if (!localtime_r(&when, &local)) {
        return;
    }
    const char *month = months + 3 * local.tm_mon, *day = days + 3 * local.tm_wday;
    unsigned year = (unsigned)(local.tm_year + 1900) % 10000, number = (unsigned)local.tm_mday % 100;
    snprintf(ret->clock, sizeof(ret->clock), "%02u:%02u:%02u", (unsigned)local.tm_hour % 100,
             (unsigned)local.tm_min % 100, (unsigned)local.tm_sec % 100);
    snprintf(ret->date, sizeof(ret->date), "%.3s %2u %04u", month, number, year);
    snprintf(ret->timestamp, sizeof(ret->timestamp), "%.3s %.3s %2u %s %04u", day, month, number, ret->clock,
             year);
}

/* The seconds since the epoch that the file at PATH holds. */
static bool read_seconds(const char *path, int64_t *ret)
{
    char *bytes = NULL;
    size_t size;
    struct molt_error *error = file_read(path, &bytes, &size);
    bool found = !error && sscanf(bytes, "%" SCNd64, ret) == 1;

    molt_error_destroy(error);
    free(bytes);
    return found;
}

void build_time_load(const char *cache, const char *database, struct build_time *ret)
{
    char *path = must_printf("%s/compiled-at", cache), line[32];
    struct stat status;
    int64_t seconds;

    *ret = (struct build_time){ 0 };
    if (!read_seconds(path, &seconds) && stat(database, &status) == 0) {
        seconds = status.st_mtim.tv_sec;
        int length = snprintf(line, sizeof(line), "%" PRId64 "\n", seconds);
        struct molt_error *error = file_make_directory(cache);
        error = error ? error : file_write(path, line, length);
        molt_error_destroy(error);
    }
    if (read_seconds(path, &seconds)) {
        write_time((time_t)seconds, ret);
    }
    free(path);
}

/* Whether TEXT has the form of PATTERN: a for a letter, 0 for a digit, _ for a digit or a blank. */
static bool has_form(const char *text, const char *pattern)
{
    for (; *pattern; pattern++, text++) {
        unsigned char c = (unsigned char)*text;
        bool fits = *pattern == 'a'   ? isalpha(c) != 0
                    : *pattern == '0' ? isdigit(c) != 0
                    : *pattern == '_' ? c == ' ' || isdigit(c)
                                      : c == (unsigned char)*pattern;
        if (!fits) {
            return false;
        }
    }
    return true;
}

bool build_time_same(const struct build_time *time, const void *bytes, const void *linked, size_t size)
{
    const struct {
        const char *text, *pattern;
    } forms[] = { { time->timestamp, "aaa aaa _0 00:00:00 0000" },
                  { time->date, "aaa _0 0000" },
                  { time->clock, "00:00:00" } };
    const char *object = bytes, *binary = linked;

    if (memcmp(object, binary, size) == 0) {
        return true;
    }
    for (size_t at = 0; *time->date && at < size;) {
        size_t length = 0;
        for (size_t i = 0; !length && i < sizeof(forms) / sizeof(*forms); i++) {
            size_t candidate = strlen(forms[i].pattern);
            if (candidate <= size - at && memcmp(object + at, forms[i].text, candidate) == 0 &&
                has_form(binary + at, forms[i].pattern)) {
                length = candidate;
            }
        }
        if (!length && object[at] != binary[at]) {
            return false;
        }
        at += length ? length : 1;
    }
    return *time->date != '\0';
}
