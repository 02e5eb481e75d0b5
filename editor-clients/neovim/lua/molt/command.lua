--- :Molt <subcommand>
local M = {}

local NAMES = { 'apply', 'discard', 'log', 'review', 'rollback', 'status' }

---@param argument string
function M.run(argument)
  if vim.tbl_contains(NAMES, argument) then
    require('molt')[argument]()
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
