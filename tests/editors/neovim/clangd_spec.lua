-- Beside clangd, the real one, on a source of a program that runs (MOLT_PROJECT, MOLT_PORT): each server does its own,
-- neither disturbs the other, and Neovim has nothing to complain of.
local here = vim.fs.dirname(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p'))
package.path = here .. '/?.lua;' .. package.path
local t = require('harness')

local PROJECT = assert(vim.env.MOLT_PROJECT)
local SOURCE = PROJECT .. '/src/answer.c'
local ask = t.connect(assert(tonumber(vim.env.MOLT_PORT)))

-- Everything that Neovim says on its own account.
local said = {}
local function listen(name)
  local tell = vim[name]
  vim[name] = function(message, level, ...)
    if (level or 0) >= vim.log.levels.WARN then
      said[#said + 1] = message
    end
    return tell(message, level, ...)
  end
end
listen('notify')
listen('notify_once')

--- Starts clangd for the current buffer as nvim-lspconfig does: it is offered these encodings, by the name that clangd
--- had for that before LSP had one, and says which it took.
local function start_clangd(encodings)
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.offsetEncoding = encodings
  return assert(vim.lsp.start({
    name = 'clangd',
    cmd = { 'clangd', '--background-index=false', '--log=error' },
    root_dir = PROJECT,
    capabilities = capabilities,
    on_init = function(client, result)
      client.offset_encoding = result.offsetEncoding or client.offset_encoding
    end,
  }))
end

local function client_of(name)
  return vim.lsp.get_clients({ name = name, bufnr = 0 })[1]
end

local function stop(name)
  for _, client in ipairs(vim.lsp.get_clients({ name = name })) do
    require('molt.client').call(client, 'stop')
  end
  t.await(name .. ' ended', function()
    return #vim.lsp.get_clients({ name = name }) == 0
  end)
end

local function ready()
  return t.await('ready program', function()
    local status = t.status()
    return status and status.phase == 'idle' and status.engines[1] and status.engines[1].state == 'ready'
  end, 20)
end

--- Both are at the buffer and count in ENCODING.
local function attached(encoding)
  t.await('both attached, counting in ' .. encoding, function()
    local clangd, molt = client_of('clangd'), client_of('molt')
    return clangd and molt and clangd.offset_encoding == encoding and molt.offset_encoding == encoding
  end)
  ready()
end

--- The diagnostics of the buffer that SERVER published.
local function diagnostics(server)
  return vim.tbl_filter(function(diagnostic)
    local namespace = vim.diagnostic.get_namespace(diagnostic.namespace)
    return namespace.name:find(server, 1, true) ~= nil
  end, vim.diagnostic.get(0))
end

--- The answers to METHOD at the cursor, by the server's name; null counts as none.
local function answers(method, params)
  local clangd = client_of('clangd')
  params = params or vim.lsp.util.make_position_params(0, clangd.offset_encoding)
  local ret = {}
  for id, answer in pairs(vim.lsp.buf_request_sync(0, method, params, 10000) or {}) do
    if answer.result and answer.result ~= vim.NIL then
      ret[vim.lsp.get_client_by_id(id).name] = answer.result
    end
  end
  return ret
end

local function set_lines(first, last, lines)
  vim.api.nvim_buf_set_lines(0, first - 1, last, false, lines)
end

local function line(number)
  return vim.api.nvim_buf_get_lines(0, number - 1, number, false)[1]
end

local function saved(answer)
  vim.cmd('silent write')
  t.await('the answer ' .. answer, function()
    return ask() == answer
  end, 20)
  t.await('nothing pending', function()
    return t.status().quiescent and t.status().pending.count == 0
  end)
end

vim.fn.writefile({ 'BasedOnStyle: WebKit', 'BreakBeforeBraces: Linux' }, PROJECT .. '/.clang-format')
t.load({ cmd = { vim.env.MOLT_BUILD .. '/lsp-server/molt-lsp' } })

t.case('clangd: comes to a buffer where Molt is, and is followed', function()
  vim.cmd.edit(SOURCE)
  ready()
  start_clangd({ 'utf-8', 'utf-16' })
  attached('utf-8')
end)

t.case('clangd: is there before Molt', function()
  stop('molt')
  require('molt.client').start(0)
  attached('utf-8')
end)

t.case('clangd: starts at the same time, counting otherwise', function()
  stop('molt')
  stop('clangd')
  start_clangd({ 'utf-16' })
  require('molt.client').start(0)
  attached('utf-16')
  stop('molt')
  stop('clangd')
  require('molt.client').start(0)
  start_clangd({ 'utf-8' })
  attached('utf-8')
end)

t.case('clangd: hover, definition and formatting are its own', function()
  vim.api.nvim_win_set_cursor(0, { 3, 13 })
  local hover = answers('textDocument/hover')
  t.equal({ 'clangd' }, vim.tbl_keys(hover), 'who answers')
  t.matches('function `answer`', vim.inspect(hover.clangd))
  t.equal({ 'clangd' }, vim.tbl_keys(answers('textDocument/definition')), 'who answers')
  set_lines(5, 5, { '/* ä 𝔸 */ return   "hello from version é𝔸" ;' })
  vim.lsp.buf.format({ timeout_ms = 10000 })
  t.equal('    /* ä 𝔸 */ return "hello from version é𝔸";', line(5), 'formatted')
end)

t.case('clangd: what it formatted is pending, and a save applies it', function()
  t.await('pending', function()
    return t.status().pending.count == 1
  end)
  saved('hello from version é𝔸')
end)

t.case('clangd: its rename is an edit like any other', function()
  set_lines(2, 4, { '', 'static const char *ä_text(void) { return "ä𝔸"; }', '', 'const char *answer(void)', '{' })
  set_lines(7, 7, { '    /* ä𝔸 */ return ä_text();' })
  vim.api.nvim_win_set_cursor(0, { 3, 19 })
  vim.lsp.buf.rename('renamed_text')
  t.await('renamed', function()
    return line(7) == '    /* ä𝔸 */ return renamed_text();' and line(3):find('renamed_text', 1, true)
  end)
  saved('ä𝔸')
end)

t.case('clangd: both have their diagnostics, at the same place', function()
  set_lines(7, 7, { '    /* ä𝔸 */ return nonsense;' })
  local clangd = t.await('a diagnostic of clangd', function()
    return diagnostics('clangd')[1]
  end)
  t.equal(0, #diagnostics('molt'), 'of Molt before the save')
  vim.cmd('silent write')
  local molt = t.await('a diagnostic of Molt', function()
    return diagnostics('molt')[1]
  end, 20)
  t.matches('nonsense', clangd.message)
  t.matches('nonsense', molt.message)
  t.equal({ 6, 6 }, { clangd.lnum, molt.lnum }, 'lines')
  t.equal(line(7):find('nonsense', 1, true) - 1, clangd.col, 'column of clangd')
  t.equal(clangd.col, molt.col, 'column of Molt')
  t.equal('ä𝔸', ask(), 'answer')
  set_lines(7, 7, { '    /* 𝔸 */ return "mended";' })
  saved('mended')
  t.await('no diagnostics of Molt', function()
    return #diagnostics('molt') == 0
  end)
  t.await('no errors of clangd', function()
    return #vim.diagnostic.get(0, { severity = vim.diagnostic.severity.ERROR }) == 0
  end)
end)

t.case('clangd: code lenses, commands and the review are Molt\'s', function()
  local lenses = answers('textDocument/codeLens', { textDocument = vim.lsp.util.make_text_document_params() })
  t.equal({ 'molt' }, vim.tbl_keys(lenses), 'who answers')
  t.equal('molt.review', lenses.molt[1].command.command, 'command')
  set_lines(7, 7, { '    return "once more";' })
  t.await('pending', function()
    return t.status().pending.count == 1
  end)
  vim.cmd('silent Molt review')
  t.await('review', function()
    return vim.bo.filetype == 'molt-review'
  end)
  t.equal(0, #vim.lsp.get_clients({ bufnr = 0 }), 'servers at the review')
  vim.cmd.quit()
  saved('once more')
  vim.cmd('silent Molt rollback')
  t.await('the answer before', function()
    return ask() == 'mended'
  end)
end)

t.case('clangd: Neovim has nothing to complain of', function()
  vim.cmd('silent checkhealth vim.lsp')
  local health = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  t.equal(nil, health:match('WARNING[^\n]*ncoding[^\n]*'), 'health')
  t.equal({}, vim.tbl_filter(function(message)
    return message:find('ncoding') ~= nil or message:find('clangd', 1, true) ~= nil
  end, said), 'messages')
end)

t.finish()
