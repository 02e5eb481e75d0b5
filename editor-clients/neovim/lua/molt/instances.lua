--- What lives in the running program: a read-only buffer for each type that was asked for.
local client = require('molt.client')
local config = require('molt.config')

local M = {}

---@param name string
---@return integer buffer
local function buffer_named(name)
  local buffer = vim.fn.bufnr(vim.fn.fnameescape(name))
  if buffer == -1 then
    buffer = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(buffer, name)
    vim.bo[buffer].bufhidden = 'wipe'
    vim.bo[buffer].filetype = 'molt-instances'
    vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, desc = 'Molt: close' })
  end
  return buffer
end

---@param result { workspace: string, text: string }
---@param type_name? string
local function show(result, type_name)
  local folder = vim.uri_to_fname(result.workspace)
  local buffer = buffer_named(('molt://%s/instances/%s'):format(folder, type_name or 'all types'))
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split((result.text:gsub('\n$', '')), '\n', { plain = true }))
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].modified = false
  local window = vim.fn.bufwinid(buffer)
  if window == -1 then
    vim.cmd(config.get().review.split)
    vim.api.nvim_win_set_buf(0, buffer)
    vim.wo[0][0].wrap = false
  else
    vim.api.nvim_set_current_win(window)
  end
end

--- Counts the instances of a type and shows some of them; without a type, all types by the memory they take.
---@param argument? { workspace?: string, type?: string }
function M.open(argument)
  argument = argument or {}
  client.execute('molt.instances', function(result)
    show(result, argument.type)
  end, argument)
end

return M
