--- What the server last said of each workspace (molt/status), and the line that a status line shows of it.
---
--- The server's latest status is the whole truth, so nothing is computed here. Whoever wants to follow it listens
--- to the autocommand User MoltStatus.
local echo = require('molt.echo')

local M = {}

---@class molt.Engine
---@field pid integer
---@field name string
---@field state "ready"|"behind"|"other-build"|"unknown-updates"

---@class molt.Pending
---@field count integer
---@field revision integer another number whenever the change set reads differently
---@field heldBack boolean
---@field unsaved integer
---@field files { uri: string, count: integer }[]

---@class molt.Status see docs/protocol.md
---@field workspace string
---@field health "ok"|"warning"|"error"
---@field quiescent boolean
---@field message string
---@field phase string
---@field pending molt.Pending
---@field held? string
---@field engines molt.Engine[]
---@field canRollback boolean
---@field lastUpdate? table
---@field validation? molt.Validation the one that the last update failed, until the next attempt

---@class molt.Validation
---@field title string
---@field file string "" if the user wrote no code for it
---@field line integer
---@field instance string
---@field message string
---@field values { member: string, old?: string, new?: string }[]
---@field uri? string where it is shown
---@field row? integer 0-based

---@type table<string, molt.Status>
local statuses = {}
---@type table<string, string>
local progress = {}

local ICONS = { ok = '●', warning = '▲', error = '✖' }
local GROUPS = { ok = 'MoltStatusOk', warning = 'MoltStatusWarning', error = 'MoltStatusError' }

---@param status molt.Status
---@return string
local function group_of(status)
  return status.quiescent and GROUPS[status.health] or 'MoltStatusBusy'
end

local function announce(workspace)
  vim.api.nvim_exec_autocmds('User', { pattern = 'MoltStatus', modeline = false, data = statuses[workspace] })
  vim.cmd.redrawstatus({ bang = true })
end

--- A value as JSON has it: null is nothing.
local function plain(value)
  if value ~= vim.NIL then
    return value
  end
end

---@param validation molt.Validation
---@return string
local function failed(validation)
  local place = validation.file ~= '' and (' (%s:%d)'):format(validation.file, validation.line) or ''
  return ('validation failed: %s%s'):format(validation.title, place)
end

--- A failed validation is told once, in a line that asks for no key; the rest is in the review.
---@param before? molt.Validation
---@param validation? molt.Validation
local function tell(before, validation)
  if validation and not vim.deep_equal(before, validation) then
    local text = ('Molt: %s; :Molt review'):format(failed(validation))
    vim.api.nvim_echo({ { text:sub(1, vim.v.echospace), 'ErrorMsg' } }, true, {})
  end
end

---@param status molt.Status
function M.set(status)
  status.held = plain(status.held)
  status.lastUpdate = plain(status.lastUpdate)
  status.validation = plain(status.validation)
  local before = statuses[status.workspace]
  statuses[status.workspace] = status
  tell(before and before.validation, status.validation)
  announce(status.workspace)
  echo.follow(status, M.words(status), group_of(status))
end

--- Forgets a workspace whose server is gone.
---@param workspace string
function M.forget(workspace)
  statuses[workspace] = nil
  announce(workspace)
end

--- Forgets everything: the last server is gone.
function M.clear()
  for workspace in pairs(statuses) do
    statuses[workspace] = nil
  end
  progress = {}
  vim.cmd.redrawstatus({ bang = true })
end

--- Work-done progress of an update: what a status line says while it lasts.
---@param token string|integer
---@param value { kind: "begin"|"report"|"end", title?: string, message?: string }
function M.progress(token, value)
  token = tostring(token)
  if value.kind == 'end' then
    progress[token] = nil
  else
    progress[token] = value.message or value.title or progress[token]
    for _, status in pairs(statuses) do
      if not status.quiescent then
        echo.follow(status, M.words(status), group_of(status))
      end
    end
  end
  vim.cmd.redrawstatus({ bang = true })
end

---@return table<string, molt.Status>
function M.all()
  return statuses
end

--- The status of the workspace that a buffer lies in: the one with the longest path above it, or the only one.
---@param buffer? integer
---@return molt.Status?
function M.of(buffer)
  local uri = vim.uri_from_bufnr(buffer or 0)
  local best, only, count
  count = 0
  for workspace, status in pairs(statuses) do
    count, only = count + 1, status
    local folder = workspace:gsub('/*$', '/')
    if vim.startswith(uri, folder) and (not best or #workspace > #best.workspace) then
      best = status
    end
  end
  return best or (count == 1 and only or nil)
end

--- What a status line says: with nothing pending and nothing wrong, what the last update did.
---@param status molt.Status
---@return string
function M.words(status)
  local _, running = next(progress)
  if not status.quiescent and running then
    return running
  end
  if status.quiescent and status.validation then
    return failed(status.validation)
  end
  local settled = status.quiescent and status.health == 'ok' and status.phase == 'idle' and status.pending.count == 0
  return settled and status.lastUpdate and status.lastUpdate.message or status.message
end

--- As much of a line as its window has room for beside a few characters: the beginning says most.
---@param text string
---@return string
local function fitting(text)
  local window = vim.o.laststatus ~= 3 and vim.g.statusline_winid
  local width = window and vim.api.nvim_win_is_valid(window) and vim.api.nvim_win_get_width(window) or vim.o.columns
  local room = math.max(40, width - 10)
  return vim.fn.strchars(text) <= room and text or vim.fn.strcharpart(text, 0, room - 1) .. '…'
end

--- For a status line: `%{%v:lua.require'molt'.statusline()%}`. Empty without a server.
---@param opts? { buffer?: integer, plain?: boolean } plain: no highlight groups
---@return string
function M.line(opts)
  opts = opts or {}
  local status = M.of(opts.buffer)
  if not status then
    return ''
  end
  echo.drawn()
  local icon = status.quiescent and ICONS[status.health] or '◌'
  local text = fitting(('%s Molt: %s'):format(icon, (M.words(status):gsub('%s+', ' '))))
  if opts.plain then
    return text
  end
  return ('%%#%s#%s%%*'):format(group_of(status), (text:gsub('%%', '%%%%')))
end

--- The failed validation, with the values that differ.
---@param validation molt.Validation
---@param say fun(group: string, format: string, ...)
function M.report_validation(validation, say)
  say('MoltStatusError', '  %s', failed(validation))
  say('Normal', '    %s', validation.message)
  if validation.instance ~= '' then
    say('Normal', '    instance %s', validation.instance)
  end
  for _, row in ipairs(validation.values) do
    local old, new = plain(row.old) or '-', plain(row.new) or '-'
    if old ~= new then
      say('Normal', '    %s: %s -> %s', row.member, old, new)
    end
  end
end

--- All that is known, for :Molt status.
---@return { [1]: string, [2]: string }[] chunks of text and highlight group
function M.report()
  local ret = {}
  local function say(group, format, ...)
    ret[#ret + 1] = { format:format(...) .. '\n', group }
  end
  for _, status in vim.spairs(statuses) do
    say('Title', '%s', vim.uri_to_fname(status.workspace))
    say(GROUPS[status.health] or 'Normal', '  %s', status.message)
    if status.held then
      say('MoltStatusWarning', '  held: %s', status.held)
    end
    for _, file in ipairs(status.pending.files or {}) do
      say('Normal', '  %s: %d pending', vim.fn.fnamemodify(vim.uri_to_fname(file.uri), ':~:.'), file.count)
    end
    for _, engine in ipairs(status.engines) do
      say('Normal', '  %s (pid %d): %s', engine.name, engine.pid, engine.state)
    end
    if status.validation then
      M.report_validation(status.validation, say)
    elseif status.lastUpdate then
      say('Normal', '  last: %s', status.lastUpdate.message)
      for _, transfer in ipairs(status.lastUpdate.transfers or {}) do
        say('Normal', '  taken over: %s', transfer)
      end
      for _, warning in ipairs(status.lastUpdate.warnings or {}) do
        say('MoltStatusWarning', '  warning: %s', warning)
      end
    end
  end
  return ret
end

return M
