/* Working out a change set from files, and the change set's insides. */
#ifndef MOLT_RECORDER_CHANGES_H
#define MOLT_RECORDER_CHANGES_H

#include "recorder/change_set.h"
#include "recorder/file.h"

/* One entry while the set is made, with what is needed to pair it with another. */
struct change_record {
    struct change change;
    uint64_t type_hash, value_hash;
    uint32_t size; /* of the declaration in bytes */
    bool dropped;
};

/* A change set being made. */
struct change_list {
    struct change_record *records;
    size_t count, capacity;
    struct change_file *files;
    size_t file_count, file_capacity;
    char **strings; /* all that the entries point to */
    size_t string_count, string_capacity;
    bool failed; /* memory ran out */
};

void change_list_deinit(struct change_list *list);

/* A copy of LENGTH bytes that lives as long as the list; never NULL, "" without memory. */
const char *change_list_string(struct change_list *list, const char *text, size_t length);
void change_list_add(struct change_list *list, const struct change_record *record);
void change_list_add_file(struct change_list *list, const struct change_file *file);

/* Appends a copy of all entries of OTHER. */
void change_list_append(struct change_list *list, const struct change_list *other);

/* Appends what changed in FILE, called NAME in the set. */
struct molt_error *changes_of_file(struct file_context *context, struct file *file, const char *name,
                                   struct change_list *list);

/* Recognises what was removed in one place and added in another as moved. */
void changes_pair(struct change_list *list);

/* Counts one more user of SET, which is returned. */
struct change_set *change_set_hold(struct change_set *set);

/* The finished set, which takes over what LIST holds; LIST is empty afterwards. */
struct molt_error *change_list_finish(struct change_list *list, struct change_set **ret);

/* For each of COUNT distinct numbers, whether it is not in the longest increasing subsequence: has moved. */
bool changes_out_of_order(const int32_t *numbers, uint32_t count, bool *ret_moved);

#endif
