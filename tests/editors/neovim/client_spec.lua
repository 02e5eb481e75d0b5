-- The Neovim client against the scripted server of tests/editors/fake.
local here = vim.fs.dirname(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p'))
package.path = here .. '/?.lua;' .. package.path
local t = require('harness')

local FAKE = t.repository .. '/tests/editors/fake/molt-lsp'
local LOG = vim.env.TMPDIR .. '/fake.log'
local SOURCE = 'int answer(void)\n{\n    return 41;\n}\n'

vim.env.FAKE_LOG = LOG
t.load({ cmd = { FAKE }, save = 'manualIfDirty', timeout = 2.5 })

--- All messages that the server received, the newest last.
local function received(method)
  local ret = {}
  for _, line in ipairs(vim.fn.filereadable(LOG) == 1 and vim.fn.readfile(LOG) or {}) do
    local message = vim.json.decode(line)
    if message.method == method then
      ret[#ret + 1] = message
    end
  end
  return ret
end

local function pending()
  local status = t.status()
  return status and status.pending.count
end

local directory = t.project({ ['src/a.c'] = SOURCE, ['src/b.c'] = SOURCE, ['build/compile_commands.json'] = '[]' })

t.case('a file outside any project starts nothing', function()
  local elsewhere = t.project({ ['lone.c'] = SOURCE })
  vim.cmd.edit(elsewhere .. '/lone.c')
  vim.wait(100)
  t.equal(0, #vim.lsp.get_clients({ name = 'molt' }), 'clients')
  t.equal('', require('molt').statusline(), 'status line')
end)

t.case('a file of a project starts the server at its root', function()
  vim.cmd.edit(directory .. '/src/a.c')
  t.await('status', t.status)
  local client = vim.lsp.get_clients({ name = 'molt' })[1]
  t.equal(directory, client.config.root_dir, 'root')
  local options = received('initialize')[1].params.initializationOptions
  t.equal({ save = 'manualIfDirty', timeout = 2.5 }, options, 'options')
end)

t.case('a second file joins the same server', function()
  vim.cmd.edit(directory .. '/src/b.c')
  t.await('second file', function()
    return #received('textDocument/didOpen') == 2
  end)
  t.equal(1, #vim.lsp.get_clients({ name = 'molt' }), 'clients')
  vim.cmd.edit(directory .. '/src/a.c')
end)

t.case('a save is followed by a word, until a status line shows the status', function()
  local echoed, echo = {}, vim.api.nvim_echo
  vim.api.nvim_echo = function(chunks, ...)
    echoed[#echoed + 1] = chunks[1][1]
    return echo(chunks, ...)
  end
  vim.cmd('silent write')
  t.await('a word', function()
    return echoed[1]
  end)
  t.matches('^Molt: 0 pending changes %- fake', echoed[1], 'word')
  require('molt').statusline()
  vim.cmd('silent write')
  local answered
  vim.schedule(function()
    require('molt.client').request(vim.lsp.get_clients({ name = 'molt' })[1], 'molt/review', {}, function()
      answered = true
    end)
  end)
  t.await('an answer', function()
    return answered
  end)
  t.equal(1, #received('molt/status'), 'times asked')
  vim.api.nvim_echo = echo
end)

t.case('a long message ends within the status line, a window shows its beginning', function()
  local status = vim.deepcopy(t.status())
  status.message = ('no executable was built with debug information, '):rep(10)
  require('molt.status').set(status)
  local line = require('molt').statusline({ plain = true })
  t.matches('^● Molt: no executable was built.*…$', line, 'status line')
  t.equal(true, vim.fn.strchars(line) < vim.o.columns, 'fits')
end)

t.case('an edit is pending and marked in the sign column', function()
  vim.api.nvim_buf_set_lines(0, 2, 3, false, { '    return 42;', '    /* new */' })
  t.await('pending', function()
    return pending() == 1
  end)
  t.await('signs', function()
    return vim.deep_equal({ [3] = 'MoltSignChanged', [4] = 'MoltSignAdded' }, t.signs())
  end)
  t.matches('1 pending change', require('molt').statusline({ plain = true }), 'status line')
end)

t.case('removed lines are marked, undone edits are not', function()
  vim.cmd.undo()
  t.await('no signs', function()
    return vim.tbl_isempty(t.signs()) and pending() == 0
  end)
  vim.api.nvim_buf_set_lines(0, 2, 3, false, {})
  t.await('sign', function()
    return vim.deep_equal({ [2] = 'MoltSignRemoved' }, t.signs())
  end)
  vim.cmd.undo()
end)

t.case('a save is announced with its reason, and clears the marks', function()
  vim.api.nvim_buf_set_lines(0, 2, 3, false, { '    return 42;' })
  vim.cmd('silent write')
  t.await('update', function()
    local status = t.status()
    return status.lastUpdate and status.lastUpdate.result == 'updated'
  end)
  t.equal(1, received('textDocument/willSave')[1].params.reason, 'reason')
  t.await('signs gone', function()
    return vim.tbl_isempty(t.signs())
  end)
  t.matches('updated: 1 function', require('molt').statusline(), 'status line')
  t.matches('%%#MoltStatusOk#', require('molt').statusline(), 'status line')
end)

t.case(':Molt rollback makes the edit pending again', function()
  vim.cmd('Molt rollback')
  t.await('rolled back', function()
    return t.status().lastUpdate.result == 'rolled-back' and t.status().pending.heldBack
  end)
  t.await('sign', function()
    return vim.deep_equal({ [3] = 'MoltSignChanged' }, t.signs())
  end)
end)

t.case(':Molt review shows the change set; <CR> goes to its source, ]] to the next entry', function()
  vim.cmd.edit(directory .. '/src/b.c')
  vim.api.nvim_buf_set_lines(0, 2, 3, false, { '    return 43;' })
  vim.cmd('silent Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  t.equal('acwrite', vim.bo.buftype, 'buffer type')
  local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  t.matches('2 pending changes', text, 'review')
  t.matches('function answer', vim.api.nvim_get_current_line(), 'first entry')
  local first = vim.api.nvim_win_get_cursor(0)[1]
  vim.api.nvim_feedkeys(']]', 'xt', false)
  t.matches('function answer', vim.api.nvim_get_current_line(), 'second entry')
  t.equal(true, vim.api.nvim_win_get_cursor(0)[1] > first, 'moved')
  vim.api.nvim_feedkeys('[[', 'xt', false)
  t.equal(first, vim.api.nvim_win_get_cursor(0)[1], 'back')
  vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'xt', false)
  t.matches('src/a%.c$', vim.api.nvim_buf_get_name(0), 'source')
  t.equal(1, vim.api.nvim_win_get_cursor(0)[1], 'line')
end)

t.case('the review has the difference of each declaration; <CR> goes to the line under the cursor', function()
  local review = vim.fn.bufwinid(vim.fn.bufnr('molt://*pending'))
  vim.api.nvim_set_current_win(review)
  vim.cmd('1')
  t.equal(true, vim.fn.search('^    -    return 41;$') > 0, 'removed line')
  t.equal('MoltReviewRemoved', t.highlight(), 'removed line')
  t.equal(true, vim.fn.search('^    +    return 43;$') > 0, 'added line')
  t.equal('MoltReviewAdded', t.highlight(), 'added line')
  vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'xt', false)
  t.matches('src/b%.c$', vim.api.nvim_buf_get_name(0), 'source')
  t.equal(3, vim.api.nvim_win_get_cursor(0)[1], 'line')
  vim.api.nvim_set_current_win(review)
  vim.fn.search('^    @@', 'b')
  t.equal('MoltReviewHunk', t.highlight(), 'hunk')
  vim.cmd.wincmd('p')
end)

t.case('the open review follows the change set', function()
  local review = vim.fn.bufnr('molt://*pending')
  vim.cmd.buffer(vim.fn.bufnr('*src/b.c'))
  vim.cmd.undo()
  t.await('one entry', function()
    return vim.api.nvim_buf_get_lines(review, 0, 1, false)[1]:find('^1 pending change ')
  end)
end)

t.case(':quit in the review leaves the changes pending', function()
  vim.cmd('silent Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  vim.cmd.quit()
  vim.wait(50)
  t.equal(1, pending(), 'pending')
  t.equal('rolled-back', t.status().lastUpdate.result, 'result')
end)

t.case(':write in the review applies them', function()
  vim.cmd.buffer(vim.fn.bufnr('*src/a.c'))
  vim.cmd('silent Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  vim.cmd.write()
  t.await('applied', function()
    return t.status().lastUpdate.result == 'updated' and pending() == 0
  end)
  t.equal(false, vim.bo.modified, 'modified')
  vim.cmd.quit()
end)

t.case(':Molt discard holds the changes back; a save does not apply them', function()
  vim.cmd.buffer(vim.fn.bufnr('*src/a.c'))
  vim.api.nvim_buf_set_lines(0, 2, 3, false, { '    return 44;' })
  t.await('pending', function()
    return pending() == 1
  end)
  vim.cmd('silent Molt discard')
  t.await('held back', function()
    return t.status().pending.heldBack
  end)
  vim.cmd('silent write')
  vim.wait(100)
  t.equal(1, pending(), 'pending')
  vim.cmd('silent Molt apply')
  t.await('applied', function()
    return pending() == 0
  end)
end)

t.case('what holds a save is said', function()
  vim.api.nvim_buf_set_lines(0, 2, 3, false, { '#error' })
  t.await('held', function()
    return t.status().held
  end)
  t.matches('held: 1 error in a%.c', t.printed('Molt status'), 'report')
  t.matches('MoltStatusWarning', require('molt').statusline(), 'status line')
  vim.cmd.undo()
end)

t.case(':Molt completes and refuses', function()
  t.equal({ 'review', 'rollback' }, vim.fn.getcompletion('Molt r', 'cmdline'), 'completion')
  local said
  local notify = vim.notify
  vim.notify = function(message)
    said = message
  end
  vim.cmd('Molt nonsense')
  vim.notify = notify
  t.matches('no command nonsense', said, 'message')
end)

t.case('the log has what the server said', function()
  vim.cmd('Molt log')
  t.matches('fake: build read', table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n'), 'log')
  vim.cmd.quit()
end)

t.case('all <Plug> maps are there, and no others', function()
  for _, name in ipairs({ 'apply', 'discard', 'log', 'review', 'rollback', 'status' }) do
    t.equal(true, vim.fn.maparg(('<Plug>(molt-%s)'):format(name), 'n') ~= '' or
      vim.fn.maparg(('<Plug>(molt-%s)'):format(name), 'n', false, true).callback ~= nil, name)
  end
  for _, map in ipairs(vim.api.nvim_get_keymap('n')) do
    t.equal(true, not (map.desc or ''):find('^Molt') or vim.startswith(map.lhs, '<Plug>'), map.lhs)
  end
end)

t.case('a link of the user is kept', function()
  vim.api.nvim_set_hl(0, 'MoltSignAdded', { link = 'Error' })
  vim.api.nvim_exec_autocmds('ColorScheme', {})
  t.equal('Error', vim.api.nvim_get_hl(0, { name = 'MoltSignAdded' }).link, 'link')
end)

t.case('with clangd in the buffer the server counts as clangd does', function()
  local before = #received('initialize')
  local other = vim.lsp.get_clients({ name = 'molt' })[1].offset_encoding == 'utf-8' and 'utf-16' or 'utf-8'
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.general.positionEncodings = { other }
  vim.lsp.start({ name = 'clangd', cmd = { FAKE }, root_dir = directory, capabilities = capabilities,
                  handlers = { ['molt/status'] = function() end } })
  t.await('same encoding', function()
    local molt = vim.lsp.get_clients({ name = 'molt', bufnr = 0 })[1]
    return molt and molt.offset_encoding == other and #received('initialize') >= before + 2
  end)
  t.await('status again', t.status)
end)

t.case('settings that are wrong are named', function()
  require('molt').setup({ save = 'sometimes', typo = true })
  local problems = table.concat(require('molt.config').problems(), '\n')
  t.matches('no setting is named typo', problems)
  t.matches('save is one of', problems)
  require('molt').setup()
end)

t.case('setup() changes the settings of a running server', function()
  require('molt').setup({ save = 'never' })
  local message = t.await('message', function()
    local all = received('workspace/didChangeConfiguration')
    return all[#all] and all[#all].params.settings.molt.save == 'never' and all[#all]
  end)
  t.equal(2.5, message.params.settings.molt.timeout, 'vim.g.molt stays')
end)

t.case(':checkhealth molt', function()
  vim.cmd('silent checkhealth molt')
  local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  t.matches('Language server: .*molt%-lsp', text)
  t.matches('looks after ' .. vim.pesc(directory), text)
  t.matches('fake %(pid 4711%): ready', text)
  vim.cmd.bwipeout()
end)

t.case(':help molt', function()
  local doc = t.repository .. '/editor-clients/neovim/doc'
  vim.cmd.helptags(doc)
  for _, tag in ipairs({ 'molt', ':Molt', 'molt-review', 'molt-settings', 'g:molt' }) do
    vim.cmd.help(tag)
  end
  vim.cmd.helpclose()
end)

local POINT = 'struct point {\n    int x;\n    int y;\n};\n\nint answer(void)\n{\n    return 41;\n}\n'

t.case('a structure that changes: hints at its members, its types in the review', function()
  require('molt').setup({ save = 'manual' })
  vim.fn.writefile(vim.split(POINT, '\n', { plain = true }), directory .. '/src/point.c', 'b')
  vim.cmd.edit(directory .. '/src/point.c')
  vim.lsp.inlay_hint.enable(true, { bufnr = 0 })
  t.await('opened', function()
    local all = received('textDocument/didOpen')
    return all[#all].params.textDocument.uri:find('point.c')
  end)
  vim.api.nvim_buf_set_lines(0, 2, 3, false, { '    double radius;' })
  t.await('planned', function()
    return t.status().plan ~= vim.NIL and t.status().plan
  end)
  t.await('hints', function()
    local hints = vim.lsp.inlay_hint.get({ bufnr = 0 })
    return hints[1] and hints[1].inlay_hint.label == 'zero' and hints[1].inlay_hint.position.line == 2
  end)
  vim.cmd('Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  local row = vim.fn.search('^  struct point, migrated by name')
  t.equal(true, row > 0, 'type in the review')
  t.equal('MoltReviewName', t.highlight(), 'name of the type')
  vim.fn.search('^Types of live instances', 'b')
  t.equal('MoltReviewTitle', t.highlight(), 'title')
  vim.fn.search('radius  zero')
  vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'xt', false)
  t.matches('src/point.c$', vim.api.nvim_buf_get_name(0), 'declaration')
  t.equal(1, vim.api.nvim_win_get_cursor(0)[1], 'line of the declaration')
end)

t.case('a failed validation is a state until the next attempt', function()
  vim.api.nvim_buf_set_lines(0, 6, 8, false, { '{', '    return 9999;' })
  vim.cmd('silent write')
  t.await('failed', function()
    return t.status().phase == 'validation-failed'
  end)
  t.equal('✖ Molt: validation failed: validation of struct point (molt/point.c:3)',
          require('molt').statusline({ plain = true }), 'status line')
  local diagnostics = t.await('diagnostic of a file that is not open', function()
    local all = vim.diagnostic.get(nil, { severity = vim.diagnostic.severity.ERROR })
    return #all > 0 and all
  end)
  t.matches('radius: %- %-> 3.5', diagnostics[1].message)
  local report = t.printed('Molt status')
  t.matches('instance 0x5581 %(2 of 3%)', report)
  t.matches('radius: %- %-> 3.5', report)
  t.equal(nil, report:find('x: 1'), 'values that are the same')
  vim.cmd('Molt review')
  t.await('section', function()
    return vim.fn.search('^Validation failed$') > 0
  end)
  t.equal('MoltReviewFailed', t.highlight(), 'title')
  vim.fn.search('^    \\* radius')
  t.equal('MoltReviewModified', t.highlight(), 'value that differs')
  vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'xt', false)
  t.matches('molt/point.c$', vim.api.nvim_buf_get_name(0), 'policy')
  vim.cmd.bwipeout({ bang = true })
  vim.cmd('Molt discard')
  t.await('cleared', function()
    return t.status().phase == 'idle' and #vim.diagnostic.get(nil, { severity = vim.diagnostic.severity.ERROR }) == 0
  end)
end)

t.case('a lens above a structure, and :Molt instances, show what lives', function()
  vim.cmd.buffer(vim.fn.bufnr('*src/point.c'))
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  if not vim.lsp.codelens.enable then -- later versions ask by themselves
    vim.lsp.codelens.refresh({ bufnr = 0 })
    t.await('lens', function()
      local lens = vim.lsp.codelens.get(0)[1]
      return lens and lens.command and lens.command.title == '2 live instances'
    end)
  end
  vim.lsp.codelens.run()
  t.await('shown', function()
    return vim.bo.filetype == 'molt-instances'
  end)
  t.equal('struct point: 2 instances of 8 bytes', vim.api.nvim_buf_get_lines(0, 2, 3, false)[1], 'text')
  t.equal(false, vim.bo.modifiable, 'modifiable')
  vim.api.nvim_feedkeys('q', 'xt', false)
  vim.cmd('Molt instances')
  t.await('table', function()
    return vim.api.nvim_buf_get_name(0):find('all types$')
  end)
  t.matches('bytes  instances  type', vim.api.nvim_buf_get_lines(0, 2, 3, false)[1])
  vim.cmd('close')
end)

t.case(':Molt policy and :Molt validation write one to start from', function()
  vim.cmd.buffer(vim.fn.bufnr('*src/point.c'))
  vim.api.nvim_win_set_cursor(0, { 2, 0 })
  vim.cmd('Molt validation')
  t.await('shown', function()
    return vim.api.nvim_buf_get_name(0):find('molt/point.c$')
  end)
  t.equal('MOLT_VALIDATE(struct point, old, new)', vim.api.nvim_buf_get_lines(0, 2, 3, false)[1], 'text')
  t.equal(3, vim.api.nvim_win_get_cursor(0)[1], 'line')
  vim.cmd('silent! write | bwipeout!')
  vim.cmd.buffer(vim.fn.bufnr('*src/point.c'))
  vim.cmd('Molt policy struct other')
  local last = t.await('command', function()
    local all = received('workspace/executeCommand')
    local argument = all[#all].params.arguments[1]
    return argument.type == 'struct other' and argument
  end)
  t.equal(false, last.validation, 'validation')
  vim.cmd('silent! bwipeout! molt/point.c')
end)

t.case('a server that dies is reported, and nothing stays', function()
  vim.cmd.buffer(vim.fn.bufnr('*src/a.c'))
  local said
  local notify = vim.notify
  vim.notify = function(message)
    said = message
  end
  for _, client in ipairs(vim.lsp.get_clients({ name = 'clangd' })) do
    require('molt.client').call(client, 'stop', true)
  end
  t.await('clangd gone', function()
    return #vim.lsp.get_clients({ name = 'clangd' }) == 0
  end)
  local pid = vim.trim(vim.fn.system({ 'pgrep', '-n', '-P', tostring(vim.fn.getpid()), '-f', 'fake/molt-lsp' }))
  vim.uv.kill(tonumber(pid), 'sigkill')
  t.await('message', function()
    return said
  end)
  vim.notify = notify
  t.matches('Client molt quit', said)
  t.equal('', require('molt').statusline(), 'status line')
  t.equal({}, t.signs(), 'signs')
end)

t.finish()
