/*
 * Base types by one name. C allows the words of "unsigned long int" in any order and leaves some of them out;
 * gcc writes "long unsigned int" where clang writes "unsigned long". Here the words are counted and written
 * as people do.
 */
#include <dwarf.h>
#include <stdio.h>
#include <string.h>

#include "patch/types/private.h"

enum { WORD_LONG, WORD_SHORT, WORD_UNSIGNED, WORD_SIGNED, WORD_CHAR, WORD_INT, WORD_COUNT };

static const char *const words[WORD_COUNT] = { "long", "short", "unsigned", "signed", "char", "int" };

/* Counts the words of NAME; false if there are others. */
static bool count_words(const char *name, unsigned counts[WORD_COUNT])
{
    while (*name) {
        size_t length = strcspn(name, " ");
        unsigned i = 0;
        while (i < WORD_COUNT && (strncmp(name, words[i], length) != 0 || words[i][length])) {
            i++;
        }
        if (i == WORD_COUNT) {
            return false;
        }
        counts[i]++;
        name += length + strspn(name + length, " ");
    }
    return true;
}

const char *types_base_name(const char *name, char *buffer, size_t size)
{
    unsigned counts[WORD_COUNT] = { 0 };

    if (!name) {
        return NULL;
    }
    if (strcmp(name, "complex double") == 0 || strcmp(name, "complex float") == 0 ||
        strcmp(name, "complex long double") == 0) {
        snprintf(buffer, size, "_Complex %s", name + strlen("complex "));
        return buffer;
    }
    if (strcmp(name, "bool") == 0) {
        return "_Bool";
    }
    if (!count_words(name, counts)) {
        return name;
    }
    if (counts[WORD_CHAR]) {
        return counts[WORD_UNSIGNED] ? "unsigned char" : counts[WORD_SIGNED] ? "signed char" : "char";
    }
    snprintf(buffer, size, "%s%s", counts[WORD_UNSIGNED] ? "unsigned " : "",
             counts[WORD_SHORT]      ? "short"
             : counts[WORD_LONG] > 1 ? "long long"
             : counts[WORD_LONG]     ? "long"
                                     : "int");
    return buffer;
}

enum type_encoding types_encoding(const struct die_facts *facts)
{
    switch (facts->encoding) {
    case DW_ATE_boolean:
        return TYPE_BOOL;
    case DW_ATE_float:
    case DW_ATE_decimal_float:
    case DW_ATE_imaginary_float:
        return TYPE_FLOAT;
    case DW_ATE_complex_float:
        return TYPE_COMPLEX;
    case DW_ATE_unsigned:
    case DW_ATE_unsigned_char:
    case DW_ATE_UTF:
    case DW_ATE_address:
        return TYPE_UNSIGNED;
    default:
        return TYPE_SIGNED;
    }
}
