/* patch-sites BUILD BINARY [ROOT]: prints which type each allocation call of BINARY makes, then the
 * counts. */
#include <stdio.h>
#include <string.h>

#include "patch/session_private.h"

static const char *const kinds[] = { "object", "array", "bytes", "wrapper", "unknown" };

static int report(struct molt_error *error)
{
    fprintf(stderr, "%s%s%s\n", error->file ? error->file : "", error->file ? ": " : "", error->message);
    molt_error_destroy(error);
    return 1;
}

static void print(const struct sites *sites)
{
    unsigned counts[MOLT_SITE_KINDS] = { 0 };

    for (size_t i = 0; i < sites->items.count; i++) {
        const struct site *site = &sites->items.items[i];
        const char *slash = strrchr(site->file, '/');
        counts[site->kind]++;
        printf("%lx %s %s:%u %s  %s%s", (unsigned long)site->address, kinds[site->kind],
               slash ? slash + 1 : site->file, site->line, site->function, site->type_name, site->reason);
        if (*site->carver) {
            printf("  %s %s:%u in %s", site->pieces ? "carved" : "taken", site->carver_file,
                   site->carver_line, site->carver);
        }
        putchar('\n');
    }
    for (size_t i = 0; i < sites->allocators.count; i++) {
        printf("allocator %s\n", sites->allocators.items[i].name);
    }
    printf("calls %zu: ", sites->items.count);
    for (unsigned i = 0; i < MOLT_SITE_KINDS; i++) {
        printf("%u %s%s", counts[i], kinds[i], i + 1 < MOLT_SITE_KINDS ? ", " : "\n");
    }
}

int main(int count, char **arguments)
{
    if (count < 3) {
        fputs("usage: patch-sites BUILD BINARY [ROOT]\n", stderr);
        return 1;
    }
    const char *binaries[] = { arguments[2] };
    struct patch_options options = { .build = arguments[1],
                                     .root = count > 3 ? arguments[3] : NULL,
                                     .binaries = binaries,
                                     .binary_count = 1 };
    struct patch_session *session = NULL;
    struct patch_request request = { 0 };
    const struct sites *sites;
    struct tree from;

    struct molt_error *error = patch_session_create(&options, &session);
    if (error) {
        return report(error);
    }
    error = tree_init(&from, &session->db, session->db.root, session->cache);
    if (!error) {
        error = sites_of_image(session, &request, &from, NULL, session->images.items[0], &sites);
        if (!error) {
            print(sites);
        }
        tree_deinit(&from);
    }
    patch_session_destroy(session);
    return error ? report(error) : 0;
}
