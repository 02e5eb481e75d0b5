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
