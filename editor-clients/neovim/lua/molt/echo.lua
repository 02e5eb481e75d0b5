--- What becomes of a save, in the command line, unless a status line shows it: no save ends without a word.
---
--- The server handles messages in their order, so its answer to a request after a save already knows of the save. If
--- an update is under way by then, the statuses that follow tell how it goes on, up to the first that is quiescent.
local config = require('molt.config')

local M = {}

---@type table<string, boolean> workspaces of which the end of an update is waited for
local waiting = {}
local drawn = false

--- A status line shows the status.
function M.drawn()
  drawn = true
end

---@return boolean
local function wanted()
  local set = config.get().echo
  if set == nil then
    return not drawn
  end
  return set
end

--- One line, which asks for no key: what is longer is in :Molt status and :Molt log.
---@param text string
---@param group string
---@param history boolean whether :messages has it
local function say(text, group, history)
  vim.cmd.redraw() -- a second line would ask for one
  text = vim.fn.strcharpart((text:gsub('%s+', ' ')), 0, vim.v.echospace)
  vim.api.nvim_echo({ { text, group } }, history, {})
end

--- The server has something to say to the user, who need not be told of the same save again.
---@param type integer as in LSP: 1 error, 2 warning
---@param text string
function M.message(type, text)
  waiting = {}
  say(text, type == 1 and 'ErrorMsg' or type == 2 and 'WarningMsg' or 'Normal', true)
end

--- A status came. Failed validations are told by whoever learns of them.
---@param status molt.Status
---@param text string what a status line says of it
---@param group string
function M.follow(status, text, group)
  if not waiting[status.workspace] then
    return
  end
  if status.quiescent then
    waiting[status.workspace] = nil
  end
  local typing = vim.api.nvim_get_mode().mode:sub(1, 1) == 'c'
  if not typing and not (status.quiescent and status.validation) then
    say('Molt: ' .. text, group, false)
  end
end

--- A buffer was written.
---@param buffer integer
function M.saved(buffer)
  local status, client = require('molt.status'), require('molt.client')
  if not vim.api.nvim_buf_is_valid(buffer) then
    return
  end
  local before = status.of(buffer)
  local server = client.clients({ bufnr = buffer })[1]
  if not before or not server or not wanted() then
    return
  end
  client.request(server, 'molt/status', { workspace = before.workspace }, function(_, result)
    for _, one in ipairs(result or {}) do
      waiting[one.workspace] = true
      status.set(one)
    end
  end)
end

return M
