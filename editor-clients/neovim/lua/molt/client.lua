--- The language client: how the server is started, and what its own messages do.
---
--- Neovim 0.11 and later start it by vim.lsp.enable('molt') and lsp/molt.lua; 0.10 by an autocommand. Both take the
--- same description from here. Positions are counted in clangd's encoding wherever clangd is attached, since Neovim
--- warns about clients of one buffer that count differently.
local config = require('molt.config')
local log = require('molt.log')
local root = require('molt.root')
local status = require('molt.status')

local M = {}

M.NAME = 'molt'
M.FILETYPES = { 'c', 'cpp' }

---@param filter? table as for vim.lsp.get_clients
---@return vim.lsp.Client[]
function M.clients(filter)
  return vim.lsp.get_clients(vim.tbl_extend('force', { name = M.NAME }, filter or {}))
end

--- Calls a method of a client: before 0.11 they were plain functions.
---@param client vim.lsp.Client
---@param name "request"|"notify"|"stop"
function M.call(client, name, ...)
  if vim.fn.has('nvim-0.11') == 1 then
    return client[name](client, ...)
  end
  return client[name](...)
end

--- The encoding that clangd uses, if it runs.
---@return string?
local function clangd_encoding()
  local clangd = vim.lsp.get_clients({ name = 'clangd' })[1]
  return clangd and clangd.offset_encoding
end

local function before_init(params)
  params.initializationOptions = config.server()
  local encoding = clangd_encoding()
  if encoding then
    local general = params.capabilities.general or {}
    general.positionEncodings = { encoding }
    params.capabilities.general = general
  end
end

local handlers = {
  ['molt/status'] = function(_, result)
    status.set(result)
  end,
  ['molt/runningChanged'] = function(_, result)
    require('molt.signs').running_changed(result.uris)
  end,
  ['window/showMessage'] = function(_, result)
    log.add(result.type, result.message)
    require('molt.echo').message(result.type, result.message)
  end,
  ['window/logMessage'] = function(_, result)
    log.add(result.type, result.message)
  end,
}

local function on_exit(code, signal, id)
  vim.schedule(function()
    status.clear()
    require('molt.signs').clear()
    log.add(code == 0 and signal == 0 and 4 or 1, ('the server ended with status %d, signal %d'):format(code, signal))
    -- Neovim forgets the client in a callback of its own, scheduled after this one.
    vim.schedule(function()
      M.restarted(id)
    end)
  end)
end

--- The description of the server, for vim.lsp.config and vim.lsp.start. `cmd` is read when it is started.
---@return table
function M.description()
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.experimental = { molt = { failedValidation = true } }
  return {
    name = M.NAME,
    cmd = config.get().cmd,
    filetypes = M.FILETYPES,
    capabilities = capabilities,
    before_init = before_init,
    handlers = handlers,
    on_exit = on_exit,
  }
end

--- Starts the server for a buffer, if its file lies in a project; a second buffer of the project joins it.
---@param buffer? integer
---@return integer? client_id
function M.start(buffer)
  buffer = (buffer == nil or buffer == 0) and vim.api.nvim_get_current_buf() or buffer
  local path = vim.api.nvim_buf_get_name(buffer)
  if vim.bo[buffer].buftype ~= '' or path == '' then
    return
  end
  local directory = root.find(vim.fs.normalize(vim.fn.fnamemodify(path, ':p')))
  if not directory then
    return
  end
  local description = vim.lsp.config and vim.lsp.config[M.NAME] or M.description()
  description = vim.tbl_extend('force', vim.deepcopy(description), { root_dir = directory })
  return vim.lsp.start(description, { bufnr = buffer })
end

---@type table<integer, integer[]> client id: buffers to attach once it has ended
local restarts = {}

--- Ends a server and starts it again for the same buffers (the journal keeps what is pending).
---@param client vim.lsp.Client
function M.restart(client)
  if not restarts[client.id] then
    restarts[client.id] = vim.tbl_keys(client.attached_buffers or {})
    M.call(client, 'stop')
  end
end

---@param id integer a client that ended
function M.restarted(id)
  for _, buffer in ipairs(restarts[id] or {}) do
    if vim.api.nvim_buf_is_loaded(buffer) then
      M.start(buffer)
    end
  end
  restarts[id] = nil
end

--- clangd came to a buffer where Molt is: both must count alike.
---@param clangd vim.lsp.Client
---@param buffer integer
function M.match_encoding(clangd, buffer)
  for _, client in ipairs(M.clients({ bufnr = buffer })) do
    if client.offset_encoding ~= clangd.offset_encoding then
      log.add(4, ('clangd counts in %s: starting again with it'):format(clangd.offset_encoding))
      M.restart(client)
    end
  end
end

--- The client for the current buffer, else any; nothing (and a word to the user) without one.
---@return vim.lsp.Client?
function M.current()
  local client = M.clients({ bufnr = 0 })[1] or M.clients()[1]
  if not client then
    vim.notify('Molt: no language server runs here; see :checkhealth molt', vim.log.levels.WARN)
  end
  return client
end

--- Sends a request. The answer null is nil.
---@param client vim.lsp.Client
---@param method string
---@param params table
---@param callback fun(error: table?, result: any)
function M.request(client, method, params, callback)
  M.call(client, 'request', method, params, function(error, result)
    callback(error, result ~= vim.NIL and result or nil)
  end)
end

--- The settings changed while servers run.
function M.configured()
  for _, client in ipairs(M.clients()) do
    M.call(client, 'notify', 'workspace/didChangeConfiguration', { settings = { molt = config.server() } })
  end
end

--- Runs one of the server's commands for the workspace of the current buffer.
---@param command "molt.apply"|"molt.discard"|"molt.rollback"|"molt.status"|"molt.writePolicy"|"molt.instances"
---@param callback? fun(result: any)
---@param argument? table what the command wants to know beside the workspace
function M.execute(command, callback, argument)
  local client = M.current()
  if not client then
    return
  end
  local here = status.of(0)
  argument = vim.tbl_extend('force', argument or {}, { workspace = here and here.workspace })
  local params = { command = command, arguments = next(argument) and { argument } or {} }
  M.request(client, 'workspace/executeCommand', params, function(error, result)
    if error then
      vim.notify('Molt: ' .. error.message, vim.log.levels.ERROR)
    elseif callback then
      callback(result)
    end
  end)
end

return M
