// lua: an interpreter in the middle of a script. Its functions are of hidden visibility; one that changes makes every table.

import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../molt.mjs';

export const source = 'lua5.4';

const script = `
local made = {}
for line in io.lines() do
    for i = 1, 1000 do made[i % 97] = { i, name = line } end
    io.write(line, ' ', math.type(1), ' ', string.upper('abc'), ' ', #made[1], '\\n')
    io.flush()
end`;

const edits = {
    'src/lmathlib.c': [['"integer" : "float"', '"INTEGER" : "FLOAT"']],
    'src/lstrlib.c': [
        ['static int str_upper (lua_State *L) {',
            'static int molt_turn (int c) { static int turns; return c == \'B\' ? \'0\' + ++turns : c; }\n$&'],
        ['p[i] = toupper(uchar(s[i]));', 'p[i] = molt_turn(toupper(uchar(s[i])));'],
    ].map(([before, after]) => [before, after.replace('$&', before)]),
    'src/ltable.c': [
        ['Table *luaH_new (lua_State *L) {', 'static long molt_tables;\nTable *luaH_new (lua_State *L) {\n  molt_tables++;'],
    ],
};

// The interpreter's loop, which has tables in its hands and jumps through a table of labels, is suspended in io.lines.
const table = {
    'src/lobject.h': [['  lu_byte lsizenode;', '  long molt_made;\n  lu_byte lsizenode;']],
    'src/ltable.c': [['  setnodevector(L, t, 0);\n  return t;', '  setnodevector(L, t, 0);\n  t->molt_made = 3;\n  return t;']],
    'src/lmathlib.c': [['lua_pushstring(L, (lua_isinteger(L, 1)) ? "integer"', 'lua_pushstring(L, (lua_isinteger(L, 1)) ? "Integer"']],
};

// Its instances stand behind headers in blocks of a function that makes all kinds of them; the header has their size.
const stream = { 'src/lauxlib.h': [['  FILE *f;', '  long molt_opened;\n  FILE *f;']] };

async function expect(lua, say, answer) {
    lua.say(say);
    const line = await lua.line();
    if (line !== answer)
        throw new Error(`it answers "${line}", not "${answer}"; ${lua.stderr}`);
}

export async function play(program) {
    const lua = molt.program(path.join(program.tree, 'src/lua'), ['-e', script]);
    const settings = path.join(program.tree, 'molt.toml');
    fs.rmSync(settings, { force: true });
    try {
        await expect(lua, 'one', 'one integer ABC 1');
        const patch = await program.patch('functions', edits);
        const { functions } = await program.apply(patch, lua.pid);
        if (functions !== 3)
            throw new Error(`${functions} functions were updated, not 3`);
        await expect(lua, 'two', 'two INTEGER A1C 1');
        await expect(lua, 'three', 'three INTEGER A2C 1');
        await program.rollback(lua.pid);
        await expect(lua, 'four', 'four integer ABC 1');
        await program.apply(patch, lua.pid);
        await expect(lua, 'five', 'five INTEGER A1C 1');
        await program.rollback(lua.pid);
        const tables = await program.apply(await program.patch('tables', table), lua.pid);
        if (tables.instances < 97)
            throw new Error(`${tables.instances} tables were migrated, the script has 97`);
        for (const say of ['six', 'seven', 'eight'])
            await expect(lua, say, `${say} Integer ABC 1`);
        await program.rollback(lua.pid);
        await expect(lua, 'nine', 'nine integer ABC 1');
        await program.refusePatch('streams', stream,
            'keeps in member \'len\' of struct Udata the size of struct luaL_Stream: 16 bytes before, 24 now');
        fs.writeFileSync(settings, '[heap]\nnumbers = ["struct Udata.len"]\n');
        await program.refuse(await program.patch('streams', stream), lua.pid,
            'struct luaL_Stream changes, but nothing tells where its instances are');
        await expect(lua, 'ten', 'ten integer ABC 1');
    } finally {
        lua.child.kill('SIGKILL');
    }
    return 'functions, hidden ones too, under a running script; its tables; streams, which nobody can find, are refused';
}
