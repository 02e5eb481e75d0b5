--- What the server says in detail (window/logMessage), kept for :Molt log.
local M = {}

local LIMIT = 2000
local LEVELS = { 'error', 'warning', 'info', 'log', 'debug' }

---@type string[]
local lines = {}
---@type integer?
local buffer

local function show(added)
  if not (buffer and vim.api.nvim_buf_is_loaded(buffer)) then
    return
  end
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, added and -1 or 0, -1, false, added or lines)
  vim.bo[buffer].modifiable = false
  local last = vim.api.nvim_buf_line_count(buffer)
  for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
    if window ~= vim.api.nvim_get_current_win() then
      vim.api.nvim_win_set_cursor(window, { last, 0 })
    end
  end
end

--- Adds one message; `kind` is an LSP MessageType.
---@param kind integer
---@param message string
function M.add(kind, message)
  local added = {}
  for line in vim.gsplit(vim.trim(message), '\n', { plain = true }) do
    added[#added + 1] = ('%s %-7s %s'):format(os.date('%H:%M:%S'), LEVELS[kind] or 'log', line)
  end
  local first = #lines == 0
  vim.list_extend(lines, added)
  if #lines > LIMIT then
    lines = vim.list_slice(lines, #lines - LIMIT + 1)
    first = true
  end
  show(not first and added or nil)
end

---@return string[]
function M.lines()
  return lines
end

--- Opens the log in a window of its own.
function M.open()
  if not (buffer and vim.api.nvim_buf_is_valid(buffer)) then
    buffer = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(buffer, 'molt://log')
    vim.bo[buffer].filetype = 'molt-log'
    vim.bo[buffer].modifiable = false
  end
  show()
  local window = vim.fn.bufwinid(buffer)
  if window ~= -1 then
    vim.api.nvim_set_current_win(window)
  else
    vim.cmd('botright 12split')
    vim.api.nvim_win_set_buf(0, buffer)
  end
  vim.api.nvim_win_set_cursor(0, { vim.api.nvim_buf_line_count(buffer), 0 })
end

return M
