-- The whole way: real Neovim, the real language server, a program that serves meanwhile (MOLT_PROJECT, MOLT_PORT).
local here = vim.fs.dirname(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p'))
package.path = here .. '/?.lua;' .. package.path
local t = require('harness')

local PROJECT = assert(vim.env.MOLT_PROJECT)
local LINE = 5

t.load({ cmd = { vim.env.MOLT_BUILD .. '/lsp-server/molt-lsp' } })

-- One connection, open from the first case to the last.
local ask = t.connect(assert(tonumber(vim.env.MOLT_PORT)))

local function set_line(text)
  vim.api.nvim_buf_set_lines(0, LINE - 1, LINE, false, { text })
end

local function result()
  local last = t.status() and t.status().lastUpdate
  return last and last.result
end

local function settled(name)
  t.await(name, function()
    return t.status().quiescent and result() == name
  end, 20)
end

t.case('live: the server finds the program', function()
  vim.cmd.edit(PROJECT .. '/src/answer.c')
  t.await('ready program', function()
    local status = t.status()
    return status and status.phase == 'idle' and status.engines[1] and status.engines[1].state == 'ready'
  end, 20)
  t.equal('hello from version one', ask(), 'answer')
  t.equal(0, t.status().pending.count, 'pending')
end)

t.case('live: an edit is pending, marked, and in the review', function()
  set_line('    return "hello from version two";')
  t.await('pending', function()
    return t.status().pending.count == 1
  end)
  t.await('sign', function()
    return t.signs()[LINE] == 'MoltSignChanged'
  end)
  vim.cmd('silent Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  t.matches('modified .*answer', vim.api.nvim_get_current_line(), 'entry')
  local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  t.matches('\n    @@ %-3,4 %+3,4 @@\n     const char %*answer%(void%)\n     {\n'
    .. '    %-    return "hello from version one";'
    .. '\n    %+    return "hello from version two";\n     }', text, 'difference')
  vim.cmd.quit()
  t.equal('hello from version one', ask(), 'answer')
end)

t.case('live: main, which waits while it is edited, is listed in the review that is open', function()
  vim.cmd.edit(PROJECT .. '/src/server.c')
  local server = vim.api.nvim_get_current_buf()
  vim.cmd('silent Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  local review = vim.api.nvim_get_current_buf()
  local last = vim.api.nvim_buf_line_count(server) - 2
  t.equal('    return 1;', vim.api.nvim_buf_get_lines(server, last, last + 1, false)[1], 'last statement')
  vim.api.nvim_buf_set_lines(server, last, last + 1, false, { '    return 2;' })
  t.await('main in the review', function()
    local text = table.concat(vim.api.nvim_buf_get_lines(review, 0, -1, false), '\n')
    return text:match('Suspended functions\n  main waits in poll, line %d+ of server.c as it runs: ')
  end, 20)
  vim.cmd.quit()
  vim.api.nvim_buf_set_lines(server, last, last + 1, false, { '    return 1;' })
  vim.cmd('silent write')
  vim.cmd.buffer(vim.fn.bufnr(PROJECT .. '/src/answer.c'))
end)

t.case('live: the body of an endless loop is made a function by a code action', function()
  vim.cmd.edit(PROJECT .. '/src/server.c')
  local before = vim.api.nvim_buf_get_lines(0, 0, -1, false)
  local line = vim.fn.search('while (server.polled')
  local loop = { '    for (;;) {', '        poll(server.polled, server.count, -1);' }
  vim.api.nvim_buf_set_lines(0, line - 1, line, false, loop)
  vim.api.nvim_win_set_cursor(0, { line, 4 })
  vim.lsp.buf.code_action({
    apply = true,
    context = { only = { 'refactor.extract' }, diagnostics = {} },
    filter = function(action)
      return action.title == "Molt: extract the loop's body into main_turn"
    end,
  })
  t.await('function', function()
    return vim.fn.search('main_turn(struct server \\*server)$', 'n') > 0
  end, 20)
  local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n') .. '\n'
  t.matches('for %(;;%) {\n        if %(main_turn%(&server%)%)\n            return 0;\n    }\n', text, 'loop')
  t.matches('\n{\n    poll%(server%->polled, server%->count, %-1%);\n', text, 'turn')
  local command = { 'gcc', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-I' .. PROJECT .. '/src', '-x', 'c', '-' }
  t.equal('', vim.fn.system(command, text), 'compiler')
  vim.api.nvim_buf_set_lines(0, 0, -1, false, before)
  vim.cmd('silent write')
  vim.cmd.buffer(vim.fn.bufnr(PROJECT .. '/src/answer.c'))
end)

t.case('live: a save changes the running program', function()
  vim.cmd('silent write')
  settled('updated')
  t.equal('hello from version two', ask(), 'answer')
  t.equal(0, t.status().pending.count, 'pending')
  t.await('signs gone', function()
    return vim.tbl_isempty(t.signs())
  end)
end)

t.case('live: rollback takes it back, the edit stays and is pending', function()
  vim.cmd('silent Molt rollback')
  settled('rolled-back')
  t.equal('hello from version one', ask(), 'answer')
  t.await('pending', function()
    return t.status().pending.count == 1
  end)
  t.matches('two', vim.api.nvim_buf_get_lines(0, LINE - 1, LINE, false)[1], 'buffer')
end)

t.case('live: what was held back is applied from the review by :write', function()
  vim.cmd('silent Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  vim.cmd('silent write')
  vim.cmd.quit()
  t.await('updated', function()
    return t.status().quiescent and result() == 'updated'
  end, 20)
  t.equal('hello from version two', ask(), 'answer')
end)

t.case('live: discarded changes wait for the next edit', function()
  set_line('    return "hello from version three";')
  t.await('pending', function()
    return t.status().pending.count == 1
  end)
  vim.cmd('silent Molt discard')
  t.await('held back', function()
    return t.status().pending.heldBack
  end)
  vim.cmd('silent write')
  t.await('saved', function()
    return t.status().quiescent and not vim.bo.modified
  end)
  t.equal('hello from version two', ask(), 'answer')
  vim.cmd('silent Molt apply')
  t.await('applied', function()
    return t.status().quiescent and t.status().pending.count == 0
  end, 20)
  t.equal('hello from version three', ask(), 'answer')
end)

t.case('live: an error is a diagnostic, the program runs on, the mended file is applied', function()
  set_line('    return nonsense;')
  vim.cmd('silent write')
  local diagnostic = t.await('diagnostic', function()
    return vim.diagnostic.get(0)[1]
  end, 20)
  t.equal(LINE - 1, diagnostic.lnum, 'line')
  t.matches('nonsense', diagnostic.message, 'diagnostic')
  t.equal('hello from version three', ask(), 'answer')
  set_line('    return "hello from version four";')
  vim.cmd('silent write')
  t.await('applied', function()
    return t.status().quiescent and result() == 'updated' and t.status().pending.count == 0
  end, 20)
  t.equal('hello from version four', ask(), 'answer')
  t.await('no diagnostics', function()
    return #vim.diagnostic.get(0) == 0
  end)
end)

t.case('live: the edit undone and saved leaves nothing pending', function()
  set_line('    return "hello from version one";')
  vim.cmd('silent write')
  t.await('applied', function()
    return t.status().quiescent and t.status().pending.count == 0 and ask() == 'hello from version one'
  end, 20)
end)

local function substitute(from, to)
  vim.cmd(('silent keeppatterns %%s/%s/%s/'):format(from, to))
end

t.case('live: what becomes of a structure is told before the save', function()
  vim.cmd.edit(PROJECT .. '/src/guest.h')
  substitute('int number;', 'long number;\\r    int visits;')
  t.await('plan', function()
    local plan = t.status().plan
    return plan and plan ~= vim.NIL and plan.types == 1
  end, 20)
  vim.lsp.inlay_hint.enable(true, { bufnr = 0 })
  t.await('hint', function()
    local hints = vim.lsp.inlay_hint.get({ bufnr = 0 })
    return #hints == 2 and hints[2].inlay_hint.label == 'zero'
  end)
  vim.cmd('silent Molt review')
  t.await('types', function()
    return vim.fn.search('^  struct guest, migrated by name') > 0
  end)
  t.equal(true, vim.fn.search('new->number = old->number;') > 0, 'generated C')
  vim.cmd.quit()
end)

t.case('live: a wrong policy fails its validation, and the program runs on', function()
  vim.api.nvim_win_set_cursor(0, { 6, 0 })
  vim.cmd('Molt policy')
  t.await('policy', function()
    return vim.api.nvim_buf_get_name(0):find('molt/guest.c$') and vim.fn.search('MOLT_VALIDATE', 'n') > 0
  end)
  substitute('return 1;', 'return new->visits == 7;')
  vim.cmd('silent write')
  vim.cmd('silent wall')
  t.await('failed', function()
    return t.status().quiescent and t.status().phase == 'validation-failed'
  end, 20)
  local failed = t.status().validation
  t.equal('molt/guest.c', failed.file, 'file')
  t.equal(vim.fn.search('^MOLT_VALIDATE'), failed.line, 'line')
  local diagnostic = t.await('diagnostic', function()
    return vim.diagnostic.get(0)[1]
  end)
  t.equal('validation-failed', diagnostic.code, 'code')
  t.matches('visits: %- %-> 0', diagnostic.message, 'values')
  t.equal('hello from version one', ask(), 'answer')
end)

t.case('live: mended and saved, it migrates every instance', function()
  substitute('^}\\n\\nMOLT_VALIDATE', '    new->visits = 7;\\r}\\r\\rMOLT_VALIDATE')
  vim.cmd('silent write')
  t.await('updated', function()
    return t.status().quiescent and result() == 'updated' and not t.status().validation
  end, 20)
  t.equal(true, t.status().lastUpdate.instances > 5, 'instances')
  t.equal(0, t.status().pending.count, 'pending')
  t.equal(0, #vim.diagnostic.get(0), 'diagnostics')
  t.equal('hello from version one', ask(), 'answer')
end)

t.finish()
