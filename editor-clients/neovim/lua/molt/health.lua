--- :checkhealth molt
local client = require('molt.client')
local config = require('molt.config')
local status = require('molt.status')

local M = {}

local health = vim.health

local function check_neovim()
  if vim.fn.has('nvim-0.10') == 1 then
    health.ok('Neovim ' .. tostring(vim.version()))
  else
    health.error('Neovim 0.10 or later is needed')
  end
end

local function check_settings()
  local problems = config.problems()
  for _, problem in ipairs(problems) do
    health.warn('vim.g.molt: ' .. problem, 'See :help molt-settings')
  end
  if #problems == 0 then
    health.ok('Settings are well-formed')
  end
end

local function check_server()
  local command = config.get().cmd
  if vim.fn.executable(command[1]) == 1 then
    health.ok('Language server: ' .. vim.fn.exepath(command[1]))
  else
    health.error(('%s cannot be run'):format(command[1]), {
      'Put build/lsp-server/molt-lsp on the PATH, or',
      "say where it is: vim.g.molt = { cmd = { '/path/to/molt-lsp' } }",
    })
  end
end

local function check_clients()
  local clients = client.clients()
  if #clients == 0 then
    health.info('No server runs: open a C file below a directory with molt.toml or a compile database')
  end
  for _, server in ipairs(clients) do
    health.ok(('Server %d looks after %s, counting in %s'):format(
      server.id, server.config.root_dir or 'no folder', server.offset_encoding))
  end
  for _, clangd in ipairs(vim.lsp.get_clients({ name = 'clangd' })) do
    for _, server in ipairs(clients) do
      if server.offset_encoding ~= clangd.offset_encoding then
        health.warn(('clangd counts in %s, Molt in %s'):format(clangd.offset_encoding, server.offset_encoding))
      end
    end
  end
end

local function check_programs()
  for workspace, one in pairs(status.all()) do
    local path = vim.uri_to_fname(workspace)
    if #one.engines == 0 then
      health.warn(('No program of %s runs with Molt'):format(path), 'Start it with: molt run -- PROGRAM')
    end
    for _, engine in ipairs(one.engines) do
      local say = (engine.state == 'ready' or engine.state == 'behind') and health.ok or health.warn
      say(('%s (pid %d): %s'):format(engine.name, engine.pid, engine.state))
    end
    if one.health ~= 'ok' then
      health.warn(('%s: %s'):format(path, one.message))
    end
  end
end

function M.check()
  health.start('molt: editor')
  check_neovim()
  check_settings()
  health.start('molt: server')
  check_server()
  check_clients()
  health.start('molt: programs')
  check_programs()
end

return M
