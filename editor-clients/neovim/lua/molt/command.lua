--- :Molt <subcommand>
local M = {}

local NAMES = { 'apply', 'discard', 'instances', 'log', 'policy', 'review', 'rollback', 'status', 'validation' }

---@param argument string "review", "policy struct conn"
function M.run(argument)
  local name, rest = argument:match('^(%S+)%s*(.-)%s*$')
  if vim.tbl_contains(NAMES, name) then
    require('molt')[name](rest ~= '' and rest or nil)
  else
    vim.notify(('Molt: no command %s; there are %s'):format(argument, table.concat(NAMES, ', ')), vim.log.levels.ERROR)
  end
end

---@param lead string what is typed of the word
---@return string[]
function M.complete(lead)
  return vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, NAMES)
end

return M
