--- Molt for Neovim: what scripts and key maps may call. No setup is needed; see |molt|.
local client = require('molt.client')
local status = require('molt.status')

local M = {}

--- Overrides settings. Not needed: vim.g.molt and the defaults do without it.
---@param opts? molt.Config
function M.setup(opts)
  require('molt.config').set(opts)
  if opts and opts.cmd and vim.lsp.config then
    vim.lsp.config(client.NAME, { cmd = opts.cmd })
  end
  require('molt.attach').configure()
  client.configured()
end

---@param result table|table[] a status object, several with several workspaces
local function tell(result)
  for _, one in ipairs(vim.islist(result) and result or { result }) do
    local last = one.lastUpdate
    local text = type(last) == 'table' and last.message or one.message
    vim.api.nvim_echo({ { 'Molt: ' .. text, one.health == 'error' and 'MoltStatusError' or 'Normal' } }, false, {})
  end
end

--- Writes the modified buffers that have pending changes: what the review shows is what is applied.
local function save_pending()
  for _, one in pairs(status.all()) do
    for _, file in ipairs(one.pending.files) do
      local buffer = vim.uri_to_bufnr(file.uri)
      if vim.api.nvim_buf_is_loaded(buffer) and vim.bo[buffer].modified then
        vim.api.nvim_buf_call(buffer, function()
          vim.cmd('silent update')
        end)
      end
    end
  end
end

--- Updates the program now, whatever saves do. Buffers with pending changes are saved first.
function M.apply()
  save_pending()
  client.execute('molt.apply', tell)
end

--- Drops the update that is on its way and holds the pending changes back.
function M.discard()
  client.execute('molt.discard', function(result)
    for _, one in ipairs(vim.islist(result) and result or { result }) do
      vim.api.nvim_echo({ { 'Molt: ' .. one.message } }, false, {})
    end
  end)
end

--- Takes the program back to before its last update.
function M.rollback()
  client.execute('molt.rollback', tell)
end

--- Opens the review of what is pending.
function M.review()
  require('molt.review').open()
end

--- The type that the cursor is in, if it changes: the server offers a policy for it.
---@param validation boolean
---@param callback fun(argument: table)
local function type_here(validation, callback)
  local server = client.clients({ bufnr = 0 })[1]
  if not server then
    callback({})
    return
  end
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local params = {
    textDocument = { uri = vim.uri_from_bufnr(0) },
    range = { start = { line = row, character = 0 }, ['end'] = { line = row, character = 0 } },
    context = { diagnostics = {}, only = { 'refactor' } },
  }
  client.request(server, 'textDocument/codeAction', params, function(_, actions)
    for _, action in ipairs(actions or {}) do
      local argument = action.command and action.command.arguments and action.command.arguments[1]
      if argument and argument.validation == validation then
        callback({ type = argument.type })
        return
      end
    end
    callback({})
  end)
end

---@param name? string
---@param validation boolean
local function write(name, validation)
  local function ask(argument)
    argument.validation = validation
    client.execute('molt.writePolicy', nil, argument)
  end
  if name and name ~= '' then
    ask({ type = name })
  else
    type_here(validation, ask)
  end
end

--- Writes a migration policy to start from into molt/, and opens it.
---@param name? string "struct conn"; without it, the type under the cursor, or the first that changes
function M.policy(name)
  write(name, false)
end

--- The same for a validation.
---@param name? string
function M.validation(name)
  write(name, true)
end

--- Shows how many instances of a type live in the program, and some of them.
---@param name? string "struct conn"; without it, all types as a table
function M.instances(name)
  require('molt.instances').open({ type = name })
end

--- Opens the server's log.
function M.log()
  require('molt.log').open()
end

--- Prints what is known of every workspace and its programs.
function M.status()
  local report = status.report()
  if #report == 0 then
    report = { { 'Molt: no language server runs; see :checkhealth molt\n', 'WarningMsg' } }
  end
  vim.api.nvim_echo(report, false, {})
end

M.statusline = status.line

return M
