--- What the user has set: defaults, then vim.g.molt, then what setup() was given.
local M = {}

---@class molt.Signs
---@field enabled? boolean mark lines that differ from the running program
---@field added? string
---@field changed? string
---@field removed? string
---@field priority? integer

---@class molt.Config
---@field cmd? string[] the language server
---@field autostart? boolean start it for C and C++ files of a project with a compile database
---@field build? string directory with compile_commands.json
---@field binaries? string[] what is updated; default: what the server finds in the build directory
---@field root? string source root; default: found by the server
---@field save? "never"|"manual"|"manualIfDirty"|"all" which saves update the program
---@field timeout? number seconds to wait for a safe update point
---@field rehearse? boolean try updates that run policies in a copy of the process first
---@field strict? boolean wait for suspended functions, never take them over where they wait
---@field transferAfter? number seconds after which they are taken over
---@field instances? boolean count live instances unasked, for code lenses and the review
---@field echo? boolean say in the command line what becomes of a save; default: where no status line shows it
---@field signs? molt.Signs
---@field review? { split?: string } the command that opens the review's window

---@type molt.Config
local defaults = {
  cmd = { 'molt-lsp' },
  autostart = true,
  signs = { enabled = true, added = '▎', changed = '▎', removed = '▁', priority = 8 },
  review = { split = 'botright split' },
}

---@type molt.Config
local given = {}

--- Settings of setup() go over those of vim.g.molt.
---@param opts? molt.Config
function M.set(opts)
  given = opts or {}
end

---@return molt.Config
function M.get()
  local global = type(vim.g.molt) == 'table' and vim.g.molt or {}
  return vim.tbl_deep_extend('force', defaults, global, given)
end

--- The settings that the server itself reads; those not given are left to molt.toml.
---@return table
function M.server()
  local config, ret = M.get(), vim.empty_dict()
  local keys = { 'build', 'binaries', 'root', 'save', 'timeout', 'rehearse', 'instances', 'strict', 'transferAfter' }
  for _, key in ipairs(keys) do
    ret[key] = config[key]
  end
  return ret
end

--- What is wrong with the settings, one line each.
---@return string[]
function M.problems()
  local config, ret = M.get(), {}
  local kinds = {
    cmd = 'table',
    autostart = 'boolean',
    build = 'string',
    binaries = 'table',
    root = 'string',
    save = 'string',
    timeout = 'number',
    rehearse = 'boolean',
    instances = 'boolean',
    strict = 'boolean',
    transferAfter = 'number',
    echo = 'boolean',
    signs = 'table',
    review = 'table',
  }
  for key, value in pairs(config) do
    local kind = kinds[key]
    if not kind then
      ret[#ret + 1] = ('no setting is named %s'):format(key)
    elseif type(value) ~= kind then
      ret[#ret + 1] = ('%s is a %s, not a %s'):format(key, type(value), kind)
    end
  end
  local policies = { 'never', 'manual', 'manualIfDirty', 'all' }
  if config.save and not vim.tbl_contains(policies, config.save) then
    ret[#ret + 1] = 'save is one of ' .. table.concat(policies, ', ')
  end
  table.sort(ret)
  return ret
end

return M
