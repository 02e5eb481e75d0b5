--- Where a project begins: the nearest directory above a file that Molt can work in.
local M = {}

local DATABASE = 'compile_commands.json'

---@param directory string
---@return boolean
local function has_database(directory)
  if vim.uv.fs_stat(directory .. '/' .. DATABASE) then
    return true
  end
  for name, kind in vim.fs.dir(directory) do
    local inside = ('%s/%s/%s'):format(directory, name, DATABASE)
    if kind == 'directory' and vim.startswith(name, 'build') and vim.uv.fs_stat(inside) then
      return true
    end
  end
  return false
end

---@param path string a file's absolute path
---@return string? root the directory with molt.toml, else the one whose compile database is there or in build*/
function M.find(path)
  local found
  for directory in vim.fs.parents(path) do
    if vim.uv.fs_stat(directory .. '/molt.toml') then
      return directory
    end
    if not found and has_database(directory) then
      found = directory
    end
  end
  return found
end

return M
