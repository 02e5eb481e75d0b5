-- For vim.lsp.enable('molt'), Neovim 0.11 and later. vim.lsp.config('molt', {...}) overrides any of it.
local client = require('molt.client')
local root = require('molt.root')

return vim.tbl_extend('force', client.description(), {
  root_dir = function(buffer, on_directory)
    local path = vim.api.nvim_buf_get_name(buffer)
    local directory = path ~= '' and root.find(vim.fs.normalize(vim.fn.fnamemodify(path, ':p')))
    if directory then
      on_directory(directory)
    end
  end,
})
