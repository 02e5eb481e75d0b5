--- What the Neovim specs share: cases, checks that wait for an event, a project in a temporary directory.
--- Run as `nvim --clean --headless -l SPEC`; each case prints a line, the last line is "N passed, N failed".
local M = {}

local REPOSITORY = vim.fs.normalize(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h') .. '/../../..')
local passed, failed = 0, 0

M.repository = REPOSITORY
M.version = ('Neovim %d.%d'):format(vim.version().major, vim.version().minor)

--- Loads the plugin as a user's configuration would.
---@param settings table vim.g.molt
function M.load(settings)
  vim.g.molt = settings
  vim.opt.runtimepath:prepend(REPOSITORY .. '/editor-clients/neovim')
  vim.cmd('filetype plugin on')
  vim.cmd.runtime('plugin/molt.lua')
  vim.o.swapfile = false
  vim.o.more = false
end

--- A project with these files; its first one is opened.
---@param files table<string, string>
---@return string directory
function M.project(files)
  local directory = vim.uv.fs_realpath(assert(vim.uv.fs_mkdtemp(vim.env.TMPDIR .. '/project.XXXXXX')))
  for name, text in pairs(files) do
    vim.fn.mkdir(vim.fs.dirname(directory .. '/' .. name), 'p')
    vim.fn.writefile(vim.split(text, '\n', { plain = true }), directory .. '/' .. name, 'b')
  end
  return directory
end

--- Waits, serving events, until `condition` holds; fails with `what` otherwise.
function M.await(what, condition, seconds)
  local value
  local held = vim.wait((seconds or 10) * 1000, function()
    value = condition()
    return value
  end, 5)
  if not held then
    error('never: ' .. what, 2)
  end
  return value
end

function M.equal(expected, actual, what)
  if not vim.deep_equal(expected, actual) then
    error(('%s: expected %s, is %s'):format(what or 'value', vim.inspect(expected), vim.inspect(actual)), 2)
  end
end

function M.matches(pattern, text, what)
  if not tostring(text):find(pattern) then
    error(('%s: %q does not match %q'):format(what or 'text', tostring(text), pattern), 2)
  end
end

---@return molt.Status?
function M.status()
  return require('molt.status').of(0)
end

--- Signs of the current buffer, by line.
function M.signs()
  local ret = {}
  local namespace = vim.api.nvim_get_namespaces()['molt.signs']
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
    ret[mark[2] + 1] = mark[4].sign_hl_group
  end
  return ret
end

--- The highlight group that the review gives the end of the current line.
function M.highlight()
  local namespace = vim.api.nvim_get_namespaces()['molt.review']
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local marks = vim.api.nvim_buf_get_extmarks(0, namespace, { row, 0 }, { row, -1 }, { details = true })
  return marks[#marks] and marks[#marks][4].hl_group
end

--- Connects to the program of live/.
---@param port integer
---@return fun(): string asks the program on that connection
function M.connect(port)
  local connection = assert(vim.uv.new_tcp())
  local heard = ''
  local requests = 0
  connection:connect('127.0.0.1', port, function(failure)
    assert(not failure, failure)
    connection:read_start(function(problem, data)
      assert(not problem, problem)
      heard = heard .. (data or '')
    end)
  end)
  return function()
    heard = ''
    requests = requests + 1
    connection:write('?\n')
    M.await('answer', function()
      return heard:find('\n')
    end)
    local text, number = heard:match('^(.*) (%d+)\n$')
    M.equal(requests, tonumber(number), 'requests served on this connection')
    return text
  end
end

---@return string the messages that :Molt printed
function M.printed(command)
  return vim.api.nvim_exec2(command, { output = true }).output
end

function M.case(name, action)
  local ok, message = xpcall(action, function(message)
    return debug.traceback(tostring(message), 2)
  end)
  if ok then
    passed = passed + 1
    io.stdout:write(('ok %s: %s\n'):format(M.version, name))
  else
    failed = failed + 1
    io.stdout:write(('not ok %s: %s\n# %s\n'):format(M.version, name, (tostring(message):gsub('\n', '\n# '))))
  end
  io.stdout:flush()
end

--- Prints the sum and ends Neovim.
function M.finish()
  io.stdout:write(('%d passed, %d failed\n'):format(passed, failed))
  io.stdout:flush()
  for _, client in ipairs(vim.lsp.get_clients()) do
    require('molt.client').call(client, 'stop', true)
  end
  os.exit(failed == 0 and 0 or 1)
end

return M
