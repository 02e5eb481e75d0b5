--- The review of the pending change set, as Neovim's own vim.pack asks for confirmation: a buffer in which :write
--- applies the changes and :quit leaves them pending. The text is the server's.
local client = require('molt.client')
local config = require('molt.config')

local M = {}

--- A value as JSON has it: null is nothing.
local function plain(value)
  if value ~= vim.NIL then
    return value
  end
end

local namespace = vim.api.nvim_create_namespace('molt.review')
local ACTIONS = {
  added = 'MoltReviewAdded',
  removed = 'MoltReviewRemoved',
  modified = 'MoltReviewModified',
  renamed = 'MoltReviewModified',
  moved = 'MoltReviewModified',
  retyped = 'MoltReviewModified',
}
local FAILED = 'Validation failed'
local TITLES = { [FAILED] = 'MoltReviewFailed', ['Types of live instances'] = 'MoltReviewTitle' }
local DIFF = { ['+'] = 'MoltReviewAdded', ['-'] = 'MoltReviewRemoved', ['@'] = 'MoltReviewHunk' }

---@class molt.Change see docs/protocol.md
---@field kind string
---@field confidence number
---@field action string
---@field name string
---@field owner? string
---@field uri string
---@field line? integer 0-based
---@field oldLine? integer 0-based
---@field row integer of its entry in the text, 0-based

---@class molt.Type a type that changes, see docs/protocol.md
---@field name string
---@field uri? string
---@field line? integer 0-based
---@field policy? { uri: string, line: integer }
---@field row integer

---@class molt.Review
---@field workspace string
---@field text string
---@field changes molt.Change[]
---@field types? molt.Type[]

--- Where <CR> goes to from an entry, 0-based.
---@class molt.Place
---@field uri string
---@field line? integer
---@field oldLine? integer

---@class molt.Shown
---@field workspace string
---@field rows table<integer, molt.Change> by 0-based row
---@field places table<integer, molt.Place> likewise

---@type table<integer, molt.Shown> by buffer
local reviews = {}

--- What the text calls a change, and how much of it stands before the name.
---@param change molt.Change
---@return string words
---@return integer before
local function label(change)
  local owner = change.owner and change.owner ~= vim.NIL and change.owner ~= '' and change.owner .. '.' or ''
  local before = ('%s %s'):format(change.kind, owner)
  return before .. change.name, #before
end

---@param buffer integer
---@param lines string[]
local function highlight(buffer, lines)
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  local function paint(row, first, last, group)
    if first then
      vim.api.nvim_buf_set_extmark(buffer, namespace, row, first - 1, { end_col = last, hl_group = group })
    end
  end
  for row, line in ipairs(lines) do
    if row == 1 then
      paint(0, 1, #line, 'MoltReviewTitle')
    elseif TITLES[line] then
      paint(row - 1, 1, #line, TITLES[line])
    elseif line:match('^    %* ') then
      paint(row - 1, 1, #line, 'MoltReviewModified')
    elseif line:match('^  [^,]+, migrated by ') then
      paint(row - 1, 3, line:find(',') - 1, 'MoltReviewName')
    elseif line:match('^Warning: ') then
      paint(row - 1, 1, #line, 'MoltStatusWarning')
    elseif line:match('^    [-+@]') then
      paint(row - 1, 5, #line, DIFF[line:sub(5, 5)])
    elseif line:match('^%S') and not line:match('^%u%l+: ') then
      paint(row - 1, 1, #line, 'MoltReviewFile')
    end
  end
  for row, change in pairs(reviews[buffer].rows) do
    local words, before = label(change)
    local first, last = lines[row + 1]:find(words, 1, true)
    paint(row, first + before, last, 'MoltReviewName')
    first, last = lines[row + 1]:find(change.action, 1, true)
    paint(row, first, last, ACTIONS[change.action] or 'MoltReviewModified')
  end
end

--- Types lead to their policy, if the user has written one, else to their declaration; the failed validation to its
--- line.
---@param review molt.Review
---@param lines string[]
---@return table<integer, molt.Place>
local function places_of(review, lines)
  local ret = {}
  for _, change in ipairs(review.changes) do
    ret[change.row] = change
  end
  for _, one in ipairs(review.types or {}) do
    local policy = plain(one.policy)
    if policy or plain(one.uri) then
      ret[one.row] = policy or { uri = one.uri, line = plain(one.line) }
    end
  end
  local status = require('molt.status').all()[review.workspace]
  local failed = status and status.validation
  for row, line in ipairs(lines) do
    if line == FAILED and failed and plain(failed.uri) then
      ret[row] = { uri = failed.uri, line = plain(failed.row) }
    end
  end
  return ret
end

---@param buffer integer
---@param review molt.Review
local function fill(buffer, review)
  local lines = vim.split((review.text:gsub('\n$', '')), '\n', { plain = true })
  local rows = {}
  for _, change in ipairs(review.changes) do
    rows[change.row] = change
  end
  reviews[buffer] = { workspace = review.workspace, rows = rows, places = places_of(review, lines) }
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].modified = false
  highlight(buffer, lines)
end

--- The entry that a row belongs to, and the line of the source that it shows: the entry's, or in its difference the
--- new one.
---@param review { places: table<integer, molt.Place> }
---@param row integer 0-based
---@return molt.Place?
---@return integer? line 0-based
local function source_of(review, row)
  local lines = vim.api.nvim_buf_get_lines(0, 0, row + 1, false)
  local line
  local passed = 0
  for at = row, 0, -1 do
    local change = review.places[at]
    if change then
      return change, line or plain(change.line) or plain(change.oldLine)
    end
    if not vim.startswith(lines[at + 1], '  ') then
      return nil
    end
    local sign = lines[at + 1]:match('^    ([-+@ ])')
    local start = sign == '@' and not line and lines[at + 1]:match('^    @@ %S+ %+(%d+)')
    if start and start ~= '0' then
      line = start - 1 + passed
    elseif sign and sign ~= '-' and at < row then
      passed = passed + 1
    end
  end
end

--- Goes to the source of what is under the cursor.
function M.jump()
  local review = reviews[vim.api.nvim_get_current_buf()]
  if not review then
    return
  end
  local change, line = source_of(review, vim.api.nvim_win_get_cursor(0)[1] - 1)
  if not change then
    return
  end
  local path = vim.uri_to_fname(change.uri)
  local window = vim.fn.win_getid(vim.fn.winnr('#'))
  if window ~= 0 and vim.bo[vim.api.nvim_win_get_buf(window)].buftype == '' then
    vim.api.nvim_set_current_win(window)
  else
    vim.cmd('aboveleft split')
  end
  if vim.fn.bufnr(path) ~= vim.api.nvim_get_current_buf() then
    vim.cmd.edit(vim.fn.fnameescape(path))
  end
  if line and line ~= vim.NIL then
    vim.api.nvim_win_set_cursor(0, { math.min(line + 1, vim.api.nvim_buf_line_count(0)), 0 })
  end
end

--- Moves to the next (1) or previous (-1) entry.
---@param direction 1|-1
function M.step(direction)
  local review = reviews[vim.api.nvim_get_current_buf()]
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local rows = review and vim.tbl_keys(review.places) or {}
  table.sort(rows, function(a, b)
    return (a - b) * direction < 0
  end)
  for _, at in ipairs(rows) do
    if (at - row) * direction > 0 then
      vim.api.nvim_win_set_cursor(0, { at + 1, 0 })
      return
    end
  end
end

---@param buffer integer
local function set_up(buffer)
  vim.bo[buffer].buftype = 'acwrite'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  vim.bo[buffer].filetype = 'molt-review'
  local group = vim.api.nvim_create_augroup('molt.review.' .. buffer, {})
  vim.api.nvim_create_autocmd('BufWriteCmd', {
    group = group,
    buffer = buffer,
    desc = 'Molt: apply the pending change set',
    callback = function()
      vim.bo[buffer].modified = false
      require('molt').apply()
    end,
  })
  vim.api.nvim_create_autocmd('User', {
    group = group,
    pattern = 'MoltStatus',
    desc = 'Molt: keep the review true',
    callback = function()
      M.refresh(buffer)
    end,
  })
  vim.api.nvim_create_autocmd('BufWipeout', {
    group = group,
    buffer = buffer,
    callback = function()
      reviews[buffer] = nil
      vim.api.nvim_del_augroup_by_id(group)
    end,
  })
end

--- Asks the server for the review again, if the buffer still shows it.
---@param buffer integer
function M.refresh(buffer)
  local review, server = reviews[buffer], client.clients()[1]
  if not review or not server then
    return
  end
  client.request(server, 'molt/review', { workspace = review.workspace }, function(error, result)
    if not error and reviews[buffer] and vim.api.nvim_buf_is_valid(buffer) then
      fill(buffer, result)
    end
  end)
end

---@param review molt.Review
local function show(review)
  local name = ('molt://%s/pending'):format(vim.uri_to_fname(review.workspace))
  local buffer = vim.fn.bufnr(vim.fn.fnameescape(name))
  local window = buffer ~= -1 and vim.fn.bufwinid(buffer) or -1
  if window ~= -1 then
    vim.api.nvim_set_current_win(window)
  else
    vim.cmd(config.get().review.split)
    buffer = vim.api.nvim_create_buf(false, false)
    vim.api.nvim_buf_set_name(buffer, name)
    vim.api.nvim_win_set_buf(0, buffer)
    set_up(buffer)
    vim.api.nvim_win_set_height(0, math.min(
      math.max(14, math.floor(vim.o.lines / 2)), math.max(6, select(2, review.text:gsub('\n', '')) + 1)))
  end
  fill(buffer, review)
  local first = vim.tbl_keys(reviews[buffer].places)
  table.sort(first)
  vim.api.nvim_win_set_cursor(0, { (first[1] or 0) + 1, 0 })
end

--- Opens the review for the workspace of the current buffer.
function M.open()
  local server = client.current()
  if not server then
    return
  end
  local params = vim.empty_dict()
  local here = require('molt.status').of(0)
  if here then
    params.workspace = here.workspace
  elseif vim.bo.buftype == '' then
    params.textDocument = { uri = vim.uri_from_bufnr(0) }
  end
  client.request(server, 'molt/review', params, function(error, result)
    if error or not result then
      vim.notify('Molt: ' .. (error and error.message or 'nothing to review'), vim.log.levels.WARN)
    else
      show(result)
    end
  end)
end

return M
