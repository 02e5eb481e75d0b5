// What is edited in memcached's sources.

import fs from 'node:fs';
import path from 'node:path';

/** Replaces FROM, which must be there, by TO in FILE of TREE. */
function replace(tree, file, from, to) {
    const name = path.join(tree, file), text = fs.readFileSync(name, 'utf8'), edited = text.replace(from, to);
    if (edited === text)
        throw new Error(`${file} has no ${from}`);
    fs.writeFileSync(name, edited);
}

/** A member at the start of struct conn, which most functions know and every connection is one of; another moves to its end. */
export function changeConn(tree) {
    replace(tree, 'memcached.h', /\nstruct conn \{/, '$&\n    uint64_t turns;');
    replace(tree, 'memcached.h', '    enum conn_states  state;\n', '');
    replace(tree, 'memcached.h', /\n {4}ssize_t \(\*write\)\(conn \*c.*/, '$&\n    enum conn_states  state;');
}

/** A member in the middle of struct settings, which `main` counts up in the loop that it never leaves; `stats settings` tells it. */
export function countTurns(tree) {
    replace(tree, 'memcached.h', /\n {4}char prefix_delimiter;.*/, '$&\n    unsigned long main_turns;');
    replace(tree, 'memcached.c', /\n {4}while \(!stop_main_loop\) \{/, '$&\n        settings.main_turns++;');
    replace(tree, 'memcached.c', /\n {4}APPEND_STAT\("maxconns",.*/, '$&\n    APPEND_STAT("main_turns", "%lu", settings.main_turns);');
}

/** A member in front of the others of struct _stritem: items lie in pages that memcached cuts up itself. */
export function changeItem(tree) {
    replace(tree, 'memcached.h', '    unsigned short  refcount;\n', '    uint64_t        touched;\n$&');
}
