--- Signs in the sign column: which lines differ from the source of the running program.
---
--- The server knows that source (molt/running); it is fetched when a buffer is attached and whenever the server says
--- that another one runs now. Comparing is Neovim's own diff, a moment after the last keystroke.
local client = require('molt.client')
local config = require('molt.config')

local M = {}

local DELAY = 60
local namespace = vim.api.nvim_create_namespace('molt.signs')
local diff = vim.text and vim.text.diff or vim.diff

---@class molt.Followed
---@field text? string the running text; nil: the file is no part of the program
---@field timer uv.uv_timer_t

---@type table<integer, molt.Followed>
local followed = {}

---@param buffer integer
---@param line integer 0-based
---@param kind "added"|"changed"|"removed"
local function place(buffer, line, kind)
  local signs = config.get().signs
  local group = 'MoltSign' .. kind:sub(1, 1):upper() .. kind:sub(2)
  pcall(vim.api.nvim_buf_set_extmark, buffer, namespace, line, 0, {
    sign_text = signs[kind],
    sign_hl_group = group,
    priority = signs.priority,
  })
end

---@param text string
---@return string text that ends with a newline, so that its last line compares like the others
local function closed(text)
  return (text == '' or text:sub(-1) == '\n') and text or text .. '\n'
end

---@param buffer integer
local function draw(buffer)
  if not vim.api.nvim_buf_is_loaded(buffer) then
    return
  end
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  local running = followed[buffer] and followed[buffer].text
  if not running then
    return
  end
  local text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n')
  local hunks = diff(closed(running), closed(text), { result_type = 'indices', algorithm = 'histogram' })
  for _, hunk in ipairs(hunks --[[@as integer[][] ]]) do
    local old_count, first, count = hunk[2], hunk[3], hunk[4]
    if count == 0 then
      place(buffer, math.max(first - 1, 0), 'removed')
    end
    for line = first, first + count - 1 do
      place(buffer, line - 1, line - first < old_count and 'changed' or 'added')
    end
  end
end

---@param buffer integer
local function soon(buffer)
  local entry = followed[buffer]
  if entry then
    entry.timer:start(DELAY, 0, vim.schedule_wrap(function()
      draw(buffer)
    end))
  end
end

---@param buffer integer
local function fetch(buffer)
  local server = client.clients({ bufnr = buffer })[1]
  if not server or not followed[buffer] then
    return
  end
  local params = { textDocument = { uri = vim.uri_from_bufnr(buffer) } }
  client.request(server, 'molt/running', params, function(error, result)
    if not error and followed[buffer] then
      local text = result and result.text
      followed[buffer].text = text ~= vim.NIL and text or nil
      draw(buffer)
    end
  end)
end

---@param buffer integer
local function forget(buffer)
  local entry = followed[buffer]
  followed[buffer] = nil
  if entry and not entry.timer:is_closing() then
    entry.timer:close()
  end
end

--- Follows a buffer that the server was attached to.
---@param buffer integer
function M.attach(buffer)
  if not config.get().signs.enabled then
    return
  end
  if not followed[buffer] then
    followed[buffer] = { timer = assert(vim.uv.new_timer()) }
    local function changed()
      if not followed[buffer] then
        return true
      end
      soon(buffer)
    end
    vim.api.nvim_buf_attach(buffer, false, {
      on_lines = changed,
      on_reload = changed,
      on_detach = function()
        forget(buffer)
      end,
    })
  end
  fetch(buffer)
end

--- The server says that these files run with another text now.
---@param uris string[]
function M.running_changed(uris)
  for buffer in pairs(followed) do
    if vim.tbl_contains(uris, vim.uri_from_bufnr(buffer)) then
      fetch(buffer)
    end
  end
end

--- The server is gone: nothing is known of the running program.
function M.clear()
  for buffer in pairs(followed) do
    forget(buffer)
    draw(buffer)
  end
end

return M
