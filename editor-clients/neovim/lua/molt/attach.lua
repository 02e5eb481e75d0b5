--- When the server is started, and what happens once it has been attached to a buffer.
local M = {}

local GROUPS = {
  MoltSignAdded = 'Added',
  MoltSignChanged = 'Changed',
  MoltSignRemoved = 'Removed',
  MoltStatusOk = 'DiagnosticOk',
  MoltStatusBusy = 'DiagnosticInfo',
  MoltStatusWarning = 'DiagnosticWarn',
  MoltStatusError = 'DiagnosticError',
  MoltReviewAdded = 'Added',
  MoltReviewModified = 'Changed',
  MoltReviewRemoved = 'Removed',
  MoltReviewHunk = 'Comment',
  MoltReviewName = 'Function',
  MoltReviewTitle = 'Title',
  MoltReviewFile = 'Directory',
  MoltReviewFailed = 'DiagnosticError',
}

local function highlight()
  for group, link in pairs(GROUPS) do
    vim.api.nvim_set_hl(0, group, { link = link, default = true })
  end
end

local function on_attach(event)
  local client = vim.lsp.get_client_by_id(event.data.client_id)
  if not client then
    return
  elseif client.name == 'molt' then
    require('molt.signs').attach(event.buf)
  elseif client.name == 'clangd' then
    require('molt.client').match_encoding(client, event.buf)
  end
end

local function on_progress(event)
  local client = vim.lsp.get_client_by_id(event.data.client_id)
  local params = event.data.params or event.data.result
  if client and client.name == 'molt' and params then
    require('molt.status').progress(params.token, params.value)
  end
end

--- Lets the server be started for C and C++ files: by vim.lsp.enable where there is one, else by an autocommand.
function M.configure()
  local group = vim.api.nvim_create_augroup('molt.start', {})
  local automatic = require('molt.config').get().autostart
  if vim.lsp.enable then
    vim.lsp.enable('molt', automatic)
  elseif automatic then
    vim.api.nvim_create_autocmd('FileType', {
      group = group,
      pattern = require('molt.client').FILETYPES,
      desc = 'Molt: start the language server',
      callback = function(event)
        require('molt.client').start(event.buf)
      end,
    })
  end
end

--- What the lenses do: |vim.lsp.codelens.run()|.
local function lens_commands()
  vim.lsp.commands['molt.instances'] = function(command)
    require('molt.instances').open(command.arguments and command.arguments[1])
  end
  vim.lsp.commands['molt.review'] = function()
    require('molt').review()
  end
end

--- Once, when Neovim loads the plugin.
function M.init()
  local group = vim.api.nvim_create_augroup('molt', {})
  vim.api.nvim_create_autocmd('ColorScheme', { group = group, callback = highlight })
  vim.api.nvim_create_autocmd('LspAttach', { group = group, callback = on_attach })
  vim.api.nvim_create_autocmd('BufWritePost', {
    group = group,
    callback = function(event)
      vim.schedule(function() -- after the server has been told of the save
        require('molt.echo').saved(event.buf)
      end)
    end,
  })
  vim.api.nvim_create_autocmd('LspProgress', { group = group, callback = on_progress })
  highlight()
  lens_commands()
  M.configure()
end

return M
